"""What the system tests share: the daemons, the guests, and clients that know nothing of our C++ code."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("VMKEEP_BIN", ROOT / "build/dev/bin"))
LAB = ROOT / "tools/lab"
GOOGLEAPIS = "/usr/share/gocode/src/github.com/gogo/googleapis"


def run(*argv, check=True, **kwargs):
    """Runs a command to its end; its output is in the error when it fails."""
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, stdin=subprocess.DEVNULL, **kwargs)
    if check and done.returncode != 0:
        raise AssertionError(f"{argv[0]} exited {done.returncode}\n{' '.join(map(str, argv))}\n{done.stdout}{done.stderr}")
    return done


def wait_until(condition, what, seconds=30.0, interval=0.05):
    """Polls until `condition()` is true and returns its value; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds} s still not: {what}")
        time.sleep(interval)


class Daemon:
    """One of our processes, with its log."""

    def __init__(self, name, argv, log):
        self.name, self.argv, self.log = name, [str(a) for a in argv], log
        self.process = None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, sig=signal.SIGTERM, seconds=30):
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.name} did not end within {seconds} s after signal {sig}: see {self.log}")

    def kill(self):
        self.stop(signal.SIGKILL)


class Site:
    """A controller, one executor, two repositories, below one folder."""

    def __init__(self, folder, hypervisor="libvirt", executor_flags=()):
        self.dir = pathlib.Path(folder)
        self.socket = self.dir / "controller.sock"
        self.executor_socket = self.dir / "executor.sock"
        self.server = f"unix:{self.socket}"
        self.executor_address = f"unix:{self.executor_socket}"  # as the controller dials it
        self.repositories = {1: self.dir / "backup-p", 2: self.dir / "backup-s"}
        self.logs = self.dir / "logs"
        for folder in [self.logs, *self.repositories.values()]:
            folder.mkdir(parents=True, exist_ok=True)
        self.controller = Daemon("controller", [
            BIN / "vmkeep-controller", f"--listen={self.server}", f"--state_dir={self.dir / 'controller'}"],
            self.logs / "controller.log")
        self.executor = Daemon("executor", [
            BIN / "vmkeep-executor", f"--listen=unix:{self.executor_socket}", f"--state_dir={self.dir / 'executor'}",
            f"--hypervisor={hypervisor}", f"--repository_primary={self.repositories[1]}",
            f"--repository_secondary={self.repositories[2]}", *executor_flags], self.logs / "executor.log")
        for folder in ("controller", "executor"):
            (self.dir / folder).mkdir(mode=0o700, exist_ok=True)

    def start(self):
        self.controller.start()
        self.executor.start()
        wait_until(lambda: self.ctl("host", "list", check=False).returncode == 0, "the controller answers")
        self.ctl("host", "add", "kvm-1", self.executor_address)
        self.wait_online()

    def wait_online(self, seconds=60):
        wait_until(lambda: self.json("host", "get", "kvm-1").get("availability") == "ONLINE", "the host is online", seconds)

    def init_repositories(self):
        for slot in (1, 2):
            self.ctl("repo", "init", "kvm-1", slot, "--allow-plain-directory")

    def stop(self):
        """Ends both daemons; returns their exit codes."""
        return [daemon.stop() for daemon in (self.controller, self.executor)]

    # vmkeepctl ------------------------------------------------------------------------------------------------------

    def ctl(self, *argv, check=True, timeout=300):
        return run(BIN / "vmkeepctl", "--server", self.server, *argv, check=check, timeout=timeout)

    def json(self, *argv, check=True):
        return json.loads(self.ctl("--json", *argv, check=check).stdout)

    def get(self, backup):
        return self.json("backup", "get", backup)

    def wait_state(self, backup, *states, seconds=120):
        """Waits for one of the states; another settled state fails at once, with the record."""
        settled = {"RUNNING", "UNRESOURCED", "CLOSED"}

        def look():
            record = self.get(backup)
            if record["state"] in states:
                return record
            assert record["state"] not in settled, f"wanted {states}: {json.dumps(record, indent=1)}\n{self.log_tail()}"
            return None

        return wait_until(look, f"{backup} is {states}", seconds)

    def log_tail(self, lines=40):
        out = []
        for daemon in (self.controller, self.executor):
            text = pathlib.Path(daemon.log).read_text(errors="replace").splitlines()
            out += [f"--- {daemon.name}", *text[-lines:]]
        return "\n".join(out)

    # what lies in the repositories ------------------------------------------------------------------------------------

    def leftovers(self):
        """Everything below the repositories but their markers and the empty working folders.

        The probe file of a repository lives for milliseconds: it counts when it stays."""
        deadline = time.monotonic() + 10
        found = self._below_repositories()
        while any("/.probe-" in path for path in found) and time.monotonic() < deadline:
            time.sleep(0.02)
            found = self._below_repositories()
        return found

    def _below_repositories(self):
        found = []
        for root in self.repositories.values():
            for path in sorted(root.rglob("*")):
                relative = path.relative_to(root)
                if relative.name.startswith(".vmkeep-repository") or str(relative) in (
                        "vmkeep", "vmkeep/.incoming", "vmkeep/.scrub"):
                    continue
                found.append(str(relative))
        return found

    def folder(self, record):
        return self.repositories[record["repository"]] / "vmkeep" / record["vm_uuid"] / record["id"]


