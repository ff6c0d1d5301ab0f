"""Every shape of disk and VM that a host has: backed up by the daemons, and booted again from `cp` and `virsh define` alone;
or refused with a sentence, and untouched."""

import base64
import json
import os
import pathlib
import unittest

from harness import BIN, LAB, Api, Guest, Site, SystemTest, check_published, guest_kernel, records, run, virsh, wait_until

FIRMWARE_VARIABLE = "/sys/firmware/efi/efivars/VmkeepMark-3f6f2d1c-8a55-4a3b-9d0e-6c1b2a3d4e03"
EXCLUDED = {"vdi": "READ_ONLY", "vdj": "SHAREABLE", "vdk": "TRANSIENT", "sda": "CDROM", "sdb": "CDROM"}


class PlainGuest(Guest):
    """One raw disk. Defined as on a host that was ever restarted: libvirt sorts a definition anew when it reads its own."""

    beneath = ()  # files that its disks need and that are not named in its definition
    nvram = None
    options = ()
    devices = ""

    def define(self, agent=True, cmdline="lab.writer=5"):
        disks = [w for target, (fmt, path) in self.disks.items() for w in ("--disk", f"{target}:{fmt}:{path}")]
        xml = run(LAB / "domain-xml", self.name, self.uuid, self.kernel, *disks, *self.options, "--cmdline", cmdline).stdout
        path = self.folder / "domain.xml"
        for text in (lambda: xml.replace("<controller type='usb'", self.devices + "<controller type='usb'"), self.inactive_xml):
            path.write_text(text())
            virsh("define", path)

    def on_own_disks(self):
        sources = self.top_sources()
        return all(sources[t] == str(path) for t, (_, path) in self.disks.items())

    def writes_on(self, since):
        wait_until(lambda: all(n > since[t] for t, n in self.acknowledged().items()), f"{self.name} writes on", 60)

    def power_off(self):
        virsh("destroy", self.name)

    def restore(self, backup):
        """Nothing is left of the VM but its backup, which comes back as the manual says."""
        virsh("undefine", self.name, *(("--keep-nvram", "--snapshots-metadata") if self.beneath else ()), check=False)
        for path in self.beneath:
            path.unlink()
        files = {disk["target"]: disk["file"] for disk in json.loads((backup / "manifest.json").read_text())["disks"]}
        for target, (_, path) in self.disks.items():
            if not path.is_block_device():
                path.unlink()
            run("cp", backup / files[target], path)
        if self.nvram:
            run("cp", backup / "nvram", self.nvram)
        (self.folder / f"{self.name}.console").unlink()  # what it says from now on is of the copy
        virsh("define", backup / "domain.xml")


