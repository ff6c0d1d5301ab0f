"""The controller is killed, cancels come at any moment, publishes come late, its disk is full: what the record says is true
all the same, one backup is at most one folder, and nothing else stays visible.

Real daemons, simulated hypervisor; gate-worker holds a job until the test lets it go. The full disk is a small tmpfs, the
failing one a FUSE file system (tests/faultfs).

Seen red by breaking the code:
- KillTest: Scheduler::Start that takes up no open record (10 of its tests); HostOnline that cancels tasks which a record owns;
- CancelTest: EndBackup that makes RUNNING of a finished backup although SCRUB was asked for (5); EndCancelled that closes a
  record with files (4);
- FullDiskTest: the store's writer answering OK when COMMIT failed; ApplyEvents acknowledging what was not recorded."""

import ctypes
import os
import pathlib
import random
import signal
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import faultfs
from harness import BIN, Api, Site, SystemTest, check_published, run, wait_until

GATE_WORKER = BIN.parent / "tests" / "gate-worker"
SEED = int(os.environ.get("VMKEEP_TEST_SEED", "20261126"))
CLONE_NEWNS = 0x00020000


class RecoverySite(SystemTest):
    @classmethod
    def set_up_site(cls):
        os.environ["VMKEEP_TEST_GATE"] = str(cls.dir / "gate")
        os.environ["VMKEEP_TEST_WORKER"] = str(BIN / "vmkeep-worker")
        cls.sim = cls.dir / "sim"
        cls.sim.mkdir()
        cls.site = Site(cls.dir, "sim", [f"--sim_dir={cls.sim}", "--sim_vms=web-1:2:8MiB,db-1:1:8MiB",
                                         f"--worker_binary={GATE_WORKER}", "--overlay_reserve_bytes=1048576"])
        cls.use(cls.site)
        cls.prepare()
        cls.site.start()
        cls.site.init_repositories()
        cls.api = Api(cls.site, cls.dir)
        wait_until(lambda: len(cls.site.json("vm", "list").get("vms", [])) == 2, "the VMs are listed")

    @classmethod
    def prepare(cls):
        """Before the daemons start."""

    def setUp(self):
        self.names = 0

    def tearDown(self):
        self.gate("")
        for daemon in (self.site.controller, self.site.executor):
            if daemon.alive():
                daemon.process.send_signal(signal.SIGCONT)

    # what a test does ---------------------------------------------------------------------------------------------------

    def gate(self, text):
        """Holds the worker jobs whose request has this text; "" lets them go."""
        path = self.dir / "gate"
        if text:
            path.write_text(text)
        else:
            path.unlink(missing_ok=True)

    def create(self, vm="web-1", **fields):
        self.names += 1
        return self.api.call("BackupService/CreateBackup", vm_id=vm, name=f"{self.id()} {self.names}",
                             **{"repository": 1, **fields})["id"]

    def scrub(self, backup):
        return self.api.call("BackupService/UpdateBackup", id=backup, state="SCRUB")["state"]

    def kill_controller(self):
        self.site.controller.kill()

    def start_controller(self):
        self.site.controller.start()
        wait_until(lambda: self.site.ctl("host", "list", check=False).returncode == 0, "the controller is back")
        # Not the dead connection's back-off.
        self.api.channel.close()
        self.api.channel = self.api.grpc.insecure_channel(self.site.server, [("grpc.use_local_subchannel_pool", 1)])

    @staticmethod
    def pause(seconds):
        """Until the moment of a fault, which a seed chose: nothing is waited for."""
        time.sleep(seconds)

    def stop(self, daemon):
        daemon.process.send_signal(signal.SIGSTOP)

    def resume(self, daemon):
        daemon.process.send_signal(signal.SIGCONT)

    def held(self, text, vm="web-1"):
        """A backup whose worker job with this text is held."""
        before = self.executor_lines("worker_started")
        self.gate(text)
        backup = self.create(vm)
        wait_until(lambda: any(backup in line for line in self.executor_lines("worker_started")[len(before):]
                               if self.job_of(text) in line), f"the job {text} is held")
        return backup

    @staticmethod
    def job_of(text):
        return "job=publish" if "publish" in text else "job=copy"

    def executor_lines(self, word):
        return [line for line in self.site.executor.log.read_text(errors="replace").splitlines() if word in line]

    # what must hold -----------------------------------------------------------------------------------------------------

    def folders(self, backup):
        return [path for root in self.site.repositories.values() for path in root.glob(f"vmkeep/*/{backup}")]

    def working(self):
        """What lies in the working folders. (leftovers() waits for a probe's file to go: it lives for milliseconds.)"""
        return [path for path in self.site.leftovers() if path.startswith(("vmkeep/.incoming/", "vmkeep/.scrub/"))]

    def assert_vms_untouched(self):
        self.assertEqual(sorted(self.sim.rglob("*.vmkeep-*")), [], "an overlay was left")
        for vm in self.site.json("vm", "list")["vms"]:
            self.assertNotIn("overlay", vm)

    def assert_running(self, backup, epoch=1):
        record = self.site.wait_state(backup, "RUNNING", seconds=60)
        self.assertEqual(int(record["epoch"]), epoch, "a second try was begun")
        [folder] = self.folders(backup)
        manifest = check_published(folder)
        self.assertEqual((manifest["backup_id"], int(manifest["epoch"])), (backup, epoch))
        self.assertEqual(run("sha256sum", folder / "manifest.json").stdout.split()[0], record["manifest_sha256"])
        self.assertEqual(self.working(), [])
        self.assert_vms_untouched()

    def assert_gone(self, backup):
        record = wait_until(lambda: (r := self.site.get(backup))["state"] == "CLOSED" and r, f"{backup} is CLOSED", 60)
        self.assertEqual(self.folders(backup), [], "a closed backup is visible")
        self.assertEqual(self.working(), [])
        self.assert_vms_untouched()
        return record


