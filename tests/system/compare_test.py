"""tools/compare in short, on the real thing: vmkeep has no wrong outcome, and the judge finds what a plain script is known to
do wrong. So the judge is shown to go red on each run, by a program that is wrong."""

import json
import sys
import unittest

from harness import ROOT, run, scratch

sys.path.insert(0, str(ROOT / "tests/compare"))


def kinds(case):
    return {wrong["what"] for wrong in case["wrong"]}


class CompareTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with scratch("compare-test.") as folder:
            done = run(ROOT / "tools/compare", "--quick", "--json", folder / "result.json", check=False, timeout=380)
            print(done.stdout + done.stderr, file=sys.stderr)
            cls.code = done.returncode
            cls.result = json.loads((folder / "result.json").read_text())
        cls.cases = {(case["side"], case["fault"]): case for case in cls.result["cases"]}

    def test_all_were_played(self):
        self.assertEqual({name: side["not_played"] for name, side in self.result["sides"].items()}, {"script": 0, "vmkeep": 0})
        self.assertGreaterEqual(self.result["faults"], 4)

    def test_vmkeep_has_no_wrong_outcome(self):
        self.assertEqual([c for (side, _), c in self.cases.items() if side == "vmkeep" and c["wrong"]], [])
        self.assertEqual(self.code, 0)

    def test_vmkeep_made_the_backups_that_could_be_made(self):
        for fault in ("none", "guest_off"):
            self.assertEqual((self.cases["vmkeep", fault]["claims"], self.cases["vmkeep", fault]["whole_backups"]), (["success"], 1))

    def test_the_judge_finds_nothing_where_nothing_is_wrong(self):
        self.assertEqual(kinds(self.cases["script", "none"]), set())
        self.assertEqual(self.cases["script", "none"]["whole_backups"], 1)

    def test_the_judge_finds_what_the_script_does_wrong(self):
        self.assertLessEqual({"BAD_BACKUP", "FALSE_SUCCESS"}, kinds(self.cases["script", "full"]))
        self.assertLessEqual({"OVERLAY", "BAD_BACKUP"}, kinds(self.cases["script", "killed_in_copy"]))
        self.assertLessEqual({"LOST", "FALSE_SUCCESS"}, kinds(self.cases["script", "guest_off"]))


class ClaimsTest(unittest.TestCase):
    """What is said against what is there: each pair, also those that no side has shown."""

    def test_every_pair(self):
        from judge import Verdict, judge_claims
        for claims, whole, vm, expected in (
                (["success"], 1, None, set()), (["failure"], 0, None, set()), (["success", "failure"], 1, None, set()),
                (["failure"], 0, "OVERLAY", set()),  # wrong by itself, and no lie
                (["success"], 0, None, {"FALSE_SUCCESS"}), (["success"], 1, "LOST", {"FALSE_SUCCESS"}),
                (["failure"], 1, None, {"FALSE_FAILURE"}), (["nothing"], 0, None, {"NO_WORD"}),
                (["success", "success"], 1, None, {"FALSE_SUCCESS"})):
            verdict = Verdict()
            verdict.claims, verdict.whole = claims, whole
            if vm:
                verdict.add(vm, "")
            judge_claims(verdict)
            self.assertEqual({w["what"] for w in verdict.wrong} - {vm}, expected, (claims, whole, vm))


class InstantTest(unittest.TestCase):
    """Copies of two disks that are of two moments: neither side makes such."""

    CONSOLE = "".join(f"ack {disk} {n}\r\n" for n in range(1, 9) for disk in ("vda", "vdb"))

    def test_one_instant(self):
        from judge import instant_problem
        for last in ({"vda": 4, "vdb": 4}, {"vda": 5, "vdb": 4}, {"vda": 4, "vdb": 5}):
            self.assertIsNone(instant_problem(last, self.CONSOLE))

    def test_two_moments(self):
        from judge import instant_problem
        self.assertIn("no one instant", instant_problem({"vda": 3, "vdb": 7}, self.CONSOLE))
        self.assertIn("no one instant", instant_problem({"vda": 7, "vdb": 3}, self.CONSOLE))


if __name__ == "__main__":
    unittest.main()
