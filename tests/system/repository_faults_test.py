"""A sick NAS, on the real daemons and workers: repository 1 is a vmkeep-faultfs mount over a tmpfs. The hypervisor is simulated.

Full, failing, hanging in a way that no signal ends, and gone. After each fault: the VM is off its overlay, nothing but whole
backups is visible, what was left is removed once the repository is back, and no failed fsync was tried again."""

import os
import pathlib
import re
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from faultfs import FaultFs, missing, states
from harness import Site, SystemTest, check_published, run, wait_until
from observability_test import Scrape

STALL, VMS = 3, "web-1:1:16MiB,db-1:1:8MiB,app-1:1:8MiB"
MID_COPY = "from=4194304"
FLAGS = [f"--sim_vms={VMS}", "--metrics_listen=127.0.0.1:0", f"--stall_timeout={STALL}s", "--probe_interval=5s",
         "--probe_deadline=2s", "--overlay_reserve_bytes=1048576"]


def tmpfs(test, folder, fill_mib=0):
    """512 MiB of its own: free shares are the test's, not the machine's."""
    folder.mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", "size=512m", "tmpfs", folder)
    test.stack.callback(lambda: subprocess.run(["umount", "-l", folder], check=False))
    if fill_mib:
        (folder / "filler").write_bytes(bytes(fill_mib << 20))