def check_published(folder):
    """Re-reads every file of a backup with coreutils alone and compares it with what the manifest says."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for disk in manifest["disks"]:
        image = folder / disk["file"]
        listed = (folder / disk["digest"]["list_file"]).read_text()
        split = subprocess.run(["split", "-b", "4M", "--filter=sha256sum", image], capture_output=True, text=True, check=True)
        ours = "".join(line.split()[0] + "\n" for line in split.stdout.splitlines())
        assert ours == listed, f"{image}: split | sha256sum disagrees with the digest list"
        root = run("sha256sum", folder / disk["digest"]["list_file"]).stdout.split()[0]
        assert root == disk["digest"]["root"], f"{image}: the list's digest is not the manifest's root"
        assert image.stat().st_size == int(disk["file_bytes"])
    named = {"manifest.json"} | {d["file"] for d in manifest["disks"]}
    for file in manifest["files"]:
        assert run("sha256sum", folder / file["file"]).stdout.split()[0] == file["sha256"], file
        named.add(file["file"])
    present = {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()}
    assert present == named, f"files that the manifest does not name, or the other way round: {present ^ named}"
    return manifest


# Guests -----------------------------------------------------------------------------------------------------------------


class Guest:
    """A tiny real VM of the lab. `disks`: (target, format, size, MiB of data)."""

    def __init__(self, folder, name, uuid, disks, agent=True, cmdline="lab.writer=5"):
        self.name, self.uuid, self.folder = name, uuid, pathlib.Path(folder)
        self.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.kernel = guest_kernel()
        self.disks = {target: (fmt, self.folder / f"{target}.{fmt}") for target, fmt, _, _ in disks}
        for target, fmt, size, data in disks:
            run(LAB / "guest-disk", self.disks[target][1], fmt, size, f"data-{target}", data)
        self.define(agent, cmdline)

    def define(self, agent=True, cmdline="lab.writer=5"):
        options = [w for target, (fmt, path) in self.disks.items() for w in ("--disk", f"{target}:{fmt}:{path}")]
        if not agent:
            options.append("--no-agent")
        xml = run(LAB / "domain-xml", self.name, self.uuid, self.kernel, *options, "--cmdline", cmdline).stdout
        path = self.folder / f"{self.name}.xml"
        path.write_text(xml)
        virsh("define", path)

    def start(self, wait_agent=True):
        virsh("start", self.name)
        if wait_agent:
            self.wait_agent()

    def wait_agent(self, seconds=90):
        wait_until(lambda: virsh("qemu-agent-command", self.name, '{"execute":"guest-ping"}', check=False).returncode == 0,
                   f"the agent of {self.name} answers", seconds, 0.25)

    def top_sources(self):
        """target -> the file that the guest writes to now."""
        out = virsh("domblklist", self.name).stdout.splitlines()[2:]
        return {line.split()[0]: line.split(maxsplit=1)[1].strip() for line in out if line.strip()}

    def on_own_disks(self):
        return self.top_sources() == {t: str(p) for t, (_, p) in self.disks.items()}

    def overlays(self):
        return sorted(str(p) for p in self.folder.glob("*.vmkeep-*"))

    def acknowledged(self):
        """target -> the last record that the guest saw flushed, from its console."""
        return {t: int(run(LAB / "acked", self.folder / f"{self.name}.console", t).stdout or 0) for t in self.disks}

    def inactive_xml(self):
        return virsh("dumpxml", "--inactive", "--security-info", self.name).stdout

    def power_off(self):
        """Ends the guest as a power cut would; what it saw flushed must be there."""
        virsh("destroy", self.name)
        wait_until(lambda: "shut off" in virsh("domstate", self.name).stdout, f"{self.name} is off")

    def remove(self):
        virsh("destroy", self.name, check=False)
        virsh("undefine", self.name, check=False)


def virsh(*argv, check=True):
    return run("virsh", "-c", "qemu:///system", *argv, check=check, timeout=120)


def records(image, label, fmt, at_least):
    """Checks the guest's numbered records in an image: gapless from 1; returns the last number."""
    return json.loads(run(LAB / "records-check", image, label, "--format", fmt, "--at-least", at_least).stdout)["last"]


