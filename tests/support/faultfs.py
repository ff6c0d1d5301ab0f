"""vmkeep-faultfs for Python tests: a folder behind a mount that fails or hangs on command. tests/faultfs/main.cc says how.

It needs root and /dev/fuse: ask missing() first, and exit with 77 (a counted skip) where it answers."""

import os
import pathlib
import subprocess
import time

BIN = pathlib.Path(os.environ.get("VMKEEP_BIN", pathlib.Path(__file__).resolve().parents[2] / "build/dev/bin"))


def missing():
    """Why no mount can be made here, or ''."""
    if os.geteuid() != 0:
        return "needs root"
    return "" if os.path.exists("/dev/fuse") else "needs /dev/fuse"


class FaultFs:
    """`mount` (made when absent) shows what lies in `<folder>/behind`. Ends with close(), and with this process.

    Use as a context manager, or give close() to addCleanup: it takes the mount away and frees whoever hangs in it."""

    def __init__(self, mount, folder):
        self.mount, self.folder = pathlib.Path(mount), pathlib.Path(folder)
        self.behind, self.control, self.log = (self.folder / name for name in ("behind", "control", "calls.log"))
        self.process = None
        for each in (self.mount, self.behind):
            each.mkdir(parents=True, exist_ok=True)
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [BIN.parent / "tests/vmkeep-faultfs", "--root", self.behind, "--mount", self.mount, "--control", self.control,
             "--log", self.log], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "mounted\n":
            self.close()
            raise AssertionError("vmkeep-faultfs did not mount")

    def fault(self, *rules):
        """These rules from now on, such as "write disk-vda stuck from=1048576"; none: no fault. Those who hang go on."""
        beside = self.control.with_suffix(".new")
        beside.write_text("".join(rule + "\n" for rule in rules))
        beside.rename(self.control)

    def calls(self, operation="", part="", result=""):
        """The logged calls [(operation, path, result)] of this operation, part of the path, and result."""
        lines = [line.split(" ") for line in self.log.read_text().splitlines()] if self.log.exists() else []
        return [tuple(line) for line in lines
                if operation in ("", line[0]) and part in line[1] and result in ("", line[2])]

    def unmount(self):
        """Takes the mount away (lazily, as `umount -l`): the folder below is seen; who is in it stays in it."""
        subprocess.run(["umount", "-l", self.mount], check=True)

    def close(self):
        # SIGKILL: the kernel frees all callers, and nothing in the process can hold that up.
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        subprocess.run(["umount", "-l", self.mount], stderr=subprocess.DEVNULL, check=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def state(pid):
    """The state letter of a process in /proc, '' when it is gone or a zombie."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    letter = text.rsplit(")", 1)[1].split()[0]
    return "" if letter in "ZX" else letter


def states(pid):
    """The state letters of all its threads: the first may be a zombie while another hangs."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return set()
    return {state(f"{pid}/task/{thread}") for thread in threads}


def gone_within(pid, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not state(pid):
            return True
        time.sleep(0.01)
    return False
