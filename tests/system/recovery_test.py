"""The executor comes up again and finds what design calls the recovery table: on real QEMU and libvirt, one guest for all cases.

Where a copy could be taken up again, the repository's marker is away, so that the one way left is to merge. A reboot of the host is
simulated: executor, libvirtd and QEMU are killed, the kernel is not."""

import time
import unittest

from guarded import GuardedTest
from harness import run, virsh, wait_until


class RecoveryTest(GuardedTest):
    def killed_on_overlay(self, name):
        backup = self.held(name)
        self.kill_executor()
        self.assertFalse(self.guest.on_own_disks())
        self.repository_away()
        return backup

    def test_01_killed_on_the_overlay_and_the_vm_is_off_at_the_restart(self):
        backup = self.killed_on_overlay("off")
        self.guest.power_off()
        acknowledged = self.guest.acknowledged()
        self.site.executor.start()
        self.failed_retryable(backup)
        self.check_home(running=False)
        self.check_records(acknowledged)

    def test_02_killed_on_the_overlay_and_the_vm_was_started_again_meanwhile(self):
        backup = self.killed_on_overlay("started again")
        self.guest.power_off()
        virsh("start", self.guest.name)
        self.guest.writes_on()
        self.site.executor.start()
        self.failed_retryable(backup)
        self.check_home()
        self.power_off_and_check()

    def test_03_a_block_job_that_runs_is_adopted_and_outlives_libvirtd(self):
        backup = self.held("adopted")
        self.guest.write_mib(8)
        self.kill_executor()
        self.repository_away()
        self.slow_merge()
        self.site.executor.start()
        self.in_merge(backup)
        self.restart_libvirtd()
        self.assertTrue(self.job(), "the merge ended before libvirtd was killed: nothing would be shown")
        self.failed_retryable(backup)
        self.check_home()
        self.power_off_and_check()

    def in_merge(self, backup):
        wait_until(lambda: self.phase(backup) == "MERGING", "the merge is watched", 30, 0.02)
        self.assertFalse(self.guest.on_own_disks())

    def test_04_qemu_dies_in_the_merge(self):
        backup = self.held("qemu in merge")
        self.guest.write_mib(12)
        self.kill_executor()
        self.repository_away()
        self.slow_merge()
        self.site.executor.start()
        self.in_merge(backup)
        self.guest.crash()
        acknowledged = self.guest.acknowledged()
        self.failed_retryable(backup)
        self.check_home(running=False)
        self.check_records(acknowledged)

    def test_05_the_host_is_rebooted(self):
        """Simulated: everything on it is killed."""
        backup = self.killed_on_overlay("rebooted")
        self.guest.crash()
        self.restart_libvirtd()
        acknowledged = self.guest.acknowledged()
        self.site.executor.start()
        self.failed_retryable(backup)
        self.check_home(running=False)
        self.check_records(acknowledged)

    def test_06_libvirtd_comes_back_after_the_executor(self):
        backup = self.killed_on_overlay("no libvirtd")
        self.stop_libvirtd()
        self.site.executor.start()
        wait_until(lambda: "hypervisor_unreachable" in self.site.executor.log.read_text(), "the executor misses libvirtd", 30)
        since = time.monotonic()
        self.restart_libvirtd()
        wait_until(self.guest.on_own_disks, "a merge that is due starts within 30 s", 30)
        print(f"home {time.monotonic() - since:.1f} s after libvirtd was started again", flush=True)
        self.failed_retryable(backup)
        self.check_home()

    def test_07_the_overlay_is_missing(self):
        backup = self.killed_on_overlay("missing")
        self.guest.power_off()
        acknowledged = self.guest.acknowledged()
        overlay = next(f for f in self.guest.overlays() if "/vda." in f)
        away = self.dir / "overlay"
        run("mv", overlay, away)
        base = run("sha256sum", self.guest.disks["vda"][1]).stdout
        self.site.executor.start()
        alert = self.alert("OVERLAY_MISSING")
        self.assertIn(overlay, alert["files"])
        self.assertIn(overlay, alert["message"])
        self.assertIn(overlay, self.site.ctl("vm", "list", "--overlay").stdout)
        self.assertIn("OVERLAY_MISSING", self.site.ctl("doctor", check=False).stdout)
        record = self.site.wait_state(backup, "UNRESOURCED")
        self.assertEqual(self.condition(record["id"]), ["VM_ON_OVERLAY"])
        self.assertEqual(run("sha256sum", self.guest.disks["vda"][1]).stdout, base, "the base was touched")
        run("mv", away, overlay)
        self.check_home(running=False)
        self.assertEqual(self.site.get(backup).get("conditions", []), [])
        self.check_records(acknowledged)

    def condition(self, backup):
        return wait_until(lambda: [c["type"] for c in self.site.get(backup).get("conditions", [])], "a condition", 30)

    def test_08_undefined_and_off_and_then_defined_anew(self):
        """Defined as it was before, the VM is on its base, and only the overlays hold what the guest wrote: they must stay."""
        backup = self.killed_on_overlay("undefined")
        on_overlays = self.guest.inactive_xml()
        virsh("undefine", self.guest.name)
        acknowledged = self.guest.acknowledged()
        virsh("destroy", self.guest.name)
        overlays = self.guest.overlays()
        self.site.executor.start()
        alert = self.alert("VM_NOT_FOUND")
        self.assertEqual(sorted(alert["files"]), overlays)
        self.site.wait_state(backup, "UNRESOURCED")
        self.assertEqual(self.guest.overlays(), overlays, "something was removed")
        self.guest.define_again(self.definition)
        self.alert("OVERLAY_NOT_MERGED")
        wait_until(lambda: self.condition(backup) == ["OVERLAY_NOT_MERGED"], "the backup's condition says so", 30)
        self.assertEqual(self.guest.overlays(), overlays, "what the guest wrote was removed")
        self.guest.define_again(on_overlays)
        self.check_home(running=False)
        self.check_records(acknowledged)


if __name__ == "__main__":
    unittest.main()