def guest_kernel():
    """The guests' kernel and initramfs, where QEMU's user can read them; made once and cached."""
    folder = pathlib.Path(os.environ["LAB_DIR"]) / "guest"
    run(LAB / "guest-image", folder)
    return folder


# python3-grpcio, as any client of ours would use it -------------------------------------------------------------------------


def load_protos(folder):
    """Generates Python messages from protos/ into `folder` and puts it on the path."""
    protos = [str(p.relative_to(ROOT / "protos")) for p in (ROOT / "protos").rglob("*.proto")]
    run("protoc", "-I", ROOT / "protos", "-I", GOOGLEAPIS, f"--python_out={folder}", *protos, "google/api/http.proto",
        "google/api/annotations.proto", "google/rpc/status.proto", "google/rpc/error_details.proto")
    sys.path.insert(0, str(folder))


class Api:
    """Calls by name over python3-grpcio: api.call("BackupService/GetBackup", id="…")."""

    def __init__(self, site, folder):
        load_protos(folder)
        import grpc
        from google.protobuf import json_format
        from google.rpc import error_details_pb2, status_pb2
        from vmkeep.v1 import backup_service_pb2, inventory_service_pb2
        self.grpc, self.json_format = grpc, json_format
        self.details, self.status = error_details_pb2, status_pb2
        self.modules = {"BackupService": backup_service_pb2, "InventoryService": inventory_service_pb2}
        self.channel = grpc.insecure_channel(site.server)

    def method(self, name):
        service, method = name.split("/")
        module = self.modules[service]
        descriptor = module.DESCRIPTOR.services_by_name[service].methods_by_name[method]
        from google.protobuf import message_factory
        factory = message_factory.MessageFactory()
        return factory.GetPrototype(descriptor.input_type), factory.GetPrototype(descriptor.output_type)

    def call(self, method, /, timeout=20, **fields):
        request, response = self.method(method)
        message = self.json_format.ParseDict(fields, request())
        stub = self.channel.unary_unary(f"/vmkeep.v1.{method}", request.SerializeToString, response.FromString)
        return self.json_format.MessageToDict(stub(message, timeout=timeout), preserving_proto_field_name=True,
                                              including_default_value_fields=True)

    def error(self, method, /, **fields):
        """The call must fail: (code, reason, message, details by type)."""
        try:
            answer = self.call(method, **fields)
        except self.grpc.RpcError as error:
            details = {}
            for key, value in error.trailing_metadata() or ():
                if key == "grpc-status-details-bin":
                    for any_ in self.status.Status.FromString(value).details:
                        kind = any_.type_url.split(".")[-1]
                        message = getattr(self.details, kind)()
                        any_.Unpack(message)
                        details[kind] = message
            reason = details["ErrorInfo"].reason if "ErrorInfo" in details else ""
            return error.code().name, reason, error.details(), details
        raise AssertionError(f"{method}({fields}) must fail, but answered {answer}")


# Scratch --------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def scratch(prefix):
    """A private folder: below $LAB_DIR in the lab, else in the temporary folder. Removed at the end."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir=os.environ.get("LAB_DIR")))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class SystemTest(unittest.TestCase):
    """Prints the daemons' logs when a test fails; ends what was started, also then. Tests run in the order of their names."""

    site = None

    @classmethod
    def setUpClass(cls):
        cls.stack = contextlib.ExitStack()
        cls.addClassCleanup(cls.stack.close)
        cls.dir = cls.stack.enter_context(scratch("vmkeep-test."))
        cls.set_up_site()

    @classmethod
    def set_up_site(cls):
        raise NotImplementedError

    @classmethod
    def use(cls, site):
        cls.site = site
        for daemon in (site.executor, site.controller):
            cls.stack.callback(lambda d=daemon: d.alive() and d.kill())

    def run(self, result=None):
        before = len(result.failures) + len(result.errors) if result else 0
        super().run(result)
        if result and self.site and len(result.failures) + len(result.errors) > before:
            print(self.site.log_tail(), file=sys.stderr)


