"""A short tools/chaos on a real guest: as many points as the time allows, in the order of a new seed, which is printed."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


class ChaosLibvirtTest(unittest.TestCase):
    def test_what_the_time_allows_holds(self):
        with tempfile.TemporaryDirectory(prefix="vmkeep-chaos.") as folder:
            out = pathlib.Path(folder) / "out.json"
            code = subprocess.run([ROOT / "tools/chaos", "--backend", "libvirt", "--minutes", "1", "--json", out],
                                  check=False).returncode
            if code == 77:
                sys.exit(77)
            result = json.loads(out.read_text())
        self.assertEqual(result["wrong"], [])
        self.assertEqual((code, result["held"]), (0, result["points"]))
        self.assertGreater(result["points"], 3, "one minute and not even that")


if __name__ == "__main__":
    unittest.main()
