"""export-vm.ps1 and end-export.ps1.

VMKEEP_RECORD=FOLDER keeps the lines of three of them there: tests/fixtures/hyperv/recorded is such a folder."""

import os
import pathlib
import signal

import host
from host import disk, vm, windows_path

ODD = "it's; $(calc) \u00e9"
LONG = ("[db-#] " * 15)[:100]
NEVER = {"fail_at": 12, "never_ends": True}


def record(name, run):
    if os.environ.get("VMKEEP_RECORD"):
        (pathlib.Path(os.environ["VMKEEP_RECORD"]) / f"{name}.jsonl").write_text("".join(run.raw))


def below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


class Exports(host.HostTest):
    def test_of_a_vm_that_runs(self):
        one = vm(1, "web", disks=[disk("C:\\VMs\\web.avhdx"), disk("D:\\data.vhdx", location=1)])
        site = self.host(one)
        run = site.run("export-vm", site.export(one))
        record("running", run)
        self.assertEqual(run.kinds()[:3], ["hello", "vm", "started"])
        self.assertEqual(run.lines[2].started.capture, 1)
        self.assertFalse(run.lines[2].started.off)
        (asked,) = site.requests()
        self.assertEqual((asked["path"], asked["capture"]), (windows_path(site.target), "CaptureDataConsistentState"))
        last = run.get("progress")[-1]
        self.assertEqual(last.percent, 100)
        self.assertEqual(last.bytes_done, sum(p.stat().st_size for p in site.target.rglob("*") if p.is_file()))
        self.assertGreater(len(run.get("progress")), 1)
        self.assertIn("web/Virtual Hard Disks/data.vhdx", below(site.target))

    def test_of_a_vm_that_is_off_captures_nothing(self):
        one = vm(1, "web", state="Off")
        site = self.host(one)
        run = site.run("export-vm", site.export(one))
        self.assertEqual([(s.off, s.capture) for s in run.get("started")], [(True, 0)])
        self.assertEqual(site.requests()[0]["capture"], "")
        self.assertEqual(run.kinds()[-1], "done")

    def test_odd_names_of_vms_and_folders(self):
        for number, name in enumerate((ODD, LONG)):
            one = vm(number, name)
            site = self.host(one)
            folder = site.target / f"[x] {name}"
            folder.mkdir()
            run = site.run("export-vm", site.export(one, folder))
            self.assertEqual(run.kinds()[-1], "done", run.raw)
            self.assertTrue((folder / name / "Virtual Hard Disks").is_dir())
            self.assertGreater(run.get("progress")[-1].bytes_done, 3 << 20)

    def test_goes_on_when_the_executor_is_gone(self):
        one = vm(1, "web")
        site = self.host(one)
        run = site.start("export-vm", site.export(one))
        run.hang_up()
        self.assertTrue(run.finish().HasField("done"))


class Captures(host.HostTest):
    def refused(self, message):
        one = vm(1, "web")
        site = self.host(one, export={"refuse": {"CaptureDataConsistentState": message}})
        return site, site.run("export-vm", site.export(one))

    def test_the_next_one_when_the_guest_cannot(self):
        # Without a code, with one of VSS, with "not supported".
        for message in ("Can not create an application consistent checkpoint.", "It failed (0x800423F4).", "It failed (0x80070032)."):
            site, run = self.refused(message)
            self.assertEqual([s.capture for s in run.get("started")], [2], run.raw)
            self.assertEqual(run.kinds()[-1], "done")
            self.assertEqual([r["capture"] for r in site.requests()], ["CaptureDataConsistentState", "CaptureCrashConsistentState"])

    def test_one_that_takes_its_time(self):
        # VSS in the guest: nothing is written yet, and another capture may follow. The script still says that it lives.
        one = vm(1, "web")
        site = self.host(one, export={"capture_seconds": 6})
        run = site.run("export-vm", site.export(one))
        self.assertEqual(run.kinds()[:4], ["hello", "vm", "vm", "started"])
        self.assertIn("ExportingVirtualMachine", run.get("vm")[1].status)

    def test_not_for_another_reason(self):
        for code in (0x80070070, 0x80070005):
            site, run = self.refused(f"It failed (0x{code:08X}).")
            self.assert_error(run, "JOB_FAILED", code)
            self.assertEqual(len(site.requests()), 1)

    def test_not_where_it_is_not_allowed(self):
        one = vm(1, "web")
        site = self.host(one, export={"refuse": {"CaptureDataConsistentState": "It failed (0x800423F4)."}})
        run = site.run("export-vm", site.export(one, captures=["DATA_CONSISTENT"]))
        self.assert_error(run, "JOB_FAILED", 0x800423F4)
        self.assertEqual(len(site.requests()), 1)


