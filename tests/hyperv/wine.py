"""A Windows of one's own: a wine prefix with its drives, its wineserver and its processes, gone at the end, whatever happened."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "system"))
from harness import Daemon, wait_until

SECONDS = 30


class Prefix:
    """Made in `folder`, which may not exist, from a prefix that stays as it is."""

    def __init__(self, folder, template):
        self.dir = pathlib.Path(folder)
        self.dir.mkdir(mode=0o700)
        for part in pathlib.Path(template).iterdir():
            subprocess.run(["cp", "-a", "--reflink=auto", part, self.dir], check=True)
        self.c = self.dir / "drive_c"

    def drive(self, letter, folder):
        self.no_drive(letter)
        (self.dir / "dosdevices" / f"{letter.lower()}:").symlink_to(folder)

    def no_drive(self, letter):
        (self.dir / "dosdevices" / f"{letter.lower()}:").unlink(missing_ok=True)

    def environment(self, **more):
        """What PowerShell needs, too: see tests/hyperv/powershell, which says why."""
        kept = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
        return {**kept, "WINEPREFIX": str(self.dir), "WINEDEBUG": "-all", "LC_ALL": "C.UTF-8",
                "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1", "POWERSHELL_TELEMETRY_OPTOUT": "1",
                "POWERSHELL_UPDATECHECK": "Off", "DOTNET_EnableWriteXorExecute": "0", **more}

    def run(self, *argv, timeout=60):
        """A Windows program to its end, with its output. Into a file: what wine starts beside it, and leaves, would hold a pipe open."""
        with tempfile.TemporaryFile("w+", errors="replace") as out:
            done = subprocess.run(["wine", *map(str, argv)], env=self.environment(), stdin=subprocess.DEVNULL, stdout=out,
                                  stderr=subprocess.STDOUT, timeout=timeout)
            out.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, out.read())

    def processes(self, program=""):
        """Pids of what runs in here, or of one program: by the environment that each inherits, and its command line."""
        mark, found = f"WINEPREFIX={self.dir}".encode(), []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                environment = (entry / "environ").read_bytes().split(b"\0")
                line = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue  # it has ended meanwhile
            if mark in environment and (not program or any(part.lower().endswith(program.lower().encode()) for part in line[:2])):
                found.append(int(entry.name))
        return found

    def close(self):
        """Ends all that runs in here, by pid, and removes it."""
        subprocess.run(["wineserver", "-k"], env=self.environment(), timeout=SECONDS, check=False, capture_output=True)
        deadline = time.monotonic() + SECONDS
        while (left := self.processes()) and time.monotonic() < deadline:
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.05)
        shutil.rmtree(self.dir, ignore_errors=True)
        assert not left, f"still there in {self.dir}: {left}"


class Program(Daemon):
    """A Windows program. The process that starts it becomes it: kill() is the end of the program itself, as TerminateProcess is."""

    def __init__(self, name, prefix, argv, log, **environment):
        super().__init__(name, ["wine", *argv], log)
        self.prefix, self.environment = prefix, environment

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.prefix.environment(**self.environment))

    def is_the_program(self):
        return self.process.pid in self.prefix.processes(pathlib.PurePath(self.argv[1]).name)

    def stop(self, sig=signal.SIGKILL, seconds=30):
        """There is no gentle signal for a program without a console; a service is asked by its manager."""
        return super().stop(signal.SIGKILL, seconds)
