"""A world on the simulated hypervisor: VMs that are files. Shows our own steps, not libvirt's."""

import json

import harness
import invariants
from world import World

DISKS, SIZE = 2, "4MiB"


class SimWorld(World):
    snapshot_point = "sim.snapshot.frozen"

    def make_site(self):
        sim = self.dir / "sim"
        sim.mkdir(exist_ok=True)
        return harness.Site(self.dir, "sim", [f"--sim_dir={sim}", f"--sim_vms={self.vm}:{DISKS}:{SIZE}",
                                              "--overlay_reserve_bytes=1048576"])

    def make_vm(self):
        pass  # the executor makes it

    def vm_file(self):
        [path] = (self.dir / "sim").glob("*/vm.json")
        return path

    def vm_json(self):
        return json.loads(self.vm_file().read_text())

    def set_power(self, power):
        """Only while no task runs: vm.json is the executor's."""
        path = self.vm_file()
        beside = path.with_name("power.new")
        beside.write_text(json.dumps({**json.loads(path.read_text()), "power": power}))
        beside.rename(path)

    def look(self):
        vm, folder = self.vm_json(), self.vm_file().parent
        overlays = [p for p in folder.glob("*.vmkeep-*") if p not in self.decoys]
        return invariants.VmLook(vm["name"], {d["target"]: d["overlay"] or d["base"] for d in vm["disks"]},
                                 {d["target"]: d["base"] for d in vm["disks"]}, vm["frozen"], [str(p) for p in overlays])

    def writes(self):
        """What the simulated guest saw flushed (SimHypervisor's ledger) against the disks' files."""
        folder, last = self.vm_file().parent, {}
        for line in (folder / "acked").read_text().splitlines():
            target, offset, text = line.split(" ", 2)
            last[target, int(offset)] = text
        bases = {d["target"]: d["base"] for d in self.vm_json()["disks"]}
        writes = []
        for (target, offset), text in last.items():
            with open(bases[target], "rb") as disk:
                disk.seek(offset)
                found = disk.read(64).split(b"\n")[0].decode(errors="replace")
            writes.append(invariants.Write(f"{target} at {offset}", text, found))
        return writes

    def last_look(self):
        return []  # each case looked at the disks themselves

    def instant(self):
        return {d["target"]: invariants.file_digest(d["base"]) for d in self.vm_json()["disks"]}

    def copies(self, record, before):
        folder = self.folder(record)
        return [(f"{record['id']} {target}", digest, invariants.file_digest(folder / f"disk-{target}.raw"))
                for target, digest in before.items()]

    def decoy_places(self):
        folder = self.vm_file().parent
        return [folder / "vda.raw.vmkeep-11111111-1111-4111-8111-111111111111.qcow2", folder / "vda.raw.vmkeep-new",
                folder / "notes.txt"]

    def own_files(self):
        """(what lies beside the disks, what should)."""
        folder = self.vm_file().parent
        own = ["vm.json", "acked", *(f"vd{'ab'[i]}.raw" for i in range(DISKS))]
        return [str(p) for p in folder.iterdir()], [str(folder / name) for name in own]


SCENARIOS = ("backup", "scrub", "cancel", "cancel-unsent", "recover", "offline", "leftover", "stranded")


def order(todo, rng):
    """All of them; shuffled, so that slow ones do not come together."""
    rng.shuffle(todo)
    return todo
