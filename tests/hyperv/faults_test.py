"""Rung 6: what befalls vmkeep-executor.exe's repositories while Hyper-V's stand-in writes to them (windows_site.py)."""

import os
import subprocess
import unittest

import windows_site
from windows_site import MIB, WindowsTest, run, wait_until

HELD = {"hold_at": 48}


class FaultsTest(WindowsTest):
    """The repositories are tmpfs: what fills them is the test's alone. Placement prefers the first one, of which more is free."""

    VMS = (
        {"name": "held", "disks": [[("held.vhdx", 8)]], "export": HELD},
        {"name": "small", "disks": [[("small.vhdx", 1)]], "state": "Off"},
    )
    FLAGS = ("--probe_interval=2s",)

    @classmethod
    def before_start(cls):
        for slot, mib in ((1, 192), (2, 96)):
            folder = cls.site.repositories[slot]
            run("mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=0700", "tmpfs", folder)
            cls.stack.callback(lambda folder=folder: subprocess.run(["umount", "-l", folder], check=False))
        (cls.site.repositories[2] / "filler").write_bytes(bytes(40 * MIB))

    def setUp(self):
        super().setUp()
        self.addCleanup(self.share_back)
        wait_until(lambda: int(self.site.wait_health(1, "HEALTHY")["free_bytes"]) > 120 * MIB, "repository 1 has the most room")

    def share_back(self):
        (self.site.repositories[1] / "ballast").unlink(missing_ok=True)
        self.site.prefix.drive("P", self.site.repositories[1])

    def share_gone(self):
        self.site.prefix.no_drive("P")

    def fill(self):
        """Until not a byte more goes there."""
        with open(self.site.repositories[1] / "ballast", "wb", buffering=0) as ballast:
            try:
                while ballast.write(bytes(MIB)):
                    pass
            except OSError:
                pass
        self.assertEqual(os.statvfs(self.site.repositories[1]).f_bavail, 0)

    def assert_nothing_left(self, seconds=60):
        (self.site.repositories[1] / "ballast").unlink(missing_ok=True)
        super().assert_nothing_left(seconds)

    def moved(self, backup, why=""):
        record, _ = self.published(backup, 90)
        self.assertEqual((record["repository"], record["epoch"]), (2, "2"))
        self.assertIn(why, record["placement_reason"])

    # full ---------------------------------------------------------------------------------------------------------------

    def test_full_in_mid_export(self):
        """It waits for room where it was asked to go, and leaves nothing there meanwhile."""
        backup = self.held(1, "full")
        self.fill()
        self.no_hold()
        failure = wait_until(lambda: self.site.get(backup).get("failure"), "the first try has failed", 60)
        self.assertEqual((failure["reason"], failure["phase"], failure["retryable"]), ("REPOSITORY_FULL", "EXPORTING", True))
        super().assert_nothing_left()
        self.assertGreater(os.statvfs(self.site.repositories[1]).f_bavail, 0)
        self.share_back()
        record, _ = self.published(backup)
        self.assertEqual(record["repository"], 1)
        self.assertGreaterEqual(int(record["epoch"]), 2)

    def test_full_in_mid_export_and_another_one_is_allowed(self):
        backup = self.held(1, "full, moves", repository=0)
        self.fill()
        self.no_hold()
        self.moved(backup)
        self.assert_nothing_left()

    # gone ---------------------------------------------------------------------------------------------------------------

    def test_gone_in_mid_export(self):
        """The backup goes to the other repository; where the share was nothing is made; once it is back it is cleaned."""
        backup = self.held(1, "moves", repository=0)
        self.share_gone()
        self.no_hold()
        self.moved(backup, "moved")
        self.assertFalse((self.site.prefix.dir / "dosdevices/p:").exists())
        ill = self.site.wait_health(1, "ILL")
        self.assertIn("P:\\", ill["message"])
        self.share_back()
        self.site.wait_health(1, "HEALTHY")
        self.assert_nothing_left()
        self.published(self.create(2, "afterwards"))

    def test_gone_in_mid_export_of_a_backup_that_named_it(self):
        backup = self.held(1, "stays")
        self.share_gone()
        self.no_hold()
        failure = self.failed(backup)
        self.assertEqual((failure["reason"], failure["retryable"]), ("REPOSITORY_UNREACHABLE", True))
        self.share_back()
        self.assert_nothing_left()

    def test_its_folder_is_removed_in_mid_export(self):
        """As far as a drive can tell, an empty share: no folder of the backup's is made there again."""
        folder = self.site.repositories[1].with_name("backup-p.other")
        folder.mkdir()
        backup = self.held(1, "empty", repository=0)
        self.site.prefix.drive("P", folder)
        self.no_hold()
        self.moved(backup)
        self.assertEqual(os.listdir(folder), [])
        self.share_back()
        self.site.wait_health(1, "HEALTHY")
        self.assert_nothing_left()

    def test_killed_in_mid_export_and_gone_at_the_restart(self):
        backup = self.held(1, "killed")
        self.site.executor.kill()
        self.share_gone()
        self.site.executor.start()
        self.site.wait_online()
        wait_until(lambda: self.job(1)["state"] == "Terminated", "Hyper-V's export is ended without the share too", 60)
        self.assertFalse((self.site.prefix.dir / "dosdevices/p:").exists())
        self.share_back()
        failure = self.failed(backup)
        self.assertEqual((failure["reason"], failure["retryable"]), ("EXECUTOR_RESTARTED", True))
        self.assert_nothing_left()
        self.no_hold()
        self.site.ctl("backup", "retry", backup)
        self.published(backup)


if __name__ == "__main__":
    windows_site.need_the_programs()
    if os.geteuid() != 0:
        print("!!! SKIPPED: rung 6 needs root, for a small tmpfs")
        raise SystemExit(77)
    unittest.main()
