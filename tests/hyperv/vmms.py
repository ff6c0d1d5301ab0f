"""Plays Hyper-V's service for the stand-in module beside it: it makes an export's files, whoever asked and whether or not he lives.

    vmms.py SCENARIO      until its standard input ends

The scenario's `export`, all optional:
    seconds           how long it takes (2)
    fail_at, message  it fails at that percentage; message as the job says it, with its code
    capture_seconds   how long before anything is written (0)
    refuse            a message by capture: it fails before anything is written
    never_ends        it stays at `fail_at`
    terminate_ignored a request to end it changes nothing
"""

import json
import os
import pathlib
import re
import sys
import threading
import uuid

POLL = 0.05
DISK_BYTES = 3 << 20


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
        def fail(percent, message):
            self.say(vm, request, "Failed", percent, f"Failed to export virtual machine. {message}")

        if ended.wait(self.goes.get("capture_seconds", 0)):
            return self.say(vm, request, "Terminated", 0, "The operation was cancelled (0x800704C7).")
        if asked["capture"] in self.goes.get("refuse", {}):
            # It makes its folders before it asks the guest.
            (unix_path(asked["path"]) / asked["name"] / "Virtual Machines").mkdir(parents=True)
            return fail(0, self.goes["refuse"][asked["capture"]])
        if (asked["state"] in ("Running", "Paused")) != bool(asked["capture"]):
            return fail(0, f"-CaptureLiveState '{asked['capture']}' of a VM that is {asked['state']} (0x80070057).")
        target = unix_path(asked["path"]) / asked["name"]
        if target.exists():
            return fail(0, "The export folder exists already (0x800700B7).")
        config, disks, _ = [target / name for name in ("Virtual Machines", "Virtual Hard Disks", "Snapshots")]
        for folder in (config, disks, target / "Snapshots"):
            folder.mkdir(parents=True)
        (config / f"{vm.upper()}.vmcx").write_bytes(b"vmcx" + bytes(4092))
        (config / f"{vm.upper()}.vmgs").write_bytes(bytes(4096))
        images = [disk["path"] for one in self.scenario["vms"] if one["id"].lower() == vm for disk in one.get("disks", [])]
        return self.copy(request, vm, [disks / re.split(r"[\\/]", image)[-1] for image in images], ended, fail)

    def copy(self, request, vm, images, ended, fail):
        for image in images:
            image.write_bytes(b"vhdxfile")
        stays_at = self.goes.get("fail_at", 100)
        for percent in range(0, stays_at + 1, 4):
            for image in images:
                os.truncate(image, max(8, DISK_BYTES * percent // 100))
            self.say(vm, request, "Running", percent)
            if ended.wait(self.goes.get("seconds", 2) / 25):
                return self.say(vm, request, "Terminated", percent, "The operation was cancelled (0x800704C7).")
        if self.goes.get("never_ends"):
            ended.wait()
            return self.say(vm, request, "Terminated", stays_at, "The operation was cancelled (0x800704C7).")
        if "fail_at" in self.goes:
            return fail(stays_at, self.goes["message"])
        return self.say(vm, request, "Completed", 100)


def unix_path(windows):
    """Of a drive, through wine's links where they are known; Z: is the root."""
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