class Failures(host.HostTest):
    def test_target_with_something_in_it(self):
        one = vm(1, "web")
        site = self.host(one)
        (site.target / ".hidden").touch()
        self.assert_error(site.run("export-vm", site.export(one)), "FAILED")
        self.assertEqual((site.requests(), below(site.target)), ([], [".hidden"]))

    def test_target_that_is_not_there_is_not_made(self):
        one = vm(1, "web")
        site = self.host(one)
        for folder in (site.target / "none", site.dir / "scenario.json"):
            self.assert_error(site.run("export-vm", site.export(one, folder)), "NOT_A_FOLDER")
        self.assertEqual((site.requests(), below(site.target)), ([], []))

    def test_vm_that_is_busy(self):
        for more in ({"status": ["Ok", "MergingDisks"]}, {"status": ["InService", "CreatingSnapshot"]}, {"state": "Saving"}):
            one = vm(1, "web", **more)
            site = self.host(one)
            self.assert_error(site.run("export-vm", site.export(one)), "BUSY")
            self.assertEqual(site.requests(), [])

    def test_vm_that_is_not_there(self):
        site = self.host(vm(1, "web"))
        self.assert_error(site.run("export-vm", site.export(vm(2, "web"))), "NOT_FOUND")

    def test_job_that_fails_half_way(self):
        # As a reason of the job's, and as an error of a job that says "Completed".
        for says, message, code in (("reason", "There is not enough space on the disk. (0x80070070).", 0x80070070),
                                    ("error", "General access denied error (0x80070005).", 0x80070005)):
            one = vm(1, "web")
            site = self.host(one, export={"fail_at": 40, "message": message, "the_job_says": says})
            run = site.run("export-vm", site.export(one))
            error = self.assert_error(run, "JOB_FAILED", code)
            self.assertIn(message, error.message)
            self.assertEqual((len(site.requests()), len(run.get("started"))), (1, 1))
            if says == "reason":
                record("fails-at-40", run)
                self.assertEqual(run.get("progress")[-1].percent, 40)


class Cancels(host.HostTest):
    def test_before_it_begins(self):
        one = vm(1, "web")
        site = self.host(one)
        run = site.run("export-vm", site.export(one), {"cancel": {}})
        self.assertEqual((run.kinds()[-1], site.requests()), ("cancelled", []))

    def test_an_export_that_never_ends(self):
        one = vm(1, "web")
        site = self.host(one, export=NEVER)
        run = site.start("export-vm", site.export(one))
        run.wait_line("started")
        # It says something every 5 s although nothing moves: three lines after the last that did.
        host.wait_until(lambda: [p.percent for p in run.get("progress")].count(12) >= 3)
        gaps = [b - a for a, b in zip(run.times[2:], run.times[3:])]
        self.assertLess(max(gaps), 5.5)
        run.say("noise", {"unknown": {}}, {"cancel": {}})
        self.assertTrue(run.finish().HasField("cancelled"), run.raw)
        record("cancelled", run)
        self.assertEqual(site.job(one)["state"], "Terminated")
        # By stopping the job alone; the other way asks with the GUID as CIM has it.
        self.assertEqual(site.requests()[1:], [{"verb": "terminate", "vm_id": one["id"]}])

    def test_where_stopping_the_job_changes_nothing(self):
        one = vm(1, "web")
        site = self.host(one, export={**NEVER, "stop_ignored": True})
        run = site.start("export-vm", site.export(one))
        run.wait_line("started")
        run.say({"cancel": {}})
        self.assertTrue(run.finish().HasField("cancelled"), run.raw)
        self.assertEqual(site.job(one)["state"], "Terminated")


class Ends(host.HostTest):
    def killed(self, **goes):
        """An export whose script is killed as the executor's end kills it; it goes on."""
        one = vm(1, "web")
        site = self.host(one, export={**NEVER, **goes})
        run = site.start("export-vm", site.export(one))
        run.wait_line("started")
        run.process.send_signal(signal.SIGKILL)
        run.process.wait()
        run.reader.join(host.SECONDS)  # the end of its stdout: PowerShell itself is gone
        self.assertFalse(run.reader.is_alive())
        return site, one

    def end(self, site, one, seconds):
        return site.run("end-export", {"end_export": {"vm_id": one["id"], "wait_seconds": seconds}})

    def test_an_export_whose_script_was_killed(self):
        site, one = self.killed()
        (found,) = site.run("list-vms", {"list_vms": {}}).get("vm")
        self.assertIn("ExportingVirtualMachine", found.status)
        self.assert_error(site.run("export-vm", site.export(one, site.dir)), "BUSY")
        self.assertTrue(self.end(site, one, 20).lines[-1].done.was_exporting)
        self.assertEqual(site.job(one)["state"], "Terminated")
        self.assertEqual(site.requests()[-1], {"verb": "terminate", "vm_id": one["id"].upper()})
        self.assertFalse(self.end(site, one, 20).lines[-1].done.was_exporting)

    def test_an_export_that_does_not_end(self):
        site, one = self.killed(terminate_ignored=True)
        self.assert_error(self.end(site, one, 2), "STILL_EXPORTING")
        self.assertEqual(site.job(one)["state"], "Running")

    def test_a_vm_that_is_gone(self):
        self.assertTrue(self.end(self.host(vm(1, "web")), vm(2, "db"), 1).lines[-1].HasField("done"))


if __name__ == "__main__":
    host.main()
