"""tools/bench/freeze on a real guest, two rounds: that it runs, finds each freeze, and writes what is agreed."""

import json
import unittest

from bench_test import KEYS, bench
from harness import scratch


class FreezeBench(unittest.TestCase):
    def test_what_it_writes(self):
        with scratch("vmkeep-test.") as folder:
            done = bench("freeze", "--quick", "--json", folder / "out.json")
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            *rows, about = json.loads((folder / "out.json").read_text())
        print(done.stdout)
        self.assertEqual(about["rounds"], 2)
        for row in rows:
            self.assertEqual(KEYS, KEYS & row.keys(), row)
            self.assertEqual(row["id"], "D7")
            self.assertGreater(row["ours"], 0, row)
            self.assertGreater(row["rival_value"], 0, row)
        median, p99, window, guest = rows
        self.assertGreaterEqual(p99["ours"], median["ours"])
        # The parts are parts of the whole, of each kind two rounds whose medians are their means.
        self.assertAlmostEqual(window["ours"], median["ours"] + guest["ours"], delta=0.2)
        self.assertEqual([row["held"] for row in (median, p99)], [median["ours"] <= 50, p99["ours"] <= 100])


if __name__ == "__main__":
    unittest.main()
