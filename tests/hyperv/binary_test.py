"""Rung 5: vmkeep-executor.exe and vmkeep-worker.exe, from the API to the files. What is played: Hyper-V (windows_site.py)."""

import json
import os
import pathlib
import re
import shutil
import signal
import unittest

import windows_site
from windows_site import BIN, HOST, MIB, SCRIPTS, WindowsTest, run, wait_until, windows_path
from wine import Program

ODD = "it's; $(calc) é"
TWIN = "twin [1]"


class BinaryTest(WindowsTest):
    VMS = (
        {"name": "web-1", "disks": [[("system.vhdx", 9)], [("data.avhdx", 2), ("data.vhdx", 3)]], "export": {"seconds": 6}},
        {"name": ODD, "disks": [[("odd é.vhdx", 1)]],
         "export": {"refuse": {"CaptureDataConsistentState": "It failed (0x800423F4)."}}},
        {"name": "off-1", "disks": [[("off.vhd", 1)]], "state": "Off"},
        {"name": TWIN, "disks": [[("twin-a.vhdx", 1)]], "state": "Off"},
        {"name": TWIN, "disks": [[("twin-b.vhdx", 1)]], "state": "Off"},
        {"name": "held", "disks": [[("held.vhdx", 2)]], "export": {"hold_at": 48}},
        {"name": "big", "disks": [[("big.vhdx", 192)]], "export": {"hold_at": 100}},
        {"name": ("[x] " * 20).strip(), "disks": [[("long.vhdx", 1)]], "state": "Off"},
    )

    @classmethod
    def after_start(cls):
        """Before anything is a repository, each says that it is none, and what to do."""
        cls.uninitialized = [cls.site.wait_health(slot, "UNINITIALIZED") for slot in (1, 2)]
        cls.site.init_repositories()

    # the host -----------------------------------------------------------------------------------------------------------

    def test_the_host_is_one_of_hyperv(self):
        self.assertTrue(self.site.executor.is_the_program(), "the process that was started is vmkeep-executor.exe itself")
        host = self.site.json("host", "get", HOST)
        self.assertEqual((host["availability"], host["hypervisor"]), ("ONLINE", "hyperv"))
        self.assertTrue(host["simulated"], "the stand-in for Hyper-V says that it is one, up to here")

    def test_the_repositories(self):
        for slot, drive in ((1, "P:\\"), (2, "S:\\")):
            before, now = self.uninitialized[slot - 1], self.site.repository(slot)
            self.assertIn(".vmkeep-repository", before["message"])
            self.assertEqual((now["path"], now["health"]), (drive, "HEALTHY"))
            self.assertTrue(now["id"])
            space = os.statvfs(self.site.repositories[slot])
            self.assertEqual(int(now["total_bytes"]), space.f_blocks * space.f_frsize)
            self.assertTrue((self.site.repositories[slot] / "vmkeep").is_dir())

    def test_what_is_behind_the_drives_is_told(self):
        for slot, drive in ((1, "P:"), (2, "S:")):
            self.assertIn(drive, self.site.repository(slot).get("target", ""))

    def test_the_vms(self):
        listed = {vm["uuid"]: vm["name"] for vm in self.site.json("vm", "list")["vms"]}
        self.assertEqual(listed, {vm["id"].lower(): vm["name"] for vm in self.vms})

    def test_nobody_gets_in_without_a_certificate_of_the_authority(self):
        import grpc

        def ask(credentials):
            dial = grpc.secure_channel if credentials else lambda to, _: grpc.insecure_channel(to)
            with dial(self.site.executor_address, credentials) as channel:
                call = channel.unary_unary("/grpc.health.v1.Health/Check", lambda x: x, lambda x: x)
                try:
                    call(b"", timeout=15)
                    return "OK"
                except grpc.RpcError as error:
                    return error.code().name

        def credentials(key=None, certificate=None):
            read = [path.read_bytes() if path else None for path in (self.site.authority.dir / "ca.pem", key, certificate)]
            return grpc.ssl_channel_credentials(*read)

        certificate, key = self.site.authority.issue("somebody")
        strange_certificate, strange_key = windows_site.Authority(self.dir / "strange").issue("somebody")
        self.assertNotEqual(ask(credentials(key, certificate)), "UNAVAILABLE")
        for refused in (None, credentials(), credentials(strange_key, strange_certificate)):
            self.assertEqual(ask(refused), "UNAVAILABLE")

    # backups ------------------------------------------------------------------------------------------------------------

    def test_a_running_vm_with_a_chain_and_its_progress(self):
        backup = self.create(1, "nightly")
        seen = []

        def looks():
            record = self.site.get(backup)
            progress = record.get("progress", {})
            if progress.get("phase") == "EXPORTING" and int(progress.get("bytes_done", 0)) > 0:
                sight = int(progress["bytes_done"]), int(progress["bytes_total"])
                if not seen or seen[-1] != sight:
                    seen.append(sight)
            return record["state"] not in ("REQUESTED", "BUILDING")

        wait_until(looks, "the backup is settled", 60)
        record, manifest = self.published(backup)
        self.assertGreaterEqual(len(seen), 3, seen)
        self.assertEqual(seen, sorted(set(seen)), "bytes only grow")
        percents = [done * 100 // total for done, total in seen]
        self.assertEqual(percents, sorted(percents))
        self.assertLessEqual(percents[-1], 100)
        self.assertGreater(percents[-1], percents[0])

        self.assertEqual((record["repository"], record["hypervisor"], record["simulated"], record["consistency"]),
                         (1, "hyperv", True, "APPLICATION"))
        self.assertEqual((manifest["hypervisor"], manifest["simulated"], manifest["consistency"]), ("hyperv", True, "APPLICATION"))
        self.assertEqual([(d["target"], d["file"], d["format"]) for d in manifest["disks"]], [
            ("scsi0x0", "export/Virtual Hard Disks/system.vhdx", "vhdx"),
            ("scsi0x1", "export/Virtual Hard Disks/data.avhdx", "vhdx")])
        for file, content in self.contents(1).items():
            self.assertTrue((self.site.folder(record) / file).read_bytes() == content.read_bytes(), file)
        self.assertTrue((self.site.folder(record) / f"export/Virtual Machines/{self.vm_id(1).upper()}.vmcx").is_file())

        listed = {b["id"]: b["state"] for b in self.site.json("backup", "list")["backups"]}
        self.assertEqual(listed[backup], "RUNNING")

    def test_odd_names_are_only_data(self):
        for number in (2, 8):
            with self.subTest(name=self.vms[number - 1]["name"]):
                record, manifest = self.published(self.create(number, "odd"))
                self.assertEqual(manifest["vm"]["name"], self.vms[number - 1]["name"])
                if number == 2:  # its guest refuses the other capture
                    self.assertEqual(record["consistency"], "CRASH")

    def test_the_other_repository_and_a_scrub(self):
        record, _ = self.published(self.create(3, "off", 2))
        self.assertEqual(record["repository"], 2)
        folder = self.site.folder(record)
        self.assertTrue(folder.is_dir())
        self.site.ctl("backup", "scrub", record["id"])
        self.site.wait_state(record["id"], "CLOSED")
        self.assertFalse(folder.exists())
        self.assert_nothing_left()

    def test_two_vms_of_one_name(self):
        refused = self.site.ctl("backup", "create", TWIN, "nightly", check=False)
        self.assertNotEqual(refused.returncode, 0)
        for number in (4, 5):
            self.assertIn(self.vm_id(number), refused.stderr)
        record, _ = self.published(self.create(5, "by its id"))
        self.assertEqual(record["vm_uuid"], self.vm_id(5))

    # ends ---------------------------------------------------------------------------------------------------------------

    def test_cancelled_in_mid_export(self):
        backup = self.held(6, "cancelled")
        self.site.ctl("backup", "scrub", backup)
        self.site.wait_state(backup, "CLOSED")
        self.assertEqual(self.job(6)["state"], "Terminated")
        self.assert_nothing_left()

    def test_killed_in_mid_export(self):
        """Hyper-V goes on without the executor; the next one ends that, cleans up, and says so (ADR 0072)."""
        backup = self.held(6, "killed")
        self.site.executor.kill()
        wait_until(lambda: not self.site.prefix.processes("pwsh.exe") and not self.site.prefix.processes("vmkeep-worker.exe"),
                   "what the executor had started has ended with it")
        self.assertEqual(self.job(6)["state"], "Running")
        self.site.executor.start()
        failure = self.failed(backup)
        self.assertEqual((failure["reason"], failure["retryable"]), ("EXECUTOR_RESTARTED", True))
        self.assertEqual(self.job(6)["state"], "Terminated")
        self.assert_nothing_left()
        self.no_hold()
        self.site.ctl("backup", "retry", backup)
        self.published(backup)

    def test_a_worker_that_is_killed_in_the_seal(self):
        (self.hyperv / "hold").touch()
        backup = self.create(7, "sealed twice")
        wait_until(lambda: self.job(7)["state"] == "Running" and self.job(7)["percent"] == 100, "the export is whole but for its end")
        before = set(self.site.prefix.processes("vmkeep-worker.exe"))
        self.no_hold()
        worker = wait_until(lambda: set(self.site.prefix.processes("vmkeep-worker.exe")) - before, "a worker", 30, 0.002).pop()
        wait_until(lambda: self.bytes_read(worker) > 16 * MIB, "it reads the image", 30, 0.002)
        os.kill(worker, signal.SIGSTOP)
        wait_until(lambda: self.site.get(backup).get("progress", {}).get("phase") == "SEALING", "the backup is being sealed")
        os.kill(worker, signal.SIGKILL)
        failure = self.failed(backup)
        self.assertEqual((failure["reason"], failure["phase"], failure["retryable"]), ("WORKER_DIED", "SEALING", True))
        self.assert_nothing_left()
        self.site.ctl("backup", "retry", backup)
        self.published(backup)

    @staticmethod
    def bytes_read(pid):
        return int(re.search(r"rchar: (\d+)", pathlib.Path(f"/proc/{pid}/io").read_text())[1])

    # what is refused at start ------------------------------------------------------------------------------------------

    def test_a_tampered_script_is_refused_at_start(self):
        tampered = self.dir / "scripts"
        shutil.copytree(SCRIPTS, tampered)
        with open(tampered / "export-vm.ps1", "a") as script:
            script.write("# one line more\n")
        argv = [re.sub("^--hyperv_scripts=.*", lambda _: f"--hyperv_scripts={windows_path(tampered)}", arg)
                for arg in self.site.executor.argv[1:]]
        argv = [re.sub("^--state_dir=.*", lambda _: "--state_dir=C:\\vmkeep\\other", arg) for arg in argv]
        other = Program("tampered", self.site.prefix, argv, self.site.logs / "tampered.log")
        other.start()
        self.addCleanup(lambda: other.alive() and other.kill())
        self.assertEqual(other.process.wait(30), 1)
        self.assertIn("export-vm.ps1", other.log.read_text(errors="replace"))


if __name__ == "__main__":
    windows_site.need_the_programs()
    unittest.main()
