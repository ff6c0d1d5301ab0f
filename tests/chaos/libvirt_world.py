"""A world on a real guest under the lab's libvirt (tools/lab/with-libvirt): one boot, many cases."""

import subprocess
import time

import harness
import invariants
from world import World

UUID = "7d0c1f5a-52f4-4a64-9a57-1f6f0f3c2b11"
SCENARIOS = ("backup", "scrub", "cancel", "recover")


def order(todo, rng):
    """SIGKILL of the executor at every point first, then the rest: each in the seed's order, as far as the time goes."""
    rng.shuffle(todo)
    return sorted(todo, key=lambda case: (case.fault, case.nth) != ("kill-executor", 1))


class LibvirtWorld(World):
    vm = "db-1"
    snapshot_point = "hypervisor.snapshot.after"

    def make_site(self):
        return harness.Site(self.dir, executor_flags=["--overlay_reserve_bytes=16777216"])

    def make_vm(self):
        for folder in (self.dir, self.dir.parent, self.dir.parent.parent):
            folder.chmod(0o711)  # QEMU's user goes through
        self.guest = harness.Guest(self.dir / "vm", self.vm, UUID, [("vda", "raw", "64M", 8), ("vdb", "qcow2", "64M", 4)])
        self.guest.start()
        self.xml = self.guest.inactive_xml()
        self.seen = self.guest.acknowledged()

    def stop(self):
        super().stop()
        self.guest.remove()

    def look(self):
        own = {target: str(path) for target, (_, path) in self.guest.disks.items()}
        frozen = "thawed" not in harness.virsh("qemu-agent-command", self.vm, '{"execute":"guest-fsfreeze-status"}',
                                               check=False).stdout
        top = self.guest.top_sources()
        if self.guest.inactive_xml() != self.xml:
            top["definition"], own["definition"] = "its inactive XML has changed", "as it was"
        overlays = [p for p in self.guest.overlays() if p not in {str(d) for d in self.decoys}]
        return invariants.VmLook(self.vm, top, own, frozen, overlays)

    def writes(self):
        """The guest goes on writing. What is on its disks shows when they are not in use: last_look()."""
        deadline, before = time.monotonic() + 30, self.seen
        while time.monotonic() < deadline:
            self.seen = self.guest.acknowledged()
            if all(self.seen[target] > before[target] for target in before):
                break
            time.sleep(0.1)
        console = (self.guest.folder / f"{self.vm}.console").read_text(errors="replace")
        errors = [line for line in console.splitlines() if line.startswith("error ")]
        return [invariants.Write(f"{target}: records acknowledged since the last look", "some",
                                 "some" if self.seen[target] > before[target] else "none") for target in before] + [
                                     invariants.Write("the guest's errors", "[]", str(errors))]

    def instant(self):
        return self.guest.acknowledged()

    def copies(self, record, before):
        """What was acknowledged before the backup began is in its copies, gapless."""
        return [(f"{record['id']} {target}", "all records", self.records(
            self.folder(record) / f"disk-{target}.{fmt}", target, fmt, before[target]))
            for target, (fmt, _) in self.guest.disks.items()]

    @staticmethod
    def records(image, target, fmt, at_least):
        done = subprocess.run([harness.LAB / "records-check", image, f"data-{target}", "--format", fmt, "--at-least",
                               str(at_least)], capture_output=True, text=True, check=False)
        return "all records" if done.returncode == 0 else done.stderr.strip()

    def last_look(self):
        """I2 on the disks themselves: the guest is cut off, and all it saw flushed must be there."""
        acknowledged = self.guest.acknowledged()
        self.guest.power_off()
        return invariants.no_write_lost([
            invariants.Write(str(path), "all records", self.records(path, target, fmt, acknowledged[target]))
            for target, (fmt, path) in self.guest.disks.items()])

    def decoy_places(self):
        return [self.guest.folder / "vda.raw.vmkeep-11111111-1111-4111-8111-111111111111.qcow2",
                self.guest.folder / "notes.txt"]

    def own_files(self):
        own = [f"{self.vm}.console", f"{self.vm}.xml", *(path.name for _, path in self.guest.disks.values())]
        return [str(p) for p in self.guest.folder.iterdir()], [str(self.guest.folder / name) for name in own]
