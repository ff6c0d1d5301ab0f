#!/usr/bin/python3
"""Stands for PowerShell, our Hyper-V scripts and a Hyper-V host at once: speaks the lines of script.proto, exports files.

It is called as the executor calls its interpreter: any options, then `-File SCRIPT`; SCRIPT's name alone says what to do.
VMKEEP_FAKE_HYPERV_DIR is the host:

  vms.json           [{"id", "name", "state", "generation", "disks": [{"controller", "controller_number",
                     "controller_location", "path", "virtual_bytes", "parents": [path]}], "status": [...],
                     "no_vss": true}]; images are files with those paths
  hold               while it is there an export stands still before its last image
  refuse             {"code", "reason", "message"}: what the next exports fail with, at once
  fail_at_40         the same, after part of the files; either is taken away when it strikes, if it has "once"
  jobs/<id>.json     the export that runs: {"pid", "folder", "percent", "state", "error"}

As on a real host the export is done by another process than the script: it goes on when the script is killed. What this
cannot show is what PowerShell, the cmdlets and VMMS really do."""

import json
import os
import pathlib
import select
import shutil
import signal
import sys
import time

HOST = pathlib.Path(os.environ["VMKEEP_FAKE_HYPERV_DIR"])
JOBS = HOST / "jobs"
CAPTURES = {"DATA_CONSISTENT", "CRASH_CONSISTENT"}


class Lines:
    """The objects on stdin, a line each."""

    def __init__(self):
        self.bytes, self.ended = b"", False

    def next(self, seconds):
        """None when there is none within so long, or no more will come."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self.bytes:
            left = deadline - time.monotonic()
            if self.ended or left <= 0:
                time.sleep(max(left, 0))
                return None
            if select.select([0], [], [], left)[0]:
                got = os.read(0, 65536)
                self.bytes, self.ended = self.bytes + got, not got
        line, self.bytes = self.bytes.split(b"\n", 1)
        return json.loads(line)


STDIN = Lines()


class Failed(Exception):
    def __init__(self, reason, message, code=0, **more):
        super().__init__(message)
        self.line = {"reason": reason, "message": message, "code": code, **more}


def say(**line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def read_json(path):
    """None when it is not there, or is being replaced."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def write_json(path, value):
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(value))
    beside.rename(path)


def fault(name):
    """Raises what the file says, if it is there."""
    path = HOST / name
    if error := read_json(path):
        if error.pop("once", False):
            path.unlink()
        raise Failed(**error)


def vms():
    return read_json(HOST / "vms.json") or []


def find(vm):
    """By GUID, else by its name letter by letter."""
    named = [each for each in vms() if each["id"].lower() == vm.lower()] or [each for each in vms() if each["name"] == vm]
    if not named:
        raise Failed("NOT_FOUND", f"no VM {vm}")
    if len(named) > 1:
        raise Failed("AMBIGUOUS", f"several VMs have the name {vm}", ids=[each["id"] for each in named])
    return named[0]


def job_of(vm_id):
    return read_json(JOBS / f"{vm_id.lower()}.json")


def lives(job):
    if not job or job["state"] != "Running":
        return False
    try:
        os.kill(job["pid"], 0)
        return True
    except ProcessLookupError:
        return False


def line_of(vm, disks=False):
    status = list(vm.get("status", ["Ok"]))
    if lives(job_of(vm["id"])):
        status.append("ExportingVirtualMachine")
    line = {"id": vm["id"], "name": vm["name"], "state": vm["state"], "status": status, "generation": vm.get("generation", 2)}
    if disks:
        line["disks"] = [{**disk, "file_bytes": sum(os.stat(p).st_size for p in [disk["path"], *disk.get("parents", [])])}
                         if not disk.get("pass_through") else disk for disk in vm["disks"]]
    return line


# What VMMS does ------------------------------------------------------------------------------------------------------------


