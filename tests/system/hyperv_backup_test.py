"""Hyper-V's road from the API to the files, on the real daemons and workers. PowerShell, the scripts and Hyper-V are played by
tests/fakes/hyperv/fake_host.py, which says so in every answer: what they really do is not shown here."""

import json
import os
import pathlib
import shutil
import unittest

from harness import ROOT, Site, SystemTest, check_published, wait_until

FAKE = ROOT / "tests/fakes/hyperv/fake_host.py"
SCRIPTS = ROOT / "executor/hypervisor/hyperv/scripts"
ODD = "it's; $(calc) é"
TWIN = "twin [1]*"
MIB = 1 << 20


class HyperVTest(SystemTest):
    @classmethod
    def set_up_site(cls):
        cls.host = cls.dir / "hyperv"
        (cls.host / "disks").mkdir(parents=True)
        os.environ["VMKEEP_FAKE_HYPERV_DIR"] = str(cls.host)  # the executor inherits it, and its scripts
        cls.stack.callback(lambda: os.environ.pop("VMKEEP_FAKE_HYPERV_DIR"))
        cls.vms = [cls.vm(1, "web-1", "Running", [("system.vhdx", 9, []), ("data.avhdx", 2, ["data.vhdx"])]),
                   cls.vm(2, ODD, "Running", [("odd é.vhdx", 1, [])], no_vss=True),
                   cls.vm(3, "off-1", "Off", [("off.vhd", 1, [])]),
                   cls.vm(4, TWIN, "Off", [("twin-a.vhdx", 1, [])]),
                   cls.vm(5, TWIN, "Off", [("twin-b.vhdx", 1, [])]),
                   cls.vm(6, "merging", "Running", [("merging.vhdx", 1, [])], status=["Ok", "MergingDisks"]),
                   cls.vm(7, "n" * 90 + "[0123456]é", "Off", [("long.vhdx", 1, [])])]
        (cls.host / "vms.json").write_text(json.dumps(cls.vms))
        site = Site(cls.dir, "hyperv", [f"--hyperv_interpreter={FAKE}", f"--hyperv_scripts={SCRIPTS}", "--probe_interval=2s"])
        cls.use(site)
        site.start()
        site.init_repositories()
        wait_until(lambda: len(site.json("vm", "list").get("vms", [])) == len(cls.vms), "the VMs are listed")

    @classmethod
    def vm(cls, number, name, state, disks, **more):
        def image(file, mib):
            path = cls.host / "disks" / file
            mark = (b"vhdxfile", b"") if file.endswith("x") else (b"", b"conectix".ljust(512, b"\0"))
            path.write_bytes(mark[0] + os.urandom(mib * MIB) + mark[1])
            return str(path)

        return {"id": f"ABCDEF00-0000-4000-8000-00000000000{number}", "name": name, "state": state,
                "disks": [{"controller": "scsi", "controller_number": 0, "controller_location": i, "path": image(file, mib),
                           "virtual_bytes": 64 * MIB, "parents": [image(parent, 3) for parent in parents]}
                          for i, (file, mib, parents) in enumerate(disks)], **more}

    def setUp(self):
        self.addCleanup(self.no_fault)

    def no_fault(self):
        for fault in ("hold", "refuse", "fail_at_40"):
            (self.host / fault).unlink(missing_ok=True)

    def id(self, number):
        return self.vms[number - 1]["id"].lower()

    def create(self, number, name, *flags, repository=1):
        slot = ["--repository", repository] if repository else []
        return self.site.json("backup", "create", self.id(number), name, *slot, *flags)["id"]

    def fault(self, file, **error):
        (self.host / file).write_text(json.dumps(error))

    def exporting(self, number):
        try:
            job = json.loads((self.host / "jobs" / f"{self.id(number)}.json").read_text())
        except FileNotFoundError:
            return False
        return job["state"] == "Running" and pathlib.Path(f"/proc/{job['pid']}").exists()

    def held(self, number, name):
        """A backup whose export stands still before its last image."""
        (self.host / "hold").touch()
        backup = self.create(number, name)
        wait_until(lambda: self.exporting(number) and self.site.get(backup).get("progress", {}).get("phase") == "EXPORTING",
                   "the export is under way")
        return backup

    def published(self, backup):
        record = self.site.wait_state(backup, "RUNNING")
        return record, check_published(self.site.folder(record))

    def assert_nothing_left(self):
        running = {b["id"] for b in self.site.json("backup", "list")["backups"] if b["state"] == "RUNNING"}

        def left():
            return [path for path in self.site.leftovers() if ".incoming/" in path or ".scrub/" in path or
                    len(path.split("/")) == 3 and path.split("/")[2] not in running]

        wait_until(lambda: not left(), f"nothing is left behind: {left()}", 30)

    def test_a_running_vm_with_a_chain(self):
        record, manifest = self.published(self.create(1, "nightly"))
        self.assertEqual((manifest["hypervisor"], manifest["simulated"], manifest["consistency"]), ("hyperv", True, "APPLICATION"))
        self.assertTrue(record["simulated"])
        self.assertEqual(record["hypervisor"], "hyperv")
        self.assertEqual(record["consistency"], "APPLICATION")
        self.assertEqual([(d["target"], d["file"], d["format"]) for d in manifest["disks"]], [
            ("scsi0x0", "export/Virtual Hard Disks/system.vhdx", "vhdx"),
            ("scsi0x1", "export/Virtual Hard Disks/data.avhdx", "vhdx")])
        self.assertEqual(sorted(f["role"] for f in manifest["files"]), ["digest-list", "digest-list", "export", "export", "parent"])
        for disk in self.vms[0]["disks"]:
            for image in [disk["path"], *disk["parents"]]:
                copy = self.site.folder(record) / "export/Virtual Hard Disks" / os.path.basename(image)
                self.assertEqual(copy.read_bytes(), pathlib.Path(image).read_bytes())
        self.assertIn("time_valid", record)

    def test_odd_names_are_only_data(self):
        for number in (2, 7):
            with self.subTest(name=self.vms[number - 1]["name"]):
                record, manifest = self.published(self.create(number, "odd"))
                self.assertEqual(manifest["vm"]["name"], self.vms[number - 1]["name"])
                self.assertEqual(record["consistency"], "CRASH")

    def test_a_guest_without_vss_where_it_is_required(self):
        backup = self.create(2, "required", "--quiesce", "required")
        record = self.site.wait_state(backup, "UNRESOURCED")
        self.assertEqual(record["failure"]["phase"], "EXPORTING")
        self.assert_nothing_left()

    def test_a_vm_that_is_off_and_the_other_repository(self):
        record, _ = self.published(self.create(3, "off", repository=2))
        self.assertEqual(record["repository"], 2)

    def test_a_scrub_removes_it_all(self):
        record, _ = self.published(self.create(3, "to be scrubbed"))
        folder = self.site.folder(record)
        self.site.ctl("backup", "scrub", record["id"])
        self.site.wait_state(record["id"], "CLOSED")
        self.assertFalse(folder.exists())
        self.assert_nothing_left()

    def test_two_vms_of_one_name(self):
        refused = self.site.ctl("backup", "create", TWIN, "nightly", check=False)
        self.assertNotEqual(refused.returncode, 0)
        for number in (4, 5):
            self.assertIn(self.id(number), refused.stderr)
        record, _ = self.published(self.create(5, "by its id"))
        self.assertEqual(record["vm_uuid"], self.id(5))

    def test_a_vm_whose_disks_are_merged_is_busy(self):
        record = self.site.wait_state(self.create(6, "merging"), "UNRESOURCED", seconds=180)
        self.assertEqual((record["failure"]["reason"], record["failure"]["retryable"]), ("VM_BUSY", True))

    def test_cancelled_in_mid_export(self):
        backup = self.held(1, "cancelled")
        self.site.ctl("backup", "scrub", backup)
        self.site.wait_state(backup, "CLOSED")
        self.assertFalse(self.exporting(1))
        self.assert_nothing_left()

    def test_killed_in_mid_export(self):
        """The export goes on without the executor; the next one ends it, cleans up, and says so."""
        backup = self.held(1, "killed")
        self.site.executor.kill()
        self.assertTrue(self.exporting(1))
        self.site.executor.start()
        record = self.site.wait_state(backup, "UNRESOURCED")
        self.assertEqual((record["failure"]["reason"], record["failure"]["retryable"]), ("EXECUTOR_RESTARTED", True))
        self.assertFalse(self.exporting(1))
        self.assert_nothing_left()
        (self.host / "hold").unlink()
        self.site.ctl("backup", "retry", backup)
        self.published(backup)

    def test_a_share_that_goes_in_mid_export(self):
        """A backup that named no repository goes to the other one."""
        self.fault("fail_at_40", code=0x80070040, reason="JOB_FAILED", message="the network name is gone", once=True)
        record, _ = self.published(self.create(1, "moves", repository=0))
        self.assertEqual(record["epoch"], "2")
        self.assertIn("moved", record["placement_reason"])
        self.assert_nothing_left()
        self.fault("fail_at_40", code=0x80070035, reason="JOB_FAILED", message="no such network path")
        record = self.site.wait_state(self.create(1, "stays"), "UNRESOURCED", seconds=180)
        self.assertTrue(record["failure"]["retryable"])
        self.assert_nothing_left()

    def test_a_full_share(self):
        self.fault("fail_at_40", code=0x80070070, reason="JOB_FAILED", message="full")
        record = self.site.wait_state(self.create(1, "full"), "UNRESOURCED")
        self.assertEqual((record["failure"]["reason"], record["failure"]["retryable"]), ("REPOSITORY_FULL", True))
        self.assert_nothing_left()

    def test_access_denied_names_the_computer_account(self):
        self.fault("refuse", code=0x80070005, reason="FAILED", message="Zugriff verweigert")
        record = self.site.wait_state(self.create(1, "denied"), "UNRESOURCED", seconds=180)
        self.assertEqual(record["failure"]["reason"], "EXPORT_ACCESS_DENIED")
        self.assertIn("computer account", record["failure"]["message"])
        self.assert_nothing_left()

    def test_an_image_that_is_missing_in_the_export(self):
        """Hyper-V says that all went well, and it did not."""
        bad = self.vms[2]["disks"][0]["path"]
        kept = pathlib.Path(bad).read_bytes()
        self.addCleanup(lambda: pathlib.Path(bad).write_bytes(kept))
        pathlib.Path(bad).write_bytes(bytes(len(kept)))
        record = self.site.wait_state(self.create(3, "bad"), "UNRESOURCED")
        self.assertEqual((record["failure"]["reason"], record["failure"]["phase"]), ("EXPORT_INCOMPLETE", "SEALING"))
        self.assert_nothing_left()

    def test_a_tampered_script_is_refused_at_start(self):
        self.site.executor.stop()
        tampered = self.dir / "scripts"
        shutil.copytree(SCRIPTS, tampered)
        with open(tampered / "export-vm.ps1", "a") as script:
            script.write("# one line more\n")
        argv = list(self.site.executor.argv)
        self.site.executor.argv = [f"--hyperv_scripts={tampered}" if a.startswith("--hyperv_scripts") else a for a in argv]
        self.site.executor.start()
        self.assertEqual(self.site.executor.process.wait(20), 1)
        self.assertIn("export-vm.ps1", self.site.executor.log.read_text().splitlines()[-1])
        self.site.executor.argv = argv
        self.site.executor.start()
        self.site.wait_online()


if __name__ == "__main__":
    unittest.main()
