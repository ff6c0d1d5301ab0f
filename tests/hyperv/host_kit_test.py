"""Test-HyperVHost.ps1, the kit for a real host, against the stand-in one: that it runs, what it says, that it leaves nothing."""

import json
import os
import pathlib
import subprocess
import sys
import unittest

import host
from host import disk, vm, windows_path

KIT = host.ROOT / "executor/hypervisor/hyperv/host-kit/Test-HyperVHost.ps1"
FAKE = host.ROOT / "tests/fakes/hyperv/transcript_host.py"
NAME = "vmkeep-test it's; [x] \u00e9"
LOOKS = ["host", "list", "inspect", "target"]
SECONDS = 240  # for the whole kit: a dozen scripts


class Kit(host.HostTest):
    def run_kit(self, site, one, *more):
        self.out = site.dir / "out"
        pwsh = host.set_up()[0]
        done = subprocess.run(
            [host.HERE / "powershell", "-NoLogo", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-File", KIT,
             "-VmId", one["id"], "-Target", windows_path(site.target), "-Out", windows_path(self.out),
             "-Interpreter", windows_path(f"{pwsh}/pwsh.exe"), "-ScriptSeconds", "100", *more],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace",
            env=site.environment(), timeout=SECONDS)
        self.said = done.stdout
        report = self.out / "report.json"
        self.report = json.loads(report.read_text(encoding="utf-8")) if report.exists() else None
        return done.returncode

    def site(self, name=NAME, **export):
        one = vm(1, name)
        images = {"C:\\VMs\\1.vhdx": {"size": 9 << 20, "file_size": 3 << 20, "parent": None}}
        return one, self.host(one, images=images, export=export)

    def results(self):
        return {step["name"]: step["result"] for step in self.report["steps"]}

    def facts(self, name):
        return next(step["facts"] for step in self.report["steps"] if step["name"] == name)

    def test_without_run_it_only_looks(self):
        one, site = self.site()
        self.run_kit(site, one)
        self.assertEqual(list(self.results()), LOOKS, self.said)
        self.assertEqual([self.results()[name] for name in ("list", "inspect", "target")], ["PASS"] * 3, self.said)
        self.assertTrue(self.report["simulated"])
        self.assertIn("SIMULATED", (self.out / "summary.txt").read_text())
        self.assertEqual((site.requests(), list(site.target.iterdir())), ([], []))

    def test_another_vm_is_not_touched(self):
        one, site = self.site(name="web")
        self.assertEqual(self.run_kit(site, one, "-Run"), 1)
        self.assertEqual(list(self.results()), [*LOOKS, "refused"], self.said)
        self.assertEqual((site.requests(), list(site.target.iterdir())), ([], []))

    def test_a_folder_with_something_in_it_is_not_written_to(self):
        one, site = self.site()
        (site.dir / "out").mkdir()
        (site.dir / "out" / "mine").write_text("x")
        self.assertEqual(self.run_kit(site, one), 2)
        self.assertEqual([path.name for path in self.out.iterdir()], ["mine"])

    def test_a_whole_run(self):
        # The stand-in knows no shares.
        one, site = self.site(seconds=6)
        keep = site.target / "not the kit's"
        keep.write_text("x")
        code = self.run_kit(site, one, "-Run", "-Skip", "no-share")
        results = self.results()
        self.assertEqual([name for name in results if name not in LOOKS],
                         ["probe", "export", "capture-data", "capture-crash", "cancel", "killed", "existing-target", "no-share", "remove"], self.said)
        for name in ("probe", "export", "capture-data", "capture-crash", "cancel", "killed", "existing-target", "remove"):
            self.assertEqual(results[name], "PASS", self.said)
        self.assertEqual((results["no-share"], code), ("OPEN", 0), self.said)
        self.assertEqual([path.name for path in site.target.iterdir()], [keep.name])
        self.assertEqual(self.facts("export")["started"], {"capture": "DATA_CONSISTENT"})
        self.assertEqual(self.facts("capture-crash")["started"], {"capture": "CRASH_CONSISTENT"})
        self.assertGreater(len(self.facts("export")["percents"]), 2)
        self.assertTrue(self.facts("killed")["was_exporting"])
        self.assert_fixtures()

    def assert_fixtures(self):
        """Each transcript is one that the fake interpreter of rung 2 plays, line for line."""
        files = sorted((self.out / "transcripts").glob("*.jsonl"))
        self.assertGreaterEqual(len(files), 10)
        for file in files:
            lines = file.read_text(encoding="utf-8").splitlines()
            self.assertEqual(json.loads(lines[1]), {"fake": "await_request"}, file)
            script = json.loads(lines[0])["hello"]["script"]
            wanted = [line for line in lines if "fake" not in json.loads(line)]
            for line in wanted:
                self.parse_line(line)
            played = subprocess.run(
                [sys.executable, FAKE, "-File", f"{script}.ps1"], input='{}\n{"cancel":{}}\n', stdout=subprocess.PIPE, text=True,
                encoding="utf-8", timeout=60, env={**os.environ, f"VMKEEP_TRANSCRIPT_{script.upper().replace('-', '_')}": str(file)})
            self.assertEqual(played.stdout.splitlines(), wanted, file)

    def parse_line(self, text):
        line, parse = self.wire
        parse(text, line())

    def test_a_full_target_has_its_code(self):
        one, site = self.site(fail_at=40, message="There is not enough space on the disk. (0x80070070).")
        full = site.dir / "full"
        full.mkdir()
        rest = "export,capture-data,capture-crash,cancel,killed,existing-target,no-share"
        self.run_kit(site, one, "-Run", "-FullTarget", windows_path(full), "-Skip", rest)
        self.assertEqual(self.facts("full")["code"], "0x80070070", self.said)
        self.assertEqual(self.results()["full"], "PASS")
        self.assertEqual(list(full.iterdir()), [])


if __name__ == "__main__":
    host.main()