class ShapedGuest(PlainGuest):
    """UEFI; eight disks, no two of a kind; five that are none of a backup's business; names that are no ASCII."""

    def __init__(self, folder, name, uuid, loop):
        folder = pathlib.Path(folder)
        folder.mkdir(mode=0o711)
        self.name, self.uuid, self.folder, self.kernel = name, uuid, folder, guest_kernel()
        self.nvram = folder / "nvram ü.fd"
        self.options = ("--uefi", self.nvram)
        self.disks = {"vda": ("raw", folder / "ohne Endung"), "vdb": ("qcow2", folder / "inside.qcow2"),
                      "vdc": ("qcow2", folder / "über golden.qcow2"), "vdd": ("qcow2", folder / "apart.qcow2"),
                      "vde": ("raw", loop), "vdf": ("raw", folder / "users.raw"),
                      "vdg": ("qcow2", folder / "plain.qcow2"), "vdh": ("raw", folder / "plain.raw")}
        for target in ("vda", "vdf", "vdh"):
            self.make_disk(target)
        run("fallocate", "-l", "64M", folder / "ohne Endung")
        for target in ("vdb", "vdg"):
            self.make_disk(target)
        run("qemu-img", "snapshot", "-c", "before the upgrade", folder / "inside.qcow2")
        self.make_disk("vdc", folder / "golden.raw", "raw")
        run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "golden.raw", folder / "middle.qcow2")
        run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", "middle.qcow2", folder / "über golden.qcow2")
        self.make_disk("vdd", folder / "all.raw", "raw")
        run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-o", f"data_file={folder / 'apart.data'}", folder / "all.raw", folder / "apart.qcow2")
        (folder / "all.raw").unlink()
        (folder / "apart.data").chmod(0o666)  # libvirt gives QEMU's user the images, not what their headers name
        self.make_disk("vde", folder / "device", "raw")
        run("cp", folder / "device", loop)
        self.golden = [folder / "golden.raw", folder / "middle.qcow2"]
        self.beneath = [*self.golden, folder / "apart.data", self.nvram]
        self.devices = self.other_disks()
        self.define(cmdline="lab.writer=2")

    def make_disk(self, target, file=None, fmt=None):
        run(LAB / "guest-disk", file or self.disks[target][1], fmt or self.disks[target][0], "64M", f"data-{target}", 2)

    def other_disks(self):
        xml = ""
        for target, reason in EXCLUDED.items():
            source = self.folder / f"other {target}"
            element = {"READ_ONLY": "<readonly/>", "SHAREABLE": "<shareable/>", "TRANSIENT": "<transient/>"}.get(reason, "<readonly/>")
            device, bus = ("cdrom", "sata") if reason == "CDROM" else ("disk", "virtio")
            if target != "sdb":  # an empty drive
                source.write_bytes(b"\0" * (1 << 20))
            xml += f"""<disk type='file' device='{device}'><driver name='qemu' type='raw'/>{'' if target == 'sdb' else f"<source file='{source}'/>"}
                <target dev='{target}' bus='{bus}'/>{element}</disk>"""
        return xml

    def snapshot_by_its_user(self):
        """External, of vdf, with libvirt's metadata: from then on the guest writes to another file."""
        theirs = self.folder / "vor dem Umbau.qcow2"
        others = [t for t in (*self.disks, *EXCLUDED) if t != "vdf"]
        specs = [w for t in others for w in ("--diskspec", f"{t},snapshot=no")]
        virsh("snapshot-create-as", self.name, "theirs", "--disk-only", "--diskspec", f"vdf,file={theirs}", *specs)
        users = self.disks["vdf"][1]
        self.disks["vdf"] = ("qcow2", theirs)
        self.golden.append(users)
        self.beneath.append(users)

    def shell(self, command):
        """What a command says in the guest."""
        ask = lambda name, **arguments: json.loads(virsh("qemu-agent-command", self.name, json.dumps(
            {"execute": name, "arguments": arguments})).stdout)["return"]
        pid = ask("guest-exec", path="/bin/sh", arg=["-c", command], **{"capture-output": True})["pid"]
        done = wait_until(lambda: (s := ask("guest-exec-status", pid=pid))["exited"] and s, "the command ends")
        assert done["exitcode"] == 0, done
        return base64.b64decode(done.get("out-data", "")).decode()

    def firmware(self, command):
        return self.shell(f"set -e; mountpoint -q /sys/firmware/efi/efivars || mount -t efivarfs none /sys/firmware/efi/efivars; {command}")


