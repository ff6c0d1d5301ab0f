"""One controller, one executor and one VM under fault points: what scenarios do to them, and what is seen of them."""

import os
import pathlib
import threading
import time
import uuid

import harness
import invariants
from faults import Faults, wait

HOST = "kvm-1"
WITHIN = 30.0  # I1: what is due happens within 30 s after the needed parts are back
PASSING = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "UNKNOWN", "ABORTED")


class Broken(AssertionError):
    """The world cannot be brought into the state that a case starts from."""


class Call(threading.Thread):
    """A client that asks until it is answered; what passes is asked again, as any client of ours should."""

    def __init__(self, world, method, seconds=60, **fields):
        super().__init__(daemon=True)
        self.world, self.method, self.fields = world, method, fields
        self.deadline = time.monotonic() + seconds
        self.answer = self.error = None
        self.start()

    def run(self):
        while time.monotonic() < self.deadline:
            try:
                self.answer = self.world.api.call(self.method, timeout=5, **self.fields)
                self.error = None
                return
            except self.world.api.grpc.RpcError as error:
                self.error = f"{error.code().name}: {error.details()}"
                if error.code().name == "FAILED_PRECONDITION" and self.fields.get("state") == "SCRUB":
                    # An earlier try was carried out, and its answer was lost.
                    record = self.world.try_call("BackupService/GetBackup", id=self.fields["id"])
                    if record and record["state"] in ("SCRUB", "SCRUBBING", "CLOSED"):
                        self.answer = record
                        return
                elif error.code().name not in PASSING:
                    return
                self.world.connect()
            time.sleep(0.05)


