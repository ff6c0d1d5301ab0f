"""All points x all faults on the simulated hypervisor, and that no point of the source is left out."""

import json
import pathlib
import re
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Points that the scenarios do not reach on the simulation: name -> why.
NOT_HIT = {
    name: "the simulated hypervisor does not export"
    for name in (
        "hypervisor.start-export.before",
        "hypervisor.start-export.after",
        "hypervisor.end-export.before",
        "hypervisor.end-export.after",
        "journal.write.before:save-a-sealed-export",
        "worker.prepare-export.remove.before",
        "worker.prepare-export.make.before",
        "worker.prepare-export.make.after",
        "worker.seal.rename.before",
        "worker.seal.rename.after",
        "worker.seal.flush-folders.after",
        "worker.seal.flush-list.before",
        "worker.seal.flush-list.after",
    )
}


class ChaosSimTest(unittest.TestCase):
    def test_every_point_holds_under_every_fault(self):
        with tempfile.TemporaryDirectory(prefix="vmkeep-chaos.") as folder:
            out = pathlib.Path(folder) / "out.json"
            # All but the stops, which wait a minute each and have a test of their own.
            code = subprocess.run([ROOT / "tools/chaos", "--backend", "sim", "--faults", "[!s]*", "--json", out],
                                  check=False).returncode
            result = json.loads(out.read_text())
        self.assertEqual(result["wrong"], [])
        self.assertEqual((code, result["not_run"]), (0, 0))
        self.assertEqual(result["held"], result["points"])
        self.assertLess(result["not_reached"], 10)
        self.assertGreater(result["points"], 100, "a trace that lost its points would hold too")
        hit = set(result["hit"])
        named = {point.split(":")[0] for point in hit}
        self.assertEqual({name for name in self.literals() if name not in named and name not in NOT_HIT}, set())
        self.assertEqual({name for name in NOT_HIT if name in named}, set(), "hit after all")
        written = {f"journal.write.before:{what.replace(' ', '-')}" for what in self.journal_writes()}
        self.assertEqual({point for point in written if point not in hit and point not in NOT_HIT}, set())

    @staticmethod
    def sources(folder):
        return [path.read_text() for path in (ROOT / folder).rglob("*.cc")]

    def literals(self):
        """The names of all fault points in the source."""
        found = set()
        for text in self.sources("controller") + self.sources("executor"):
            found |= set(re.findall(r'"((?:dispatch|hypervisor|journal|sim|store|worker)\.[a-z-]+\.[a-z-]+)"', text))
            for call in re.findall(r'\b(?:Fault|Crash)Point\(\s*"([^"]+)"', text):
                found.add(call)
        self.assertGreater(len(found), 40)
        return found

    def journal_writes(self):
        found = set()
        for text in self.sources("executor/task/journal"):
            found |= set(re.findall(r'\bWrite\("([a-z ]+)"', text))
        self.assertGreater(len(found), 10)
        return found


if __name__ == "__main__":
    unittest.main()
