"""What recovery_test.py and faults_test.py share: one guest whose copies and merges a test can hold, and what must be true of it
after each fault."""

import fcntl
import json
import os
import pathlib
import signal
import time

from harness import BIN, LAB, Api, Guest, Site, SystemTest, check_published, records, run, virsh, wait_until

UUID = "7d0c1f7e-5a8b-4c6d-9e2f-0a1b2c3d4e0{}"


class GuardedGuest(Guest):
    """Two disks: raw and qcow2. The definition as libvirt has it after a restart (it sorts a new one when it reads it back)."""

    def define(self, agent=True, cmdline="lab.writer=5"):
        super().define(agent, cmdline)
        self.define_again(self.inactive_xml())

    def define_again(self, xml):
        path = self.folder / "again.xml"
        path.write_text(xml)
        virsh("define", path)

    def writes_on(self, seconds=60):
        since = self.acknowledged()
        wait_until(lambda: all(n > since[t] for t, n in self.acknowledged().items()), f"{self.name} writes on", seconds)

    def state(self):
        return virsh("domstate", self.name).stdout.strip()

    def pid(self):
        return int(pathlib.Path(f"/run/libvirt/qemu/{self.name}.pid").read_text())

    def crash(self):
        """QEMU dies; libvirt has noticed when this returns."""
        os.kill(self.pid(), signal.SIGKILL)
        wait_until(lambda: self.state() == "shut off", f"{self.name} is off", 30)

    def ask(self, command, **arguments):
        return json.loads(virsh("qemu-agent-command", self.name, json.dumps({"execute": command, "arguments": arguments})).stdout)["return"]

    def start_shell(self, command):
        return self.ask("guest-exec", path="/bin/sh", arg=["-c", command])["pid"]

    def shell(self, command, seconds=60):
        pid = self.start_shell(command)
        done = wait_until(lambda: (s := self.ask("guest-exec-status", pid=pid))["exited"] and s, f"the guest did: {command}", seconds)
        assert done["exitcode"] == 0, done

    def write_mib(self, count, target="vda"):
        """A file of so many MiB on the disk, on it when this returns."""
        self.shell(f"dd if=/dev/urandom of=/mnt/{target}/bulk bs=1M count={count} conv=fsync")


