"""The executor dies in mid-copy, and goes on; a repository vanishes or is too small; the host does not answer."""

import os
import re
import unittest

from harness import Api, Guest, Site, SystemTest, check_published, records, run, wait_until

UUID = "9c2e5d10-4f7a-4b7e-a1c8-3d5b6a7e8f01"


class CrashTest(SystemTest):
    @classmethod
    def set_up_site(cls):
        cls.guest = Guest(cls.dir / "vm", "db-1", UUID, [("vda", "raw", "1536M", 1024), ("vdb", "qcow2", "64M", 4)])
        cls.stack.callback(cls.guest.remove)
        cls.site = Site(cls.dir, executor_flags=["--overlay_reserve_bytes=67108864"])
        cls.use(cls.site)
        # The secondary is a real mount, and too small for this VM.
        run("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", cls.site.repositories[2])
        cls.stack.callback(lambda: run("umount", "-l", cls.site.repositories[2], check=False))
        cls.site.start()
        cls.site.ctl("repo", "init", "kvm-1", 1, "--allow-plain-directory")
        cls.site.ctl("repo", "init", "kvm-1", 2)  # a mount point: nothing to allow
        cls.guest.start()
        cls.xml_before = cls.guest.inactive_xml()
        cls.api = Api(cls.site, cls.dir)
        wait_until(lambda: cls.guest.acknowledged()["vda"] > 2, "the guest writes", 30)

    def start_backup(self, name, **fields):
        return self.api.call("BackupService/CreateBackup", vm_id="db-1", name=name, **{"repository": 1, **fields})["id"]

    def assert_untouched(self):
        self.assertTrue(self.guest.on_own_disks(), self.guest.top_sources())
        self.assertEqual(self.guest.overlays(), [])
        self.assertEqual(self.guest.inactive_xml(), self.xml_before)

    def kill_in_mid_copy(self, name):
        """A backup whose executor is dead."""
        backup = self.start_backup(name)

        def in_mid_copy():
            record = self.api.call("BackupService/GetBackup", id=backup)
            progress = record.get("progress") or {}
            self.assertIn(record["state"], ("REQUESTED", "BUILDING"), "too fast: the copy ended before it could be killed")
            return progress.get("phase") == "COPYING" and int(progress["bytes_done"]) > 0

        wait_until(in_mid_copy, "the copy runs", 60, 0.005)
        self.site.executor.kill()
        self.assertFalse(self.guest.on_own_disks(), "the kill came too late: nothing would be shown")
        return backup

    def assert_merged(self, backup):
        """What could not be gone on with."""
        record = self.site.wait_state(backup, "UNRESOURCED")
        self.assertEqual(record["failure"]["reason"], "EXECUTOR_RESTARTED")
        self.assertTrue(record["failure"]["retryable"])
        self.assert_untouched()
        return record["failure"]["message"]

    def test_1_sigkill_of_the_executor_in_mid_copy_costs_what_was_not_flushed(self):
        before = self.guest.acknowledged()
        backup = self.kill_in_mid_copy("killed")
        acknowledged = self.guest.acknowledged()
        wait_until(lambda: any(c["type"] == "HOST_UNREACHABLE" for c in self.site.get(backup).get("conditions", [])),
                   "the record says that the host is unreachable", 60)
        self.assertEqual(self.site.get(backup)["state"], "BUILDING")
        wait_until(lambda: self.guest.acknowledged()["vda"] > acknowledged["vda"] + 2, "the guest goes on writing", 30)
        self.site.executor.start()
        record = self.site.wait_state(backup, "RUNNING")
        self.assert_untouched()
        found = re.search(r"copy_resumed bytes_done=(\d+) bytes_total=(\d+)", self.site.executor.log.read_text())
        self.assertTrue(found and 0 < int(found[1]) < int(found[2]), found)
        print(f"killed in mid-copy: gone on with at {int(found[1]) >> 20} of {int(found[2]) >> 20} MiB")
        manifest = check_published(self.site.folder(record))
        for disk in manifest["disks"]:
            target, fmt = disk["target"], disk["format"]
            records(self.site.folder(record) / disk["file"], f"data-{target}", fmt, before[target])
        self.assertEqual(run("pgrep", "-x", "vmkeep-worker", check=False).stdout, "", "a worker outlived its executor")
        self.assertEqual(self.site.ctl("backup", "scrub", backup, "--wait").returncode, 0)
        self.assertEqual(self.site.leftovers(), [])

    def test_1_then_with_a_base_that_changed_it_is_merged(self):
        backup = self.kill_in_mid_copy("changed")
        os.utime(self.guest.disks["vda"][1])
        self.site.executor.start()
        self.assertIn("another file", self.assert_merged(backup))
        self.assertEqual(self.site.leftovers(), [])
        self.assertEqual(self.site.ctl("backup", "scrub", backup, "--wait").returncode, 0)

    def test_1_then_with_a_repository_that_is_gone_it_is_merged(self):
        backup = self.kill_in_mid_copy("gone")
        marker = self.site.repositories[1] / ".vmkeep-repository"
        away = self.dir / "marker"
        os.rename(marker, away)
        try:
            self.site.executor.start()
            self.assertIn("REPOSITORY", self.assert_merged(backup).upper())
        finally:
            os.rename(away, marker)
        wait_until(lambda: self.site.ctl("backup", "scrub", backup, "--wait", check=False).returncode == 0, "the scrub", 60)
        self.assertEqual(self.site.leftovers(), [])

    def test_2_a_repository_that_is_too_small_is_refused(self):
        backup = self.start_backup("too big", repository=2)
        record = self.site.wait_state(backup, "UNRESOURCED")
        self.assertEqual(record["failure"]["reason"], "REPOSITORY_FULL")
        self.assert_untouched()
        self.assertEqual(self.site.leftovers(), [])

    def test_3_without_its_marker_a_repository_takes_nothing(self):
        self.site.wait_state(self.start_backup("before"), "RUNNING")
        before = self.site.leftovers()
        marker = self.site.repositories[1] / ".vmkeep-repository"
        away = self.dir / "marker"
        os.rename(marker, away)
        try:
            backup = self.start_backup("no marker")
            record = self.site.wait_state(backup, "UNRESOURCED")
            self.assertIn(record["failure"]["reason"], ("REPOSITORY_MARKER_ABSENT", "REPOSITORY_UNINITIALIZED"))
            self.assertEqual(self.site.leftovers(), before)
            self.assert_untouched()
        finally:
            os.rename(away, marker)

    def test_4_an_unreachable_host_lets_the_record_wait(self):
        self.site.executor.stop()
        wait_until(lambda: self.site.json("host", "get", "kvm-1")["availability"] == "UNREACHABLE", "the host is missed", 60)
        backup = self.start_backup("patient")
        record = wait_until(lambda: (r := self.site.get(backup)).get("conditions") and r, "a condition says why", 30)
        self.assertEqual((record["state"], record["conditions"][0]["type"]), ("REQUESTED", "HOST_UNREACHABLE"))
        self.site.executor.start()
        self.site.wait_state(backup, "RUNNING")
        self.assert_untouched()

    def test_5_sigkill_of_the_controller_in_mid_copy_costs_nothing(self):
        backup = self.start_backup("headless")
        wait_until(lambda: self.site.get(backup)["state"] == "BUILDING", "the backup builds", 30, 0.01)
        self.site.controller.kill()
        self.site.controller.start()
        wait_until(lambda: self.site.ctl("host", "list", check=False).returncode == 0, "the controller is back", 30)
        self.site.wait_state(backup, "RUNNING")
        self.assert_untouched()

    def test_6_nothing_the_guest_saw_flushed_is_missing(self):
        acknowledged = self.guest.acknowledged()
        self.guest.power_off()
        for target, (fmt, path) in self.guest.disks.items():
            records(path, f"data-{target}", fmt, acknowledged[target])


if __name__ == "__main__":
    unittest.main()
