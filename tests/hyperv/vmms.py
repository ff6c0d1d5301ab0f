"""Plays Hyper-V's service for the stand-in module beside it: it makes an export's files, whoever asked and whether or not he lives.

    vmms.py SCENARIO      until its standard input ends

The scenario's `export`, or a VM's own, all optional:
    seconds           how long it takes (2)
    fail_at, message  it fails at that percentage; message as the job says it, with its code
    hold_at           it stands still at that percentage while there is a file `hold` beside the scenario
    capture_seconds   how long before anything is written (0)
    refuse            a message by capture: it fails before anything is written
    never_ends        it stays at `fail_at`
    terminate_ignored a request to end it changes nothing

The scenario's `images`: those with `content`, a file here, are copied; the others are made up. What the target itself says on the
way, that it is full or gone, fails the export with the code of Windows that means this.
"""

import errno
import json
import os
import pathlib
import re
import sys
import threading
import uuid

POLL = 0.05
DISK_BYTES = 3 << 20
# A share that went away. Which of its codes Windows gives then, only a real host can show.
GONE = "The specified network name is no longer available. (0x80070040)."
SAYS = {errno.ENOSPC: "There is not enough space on the disk. (0x80070070).", errno.ENOENT: GONE, errno.ENOTDIR: GONE}


class Service:
    def __init__(self, scenario):
        self.folder = pathlib.Path(scenario).parent
        self.scenario = json.loads(pathlib.Path(scenario).read_text())
        self.goes = self.scenario.get("export", {})
        self.running = {}  # by VM: an event that ends it
        for name in ("requests", "jobs"):
            (self.folder / name).mkdir(exist_ok=True)

    def serve(self, stop):
        while not stop.wait(POLL):
            for file in sorted((self.folder / "requests").glob("*.json")):
                request = json.loads(file.read_text())
                file.unlink()
                with (self.folder / "requests.log").open("a") as log:
                    log.write(json.dumps(request) + "\n")
                self.take(file.stem, request)
        for event in self.running.values():
            event.set()

    def take(self, name, request):
        vm = request["vm_id"].lower()
        if request["verb"] == "terminate":
            if vm in self.running and not self.goes.get("terminate_ignored"):
                self.running[vm].set()
            return
        self.running[vm] = threading.Event()
        self.say(vm, name, "Running", 0)
        threading.Thread(target=self.export, args=(name, vm, request, self.running[vm]), daemon=True).start()

    def say(self, vm, request, state, percent, message=""):
        file = self.folder / "jobs" / f"{vm}.json"
        part = file.with_suffix(f".{uuid.uuid4()}")
        part.write_text(json.dumps({"request": request, "state": state, "percent": percent, "message": message}))
        os.replace(part, file)

    def export(self, request, vm, asked, ended):
        goes = {**self.goes, **next((one.get("export", {}) for one in self.scenario["vms"] if one["id"].lower() == vm), {})}
        percent = [0]

        def fail(message):
            self.say(vm, request, "Failed", percent[0], f"Failed to export virtual machine. {message}")

        try:
            self.begin(request, vm, asked, goes, ended, percent, fail)
        except OSError as error:
            if error.errno not in SAYS:
                raise
            fail(SAYS[error.errno])

    def begin(self, request, vm, asked, goes, ended, percent, fail):
        if ended.wait(goes.get("capture_seconds", 0)):
            return self.say(vm, request, "Terminated", 0, "The operation was cancelled (0x800704C7).")
        target = unix_path(asked["path"]) / asked["name"]
        if asked["capture"] in goes.get("refuse", {}):
            # It makes its folders before it asks the guest.
            make_folders(target, "Virtual Machines")
            return fail(goes["refuse"][asked["capture"]])
        if (asked["state"] in ("Running", "Paused")) != bool(asked["capture"]):
            return fail(f"-CaptureLiveState '{asked['capture']}' of a VM that is {asked['state']} (0x80070057).")
        if target.exists():
            return fail("The export folder exists already (0x800700B7).")
        make_folders(target, "Virtual Machines", "Virtual Hard Disks", "Snapshots")
        (target / "Virtual Machines" / f"{vm.upper()}.vmcx").write_bytes(b"vmcx" + bytes(4092))
        (target / "Virtual Machines" / f"{vm.upper()}.vmgs").write_bytes(bytes(4096))
        return self.copy(request, vm, goes, self.images(vm, target / "Virtual Hard Disks"), ended, percent, fail)

    def images(self, vm, folder):
        """Those of the VM's disks and their parents."""
        found = []
        for disk in [disk for one in self.scenario["vms"] if one["id"].lower() == vm for disk in one.get("disks", [])]:
            path = disk["path"]
            while path:
                image = self.scenario["images"].get(path, {})
                found.append(Image(folder / re.split(r"[\\/]", path)[-1], image.get("content")))
                path = image.get("parent")
        return found

    def copy(self, request, vm, goes, images, ended, percent, fail):
        def cancelled():
            return self.say(vm, request, "Terminated", percent[0], "The operation was cancelled (0x800704C7).")

        stays_at, held_at = goes.get("fail_at", 100), goes.get("hold_at", 101)
        for percent[0] in range(0, stays_at + 1, 4):
            for image in images:
                image.grow(percent[0])
            self.say(vm, request, "Running", percent[0])
            if ended.wait(goes.get("seconds", 2) / 25):
                return cancelled()
            while percent[0] >= held_at and (self.folder / "hold").exists():
                if ended.wait(POLL):
                    return cancelled()
        if goes.get("never_ends"):
            ended.wait()
            return cancelled()
        if "fail_at" in goes:
            return fail(goes["message"])
        return self.say(vm, request, "Completed", 100)


class Image:
    """One being written: a copy of `content`, or made up. Opened anew each time, so that it notices when its folder goes."""

    def __init__(self, path, content):
        self.path, self.content, self.begun = path, content, False
        self.bytes = os.path.getsize(content) if content else DISK_BYTES

    def grow(self, percent):
        to = max(8, self.bytes * percent // 100)
        with self.path.open("r+b" if self.begun else "xb") as out:
            self.begun = True
            if not self.content:
                out.write(b"vhdxfile")
                out.truncate(to)
                return
            at = out.seek(0, os.SEEK_END)
            with open(self.content, "rb") as source:
                source.seek(at)
                out.write(source.read(to - at))


def make_folders(target, *names):
    """The target and what is in it, but never what it is to be in."""
    target.mkdir()
    for name in names:
        (target / name).mkdir()


def unix_path(windows):
    """Of a drive, through wine's links where they are known; Z: is the root."""
    if windows[0] == "/": return pathlib.Path(windows)
    drive, rest = windows[:2].lower(), windows[2:].replace("\\", "/").lstrip("/")
    if drive == "z:":
        return pathlib.Path("/") / rest
    return pathlib.Path(os.environ["WINEPREFIX"]) / "dosdevices" / drive / rest


def main():
    stop = threading.Event()
    thread = threading.Thread(target=Service(sys.argv[1]).serve, args=(stop,))
    thread.start()
    print("serving", flush=True)
    sys.stdin.read()
    stop.set()
    thread.join()


if __name__ == "__main__":
    main()