class GuardedTest(SystemTest):
    """`held()`: the copy stands until `go_on()`. `lock_base()`: QEMU may not write to the base, so that no merge begins."""

    guest_name, guest_number = "guarded-1", 1
    disks = [("vda", "raw", "192M", 8), ("vdb", "qcow2", "64M", 4)]
    cmdline = "lab.writer=5"
    executor_flags = ()

    @classmethod
    def guest_folder(cls):
        return cls.dir / "vm"

    @classmethod
    def set_up_site(cls):
        cls.gate, cls.marker_away = cls.dir / "gate", cls.dir / "marker"
        cls.guest = GuardedGuest(cls.guest_folder(), cls.guest_name, UUID.format(cls.guest_number), cls.disks, cmdline=cls.cmdline)
        cls.stack.callback(cls.guest.remove)
        cls.guest.start(wait_agent=False)  # boots while the daemons start
        os.environ.update(VMKEEP_TEST_GATE=str(cls.gate), VMKEEP_TEST_WORKER=str(BIN / "vmkeep-worker"))
        cls.site = Site(cls.dir, executor_flags=["--overlay_reserve_bytes=33554432", *cls.executor_flags,
                                                 f"--worker_binary={BIN.parent / 'tests/gate-worker'}"])
        cls.use(cls.site)
        cls.site.start()
        cls.site.init_repositories()
        cls.api = Api(cls.site, cls.dir)
        cls.guest.wait_agent()
        wait_until(lambda: min(cls.guest.acknowledged().values()) > 2, "the guest writes", 60)

    def setUp(self):
        self.guest_up()
        self.definition = self.guest.inactive_xml()
        self.began = time.monotonic()

    def tearDown(self):
        self.go_on()
        if not self.site.executor.alive():
            self.site.executor.start()
        self.repository_back()
        print(f"{self.id().split('.')[-1]}: {time.monotonic() - self.began:.1f} s", flush=True)

    # The guest --------------------------------------------------------------------------------------------------------

    def guest_up(self):
        if self.guest.state() == "shut off":
            virsh("start", self.guest.name)
        self.guest.wait_agent()
        self.guest.writes_on()

    def power_off_and_check(self):
        """Off as by a power cut: everything that the guest saw flushed is on its own disks."""
        if self.guest.state() != "shut off":
            self.guest.power_off()
        self.check_records(self.guest.acknowledged())

    def check_records(self, acknowledged):
        for target, (fmt, path) in self.guest.disks.items():
            records(path, f"data-{target}", fmt, acknowledged[target])

    # Holding a backup -------------------------------------------------------------------------------------------------

    def create(self, name):
        self.site.wait_online()
        wait_until(lambda: any(v["name"] == self.guest.name and v.get("power_state") in ("ON", "PAUSED")
                               for v in self.site.json("vm", "list").get("vms", [])), "the VM is listed as it is")
        return self.api.call("BackupService/CreateBackup", vm_id=self.guest.name, name=name, repository=1)["id"]

    def held(self, name):
        """A backup whose copy stands; the guest has written onto its overlays since."""
        self.gate.write_text(str(self.guest.disks["vda"][1]))
        backup = self.create(name)
        wait_until(lambda: self.phase(backup) == "COPYING", "the copy is held", 60)
        assert len(self.guest.overlays()) == len(self.guest.disks), self.guest.overlays()
        self.guest.writes_on()
        return backup

    def phase(self, backup):
        return (self.site.get(backup).get("progress") or {}).get("phase")

    def go_on(self):
        self.gate.unlink(missing_ok=True)

    def repository_away(self):
        """Without its marker no copy can be taken up again: what is left is to merge."""
        os.rename(self.site.repositories[1] / ".vmkeep-repository", self.marker_away)

    def repository_back(self):
        if self.marker_away.exists():
            os.rename(self.marker_away, self.site.repositories[1] / ".vmkeep-repository")
            self.site.wait_online()
            self.site.ctl("repo", "init", "kvm-1", 1, "--allow-plain-directory")  # looks at it at once

    def lock_base(self, target="vda"):
        """Somebody reads the base and lets nobody write: as `qemu-nbd -r` does, and as a merge cannot have it."""
        image = open(self.guest.disks[target][1], "rb")
        fcntl.lockf(image, fcntl.LOCK_SH, 1, 201)
        self.addCleanup(image.close)
        return image

    def kill_executor(self):
        self.site.executor.kill()

    def stop_libvirtd(self):
        """Kills it; `restart_libvirtd` starts another."""
        pid_file = pathlib.Path("/run/libvirt/libvirtd.pid")
        pid = int(pid_file.read_text())
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not pathlib.Path(f"/proc/{pid}").exists(), "libvirtd is gone", 20)
        pid_file.unlink()

    def restart_libvirtd(self):
        run(LAB / "libvirtd-restart", "--kill", timeout=120)

    def slow_merge(self, target="vda", mib_per_second=1):
        """Somebody's block job, such as an executor leaves that dies: from our overlay into its base, and slow."""
        virsh("blockcommit", self.guest.name, target, "--base", self.guest.disks[target][1], "--active", "--bandwidth", mib_per_second)

    def job(self, target="vda"):
        return virsh("blockjob", self.guest.name, target, "--raw", check=False).stdout

    # What must be true ------------------------------------------------------------------------------------------------

    def vm(self):
        return next((v for v in self.site.json("vm", "list")["vms"] if v["uuid"] == self.guest.uuid), {})

    def alert(self, reason, seconds=60):
        """The VM's overlay in the API, once it tells of this reason."""
        return wait_until(lambda: (o := self.vm().get("overlay")) and o.get("reason") == reason and o, f"an alert {reason}", seconds, 0.3)

    def check_home(self, running=True, seconds=60):
        """On its own disks, no overlay left, the definition as before, nobody frozen, and the API says so."""
        wait_until(self.guest.on_own_disks, "the VM is on its own disks", seconds)
        wait_until(lambda: self.guest.overlays() == [], "no overlay is left", seconds)
        self.assertEqual(self.guest.inactive_xml(), self.definition)
        wait_until(lambda: not self.vm().get("overlay"), "the API knows that it is home", 30)
        if running:
            wait_until(lambda: self.guest.state() == "running", "the guest runs", 10)
            self.assertNotIn("urn:vmkeep", virsh("dumpxml", self.guest.name).stdout)
            self.guest.writes_on()

    def failed_retryable(self, backup, *reasons, seconds=90):
        record = self.site.wait_state(backup, "UNRESOURCED", seconds=seconds)
        self.assertTrue(record["failure"].get("retryable"), record["failure"])
        if reasons:
            self.assertIn(record["failure"]["reason"], reasons)
        self.assertEqual(record.get("conditions", []), [])
        return record

    def published(self, backup, seconds=120):
        return check_published(self.site.folder(self.site.wait_state(backup, "RUNNING", seconds=seconds)))