class ShapesTest(SystemTest):
    @classmethod
    def set_up_site(cls):
        cls.gate = cls.dir / "gate"
        cls.overlay_dir = cls.dir / "overlays of devices"
        cls.overlay_dir.mkdir(mode=0o711)
        run("truncate", "-s", "64M", cls.dir / "device")
        loop = pathlib.Path(run("losetup", "--find", "--show", cls.dir / "device").stdout.strip())
        cls.stack.callback(lambda: run("losetup", "--detach", loop))
        cls.shaped = ShapedGuest(cls.dir / "große Räume", "säule eins", "3f6f2d1c-8a55-4a3b-9d0e-6c1b2a3d4e01", loop)
        cls.stack.callback(lambda: virsh("undefine", cls.shaped.name, "--nvram", "--snapshots-metadata", check=False))
        cls.stack.callback(lambda: virsh("destroy", cls.shaped.name, check=False))
        cls.shaped.start(wait_agent=False)  # boots while the other is looked at
        cls.life = PlainGuest(cls.dir / "life", "life-1", "3f6f2d1c-8a55-4a3b-9d0e-6c1b2a3d4e02", [("vda", "raw", "64M", 4)])
        cls.stack.callback(cls.life.remove)
        # Holds the copy of this one disk while the gate is there.
        os.environ.update(VMKEEP_TEST_GATE=str(cls.gate), VMKEEP_TEST_WORKER=str(BIN / "vmkeep-worker"))
        cls.site = Site(cls.dir, executor_flags=[f"--overlay_dir={cls.overlay_dir}", "--overlay_reserve_bytes=67108864",
                                                 f"--worker_binary={BIN.parent / 'tests/gate-worker'}"])
        cls.use(cls.site)
        cls.site.start()
        cls.site.init_repositories()
        cls.api = Api(cls.site, cls.dir)

    def create(self, vm, name):
        wait_until(lambda: any(v["name"] == vm for v in self.site.json("vm", "list")["vms"]), f"{vm} is listed")
        return self.api.call("BackupService/CreateBackup", vm_id=vm, name=name, repository=1)["id"]

    def back_up(self, guest, name):
        """-> the record, the folder, its manifest."""
        return self.wait_published(self.create(guest.name, name))

    def wait_published(self, backup):
        record = self.site.wait_state(backup, "RUNNING")
        folder = self.site.folder(record)
        return record, folder, check_published(folder)

    def refused(self, vm, *words):
        failure = self.site.wait_state(self.create(vm, "refused"), "UNRESOURCED")["failure"]
        self.assertEqual((failure["reason"], failure["phase"], failure.get("retryable", False)), ("CANNOT_BACK_UP", "PREFLIGHT", False))
        for word in words:
            self.assertIn(word, failure["message"])

    def restored(self, guest, folder, at_least):
        """The guest, up again from its backup alone: it goes on behind the last record of the copy, which is not before `at_least`."""
        formats = {d["target"]: (d["file"], d["format"]) for d in json.loads((folder / "manifest.json").read_text())["disks"]}
        last = {t: records(folder / file, f"data-{t}", fmt, at_least[t]) for t, (file, fmt) in formats.items()}
        guest.restore(folder)
        guest.start()
        self.assertTrue(guest.on_own_disks(), guest.top_sources())
        guest.writes_on(last)
        return last

    # The lives of a VM ------------------------------------------------------------------------------------------------

    def test_1_a_stopped_vm_that_is_started_in_mid_copy(self):
        guest, definition = self.life, self.life.inactive_xml()
        self.gate.write_text(str(guest.disks["vda"][1]))
        backup = self.create(guest.name, "started")
        wait_until(guest.overlays, "the stopped VM is on its overlay")
        guest.start()
        guest.writes_on({"vda": 2})
        self.gate.unlink()
        _, folder, _ = self.wait_published(backup)
        self.assertEqual((guest.overlays(), guest.inactive_xml()), ([], definition))
        acknowledged = guest.acknowledged()
        guest.power_off()
        records(guest.disks["vda"][1], "data-vda", "raw", acknowledged["vda"])
        self.assertEqual(self.restored(guest, folder, {"vda": 0}), {"vda": 0}, "the guest's writes got into the copy")

    def test_2_a_paused_vm(self):
        guest, before = self.life, self.life.acknowledged()
        virsh("suspend", guest.name)
        record, folder, manifest = self.back_up(guest, "paused")
        self.assertEqual((record["consistency"], manifest["quiesce"]["detail"]), ("CRASH", "the VM is paused"))
        self.assertIn("paused", virsh("domstate", guest.name).stdout)
        self.assertTrue(guest.on_own_disks())
        virsh("resume", guest.name)
        guest.writes_on(before)
        guest.power_off()
        self.restored(guest, folder, before)

    def test_3_a_transient_vm(self):
        guest, before = self.life, self.life.acknowledged()
        virsh("undefine", guest.name)
        record, folder, manifest = self.back_up(guest, "transient")
        self.assertEqual(record["consistency"], "FILESYSTEM")
        self.assertNotIn("domain-inactive.xml", [f["file"] for f in manifest["files"]])
        self.assertRegex(virsh("dominfo", guest.name).stdout, "Persistent: *no")
        guest.writes_on(guest.acknowledged())
        guest.power_off()
        wait_until(lambda: virsh("domstate", guest.name, check=False).returncode != 0, "the transient VM is gone")
        self.restored(guest, folder, before)

    def test_4_a_vm_with_saved_memory_is_refused_and_goes_on_as_if_nothing_were(self):
        guest, before = self.life, self.life.acknowledged()
        virsh("managedsave", guest.name)
        definition, image = guest.inactive_xml(), run("sha256sum", guest.disks["vda"][1]).stdout
        self.refused(guest.name, "its memory is saved", "virsh managedsave-remove")
        self.assertRegex(virsh("dominfo", guest.name).stdout, "Managed save: *yes")
        self.assertEqual((guest.overlays(), guest.inactive_xml(), run("sha256sum", guest.disks["vda"][1]).stdout), ([], definition, image))
        guest.start()
        guest.writes_on(before)
        guest.power_off()

    # The kinds of disk ------------------------------------------------------------------------------------------------

    def test_5_every_kind_of_disk(self):
        guest = self.shaped
        guest.wait_agent()
        guest.snapshot_by_its_user()
        guest.firmware(f"printf '\\007\\000\\000\\000the firmware remembers' > {FIRMWARE_VARIABLE}")
        guest.writes_on({t: 2 for t in guest.disks})
        definition, below = guest.inactive_xml(), run("sha256sum", *guest.golden).stdout
        before = guest.acknowledged()
        record, folder, manifest = self.back_up(guest, "shapes")
        self.assertEqual(record["consistency"], "FILESYSTEM")
        self.assertTrue(guest.on_own_disks(), guest.top_sources())
        self.assertEqual((guest.overlays(), list(self.overlay_dir.iterdir()), guest.inactive_xml()), ([], [], definition))
        self.assertEqual(run("sha256sum", *guest.golden).stdout, below, "what lies below was written to")
        stored = {d["target"]: d["format"] for d in manifest["disks"]}
        flat = {"vdc": "raw", "vdd": "raw", "vdf": "raw"}
        self.assertEqual(stored, {**{t: fmt for t, (fmt, _) in guest.disks.items()}, **flat})
        for excluded in (manifest["excluded_disks"], record["excluded_disks"]):
            self.assertEqual({d["target"]: d["reason"] for d in excluded}, EXCLUDED)
        self.assertEqual(manifest["not_included"], ["libvirt's list of snapshots"])
        self.assertEqual((folder / "nvram").read_bytes(), guest.nvram.read_bytes())
        self.assertIn("before the upgrade", run("qemu-img", "snapshot", "-l", folder / "disk-vdb.qcow2").stdout)
        guest.writes_on(guest.acknowledged())
        guest.power_off()
        self.restored(guest, folder, before)
        self.assertEqual(guest.firmware(f"tail -c +5 {FIRMWARE_VARIABLE}"), "the firmware remembers")
        self.assertTrue(all(virsh("domblkinfo", guest.name, t).returncode == 0 for t in EXCLUDED if t != "sdb"))

    def test_6_what_cannot_be_backed_up_is_refused_and_untouched(self):
        folder = self.dir / "refused"
        folder.mkdir(mode=0o711)
        own = "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{}/own'/><target dev='vda' bus='virtio'/></disk>"
        run("truncate", "-s", "1M", folder / "own")
        run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", folder / "own", folder / "no-format")
        # As older qemu-img made them: the extension that records the backing format is another one now.
        image = (folder / "no-format").read_bytes()
        (folder / "no-format").write_bytes(image.replace(b"\xe2\x79\x2a\xca", b"none", 1))
        run("qemu-img", "create", "-q", "-f", "vmdk", folder / "foreign", "1M")
        disk = lambda source, fmt="raw", kind="file": (
            f"<disk type='{kind}' device='disk'><driver name='qemu' type='{fmt}'/>{source}<target dev='vdb' bus='virtio'/></disk>")
        shapes = {
            "network": (disk("<source protocol='nbd' name='x'><host name='localhost' port='10809'/></source>", kind="network"),
                        "disk vdb is on the network (nbd)", "virsh blockcopy"),
            "encrypted": (disk(f"<source file='{folder}/other'><encryption format='luks'><secret type='passphrase' "
                               "uuid='3f6f2d1c-8a55-4a3b-9d0e-6c1b2a3d4eff'/></encryption></source>"),
                          "disk vdb is encrypted by QEMU", "inside of the guest"),
            "part": (disk(f"<source file='{folder}/other'><slices><slice type='storage' offset='0' size='4096'/></slices></source>"),
                     "disk vdb is only a part of its file", "a file of its own"),
            "foreign": (disk(f"<source file='{folder}/foreign'/>", "vmdk"), "the format 'vmdk'", "qemu-img convert -O qcow2"),
            "no-format": (disk(f"<source file='{folder}/no-format'/>", "qcow2"), "records no format", "qemu-img rebase -u"),
            "gone": (disk(f"<source file='{folder}/not-there'/>"), "cannot be opened", "see that it is there"),
        }
        for name, (element, *words) in shapes.items():
            with self.subTest(name):
                xml = folder / f"{name}.xml"
                xml.write_text(f"""<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory><os><type arch='x86_64' machine='q35'>hvm</type></os>
                    <devices>{own.format(folder)}{element}</devices></domain>""")
                virsh("define", xml)
                self.addCleanup(virsh, "undefine", name)
                state = lambda n=name: (virsh("dumpxml", n).stdout, virsh("domstate", n).stdout, sorted(folder.iterdir()),
                                        run("sha256sum", folder / "own", folder / "no-format").stdout)
                before = state()
                self.refused(name, *words)
                self.assertEqual(state(), before)


if __name__ == "__main__":
    unittest.main()