class RepositoryFaultsTest(SystemTest):
    @classmethod
    def set_up_site(cls):
        (cls.dir / "sim").mkdir()
        site = Site(cls.dir, "sim", [f"--sim_dir={cls.dir / 'sim'}", *FLAGS])
        tmpfs(cls, cls.dir / "nas")
        tmpfs(cls, site.repositories[2], fill_mib=100)  # placement prefers repository 1
        cls.fs = FaultFs(site.repositories[1], cls.dir / "nas")
        cls.stack.callback(lambda: cls.fs.close())
        site.repositories = {1: cls.fs.behind, 2: site.repositories[2]}  # looked at where nothing hangs
        cls.use(site)
        site.start()
        site.init_repositories()
        cls.vms = {vm["name"]: vm["uuid"] for vm in wait_until(lambda: site.json("vm", "list").get("vms"), "VMs are listed")}

    def setUp(self):
        self.began = len(self.fs.calls())

    def tearDown(self):
        self.fs.fault()
        if self.fs.process.poll() is not None or not os.path.ismount(self.fs.mount):
            self.fs.close()
            self.fs.start()
        self.wait_healthy()
        self.assert_clean()

    # what is seen -------------------------------------------------------------------------------------------------------

    def create(self, vm, name, repository=0):
        argv = ["backup", "create", vm, name]
        return self.site.json(*argv, *(["--repository", repository] if repository else []))["id"]

    def repository(self, slot=1):
        return next(r for r in self.site.json("repo", "list", "--host", "kvm-1")["repositories"] if r["slot"] == slot)

    def wait_healthy(self, seconds=30):
        wait_until(lambda: self.repository().get("health") == "HEALTHY", "repository 1 is healthy", seconds)

    def scrape(self):
        port = re.findall(r"metrics_serving .*port=(\d+)", self.site.executor.log.read_text())[-1]
        return Scrape(int(port))

    def hanging(self):
        return self.scrape().value("vmkeep_executor_workers_abandoned", repository=1)

    def on_overlay(self, vm):
        return "overlay" in self.site.json("vm", "get", self.vms[vm])

    def assert_clean(self):
        """Only whole backups that a record tells of, and no fsync after one that failed."""
        running = {b["id"]: b for b in self.site.json("backup", "list")["backups"] if b["state"] == "RUNNING"}

        def left():
            return [p for p in self.site.leftovers() if p != "filler" and "/.incoming/" in p]

        wait_until(lambda: not left(), f"what failed tries left is removed: {left()}", 20)
        found = {}
        for slot, root in self.site.repositories.items():
            for folder in (root / "vmkeep").glob("????????-*/*"):
                found[folder.name] = slot
                check_published(folder)
        self.assertEqual(found, {i: b["repository"] for i, b in running.items()})
        failed = set()
        for operation, path, result in self.fs.calls():
            if operation != "fsync":
                continue
            self.assertNotIn(path, failed, "flushed again after a flush that failed")
            if result not in ("ok", "hang", "stuck"):
                failed.add(path)
        for vm in self.vms:
            self.assertFalse(self.on_overlay(vm), vm)

    def stuck_copy(self, vm, name, repository=0):
        """A backup of `vm` whose worker is in a write in mid-copy that no signal ends."""
        self.fs.fault(f"write disk- stuck {MID_COPY}")
        backup = self.create(vm, name, repository)
        wait_until(lambda: ("write", "stuck") in {(c[0], c[2]) for c in self.fs.calls()[self.began:]}, "a write is stuck")
        self.fs.fault("* * stuck")  # and now all of it
        return backup

    # errors -------------------------------------------------------------------------------------------------------------

    def test_full_and_failing_at_write_fsync_and_close(self):
        for operation in ("write", "fsync", "flush"):
            for errno, reason in (("ENOSPC", "REPOSITORY_FULL"), ("EIO", "REPOSITORY_IO_ERROR")):
                with self.subTest(operation, errno=errno):
                    before = len(self.fs.calls())
                    self.fs.fault(f"{operation} disk- {errno}")
                    named = self.site.wait_state(self.create("app-1", f"named {operation} {errno}", 1), "UNRESOURCED")
                    self.assertEqual(named["failure"]["reason"], reason)
                    self.assertTrue(named["failure"]["retryable"])
                    self.assertFalse(self.on_overlay("app-1"))
                    free = self.site.wait_state(self.create("web-1", f"free {operation} {errno}"), "RUNNING")
                    self.assertEqual(free["repository"], 2)
                    self.assertIn(f"failed in COPYING: {reason}", free["placement_reason"])
                    self.assertIn((operation, errno), {(c[0], c[2]) for c in self.fs.calls()[before:]})
                    self.fs.fault()
                    well = self.site.wait_state(self.create("db-1", f"well {operation} {errno}", 1), "RUNNING")
                    self.assertEqual(well["repository"], 1)

    def test_three_faults_in_a_row_make_it_ill_and_the_next_goes_to_the_other_at_once(self):
        self.site.wait_state(self.create("app-1", "before the row", 1), "RUNNING")
        self.fs.fault("write disk- EIO")
        for n in range(3):
            self.site.wait_state(self.create("app-1", f"fault {n}", 1), "UNRESOURCED")
        ill = wait_until(lambda: (r := self.repository())["health"] == "ILL" and r, "it is ill", 3)
        self.assertIn("3 jobs in a row failed there", ill["message"])
        before = len(self.fs.calls())
        record = self.site.wait_state(self.create("web-1", "elsewhere"), "RUNNING")
        self.assertEqual(record["repository"], 2)
        self.assertNotIn("moved", record["placement_reason"])
        self.assertFalse([c for c in self.fs.calls()[before:] if "disk-" in c[1]], "nothing was copied to the ill one")

    # rename -------------------------------------------------------------------------------------------------------------

    def test_a_rename_that_reports_an_error_after_it_happened_is_success(self):
        self.fs.fault(f"rename ->/vmkeep/{self.vms['web-1']}/ after-EIO")
        record = self.site.wait_state(self.create("web-1", "renamed", 1), "RUNNING")
        self.assertEqual(record["repository"], 1)
        self.assertEqual([c[2] for c in self.fs.calls("rename", "->/vmkeep/" + self.vms["web-1"])[-1:]], ["EIO"])

    def test_a_rename_that_failed_is_none_and_the_backup_moves(self):
        self.fs.fault(f"rename ->/vmkeep/{self.vms['web-1']}/ EIO")
        record = self.site.wait_state(self.create("web-1", "not renamed"), "RUNNING")
        self.assertEqual(record["repository"], 2)
        self.assertIn("failed in PUBLISHING: REPOSITORY_IO_ERROR", record["placement_reason"])

    # hangs --------------------------------------------------------------------------------------------------------------

    # Seen red: with the state of a process's first thread taken for the process's (no worker was counted as hanging).
    def test_a_hang_in_mid_copy_costs_its_vm_the_stall_timeout_and_nobody_else_anything(self):
        backup = self.stuck_copy("web-1", "stuck")
        stuck_at = time.monotonic()
        self.assertTrue(self.on_overlay("web-1"))
        other = self.create("db-1", "beside it", 2)
        self.site.wait_state(other, "RUNNING", seconds=STALL + 20)
        wait_until(lambda: not self.on_overlay("web-1"), "web-1 is off its overlay", STALL + 30)
        self.assertLess(time.monotonic() - stuck_at, STALL + 30)
        # It moved, while the mount hangs.
        moved = self.site.wait_state(backup, "RUNNING", seconds=40)
        self.assertEqual(moved["repository"], 2)
        self.assertIn("failed in COPYING: COPY_STALLED", moved["placement_reason"])
        pids = [int(p) for p in re.findall(r"worker_abandoned pid=(\d+)", self.site.executor.log.read_text())]
        self.assertTrue({"D"} & {s for pid in pids for s in states(pid)}, "no process hangs: this test shows nothing")
        self.assertGreaterEqual(self.hanging(), 1)
        ill = self.repository()
        self.assertEqual(ill["health"], "ILL")
        self.assertIn("cannot be killed", ill["message"])
        for argv in (("host", "get", "kvm-1"), ("vm", "get", self.vms["web-1"]), ("vm", "list")):
            began = time.monotonic()
            self.site.json(*argv)
            self.assertLess(time.monotonic() - began, 3, argv)
        self.assertEqual(self.site.json("host", "get", "kvm-1")["availability"], "ONLINE")
        # Probes go on being due, and none is added to those that hang.
        refused = {"job": "probe", "result": "REPOSITORY_STUCK"}
        seen = self.scrape().value("vmkeep_executor_worker_job_seconds_count", **refused)
        hanging = wait_until(lambda: (s := self.scrape()).value("vmkeep_executor_worker_job_seconds_count", **refused) > seen + 1
                             and s, "probes are refused", 20).value("vmkeep_executor_workers_abandoned", repository=1)
        self.assertLessEqual(hanging, 3)  # the copy and a probe; one more when a preflight's probe was under way
        self.assertEqual(self.hanging(), hanging, "none is added")
        # An executor that was killed finds them again.
        self.site.executor.kill()
        self.site.executor.start()
        self.site.wait_online()
        self.assertGreaterEqual(self.hanging(), 1)
        self.fs.fault()
        wait_until(lambda: self.hanging() == 0, "who hung has ended", 20)
        self.wait_healthy()
        record = self.site.wait_state(self.create("web-1", "back again", 1), "RUNNING")
        self.assertEqual(record["repository"], 1)

    def test_a_hang_when_one_was_named_fails_retryable_and_merged(self):
        backup = self.stuck_copy("web-1", "stuck and named", repository=1)
        record = self.site.wait_state(backup, "UNRESOURCED", seconds=STALL + 30)
        self.assertEqual(record["failure"]["reason"], "COPY_STALLED")
        self.assertTrue(record["failure"]["retryable"])
        self.assertFalse(self.on_overlay("web-1"))

    def test_a_hang_in_the_probe_of_the_preflight_leaves_the_vm_alone(self):
        self.fs.fault("* .probe- stuck")
        record = self.site.wait_state(self.create("app-1", "probe hangs"), "RUNNING", seconds=40)
        self.assertEqual(record["repository"], 2)
        self.assertFalse([c for c in self.fs.calls()[self.began:] if "disk-" in c[1]], "nothing was copied there")
        wait_until(lambda: self.repository()["health"] == "ILL", "repository 1 is ill")

    # gone ---------------------------------------------------------------------------------------------------------------

    def test_a_mount_that_vanishes_in_mid_copy_gets_no_byte_below_it(self):
        self.fs.fault(f"write disk- hang {MID_COPY}")
        backup = self.create("web-1", "vanished", repository=1)
        wait_until(lambda: ("write", "hang") in {(c[0], c[2]) for c in self.fs.calls()[self.began:]}, "it copies")
        self.fs.unmount()
        self.fs.fault()
        record = self.site.wait_state(backup, "UNRESOURCED")
        self.assertIn(record["failure"]["reason"], ("REPOSITORY_MARKER_ABSENT", "REPOSITORY_NOT_MOUNTED"))
        self.assertEqual(list(self.fs.mount.iterdir()), [])
        self.assertFalse(self.on_overlay("web-1"))


if __name__ == "__main__":
    if missing():
        print(f"SKIPPED: a FUSE mount {missing()}")
        sys.exit(77)
    unittest.main()
