"""Two real guests on one golden image, one with a data file too: backed up at once, killed in mid-copy, booted from a copy."""

import pathlib
import unittest

from harness import LAB, Api, Guest, Site, SystemTest, check_published, guest_kernel, records, run, virsh, wait_until

UUIDS = {"web-1": "7b1d5c3e-2a64-4d0f-8c11-5e0f6a7b8c01", "web-2": "7b1d5c3e-2a64-4d0f-8c11-5e0f6a7b8c02"}


class ChainGuest(Guest):
    """vda: golden.raw <- middle.qcow2 <- a qcow2 with an awkward name. With `data_file` also vdb, a qcow2 with its data apart."""

    def __init__(self, folder, name, golden, data_file=False):
        self.name, self.uuid, self.folder = name, UUIDS[name], pathlib.Path(folder)
        self.folder.mkdir(mode=0o711, parents=True)
        self.kernel = guest_kernel()
        middle, top = self.folder / "middle.qcow2", self.folder / "its disk, ü.qcow2"
        run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", golden, middle)
        run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", middle, top)
        self.chain = [str(middle), str(golden)]
        self.disks = {"vda": ("qcow2", top)}
        self.data_file = None
        if data_file:
            plain, self.data_file = self.folder / "plain.raw", self.folder / "second.data"
            run(LAB / "guest-disk", plain, "raw", "64M", "data-vdb", 4)
            second = self.folder / "second.qcow2"
            option = "data_file=" + str(self.data_file).replace(",", ",,")
            run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-o", option, plain, second)
            plain.unlink()
            self.data_file.chmod(0o666)  # libvirt gives QEMU's user the images, not what their headers name
            self.disks["vdb"] = ("qcow2", second)
        self.define()


