"""Faults of a host and its hypervisor while a backup runs, on real QEMU and libvirt: what is stopped, killed, undefined, snapshotted
by somebody else, or full."""

import contextlib
import os
import signal
import subprocess
import threading
import time
import unittest

from guarded import GuardedTest
from harness import run, virsh, wait_until


class FaultsTest(GuardedTest):
    executor_flags = ["--merge_trend_window=4s"]

    def test_01_qemu_dies_in_the_copy(self):
        backup = self.held("qemu in copy")
        self.guest.crash()
        acknowledged = self.guest.acknowledged()
        self.go_on()
        self.published(backup)  # the images that it copies stand still, whatever the guest does
        self.check_home(running=False)
        self.check_records(acknowledged)

    def test_02_the_guest_shuts_down_in_mid_copy(self):
        backup = self.held("shut down")
        virsh("shutdown", self.guest.name, "--mode", "agent", check=False)
        wait_until(lambda: self.guest.state() == "shut off", "the guest is down", 30)
        acknowledged = self.guest.acknowledged()
        self.go_on()
        self.published(backup)
        self.check_home(running=False)
        self.check_records(acknowledged)

    def test_03_the_domain_is_undefined_in_mid_copy(self):
        backup = self.held("undefined")
        virsh("undefine", self.guest.name)
        self.go_on()
        self.published(backup)
        self.check_home()
        self.assertRegex(virsh("dominfo", self.guest.name).stdout, "Persistent: *yes")

    def test_04_libvirtd_is_killed_in_the_copy(self):
        backup = self.held("libvirtd in copy")
        self.restart_libvirtd()
        self.guest.writes_on()
        self.go_on()
        self.published(backup)
        self.check_home()

    def test_05_a_merge_that_cannot_begin_is_an_alert_and_waits_for_libvirtd_too(self):
        backup = self.held("locked")
        base = self.lock_base()
        self.go_on()
        alert = self.alert("MERGE_FAILED")
        self.assertTrue(alert["needs_attention"])
        self.assertIn("lock", alert["message"])
        self.assertEqual(self.site.get(backup)["state"], "BUILDING")
        self.assertIn("MERGE_FAILED", self.site.ctl("vm", "list", "--overlay").stdout)
        self.stop_libvirtd()
        base.close()
        self.restart_libvirtd()
        self.published(backup)
        self.check_home()

    def test_06_the_executor_is_stopped_for_a_minute_in_the_copy(self):
        """A real minute."""
        backup = self.held("stopped in copy")
        self.stop_executor_for(60)
        self.go_on()
        self.published(backup)
        self.check_home()

    def test_07_the_executor_is_stopped_for_a_minute_in_the_merge(self):
        """A real minute."""
        backup = self.held("stopped in merge")
        base = self.lock_base()
        self.go_on()
        self.alert("MERGE_FAILED")
        self.stop_executor_for(60, base.close)
        self.published(backup)
        self.check_home()

    def stop_executor_for(self, seconds, meanwhile=lambda: None):
        self.site.executor.process.send_signal(signal.SIGSTOP)
        try:
            meanwhile()
            time.sleep(seconds)  # the fault itself
            self.guest.writes_on()
            self.assertFalse(self.guest.on_own_disks())
        finally:
            self.site.executor.process.send_signal(signal.SIGCONT)

    def test_08_somebodys_snapshot_on_top_of_ours(self):
        backup = self.held("snapshotted")
        overlay = self.guest.top_sources()["vda"]
        theirs = self.guest.folder / "theirs.qcow2"
        virsh("snapshot-create-as", self.guest.name, "--no-metadata", "--disk-only", "--diskspec", f"vda,file={theirs}",
              "--diskspec", "vdb,snapshot=no")
        self.go_on()
        alert = self.alert("VM_ON_OVERLAY")
        self.assertIn(overlay, alert["files"])
        self.assertIn(str(theirs), alert["message"])
        self.site.wait_state(backup, "UNRESOURCED")
        self.assertEqual(self.guest.top_sources()["vda"], str(theirs), "theirs was pivoted away")
        virsh("blockcommit", self.guest.name, "vda", "--base", overlay, "--top", theirs, "--active", "--pivot", "--wait", "--timeout", 60)
        theirs.unlink()
        self.check_home()
        wait_until(lambda: self.site.get(backup).get("conditions", []) == [], "the condition is gone", 30)

    def test_09_a_guest_that_outruns_its_merge(self):
        """Real QEMU and a guest that writes as fast as it can; the merge is made slow through libvirt, as this host's disk is not."""
        virsh("blkdeviotune", self.guest.name, "vda", "--write-bytes-sec", 400_000_000,
              "--read-bytes-sec", 300_000_000, "--live")
        backup = self.held("outrun")
        self.guest.shell("(while :; do dd if=/dev/zero of=/mnt/vda/load bs=1M count=96 oflag=direct conv=notrunc; done) "
                         ">/dev/null 2>&1 & echo $! >/run/load")
        self.addCleanup(lambda: self.guest.shell("kill $(cat /run/load)"))
        self.kill_executor()
        self.repository_away()
        self.slow_merge()
        with self.kept_slow():
            self.site.executor.start()
            wait_until(lambda: self.limit("write") < 400_000_000, "the guest's writes are limited", 60, 0.1)
            self.kill_executor()
        self.assertLess(self.limit("write"), 400_000_000, "the limit was taken back already: nothing would be shown")
        self.assertEqual(self.limit("read"), 300_000_000, "the guest's own limit of its reads is gone")
        self.site.executor.start()
        self.failed_retryable(backup)
        self.check_home()
        self.assertEqual(self.limit("write"), 400_000_000, "the limit of before was not put back")
        self.assertEqual(self.limit("read"), 300_000_000)
        self.assertNotIn("urn:vmkeep:limit", virsh("dumpxml", self.guest.name).stdout)

    def limit(self, of):
        lines = virsh("blkdeviotune", self.guest.name, "vda").stdout.splitlines()
        return next(int(line.split(":")[1]) for line in lines if line.split(":")[0].strip() == f"{of}_bytes_sec")

    @contextlib.contextmanager
    def kept_slow(self):
        """1 MiB/s, whatever the executor asks for: stands for a disk that is slower than the guest."""
        shell = subprocess.Popen(["virsh", "-c", "qemu:///system"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL, text=True)
        done = threading.Event()

        def ask():
            while not done.wait(0.001):
                shell.stdin.write(f"blockjob {self.guest.name} vda --bandwidth 1\n")
                shell.stdin.flush()

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            yield
        finally:
            done.set()
            asking.join()
            shell.stdin.close()
            shell.wait(30)

    def test_10_nothing_the_guest_saw_flushed_is_missing(self):
        self.power_off_and_check()


class FullDiskTest(GuardedTest):
    """The disks, the overlays and the executor's journal are on one small file system, which gets full."""

    guest_name, guest_number = "guarded-2", 2
    disks = [("vda", "raw", "128M", 8), ("vdb", "raw", "64M", 4)]

    @classmethod
    def guest_folder(cls):
        return cls.small / "vm"

    @classmethod
    def set_up_site(cls):
        cls.small = cls.dir / "small"
        cls.small.mkdir(mode=0o711)
        run("truncate", "-s", "448M", cls.dir / "image")
        run("mkfs.ext4", "-q", "-m", "0", cls.dir / "image")
        run("mount", "-o", "loop", cls.dir / "image", cls.small)
        cls.stack.callback(lambda: run("umount", "-l", cls.small, check=False))
        cls.small.chmod(0o711)
        state = cls.small / "state"
        state.mkdir(mode=0o700)
        cls.executor_flags = [f"--state_dir={state}"]
        super().set_up_site()

    def setUp(self):
        super().setUp()
        # All of the base is allocated: a merge needs no room for it.
        for _, path in self.guest.disks.values():
            run("fallocate", "--keep-size", "-l", path.stat().st_size, path)
        self.addCleanup(lambda: [path.unlink() for path in self.small.glob("ballast-*")])

    def fill(self, leave):
        """A file more, so that `leave` bytes of room are left at most."""
        free = os.statvfs(self.small)
        room = free.f_bavail * free.f_frsize - leave
        if room > 0:
            run("fallocate", "-l", room, self.small / f"ballast-{leave}")

    def out_of_space(self, backup):
        record = self.failed_retryable(backup, "OVERLAY_SPACE")
        self.assertEqual(record["failure"]["metadata"]["folder"], str(self.guest.folder))

    def test_1_scarce_room_ends_a_copy_that_hangs(self):
        backup = self.held("scarce")
        workers = run("pgrep", "-P", self.site.executor.process.pid, "gate-worker").stdout.split()
        for pid in workers:
            os.kill(int(pid), signal.SIGSTOP)
        self.fill(8 << 20)
        self.check_home()
        self.out_of_space(backup)
        self.assertEqual(self.site.leftovers(), [])

    def test_2_a_guest_that_is_paused_for_want_of_room_goes_on(self):
        """Nothing is left for the guest, nor for the executor's journal, which has its reserve."""
        backup = self.held("full")
        console = self.guest.folder / f"{self.guest.name}.console"
        self.site.executor.process.send_signal(signal.SIGSTOP)  # or it is faster than the guest
        try:
            self.fill(64 << 10)
            self.guest.start_shell("dd if=/dev/urandom of=/mnt/vda/bulk bs=1M count=24 conv=fsync && echo bulk written >/dev/console")
            wait_until(lambda: "I/O error" in virsh("domstate", self.guest.name, "--reason").stdout, "the guest is paused", 30)
            self.fill(0)  # what was too little for a cluster of the overlay is enough for some writes of the journal
        finally:
            self.site.executor.process.send_signal(signal.SIGCONT)
        self.out_of_space(backup)
        self.check_home()
        wait_until(lambda: "bulk written" in console.read_text(errors="replace"), "the write that was held up succeeds", 60)
        self.assertIn("journal_reserve_given_up", self.site.executor.log.read_text())

    def test_3_nothing_the_guest_saw_flushed_is_missing(self):
        self.power_off_and_check()


if __name__ == "__main__":
    unittest.main()