class KillTest(RecoverySite):
    """SIGKILL of the controller at the moments that differ."""

    def test_kill_after_the_create_is_answered(self):
        key = "3f1c2f6e-4a65-4a0a-8f0e-d6c1b0a6d001"
        fields = {"vm_id": "web-1", "name": "asked twice", "repository": 1, "request_id": key}
        backup = self.api.call("BackupService/CreateBackup", **fields)["id"]
        self.kill_controller()
        self.start_controller()
        self.assertEqual(self.api.call("BackupService/CreateBackup", **fields)["id"], backup, "one request, two backups")
        self.assert_running(backup)

    def test_kill_in_dispatch(self):
        # The task is on its way: sent, not read; nobody answers.
        self.stop(self.site.executor)
        backup = self.create()
        wait_until(lambda: "task_start" in self.site.controller.log.read_text() and
                   self.site.get(backup)["state"] == "BUILDING", "it is sent")
        self.kill_controller()
        self.resume(self.site.executor)
        self.start_controller()
        self.assert_running(backup)

    def test_kill_in_dispatch_and_the_task_never_arrived(self):
        self.site.executor.kill()
        wait_until(lambda: self.site.json("host", "get", "kvm-1")["availability"] == "UNREACHABLE", "the host is missed")
        backup = self.create()
        self.kill_controller()
        self.start_controller()
        self.assertEqual(self.site.get(backup)["state"], "REQUESTED")
        wait_until(lambda: [c["type"] for c in self.site.get(backup).get("conditions", [])] == ["HOST_UNREACHABLE"],
                   "a silent host is a condition, not a failure")
        self.site.executor.start()
        self.assert_running(backup)

    def test_kill_in_copy(self):
        backup = self.held("disk-vda")
        self.kill_controller()
        self.gate("")
        self.start_controller()
        self.assert_running(backup)

    def test_kill_in_copy_and_found_still_at_it(self):
        backup = self.held("disk-vda")
        self.kill_controller()
        self.start_controller()
        self.site.wait_online()
        self.assertEqual(self.site.get(backup)["state"], "BUILDING")
        self.gate("")
        self.assert_running(backup)

    def test_kill_in_publish(self):
        backup = self.held('"publish"')
        self.kill_controller()
        self.gate("")
        self.start_controller()
        self.assert_running(backup)

    def test_kill_between_the_publish_and_its_record(self):
        # Stopped, it reads no events; then it is killed: the end is in the executor's journal alone.
        backup = self.held('"publish"')
        self.stop(self.site.controller)
        self.gate("")
        wait_until(lambda: any(backup in line for line in self.executor_lines("task_end")), "it is published")
        self.kill_controller()
        self.start_controller()
        self.assert_running(backup)

    def test_kill_in_scrub(self):
        backup = self.create()
        self.assert_running(backup)
        self.gate('"scrub"')
        self.scrub(backup)
        wait_until(lambda: self.site.get(backup)["state"] == "SCRUBBING" and any(
            backup in line and "job=scrub" in line for line in self.executor_lines("worker_started")), "the scrub is held")
        self.kill_controller()
        self.gate("")
        self.start_controller()
        self.assertEqual(self.assert_gone(backup)["scrub_level"], "REMOVED")

    def test_kill_after_a_scrub_is_answered(self):
        backup = self.create()
        self.assert_running(backup)
        self.scrub(backup)
        self.kill_controller()
        self.start_controller()
        self.assert_gone(backup)

    def test_kill_after_a_cancel_is_answered_that_the_host_did_not_hear(self):
        backup = self.held("disk-vda")
        self.stop(self.site.executor)
        self.assertEqual(self.scrub(backup), "SCRUB")
        self.kill_controller()
        self.resume(self.site.executor)
        self.start_controller()
        self.assert_gone(backup)

    def test_sweep_of_kills(self):
        """From the create to the end of the scrub, at moments that a seed chooses."""
        draw = random.Random(SEED)
        met = []
        for _ in range(8):
            backup = self.create(vm=draw.choice(["web-1", "db-1"]))
            self.pause(draw.uniform(0, 0.5))
            self.kill_controller()
            self.start_controller()
            met.append(self.site.get(backup)["state"])
            self.assert_running(backup)
            self.scrub(backup)
            self.pause(draw.uniform(0, 0.2))
            self.kill_controller()
            self.start_controller()
            self.assert_gone(backup)
        print(f"seed {SEED}: found after the kill: {met}", file=sys.stderr)


