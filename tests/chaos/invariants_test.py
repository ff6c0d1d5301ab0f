"""Each checker on made-up states: a good one passes, each bad one is seen. So no checker can quietly stop failing."""

import hashlib
import json
import pathlib
import sys
import tempfile
import unittest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "system")]
import invariants as inv  # noqa: E402

OVERLAY = "/vm/a.raw.vmkeep-1.qcow2"


def vm(**changes):
    return inv.VmLook(**{"name": "web-1", "top": {"vda": "/vm/a.raw"}, "own": {"vda": "/vm/a.raw"}, "frozen": False,
                         "overlay_files": [], **changes})


def names(wrong):
    return [invariant for invariant, _ in wrong]


class InvariantsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="vmkeep-invariants.")
        self.addCleanup(folder.cleanup)
        self.repository = pathlib.Path(folder.name)
        (self.repository / "vmkeep/.incoming/x.1").mkdir(parents=True)

    def backup(self, name="b-1"):
        """A published backup as the worker writes it: one disk of 5 bytes, its list, the domain's XML."""
        folder = self.repository / "vmkeep/vm-1" / name
        folder.mkdir(parents=True)
        (folder / "disk-vda.raw").write_bytes(b"bytes")
        listed = hashlib.sha256(b"bytes").hexdigest() + "\n"
        (folder / "disk-vda.raw.sha256").write_text(listed)
        (folder / "domain.xml").write_text("<domain/>")
        files = [{"file": file, "sha256": inv.file_digest(folder / file)} for file in ("disk-vda.raw.sha256", "domain.xml")]
        disk = {"file": "disk-vda.raw", "file_bytes": "5", "digest": {
            "list_file": "disk-vda.raw.sha256", "root": hashlib.sha256(listed.encode()).hexdigest()}}
        manifest = {"backup_id": name, "epoch": "1", "disks": [disk], "files": files}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    def record(self, folder, **changes):
        manifest = folder / "manifest.json"
        return {"id": "b-1", "state": "RUNNING", "epoch": "1",
                "manifest_sha256": inv.file_digest(manifest) if manifest.exists() else "", **changes}

    def test_i1_a_disk_on_an_overlay(self):
        self.assertEqual(inv.vm_on_its_base(vm()), [])
        self.assertEqual(names(inv.vm_on_its_base(vm(top={"vda": OVERLAY}))), ["I1"])
        self.assertEqual(names(inv.vm_on_its_base(vm(top={"vda": "/vm/other.raw"}))), ["I1"])

    def test_i2_a_write_that_is_missing_and_a_ledger_that_is_empty(self):
        good = inv.Write("vda at 0", "write 2", "write 2")
        self.assertEqual(inv.no_write_lost([good]), [])
        self.assertEqual(names(inv.no_write_lost([good, inv.Write("vda at 0", "write 2", "write 1")])), ["I2"])
        self.assertEqual(names(inv.no_write_lost([])), ["I2"])

    def test_i3_a_backup_that_is_not_whole(self):
        def damaged(damage):
            folder = self.backup(f"b-{damaged.count}")
            damaged.count += 1
            self.assertEqual(inv.only_whole_backups([self.repository]), [], "whole before it is damaged")
            damage(folder)
            wrong = names(inv.only_whole_backups([self.repository]))
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
            return wrong

        damaged.count = 1
        self.assertEqual(damaged(lambda f: (f / "manifest.json").unlink()), ["I3"])
        self.assertEqual(damaged(lambda f: (f / "disk-vda.raw").write_bytes(b"bytez")), ["I3"])
        self.assertEqual(damaged(lambda f: (f / "disk-vda.raw.sha256").write_text("0" * 64 + "\n")), ["I3"])
        self.assertEqual(damaged(lambda f: (f / "domain.xml").write_text("<other/>")), ["I3"])
        self.assertEqual(damaged(lambda f: (f / "stray").write_text("")), ["I3"])
        self.assertEqual(damaged(lambda f: (f / "disk-vda.raw").unlink()), ["I3"])

    def test_i3_a_file_where_backups_are_and_a_manifest_of_another(self):
        folder = self.backup()
        folder.rename(folder.with_name("b-2"))
        self.assertEqual(names(inv.only_whole_backups([self.repository])), ["I3"])
        (self.repository / "vmkeep/stray").write_text("")
        self.assertEqual(names(inv.only_whole_backups([self.repository])), ["I3", "I3"])

    def test_i4_a_frozen_guest(self):
        self.assertEqual(inv.guest_not_frozen(vm()), [])
        self.assertEqual(names(inv.guest_not_frozen(vm(frozen=True))), ["I4"])

    def test_i5_a_record_that_is_not_true(self):
        folder = self.backup()
        absent = folder.with_name("absent")
        failed = {"failure": {"reason": "NAS_FULL", "message": "it is full", "retryable": True}}
        self.assertEqual(inv.record_true(self.record(folder), folder), [])
        self.assertEqual(inv.record_true(self.record(folder, state="UNRESOURCED", **failed), absent), [])
        self.assertEqual(inv.record_true(self.record(folder, state="CLOSED"), absent), [])
        empty = folder.with_name("empty")
        empty.mkdir()
        for record, where in (
                (self.record(folder), absent),
                (self.record(folder), empty),
                (self.record(folder, manifest_sha256="0" * 64), folder),
                (self.record(folder, epoch="2"), folder),
                (self.record(folder, state="UNRESOURCED", **failed), folder),
                (self.record(folder, state="CLOSED"), folder),
                (self.record(folder, state="BUILDING"), absent),
                (self.record(folder, state="UNRESOURCED"), absent),
                (self.record(folder, state="UNRESOURCED", failure={**failed["failure"], "reason": ""}), absent),
                (self.record(folder, state="UNRESOURCED", failure={**failed["failure"], "retryable": False}), absent)):
            with self.subTest(record=record):
                self.assertIn("I5", names(inv.record_true(record, where)))

    def test_i5_an_unfinished_record_that_says_nothing(self):
        self.assertEqual(inv.unfinished_says_why({"id": "b", "state": "RUNNING"}), [])
        self.assertEqual(inv.unfinished_says_why({"id": "b", "state": "BUILDING", "conditions": [{"type": "X"}]}), [])
        self.assertEqual(names(inv.unfinished_says_why({"id": "b", "state": "BUILDING", "conditions": []})), ["I5"])

    def test_i5_a_copy_of_another_instant(self):
        self.assertEqual(inv.copy_is_of_the_instant([("vda", "1", "1")]), [])
        self.assertEqual(names(inv.copy_is_of_the_instant([("vda", "1", "2")])), ["I5"])

    def test_i6_two_backups_for_one_request(self):
        self.assertEqual(inv.one_backup_for_one_request(["b", "b"]), [])
        self.assertEqual(names(inv.one_backup_for_one_request(["b", "c"])), ["I6"])
        self.assertEqual(names(inv.one_backup_for_one_request([])), ["I6"])

    def test_i7_an_old_epoch_that_is_accepted(self):
        self.assertEqual(inv.old_epoch_refused([("x", "STALE_EPOCH")]), [])
        self.assertEqual(names(inv.old_epoch_refused([("x", None), ("y", "VM_BUSY")])), ["I7", "I7"])

    def test_i8_leftovers_and_what_is_not_ours(self):
        self.assertEqual(inv.nothing_left(["a"], ["a", "b"]), [])
        self.assertEqual(names(inv.nothing_left(["a", "task 1"], ["a"])), ["I8"])
        decoy = self.repository / "keep"
        self.assertEqual(names(inv.decoys_there({decoy: "mine"})), ["I8"])
        decoy.write_text("mine")
        self.assertEqual(inv.decoys_there({decoy: "mine"}), [])
        self.assertEqual(names(inv.decoys_there({decoy: "other"})), ["I8"])

    def test_i9_a_scrub_that_leaves_its_own_or_takes_another(self):
        mine, other = self.backup("b-1"), self.backup("b-2")
        digest = inv.tree_digest(other)
        self.assertEqual(names(inv.scrub_takes_one(mine, [(other, digest)])), ["I9"])
        self.assertEqual(inv.scrub_takes_one(mine.with_name("gone"), [(other, digest)]), [])
        (other / "domain.xml").write_text("<other/>")
        self.assertEqual(names(inv.scrub_takes_one(None, [(other, digest)])), ["I9"])
        self.assertEqual(names(inv.scrub_takes_one(None, [(mine.with_name("gone"), digest)])), ["I9"])


if __name__ == "__main__":
    unittest.main()
