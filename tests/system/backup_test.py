"""A real guest, raw + qcow2, with an agent: backed up twice while it writes, read back, booted from a copy, scrubbed."""

import threading
import unittest

from harness import (Api, Guest, Site, SystemTest, check_published, records, run, virsh, wait_until)

UUID = "5d1a7c3e-0b52-4c1e-9a54-6f0c7e2d1b01"
SPARE_UUID = "5d1a7c3e-0b52-4c1e-9a54-6f0c7e2d1b02"
SPARSE_UUID = "5d1a7c3e-0b52-4c1e-9a54-6f0c7e2d1b03"


class BackupTest(SystemTest):
    @classmethod
    def set_up_site(cls):
        cls.guest = Guest(cls.dir / "vm", "web-1", UUID, [("vda", "raw", "512M", 48), ("vdb", "qcow2", "256M", 16)])
        cls.stack.callback(cls.guest.remove)
        cls.site = Site(cls.dir, executor_flags=["--overlay_reserve_bytes=67108864"])
        cls.use(cls.site)
        cls.site.start()
        cls.site.init_repositories()
        cls.guest.start()
        cls.xml_before = cls.guest.inactive_xml()
        wait_until(lambda: min(cls.guest.acknowledged().values()) >= 3, "the guest writes records", 30)

    def back_up(self, name, repository):
        done = self.site.ctl("backup", "create", "web-1", name, "--repository", repository, "--wait", check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr + self.site.log_tail())
        record = self.site.json("backup", "list")["backups"][0]
        self.assertEqual((record["name"], record["state"]), (name, "RUNNING"))
        return record

    def assert_back_on_own_disks(self):
        self.assertTrue(self.guest.on_own_disks(), self.guest.top_sources())
        self.assertEqual(self.guest.overlays(), [])
        self.assertEqual(self.guest.inactive_xml(), self.xml_before)

    def test_1_two_backups_in_a_row(self):
        for name, repository in (("first", 1), ("second", 2)):
            with self.subTest(name):
                before = self.guest.acknowledged()
                record = self.back_up(name, repository)
                self.assertEqual(record["repository"], repository)
                self.assertEqual(record["consistency"], "FILESYSTEM")
                self.assertFalse(record.get("simulated", False))
                self.assertEqual(int(record["virtual_bytes"]), 768 << 20)
                self.assert_back_on_own_disks()
                folder = self.site.folder(record)
                manifest = check_published(folder)
                self.assertEqual(run("sha256sum", folder / "manifest.json").stdout.split()[0], record["manifest_sha256"])
                self.assertEqual([d["format"] for d in manifest["disks"]], ["raw", "qcow2"])
                self.assertEqual(oct(folder.stat().st_mode & 0o777), "0o700")
                for file in folder.iterdir():
                    self.assertEqual(oct(file.stat().st_mode & 0o777), "0o600", file)
                # The copy holds a gapless prefix, at least what was acknowledged before the request.
                for disk in manifest["disks"]:
                    records(folder / disk["file"], f"data-{disk['target']}", disk["format"], before[disk["target"]])
        backups = self.site.json("backup", "list")["backups"]
        self.assertEqual([b["name"] for b in backups], ["second", "first"])

    def test_2_the_guest_lost_nothing_and_still_writes(self):
        now = self.guest.acknowledged()
        wait_until(lambda: all(self.guest.acknowledged()[t] > n + 2 for t, n in now.items()), "the guest goes on writing", 30)

    def test_3_a_copy_boots_by_cp_and_virsh_define_alone(self):
        # In place, as support staff would: the VM is gone, its files are copied back, its definition is defined.
        record = [b for b in self.site.json("backup", "list")["backups"] if b["name"] == "first"][0]
        folder = self.site.folder(record)
        acknowledged = self.guest.acknowledged()
        self.guest.power_off()
        for target, (fmt, path) in self.guest.disks.items():
            records(path, f"data-{target}", fmt, acknowledged[target])  # after two merges none is missing
        virsh("undefine", "web-1")
        for target, (fmt, path) in self.guest.disks.items():
            path.unlink()
            run("cp", folder / f"disk-{target}.{fmt}", path)
        virsh("define", folder / "domain.xml")
        self.guest.start()
        self.assertTrue(self.guest.on_own_disks())
        resumed = {t: records(folder / f"disk-{t}.{fmt}", f"data-{t}", fmt, 1) for t, (fmt, _) in self.guest.disks.items()}
        wait_until(lambda: all(self.guest.acknowledged()[t] > n for t, n in resumed.items()), "the restored guest writes on", 30)

    def test_4_a_backup_that_cannot_be_is_refused_before_anything_is_touched(self):
        def refused(reason, *argv, code=1):
            done = self.site.ctl("--json", "backup", "create", *argv, check=False)
            self.assertEqual(done.returncode, code, done.stdout + done.stderr)
            self.assertIn(reason, done.stderr)

        refused("VM_NOT_FOUND", "no-such-vm", "n")
        refused("INVALID_ARGUMENT", "web-1", "", code=2)
        refused("INVALID_ARGUMENT", "web-1", "x" * 129, code=2)
        refused("NAME_TAKEN", "web-1", "first")
        refused("NAME_TAKEN", UUID.upper(), "first")
        self.assert_records_untouched()

    def assert_records_untouched(self):
        self.assertEqual([b["name"] for b in self.site.json("backup", "list")["backups"]], ["second", "first"])
        self.assertTrue(self.guest.on_own_disks())

    def test_5_a_stopped_vm_is_backed_up_and_stays_off(self):
        other = Guest(self.dir / "stopped", "stopped-1", SPARE_UUID, [("vda", "raw", "64M", 1), ("vdb", "qcow2", "64M", 1)])
        self.addCleanup(other.remove)
        wait_until(lambda: any(v["name"] == "stopped-1" for v in self.site.json("vm", "list")["vms"]), "the VM is listed", 30)
        # libvirt sorts a definition anew when it reads its own text: as it is on a host that was ever restarted.
        (self.dir / "stopped-1.xml").write_text(other.inactive_xml())
        virsh("define", self.dir / "stopped-1.xml")
        xml, images = other.inactive_xml(), {t: run("sha256sum", p).stdout for t, (_, p) in other.disks.items()}
        done = self.site.ctl("backup", "create", "stopped-1", "off", "--quiesce", "required", "--wait", check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr + self.site.log_tail())
        self.assertEqual((other.inactive_xml(), other.overlays()), (xml, []))
        self.assertIn("shut off", virsh("domstate", "stopped-1").stdout)
        self.assertEqual({t: run("sha256sum", p).stdout for t, (_, p) in other.disks.items()}, images)
        record = [b for b in self.site.json("backup", "list")["backups"] if b["vm_name"] == "stopped-1"][0]
        folder = self.site.folder(record)
        manifest = check_published(folder)
        self.assertEqual([d["format"] for d in manifest["disks"]], ["raw", "qcow2"])
        self.assertNotIn("domain-live.xml", [f["file"] for f in manifest["files"]])
        virsh("undefine", "stopped-1")
        for target, (fmt, path) in other.disks.items():
            path.unlink()
            run("cp", folder / f"disk-{target}.{fmt}", path)
        virsh("define", folder / "domain.xml")
        other.start()
        wait_until(lambda: min(other.acknowledged().values()) >= 2, "the restored guest writes", 30)
        self.assertEqual(self.site.ctl("backup", "scrub", record["id"], "--wait").returncode, 0)

    def test_6_second_backup_while_one_runs_also_by_another_spelling(self):
        api = Api(self.site, self.dir)
        first = api.call("BackupService/CreateBackup", vm_id="web-1", name="busy", repository=1)
        code, reason, message, details = api.error("BackupService/CreateBackup", vm_id=UUID.upper(), name="other")
        self.assertEqual((code, reason), ("FAILED_PRECONDITION", "UNFINISHED_BACKUP"))
        self.assertEqual(details["ErrorInfo"].metadata["backup_id"], first["id"])
        self.site.wait_state(first["id"], "RUNNING")
        self.assertEqual(self.site.ctl("backup", "scrub", first["id"], "--wait").returncode, 0)

    def test_7_scrub_in_mid_backup_cancels_and_leaves_nothing(self):
        before = self.site.leftovers()
        api = Api(self.site, self.dir)
        created = api.call("BackupService/CreateBackup", vm_id="web-1", name="cancelled", repository=1)
        wait_until(lambda: self.site.get(created["id"])["state"] == "BUILDING", "the backup builds", 30, 0.01)
        api.call("BackupService/UpdateBackup", id=created["id"], state="SCRUB")
        self.site.wait_state(created["id"], "CLOSED")
        self.assertTrue(self.guest.on_own_disks())
        self.assertEqual(self.guest.overlays(), [])
        self.assertEqual(self.site.leftovers(), before)

    def test_8_twenty_gib_of_holes_cost_seconds(self):
        path = self.dir / "vm" / "sparse.raw"
        with open(path, "wb") as image:
            image.truncate(20 << 30)
            for gib in range(0, 20, 2):
                image.seek(gib << 30)
                image.write(b"\xa5" * (10 << 20))
        vm = Guest(self.dir / "sparse", "sparse-1", SPARSE_UUID, [("vda", "raw", "64M", 1)], cmdline="lab.writer=off")
        self.addCleanup(vm.remove)
        vm.disks["vdb"] = ("raw", path)
        vm.define(cmdline="lab.writer=off")
        vm.start(wait_agent=False)
        peak = PeakMemory("vmkeep-worker")
        with peak:
            done = self.site.ctl("backup", "create", "sparse-1", "sparse", "--quiesce", "never", "--wait", check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr + self.site.log_tail())
        record = [b for b in self.site.json("backup", "list")["backups"] if b["name"] == "sparse"][0]
        from datetime import datetime
        times = [datetime.fromisoformat(record[k].split(".")[0].rstrip("Z")) for k in ("create_time", "update_time")]
        self.assertLess((times[1] - times[0]).total_seconds(), 30)
        stored = (self.site.folder(record) / "disk-vdb.raw").stat()
        self.assertEqual(stored.st_size, 20 << 30)
        self.assertLess(stored.st_blocks * 512, 120 << 20)
        self.assertGreater(peak.bytes, 0, "the worker was never seen: the figure would mean nothing")
        self.assertLessEqual(peak.bytes, 128 << 20)
        print(f"20 GiB sparse, 100 MiB of data: {(times[1] - times[0]).total_seconds():.0f} s, worker RSS {peak.bytes >> 20} MiB")
        with open(self.site.folder(record) / "disk-vdb.raw", "rb") as copy:
            for gib in range(0, 20, 2):
                copy.seek(gib << 30)
                self.assertEqual(copy.read(10 << 20), b"\xa5" * (10 << 20))
        self.site.ctl("backup", "scrub", record["id"], "--wait")

    def test_9_scrub_removes_all_and_the_record_stays(self):
        for backup in self.site.json("backup", "list")["backups"]:
            self.assertEqual(self.site.ctl("backup", "scrub", backup["id"], "--wait").returncode, 0)
            record = self.site.get(backup["id"])
            self.assertEqual((record["state"], record["scrub_level"]), ("CLOSED", "REMOVED"))
        self.assertEqual(self.site.leftovers(), [])
        self.assertEqual(self.site.json("backup", "list").get("backups", []), [])
        self.assertEqual(self.site.stop(), [0, 0])


class PeakMemory:
    """The highest resident size (VmHWM) of any process of a name, seen while the block runs."""

    def __init__(self, name):
        self.name, self.bytes, self._stop = name, 0, threading.Event()

    def __enter__(self):
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _look(self):
        while not self._stop.wait(0.01):
            for pid in run("pgrep", "-f", self.name, check=False).stdout.split():
                try:
                    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
                        text = status.read()
                except OSError:
                    continue  # ended meanwhile
                if not text.startswith(f"Name:\t{self.name[:15]}"):
                    continue
                for line in text.splitlines():
                    if line.startswith("VmHWM:"):
                        self.bytes = max(self.bytes, int(line.split()[1]) * 1024)


if __name__ == "__main__":
    unittest.main()
