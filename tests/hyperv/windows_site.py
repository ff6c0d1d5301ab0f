"""What rungs 5 and 6 share: vmkeep-executor.exe under wine, which runs our scripts in a real PowerShell, driven by the real Linux
controller over mutual TLS. Hyper-V itself is played by modules/Hyper-V and vmms.py."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys

import host
from host import HERE, windows_path
from wine import Prefix, Program

from harness import BIN, ROOT, Site, SystemTest, check_published, run, wait_until

HOST = "hv-1"
MIB = 1 << 20
WINDOWS_BIN = pathlib.Path(os.environ.get("VMKEEP_WINDOWS_BIN", ROOT / "build/windows/bin"))
SCRIPTS = ROOT / "executor/hypervisor/hyperv/scripts"


def need_the_programs():
    """Skips the whole file, loudly, where wine, PowerShell or the Windows programs are not to be had."""
    host.need_windows()
    for program in (WINDOWS_BIN / "vmkeep-executor.exe", WINDOWS_BIN / "vmkeep-worker.exe", BIN / "vmkeep-controller"):
        if not program.exists():
            print(f"!!! SKIPPED: {sys.argv[0]}: no {program} (tools/windows/build, tools/test)")
            sys.exit(77)


class Authority:
    """A certificate authority for one run."""

    def __init__(self, folder):
        self.dir = pathlib.Path(folder)
        self.dir.mkdir(mode=0o700)
        self.openssl("req", "-x509", *self.new_key("ca"), "-days", 2, "-subj", "/CN=test-ca", "-out", self.dir / "ca.pem")

    def openssl(self, *argv):
        run("openssl", *argv, timeout=60)

    def new_key(self, who):
        return "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.dir / f"{who}.key"

    def issue(self, who):
        """Certificate and key of `who`, good for 127.0.0.1."""
        stem = self.dir / who
        stem.with_suffix(".ext").write_text("subjectAltName=IP:127.0.0.1\n")
        self.openssl("req", *self.new_key(who), "-subj", f"/CN={who}", "-out", f"{stem}.csr")
        self.openssl("x509", "-req", "-days", 2, "-CAcreateserial", "-in", f"{stem}.csr", "-CA", self.dir / "ca.pem", "-CAkey",
                     self.dir / "ca.key", "-extfile", f"{stem}.ext", "-out", f"{stem}.pem")
        return pathlib.Path(f"{stem}.pem"), pathlib.Path(f"{stem}.key")

    def flags(self, who, spell=str):
        certificate, key = self.issue(who)
        return [f"--tls_ca={spell(self.dir / 'ca.pem')}", f"--tls_cert={spell(certificate)}", f"--tls_key={spell(key)}"]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class WindowsSite(Site):
    """A Linux controller and a Windows executor, with P: and S: as its repositories."""

    def __init__(self, folder, hyperv, flags=()):
        super().__init__(folder)
        pwsh, _, template = host.set_up()
        self.prefix = Prefix(self.dir / "wine", template)
        self.prefix.drive("P", self.repositories[1])
        self.prefix.drive("S", self.repositories[2])
        (self.prefix.c / "vmkeep").mkdir()
        self.authority = Authority(self.dir / "tls")
        self.port = free_port()
        self.executor_address = f"127.0.0.1:{self.port}"
        self.controller.argv += self.authority.flags("controller")
        self.executor = Program("executor", self.prefix, [
            WINDOWS_BIN / "vmkeep-executor.exe", f"--listen={self.executor_address}", "--state_dir=C:\\vmkeep\\state",
            *self.authority.flags("executor", windows_path), f"--hyperv_interpreter={windows_path(pwsh)}\\pwsh.exe",
            f"--hyperv_scripts={windows_path(SCRIPTS)}", "--repository_primary=P:\\", "--repository_secondary=S:\\", *flags],
            self.logs / "executor.log",
            PSModulePath=windows_path(HERE / "modules"), VMKEEP_HYPERV_SCENARIO=windows_path(hyperv / "scenario.json"))

    def start(self):
        self.controller.start()
        self.executor.start()
        wait_until(lambda: self.ctl("host", "list", check=False).returncode == 0, "the controller answers")
        self.ctl("host", "add", HOST, self.executor_address)
        self.wait_online()

    def wait_online(self, seconds=60):
        def online():
            assert self.executor.alive(), f"the executor has ended\n{self.log_tail()}"
            return self.json("host", "get", HOST).get("availability") == "ONLINE"

        wait_until(online, "the host is online", seconds)

    def init_repositories(self):
        for slot in (1, 2):
            self.ctl("repo", "init", HOST, slot, "--allow-plain-directory")
            self.wait_health(slot, "HEALTHY")

    def repository(self, slot):
        return next(r for r in self.json("repo", "list", "--host", HOST)["repositories"] if r["slot"] == slot)

    def wait_health(self, slot, health, seconds=30):
        return wait_until(lambda: (r := self.repository(slot)).get("health") == health and r, f"repository {slot} is {health}", seconds)


class WindowsTest(SystemTest):
    """One Windows host for all its tests. `VMS`: of make_vm()'s arguments, in the order of their numbers."""

    VMS = ()
    FLAGS = ()

    @classmethod
    def set_up_site(cls):
        cls.hyperv = cls.dir / "hyperv"
        (cls.hyperv / "disks").mkdir(parents=True)
        cls.images = {}
        cls.vms = [cls.make_vm(number + 1, **vm) for number, vm in enumerate(cls.VMS)]
        (cls.hyperv / "scenario.json").write_text(json.dumps({"vms": cls.vms, "images": cls.images, "export": {"seconds": 0.4}}))
        cls.site = WindowsSite(cls.dir, cls.hyperv, cls.FLAGS)
        cls.stack.callback(cls.site.prefix.close)
        cls.start_vmms()
        cls.use(cls.site)
        cls.before_start()
        cls.site.start()
        wait_until(lambda: len(cls.site.json("vm", "list").get("vms", [])) == len(cls.vms), "the VMs are listed", 60)
        cls.after_start()

    @classmethod
    def before_start(cls):
        pass

    @classmethod
    def after_start(cls):
        cls.site.init_repositories()

    @classmethod
    def start_vmms(cls):
        """As on a real host, it is no child of the executor's, and writes through the same drives."""
        service = subprocess.Popen([sys.executable, "-B", HERE / "vmms.py", cls.hyperv / "scenario.json"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True, env=cls.site.prefix.environment())

        def end():
            service.stdin.close()
            try:
                service.wait(10)
            except subprocess.TimeoutExpired:
                service.kill()
                service.wait()
            service.stdout.close()

        cls.stack.callback(end)
        assert service.stdout.readline() == "serving\n"

    @classmethod
    def make_vm(cls, number, name, disks, state="Running", **more):
        """`disks`: chains of (file name, MiB), the disk itself first."""
        def image(file, mib, parent):
            content = cls.hyperv / "disks" / f"{number}-{file}"
            mark, end = (b"vhdxfile", b"") if file.endswith("x") else (b"", b"conectix".ljust(512, b"\0"))
            content.write_bytes(mark + os.urandom(mib * MIB) + end)
            path = f"C:\\VMs\\{number}\\{file}"
            cls.images[path] = {"size": 64 * MIB, "file_size": content.stat().st_size, "parent": parent, "content": str(content)}
            return path

        drives = []
        for location, chain in enumerate(disks):
            path = None
            for file, mib in reversed(chain):
                path = image(file, mib, path)
            drives.append(host.disk(path, location=location))
        return host.vm(number, name, disks=drives, state=state, **more)

    def setUp(self):
        self.addCleanup(self.bring_back)

    def bring_back(self):
        """For the next test, whatever became of this one."""
        self.no_hold()
        if not self.site.executor.alive():
            self.site.executor.start()
        self.site.wait_online()

    def no_hold(self):
        (self.hyperv / "hold").unlink(missing_ok=True)

    def vm_id(self, number):
        return self.vms[number - 1]["id"].lower()

    def create(self, vm, name, repository=1, *flags):
        slot = ["--repository", repository] if repository else []
        return self.site.json("backup", "create", self.vm_id(vm) if isinstance(vm, int) else vm, name, *slot, *flags)["id"]

    def job(self, number):
        """Of Hyper-V's stand-in: the last export of a VM."""
        try:
            return json.loads((self.hyperv / "jobs" / f"{self.vm_id(number)}.json").read_text())
        except FileNotFoundError:
            return {"state": "", "percent": 0}

    def held(self, number, name, repository=1):
        """A backup whose export stands still in its middle; the VM's `export` has `hold_at`."""
        (self.hyperv / "hold").touch()
        backup = self.create(number, name, repository)

        def stands():
            record = self.site.get(backup)
            assert record["state"] in ("REQUESTED", "BUILDING"), record
            job = self.job(number)
            return record.get("progress", {}).get("phase") == "EXPORTING" and job["state"] == "Running" and job["percent"] >= 48

        wait_until(stands, "the export stands still in its middle", 30)
        return backup

    def published(self, backup, seconds=60):
        record = self.site.wait_state(backup, "RUNNING", seconds=seconds)
        return record, check_published(self.site.folder(record))

    def failed(self, backup, seconds=120):
        return self.site.wait_state(backup, "UNRESOURCED", seconds=seconds)["failure"]

    def contents(self, number):
        """What each image of a VM's is, by its path in a backup."""
        found = {}
        for drive in self.vms[number - 1]["disks"]:
            path = drive["path"]
            while path:
                name = path.rpartition("\\")[2]
                found[f"export/Virtual Hard Disks/{name}"] = pathlib.Path(self.images[path]["content"])
                path = self.images[path]["parent"]
        return found

    def assert_nothing_left(self, seconds=30):
        """Below the repositories there is nothing but the backups that records tell of."""
        running = {b["id"] for b in self.site.json("backup", "list").get("backups", []) if b["state"] == "RUNNING"}

        def strangers():
            return [path for path in self.site.leftovers() if ".incoming/" in path or ".scrub/" in path or
                    len(path.split("/")) == 3 and path.split("/")[2] not in running]

        try:
            wait_until(lambda: not strangers(), "nothing is left behind", seconds)
        except AssertionError:
            raise AssertionError(f"after {seconds} s still there: {strangers()}") from None


__all__ = ["BIN", "HOST", "MIB", "SCRIPTS", "WINDOWS_BIN", "WindowsSite", "WindowsTest", "need_the_programs", "run", "shutil",
           "wait_until", "windows_path"]
