"""The executor stands still for a real minute in each phase, on the simulated hypervisor: all at once, as they only wait."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/system"))
import cases


class ChaosStopTest(unittest.TestCase):
    def test_every_phase_holds(self):
        phases = len(cases.STOPS)
        with tempfile.TemporaryDirectory(prefix="vmkeep-chaos.") as folder:
            out = pathlib.Path(folder) / "out.json"
            code = subprocess.run([ROOT / "tools/chaos", "--backend", "sim", "--faults", cases.STOP, "--sites", str(phases),
                                   "--json", out], check=False).returncode
            result = json.loads(out.read_text())
        self.assertEqual(result["wrong"], [])
        self.assertEqual((code, result["held"], result["cases"], result["not_reached"]), (0, phases, phases, 0))


if __name__ == "__main__":
    unittest.main()