class World:
    """Subclasses know the hypervisor: make_vm(), look(), writes(), instant(), decoy_places(), own_files()."""

    vm = "web-1"

    def __init__(self, folder):
        self.dir = pathlib.Path(folder)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.faults = Faults(self.dir / "faults")
        os.environ["VMKEEP_FAULT_DIR"] = str(self.faults.dir)  # the daemons inherit it, and their workers
        self.site = self.make_site()
        self.decoys, self.restarted, self.serial, self.ended = {}, time.monotonic(), 0, []

    # coming up -----------------------------------------------------------------------------------------------------------

    def start(self):
        self.make_vm()
        self.faults.clear()
        self.site.controller.start()
        self.site.executor.start()
        self.api = harness.Api(self.site, self.dir)
        self.connect()
        self.must(lambda: self.try_call("InventoryService/ListHosts") is not None, "the controller answers")
        self.site.ctl("host", "add", HOST, f"unix:{self.site.executor_socket}")
        self.wait_online()
        self.site.init_repositories()
        self.put_decoys()
        self.must(lambda: self.try_call("InventoryService/GetVm", id=self.vm), "the VM is listed")
        self.baseline = self.must(lambda: self.finish(self.create("baseline")), "the first backup")
        if self.baseline["state"] != "RUNNING":
            raise Broken(f"without any fault: {self.baseline}")
        wrong = invariants.only_whole_backups(self.site.repositories.values())
        if wrong:
            raise Broken(f"without any fault: {wrong}")
        self.baseline_digest = invariants.tree_digest(self.folder(self.baseline))

    def connect(self):
        """New channels: a daemon that came up again is to be found at once, and gRPC's own backoff is seconds."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        self.api.channel = self.api.grpc.insecure_channel(self.site.server, options=options)
        self.executor_channel = self.api.grpc.insecure_channel(f"unix:{self.site.executor_socket}", options=options)

    def stop(self):
        self.faults.clear()
        for daemon in (self.site.executor, self.site.controller):
            if daemon.alive():
                daemon.kill()

    def put_decoys(self):
        """What is not ours, under names that look like ours."""
        places = self.decoy_places()
        for root in self.site.repositories.values():
            stranger = str(uuid.uuid4())
            places += [root / "foreign" / "keep.txt", root / "vmkeep" / ".incoming" / f"{stranger}.1" / "disk-vda.raw",
                       root / "vmkeep" / ".incoming" / "notes.txt", root / "vmkeep" / ".scrub" / f"{stranger}.{stranger}" / "x"]
        for path in places:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"not yours: {path.name}\n")
            self.decoys[path] = path.read_text()

    def must(self, condition, what, seconds=60):
        value = wait(condition, seconds)
        if not value:
            raise Broken(f"after {seconds} s still not: {what}\n{self.site.log_tail(15)}")
        return value

    # processes -----------------------------------------------------------------------------------------------------------

    def daemon(self, program):
        return self.site.executor if program == "vmkeep-executor" else self.site.controller

    def start_daemon(self, program):
        self.daemon(program).start()
        self.restarted = time.monotonic()
        self.connect()

    def revive(self):
        """Starts again what ended by itself, as systemd does, and keeps its exit code."""
        for program in ("vmkeep-executor", "vmkeep-controller"):
            process = self.daemon(program).process
            if process.poll() is not None:
                self.ended.append((program, process.returncode))
                self.start_daemon(program)

    def wait_online(self):
        self.must(lambda: (host := self.try_call("InventoryService/GetHost", id=HOST)) and host["availability"] == "ONLINE",
                  "the host is online")

    def workers(self):
        """pids of workers of this site that are no child of its executor any more."""
        found, mine = [], f"VMKEEP_FAULT_DIR={self.faults.dir}".encode()
        parent = self.site.executor.process.pid if self.site.executor.process else 0
        for status in pathlib.Path("/proc").glob("[0-9]*/status"):
            try:
                text = status.read_text()
                if "\nPPid:\t%d\n" % parent in text or not text.startswith("Name:\tvmkeep-worker"):
                    continue
                if mine in (status.parent / "environ").read_bytes().split(b"\0"):
                    found.append(f"worker {status.parent.name}")
            except OSError:
                continue  # it went
        return found

    # calls ---------------------------------------------------------------------------------------------------------------

    def try_call(self, method, **fields):
        try:
            return self.api.call(method, timeout=3, **fields)
        except self.api.grpc.RpcError:
            self.connect()
            return None

    def call(self, method, **fields):
        """The answer; a passing error is asked again."""
        return self.must(lambda: self.try_call(method, **fields), f"{method} is answered", WITHIN)

    def create(self, name=None):
        self.serial += 1
        self.request = {"vm_id": self.vm, "name": name or f"case-{self.serial}", "repository": 1,
                        "request_id": str(uuid.uuid4())}
        return Call(self, "BackupService/CreateBackup", **self.request)

    def scrub(self, backup):
        return Call(self, "BackupService/UpdateBackup", id=backup, state="SCRUB")

    def finish(self, call, *states, seconds=WITHIN + 30):
        """The record of the call's backup once it is in one of the states (default: any settled one), else as it is
        after `seconds`."""
        states = states or invariants.SETTLED
        deadline = time.monotonic() + seconds
        wait(lambda: call.answer or call.error and not call.is_alive(), seconds)
        if call.answer is None:
            raise Broken(f"{call.method} is not answered: {call.error}")
        record = None
        while time.monotonic() < deadline:
            self.revive()
            record = self.try_call("BackupService/GetBackup", id=call.answer["id"]) or record
            if record and record["state"] in states:
                break
            time.sleep(0.03)
        if record is None:
            raise Broken("the controller does not answer")
        return record

    def executor_call(self, method, **fields):
        from google.protobuf import json_format
        from vmkeep.executor.v1 import executor_service_pb2 as pb
        request = json_format.ParseDict(fields, getattr(pb, f"{method}Request")())
        stub = self.executor_channel.unary_unary(f"/vmkeep.executor.v1.ExecutorService/{method}",
                                                 type(request).SerializeToString, getattr(pb, f"{method}Response").FromString)
        return stub(request, timeout=5)

    def tasks(self):
        """Tasks that the executor still has to do or to tell."""
        try:
            return [f"task {t.task.task_id}.{t.task.epoch} of {t.backup_id} ended={t.ended}"
                    for t in self.executor_call("ListTasks").tasks]
        except self.api.grpc.RpcError as error:
            self.connect()
            return [f"the executor does not answer: {error.code().name}"]

    def refusal(self, method, **fields):
        """The reason with which the executor refuses the call; None when it does not."""
        def ask():
            try:
                self.executor_call(method, **fields)
                return ["accepted"]
            except self.api.grpc.RpcError as error:
                self.connect()
                return error.code().name not in PASSING and [self.reason(error)]

        answer = wait(ask, WITHIN, 0.1)
        return None if answer == ["accepted"] else answer[0] if answer else "no answer"

    def reason(self, error):
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                for detail in self.api.status.Status.FromString(value).details:
                    info = self.api.details.ErrorInfo()
                    if detail.Unpack(info):
                        return info.reason
        return error.code().name

    # what is there -------------------------------------------------------------------------------------------------------

    def folder(self, record):
        return self.site.folder(record)

    def left(self, *records):
        """(found, expected) of everything that may be left behind; `records`: published and not scrubbed."""
        expected = {str(path) for path in self.decoys}
        for decoy in self.decoys:
            expected |= {str(parent) for parent in decoy.parents if self.dir in parent.parents}
        for record in records:
            folder = self.folder(record)
            expected |= {str(folder.parent), str(folder), *(str(path) for path in folder.rglob("*"))}
        found = [str(root / each) for root in self.site.repositories.values()
                 for each in self.below(root) if "/.probe-" not in f"/{each}"]
        files, own = self.own_files()
        found += files + self.tasks()
        return found if set(found) - expected - set(own) else found + self.workers(), expected | set(own)

    @staticmethod
    def below(root):
        for path in root.rglob("*"):
            relative = path.relative_to(root)
            if not relative.name.startswith(".vmkeep-repository") and str(relative) not in (
                    "vmkeep", "vmkeep/.incoming", "vmkeep/.scrub"):
                yield relative