class ChainTest(SystemTest):
    @classmethod
    def set_up_site(cls):
        cls.golden = cls.dir / "gold" / "golden.raw"
        cls.golden.parent.mkdir(mode=0o711)
        run(LAB / "guest-disk", cls.golden, "raw", "1200M", "data-vda", 800)
        cls.golden_before = run("sha256sum", cls.golden).stdout
        cls.guests = [ChainGuest(cls.dir / "one", "web-1", cls.golden),
                      ChainGuest(cls.dir / "two, ü", "web-2", cls.golden, data_file=True)]
        for guest in cls.guests:
            cls.stack.callback(guest.remove)
        cls.site = Site(cls.dir, executor_flags=["--overlay_reserve_bytes=67108864"])
        cls.use(cls.site)
        cls.site.start()
        cls.site.init_repositories()
        for guest in cls.guests:
            guest.start(wait_agent=False)
        for guest in cls.guests:
            guest.wait_agent()
        cls.xml_before = {guest.name: guest.inactive_xml() for guest in cls.guests}
        cls.api = Api(cls.site, cls.dir)
        for guest in cls.guests:
            wait_until(lambda g=guest: min(g.acknowledged().values()) >= 3, f"{guest.name} writes records", 60)

    def start_backup(self, vm, name):
        return self.api.call("BackupService/CreateBackup", vm_id=vm, name=name, repository=1)["id"]

    def wait_for_copy(self, backup):
        """Until the backup is in mid-copy."""

        def in_mid_copy():
            record = self.api.call("BackupService/GetBackup", id=backup)
            progress = record.get("progress") or {}
            self.assertIn(record["state"], ("REQUESTED", "BUILDING"), "too fast: the copy ended before it could be killed")
            return progress.get("phase") == "COPYING" and int(progress["bytes_done"]) > 0

        wait_until(in_mid_copy, "the copy runs", 60, 0.005)

    def assert_untouched(self):
        for guest in self.guests:
            self.assertTrue(guest.on_own_disks(), guest.top_sources())
            self.assertEqual(guest.overlays(), [])
            self.assertEqual(guest.inactive_xml(), self.xml_before[guest.name])
        self.assertEqual(run("sha256sum", self.golden).stdout, self.golden_before, "the golden image was written to")
        self.assertEqual(self.servers(), [])

    @staticmethod
    def servers():
        # Not the one that a preflight asks for its version.
        return run("pgrep", "-f", "^qemu-nbd --read-only ", check=False).stdout.split()

    def test_1_two_vms_on_one_golden_image_at_once(self):
        before = {guest.name: guest.acknowledged() for guest in self.guests}
        backups = {guest.name: self.start_backup(guest.name, "first") for guest in self.guests}
        for guest in self.guests:
            with self.subTest(guest.name):
                record = self.site.wait_state(backups[guest.name], "RUNNING")
                self.assertEqual(record["consistency"], "FILESYSTEM")
                folder = self.site.folder(record)
                manifest = check_published(folder)
                disks = {disk["target"]: disk for disk in manifest["disks"]}
                self.assertEqual({t: (d["file"], d["format"]) for t, d in disks.items()},
                                 {t: (f"disk-{t}.raw", "raw") for t in guest.disks})
                source = disks["vda"]["source"]
                self.assertEqual((source["path"], source["format"], source["chain"]),
                                 (str(guest.disks["vda"][1]), "qcow2", guest.chain))
                if guest.data_file:
                    self.assertEqual(disks["vdb"]["source"]["data_file"], str(guest.data_file))
                self.assertEqual(int(disks["vda"]["file_bytes"]), 1200 << 20)
                self.assertLess((folder / "disk-vda.raw").stat().st_blocks * 512, 1000 << 20)  # 800 MiB and a file system
                for target in guest.disks:
                    records(folder / f"disk-{target}.raw", f"data-{target}", "raw", before[guest.name][target])
        self.assert_untouched()

    def test_2_sigkill_of_the_executor_while_it_serves_a_chain(self):
        backup = self.start_backup("web-1", "killed")
        self.wait_for_copy(backup)
        self.site.executor.kill()
        self.assertFalse(self.guests[0].on_own_disks(), "the kill came too late: nothing would be shown")
        self.assertEqual(len(self.servers()), 1, "without its server left behind the test would prove nothing")
        self.site.executor.start()
        record = self.site.wait_state(backup, "RUNNING")
        self.assert_untouched()
        self.assertIn("copy_resumed", self.site.executor.log.read_text())
        check_published(self.site.folder(record))
        self.assertEqual(self.site.ctl("backup", "scrub", backup, "--wait").returncode, 0)

    def test_3_sigkill_of_the_server_fails_the_copy_and_merges(self):
        backup = self.start_backup("web-2", "no server")
        self.wait_for_copy(backup)
        server, = self.servers()
        run("kill", "-KILL", server)
        record = self.site.wait_state(backup, "UNRESOURCED")
        self.assertEqual(record["failure"]["reason"], "FLAT_VIEW_ENDED")
        self.assertTrue(record["failure"]["retryable"])
        self.assert_untouched()
        self.assertEqual(self.site.ctl("backup", "scrub", backup, "--wait").returncode, 0)

    def test_4_a_copy_boots_by_cp_and_virsh_define_alone(self):
        for guest in self.guests:
            with self.subTest(guest.name):
                record = [b for b in self.site.json("backup", "list")["backups"]
                          if (b["name"], b["vm_name"]) == ("first", guest.name)][0]
                folder = self.site.folder(record)
                acknowledged = guest.acknowledged()
                guest.power_off()
                for target, (fmt, path) in guest.disks.items():
                    records(path, f"data-{target}", fmt, acknowledged[target])  # after three merges none is missing
                virsh("undefine", guest.name)
                (guest.folder / "middle.qcow2").unlink()
                if guest.data_file:
                    guest.data_file.unlink()
                for target, (_, path) in guest.disks.items():
                    path.unlink()
                    run("cp", folder / f"disk-{target}.raw", path)
                (guest.folder / f"{guest.name}.console").unlink()  # what it says from now on is of the copy
                virsh("define", folder / "domain.xml")
                guest.start()
                self.assertTrue(guest.on_own_disks())
                resumed = {t: records(folder / f"disk-{t}.raw", f"data-{t}", "raw", 1) for t in guest.disks}
                wait_until(lambda g=guest, r=resumed: all(g.acknowledged()[t] > n for t, n in r.items()),
                           f"the restored {guest.name} writes on", 60)
        self.assertEqual(run("sha256sum", self.golden).stdout, self.golden_before)


if __name__ == "__main__":
    unittest.main()
