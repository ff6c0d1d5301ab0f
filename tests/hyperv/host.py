"""A host of Hyper-V's as the scripts see one: real PowerShell under wine, the stand-in module, and its service (vmms.py)."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SCRIPTS = ROOT / "executor/hypervisor/hyperv/scripts"
SECONDS = 60  # for one script
ENDINGS = ("done", "error", "cancelled")


def need_windows():
    """Skips the whole file, loudly, where it is not asked for or no PowerShell is to be had."""
    if os.environ.get("VMKEEP_WINDOWS") != "1":
        print(f"!!! SKIPPED: {sys.argv[0]}: tools/test --windows runs it")
        sys.exit(77)
    made = subprocess.run([HERE / "setup"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if made.returncode == 77 and os.environ.get("CI") != "true":  # there, a skip would pass for a success
        print(f"!!! SKIPPED: {sys.argv[0]}: the Hyper-V scripts are not run by a PowerShell here")
        sys.exit(77)
    if made.returncode != 0:
        sys.exit(1)


def set_up():
    """What `setup` has made: PowerShell's folder, the launcher, the wine prefix."""
    return subprocess.run([HERE / "setup"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()


def load_wire(folder):
    """Line of script.proto, and the parser of proto3 JSON."""
    subprocess.run(["protoc", "-I", ROOT / "protos", f"--python_out={folder}", "vmkeep/hyperv/v1/script.proto"], check=True)
    sys.path.insert(0, str(folder))
    from google.protobuf import json_format
    from vmkeep.hyperv.v1 import script_pb2
    return script_pb2.Line, json_format.Parse


def wait_until(condition):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


def windows_path(path):
    return "Z:" + str(path).replace("/", "\\")


def vm(number, name, **more):
    return {"id": f"{number:08d}-0000-4000-8000-00000000abcd", "name": name, "state": "Running",
            "disks": [disk(f"C:\\VMs\\{number}.vhdx")], **more}


def disk(path, **more):
    return {"type": "SCSI", "number": 0, "location": 0, "path": path, "disk_number": None, "persistent_reservations": False, **more}


class Run:
    """One script under way. Every line that it prints must be one of the protocol's, in its place."""

    def __init__(self, host, script):
        self.script, self.lines, self.raw, self.times, self.bad = script, [], [], [], None
        self.err = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [HERE / "powershell", "-NoLogo", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-File",
             SCRIPTS / f"{script}.ps1"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.err, text=True, encoding="utf-8", env=host.environment())
        self.reader = threading.Thread(target=self.read, args=(host,), daemon=True)
        self.reader.start()

    def read(self, host):
        for text in self.process.stdout:
            self.raw.append(text)
            try:
                self.lines.append(host.parse(text, host.line()))
            except Exception as error:  # reported by finish(): this is the reader's thread
                self.bad = f"{text!r}: {error}"
            self.times.append(time.monotonic())

    def say(self, *lines):
        for line in lines:
            self.process.stdin.write((line if isinstance(line, str) else json.dumps(line, ensure_ascii=False)) + "\n")
        self.process.stdin.flush()

    def wait_line(self, kind):
        wait_until(lambda: kind in self.kinds() or self.process.poll() is not None)
        assert kind in self.kinds(), f"no {kind} line: {self.told()}"

    def told(self):
        """All that it wrote."""
        self.err.seek(0)
        return "".join(self.raw) + self.err.read()

    def kinds(self):
        return [line.WhichOneof("body") for line in self.lines]

    def get(self, kind):
        return [getattr(line, kind) for line in self.lines if line.WhichOneof("body") == kind]

    def finish(self):
        """Waits for the end, holds the lines against the rules of the protocol, and returns the last one."""
        try:
            code = self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"{self.script} did not end: {self.told()}")
        self.reader.join()
        kinds = self.kinds()
        assert self.bad is None, self.bad
        assert kinds and kinds[0] == "hello" and kinds.count("hello") == 1, self.told()
        hello = self.lines[0].hello
        assert (hello.protocol, hello.script) == (1, self.script) and hello.powershell, self.told()
        assert kinds[-1] in ENDINGS and sum(kinds.count(kind) for kind in ENDINGS) == 1, self.told()
        assert (code == 0) == (kinds[-1] == "done"), f"exit code {code}: {self.told()}"
        if "progress" in kinds or (self.script, kinds[-1]) == ("export-vm", "done"):
            assert kinds.count("started") == 1 and "progress" not in kinds[:kinds.index("started")], self.told()
        return self.lines[-1]

    def hang_up(self):
        """The end of its standard input."""
        if not self.process.stdin.closed:
            self.process.stdin.close()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for file in (self.process.stdin, self.process.stdout, self.err):
            if not file.closed:
                file.close()


class Host:
    """One scenario. `vms`: of vm(); `images`: by path; `export`: see vmms.py."""

    def __init__(self, wire, vms, modules=None, **scenario):
        self.line, self.parse = wire
        self.kept = tempfile.TemporaryDirectory(prefix="vmkeep-hyperv-")
        self.dir = pathlib.Path(self.kept.name)
        self.modules, self.runs = modules, []
        self.scenario = {"vms": vms, "images": {}, **scenario}
        (self.dir / "scenario.json").write_text(json.dumps(self.scenario))
        self.target = self.dir / "target"
        self.target.mkdir()
        self.service = subprocess.Popen([sys.executable, "-B", HERE / "vmms.py", self.dir / "scenario.json"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.service.stdout.readline()  # it serves

    def environment(self):
        more = {"VMKEEP_HYPERV_SCENARIO": str(self.dir / "scenario.json")}
        if self.modules:
            more["VMKEEP_HYPERV_MODULES"] = str(self.modules)
        return {**os.environ, **more}

    def start(self, script, *lines):
        run = Run(self, script)
        self.runs.append(run)
        run.say(*lines)
        return run

    def run(self, script, *lines):
        """To its end. Standard input stays open, as the executor's does."""
        run = self.start(script, *lines)
        run.finish()
        return run

    def export(self, one, folder=None, captures=("DATA_CONSISTENT", "CRASH_CONSISTENT")):
        return {"export_vm": {"vm_id": one["id"], "folder": windows_path(folder or self.target), "captures": list(captures)}}

    def requests(self):
        """What the service was asked for, in order."""
        file = self.dir / "requests.log"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def job(self, one):
        return json.loads((self.dir / "jobs" / f"{one['id']}.json").read_text())

    def close(self):
        for run in self.runs:
            run.close()
        self.service.stdin.close()
        self.service.wait()
        self.service.stdout.close()
        self.kept.cleanup()


class HostTest(unittest.TestCase):
    """Makes hosts that end with their test."""

    @classmethod
    def setUpClass(cls):
        cls.protos = tempfile.TemporaryDirectory()
        cls.wire = load_wire(cls.protos.name)

    @classmethod
    def tearDownClass(cls):
        cls.protos.cleanup()

    def host(self, *vms, **scenario):
        host = Host(self.wire, list(vms), **scenario)
        self.addCleanup(host.close)
        return host

    def assert_error(self, run, reason, code=0):
        error = run.lines[-1].error
        self.assertEqual((error.reason, hex(error.code)), (reason, hex(code)), run.raw)
        return error


def main():
    need_windows()
    unittest.main()
