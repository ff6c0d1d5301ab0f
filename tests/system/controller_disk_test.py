"""The controller's disk is full, or fails: it says UNAVAILABLE, acknowledges nothing, and goes on when the disk does.

The full disk is a small tmpfs, the failing one a FUSE file system (tests/faultfs). Both were seen red with the store's
writer answering OK when COMMIT failed; FullDiskTest also with ApplyEvents acknowledging what was not recorded."""

import ctypes
import os
import pathlib
import signal
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import faultfs
from harness import run, wait_until
from recovery_site import RecoverySite

CLONE_NEWNS = 0x00020000


class FailingDiskTest(RecoverySite):
    """The controller's disk answers EIO when it is to flush (a FUSE file system): the same as with a full one."""

    @classmethod
    def prepare(cls):
        if why := faultfs.missing():
            raise unittest.SkipTest(why)
        cls.disk = faultfs.FaultFs(cls.dir / "controller", cls.dir / "faultfs")
        cls.stack.callback(cls.disk.close)
        # Before the file system goes, the controller has to.
        cls.stack.callback(lambda: cls.site.controller.alive() and cls.site.controller.kill())

    def tearDown(self):
        self.disk.fault()
        super().tearDown()

    def test_a_disk_that_fails_to_flush(self):
        kept = self.create("db-1")
        self.assert_running(kept)
        building = self.held("disk-vda")
        self.disk.fault("fsync * EIO")

        fields = {"vm_id": "db-1", "name": "not safe", "repository": 1, "request_id": "3f1c2f6e-4a65-4a0a-8f0e-d6c1b0a6d003"}
        code, reason, message, _ = self.api.error("BackupService/CreateBackup", **fields)
        self.assertEqual((code, reason), ("UNAVAILABLE", "DATABASE_ERROR"), message)
        code, reason, message, _ = self.api.error("BackupService/UpdateBackup", id=kept, state="SCRUB")
        self.assertEqual((code, reason), ("UNAVAILABLE", "DATABASE_ERROR"), message)
        self.gate("")
        wait_until(lambda: any(building in line for line in self.executor_lines("task_end")), "it is published")
        wait_until(lambda: "host_offline" in self.site.controller.log.read_text(), "the link gives up and asks again")
        self.assertEqual({b["id"]: b["state"] for b in self.site.json("backup", "list")["backups"]},
                         {kept: "RUNNING", building: "BUILDING"})

        # What was refused is not there after a kill either; what was not acknowledged comes again.
        self.kill_controller()
        self.disk.fault()
        self.start_controller()
        self.assert_running(building)
        self.assert_running(kept)
        self.assertEqual({b["id"] for b in self.site.json("backup", "list")["backups"]}, {kept, building})
        self.assert_running(self.api.call("BackupService/CreateBackup", **fields)["id"])


class FullDiskTest(RecoverySite):
    """The controller's disk is full. It says UNAVAILABLE, acknowledges nothing, goes on reading, and works when there is room."""

    @classmethod
    def prepare(cls):
        if os.geteuid() != 0:
            raise unittest.SkipTest("needs root, for a small tmpfs")
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
            raise unittest.SkipTest(f"no mount namespaces here: {os.strerror(ctypes.get_errno())}")
        run("mount", "--make-rprivate", "/")  # the mount ends with this process
        cls.state = cls.dir / "controller"
        run("mount", "-t", "tmpfs", "-o", "size=12m,mode=0700", "tmpfs", cls.state)
        cls.stack.callback(lambda: run("umount", "-l", cls.state, check=False))

    def fill(self):
        """Takes all room, and then SQLite's own slack inside its files by writing until it says no."""
        with open(self.state / "filler", "ab", buffering=0) as filler:
            for size in (1 << 16, 4096, 1):
                try:
                    while filler.write(b"\0" * size) == size:
                        pass
                except OSError:
                    pass

        def says_no():
            try:
                self.api.call("InventoryService/RegisterVm", id=f"slack-{self.slack}", uuid=f"00000000-0000-4000-8000-{self.slack:012d}")
            except self.api.grpc.RpcError as error:
                return error.code().name == "UNAVAILABLE"
            self.slack += 1
            return False

        self.slack = 1
        wait_until(says_no, "the store says UNAVAILABLE", 60, 0)

    def tearDown(self):
        (self.state / "filler").unlink(missing_ok=True)
        super().tearDown()

    def test_a_full_disk(self):
        kept = self.create("db-1")
        self.assert_running(kept)
        building = self.held("disk-vda")
        self.fill()

        key = "3f1c2f6e-4a65-4a0a-8f0e-d6c1b0a6d002"
        code, reason, message, _ = self.api.error("BackupService/CreateBackup", vm_id="db-1", name="no room", repository=1,
                                                  request_id=key)
        self.assertEqual((code, reason), ("UNAVAILABLE", "DATABASE_ERROR"), message)
        code, reason, message, _ = self.api.error("BackupService/UpdateBackup", id=kept, state="SCRUB")
        self.assertEqual((code, reason), ("UNAVAILABLE", "DATABASE_ERROR"), message)

        # The backup ends meanwhile. That cannot be recorded, so it is not said, and the executor keeps the news.
        self.gate("")
        wait_until(lambda: any(building in line for line in self.executor_lines("task_end")), "it is published")
        wait_until(lambda: "host_offline" in self.site.controller.log.read_text(), "the link gives up and asks again")
        self.assertEqual(self.site.get(building)["state"], "BUILDING")
        self.assertEqual(self.site.get(kept)["state"], "RUNNING")
        self.assertTrue(self.folders(kept))
        self.assertEqual({b["id"] for b in self.site.json("backup", "list")["backups"]}, {kept, building})

        (self.state / "filler").unlink()
        self.assert_running(building)
        again = self.api.call("BackupService/CreateBackup", vm_id="db-1", name="no room", repository=1, request_id=key)["id"]
        self.assert_running(again)
        self.scrub(kept)
        self.assert_gone(kept)

    def test_killed_and_started_while_the_disk_is_full(self):
        backup = self.held("disk-vda")
        self.fill()
        self.kill_controller()
        self.gate("")
        self.site.controller.start()
        served = wait_until(lambda: (self.site.ctl("host", "list", check=False).returncode == 0 and "serves")
                            or (not self.site.controller.alive() and "ended"), "it serves or ends, and does not hang")
        print(f"started on a full disk: {served}", file=sys.stderr)
        if served == "ended":
            self.assertNotEqual(self.site.controller.process.returncode, -signal.SIGBUS)
            self.assertRegex(self.site.controller.log.read_text(), "vmkeep-controller: .*(full|space)")
        (self.state / "filler").unlink()
        if served == "ended":
            self.start_controller()
        self.assert_running(backup)


if __name__ == "__main__":
    unittest.main()
