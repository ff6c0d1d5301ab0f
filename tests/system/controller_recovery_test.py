"""The controller is killed, cancels come at any moment, publishes come late: what the record says is true all the same, one
backup is at most one folder, and nothing else stays visible.

Seen red by breaking the code:
- KillTest: Scheduler::Start that takes up no open record (10 of its tests); HostOnline that cancels tasks which a record owns;
- CancelTest: EndBackup that makes RUNNING of a finished backup although SCRUB was asked for (5); EndCancelled that closes a
  record with files (4)."""

import os
import random
import sys
import unittest

from harness import wait_until
from recovery_site import RecoverySite

SEED = int(os.environ.get("VMKEEP_TEST_SEED", "20261126"))


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


if __name__ == "__main__":
    unittest.main()