def export(vm, folder):
    """In a process of its own, to its end."""
    path = JOBS / f"{vm['id'].lower()}.json"
    job = {"pid": os.getpid(), "folder": folder, "percent": 0, "state": "Running", "error": None}
    try:
        root = pathlib.Path(folder) / vm["name"]
        root.mkdir()
        machines, disks = root / "Virtual Machines", root / "Virtual Hard Disks"
        for each in (machines, disks, root / "Snapshots"):
            each.mkdir()
        (machines / f"{vm['id'].upper()}.vmcx").write_bytes(b"configuration of " + vm["name"].encode())
        (machines / f"{vm['id'].upper()}.vmgs").write_bytes(b"guest state")
        images = [image for disk in vm["disks"] for image in [disk["path"], *disk.get("parents", [])]]
        for done, image in enumerate(images):
            if done == len(images) - 1:
                fault("fail_at_40")
                while (HOST / "hold").exists():
                    time.sleep(0.02)
            shutil.copyfile(image, disks / os.path.basename(image))
            job["percent"] = 100 * (done + 1) // len(images)
            write_json(path, job)
        job["state"] = "Completed"
    except Failed as failed:
        job |= {"state": "Failed", "error": failed.line}
    except OSError as error:
        job |= {"state": "Failed", "error": {"code": 0x80070070 if error.errno == 28 else 0x80004005, "reason": "JOB_FAILED",
                                             "message": str(error)}}
    write_json(path, job)


def start_job(vm, folder):
    JOBS.mkdir(exist_ok=True)
    if os.fork() == 0:  # a child's child: nobody's but init's
        os.setsid()
        if os.fork() == 0:
            null = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
            write_json(JOBS / f"{vm['id'].lower()}.json",
                       {"pid": os.getpid(), "folder": folder, "percent": 0, "state": "Running", "error": None})
            (JOBS / f"{vm['id'].lower()}.ready").touch()
            export(vm, folder)
        os._exit(0)
    os.wait()
    ready = JOBS / f"{vm['id'].lower()}.ready"
    while not ready.exists():
        time.sleep(0.005)
    ready.unlink()


def end_job(vm_id):
    """Whether one ran."""
    job = job_of(vm_id)
    if not lives(job):
        return False
    os.kill(job["pid"], signal.SIGKILL)
    while lives(job):
        time.sleep(0.005)
    write_json(JOBS / f"{vm_id.lower()}.json", job | {"state": "Stopped"})
    return True


# What the scripts do -------------------------------------------------------------------------------------------------------


def list_vms(_):
    for vm in vms():
        say(vm=line_of(vm))
    return {}


def inspect_vm(request):
    say(vm=line_of(find(request["vm"]), disks=True))
    return {}


def export_vm(request):
    vm, folder = find(request["vm_id"]), pathlib.Path(request["folder"])
    say(vm=line_of(vm))
    if not folder.is_dir():
        raise Failed("NOT_A_FOLDER", f"{folder} is no folder")
    if lives(job_of(vm["id"])):
        raise Failed("BUSY", f"{vm['name']} is being exported")
    captures = request["captures"]
    if vm["state"] == "Running" and vm.get("no_vss"):
        captures = [each for each in captures if each != "DATA_CONSISTENT"]
        if not captures:
            raise Failed("JOB_FAILED", "the guest cannot do it", 0x80041F00)
    fault("refuse")
    start_job(vm, str(folder))
    say(started={"capture": captures[0], "off": vm["state"] != "Running"})
    return follow(vm, folder)


def follow(vm, folder):
    last = None
    while True:
        job = job_of(vm["id"])
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if last != (last := (job["percent"], size)):
            say(progress={"percent": job["percent"], "bytes_done": size})
        if job["state"] == "Completed":
            return {}
        if job["state"] == "Failed":
            raise Failed(**job["error"])
        if not lives(job):
            raise Failed("JOB_FAILED", "the job was stopped by somebody")
        if "cancel" in (STDIN.next(0.05) or {}):
            end_job(vm["id"])
            say(cancelled={})
            sys.exit(0)


def end_export(request):
    return {"was_exporting": end_job(request["vm_id"])}


VERBS = {"list-vms": list_vms, "inspect-vm": inspect_vm, "export-vm": export_vm, "end-export": end_export}


def main(argv):
    script = pathlib.Path(argv[argv.index("-File") + 1]).stem
    say(hello={"protocol": 1, "script": script, "powershell": "none", "module": "fake", "simulated": True})
    try:
        request = STDIN.next(60)[script.replace("-", "_")]
        done = VERBS[script](request)
    except Failed as failed:
        say(error=failed.line)
        return 1
    say(done=done)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