class CancelTest(RecoverySite):
    """SCRUB of a backup that is not finished."""

    def test_cancel_while_requested(self):
        self.site.executor.kill()
        wait_until(lambda: self.site.json("host", "get", "kvm-1")["availability"] == "UNREACHABLE", "the host is missed")
        backup = self.create()
        self.assertEqual(self.site.get(backup)["state"], "REQUESTED")
        self.scrub(backup)
        wait_until(lambda: self.site.get(backup)["state"] == "CLOSED", "it is closed without its host")
        self.site.executor.start()
        self.site.wait_online()
        self.assert_gone(backup)
        self.assertFalse(any(backup in line for line in self.executor_lines("task_begin")), "it began after its end")

    def test_cancel_in_dispatch(self):
        self.stop(self.site.executor)
        backup = self.create()
        wait_until(lambda: self.site.get(backup)["state"] == "BUILDING", "it is sent")
        self.scrub(backup)
        self.resume(self.site.executor)
        self.assert_gone(backup)

    def test_cancel_in_preflight(self):
        self.gate('"probe"')
        backup = self.create()
        wait_until(lambda: self.site.get(backup).get("progress", {}).get("phase") == "PREFLIGHT", "the preflight is held")
        self.scrub(backup)
        wait_until(lambda: self.site.get(backup)["state"] == "CLOSED", "it is closed while the probe hangs", 15)
        self.gate("")
        self.assert_gone(backup)

    def test_cancel_in_copy(self):
        backup = self.held("disk-vdb")
        self.scrub(backup)
        self.assert_gone(backup)

    def test_cancel_in_publish_is_late_and_scrubbed(self):
        backup = self.held('"publish"')
        self.assertEqual(self.scrub(backup), "SCRUB")
        self.gate("")
        record = self.assert_gone(backup)
        self.assertEqual(record["scrub_level"], "REMOVED", "the rename came first: a scrub had to follow")

    def test_late_publish_while_the_executor_was_away(self):
        backup = self.held('"publish"')
        self.stop(self.site.executor)  # its worker goes on: what is sent to a hung NAS happens some time
        self.scrub(backup)
        self.gate("")
        wait_until(lambda: self.folders(backup), "it is visible: the cancel lost")
        self.resume(self.site.executor)
        self.assertEqual(self.assert_gone(backup)["scrub_level"], "REMOVED")

    def test_late_publish_and_the_executor_died_of_it(self):
        backup = self.held('"publish"')
        self.stop(self.site.executor)
        self.scrub(backup)
        self.gate("")
        wait_until(lambda: self.folders(backup), "it is visible: the cancel lost")
        self.site.executor.kill()
        self.site.executor.start()
        self.assertEqual(self.assert_gone(backup)["scrub_level"], "REMOVED")

    def test_sweep_of_cancels(self):
        """At moments that a seed chooses, from at once until after the end: whichever of the two reached the store first."""
        draw = random.Random(SEED)
        met = {}
        for _ in range(25):
            backup = self.create(vm=draw.choice(["web-1", "db-1"]))
            self.pause(draw.uniform(0, 0.3))
            state = self.site.get(backup)["state"]
            met[state] = met.get(state, 0) + 1
            self.assertIn(self.scrub(backup), ("SCRUB", "SCRUBBING", "CLOSED"))
            self.assert_gone(backup)
        print(f"seed {SEED}: cancelled in {met}", file=sys.stderr)


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
