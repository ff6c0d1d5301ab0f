"""The benchmarks: that they run, say what they found in the form that is agreed, and do not let a wrong copy pass. Not that
anything is fast."""

import json
import os
import pathlib
import subprocess
import sys
import unittest

from harness import BIN, ROOT, scratch

sys.path.insert(0, str(ROOT / "tools/bench"))
from agent_log import windows

KEYS = {"id", "case", "metric", "ours", "rival", "rival_value", "ratio", "goal", "held"}

# The real worker, then one byte of what was published is another.
SPOILER = """#!/bin/sh
"{bin}/vmkeep-worker" || exit
find "{folder}" -path "*/vmkeep/0*" -name "{file}" | while read -r file; do
  printf '~' | dd of="$file" bs=1 seek=70 conv=notrunc status=none
done
"""

# libvirtd's, with the filter 1:qemu.qemu_agent; what is of other threads and other commands is left out by the reader.
AGENT_LOG = """\
2026-11-26 10:00:00.000+0000: 7: debug : qemuAgentCommandFull:1054 : Send command '{"execute":"guest-ping"}' for write, seconds = -2
2026-11-26 10:00:00.100+0000: 7: debug : qemuAgentCommandFull:1061 : Receive command reply ret=0 rxObject=0x7f
2026-11-26 10:00:01.000+0000: 8: debug : qemuAgentCommandFull:1054 : Send command '{"execute":"guest-fsfreeze-freeze"}' for write, seconds = -2
2026-11-26 10:00:01.020+0000: 7: debug : qemuAgentCommandFull:1054 : Send command '{"execute":"guest-info"}' for write, seconds = -2
2026-11-26 10:00:01.030+0000: 7: debug : qemuAgentCommandFull:1061 : Receive command reply ret=-1 rxObject=(nil)
2026-11-26 10:00:01.150+0000: 8: debug : qemuAgentCommandFull:1061 : Receive command reply ret=0 rxObject=0x7f
2026-11-26 10:00:01.151+0000: 9: debug : qemuAgentIO:700 : something else
2026-11-26 10:00:01.210+0000: 8: debug : qemuAgentCommandFull:1054 : Send command '{"execute":"guest-fsfreeze-thaw"}' for write, seconds = -2
2026-11-26 10:00:01.219+0000: 8: debug : qemuAgentCommandFull:1061 : Receive command reply ret=0 rxObject=0x7f
"""


def bench(name, *argv, **environment):
    return subprocess.run([ROOT / "tools/bench" / name, *map(str, argv)], capture_output=True, text=True, timeout=150,
                          stdin=subprocess.DEVNULL, env={**os.environ, "VMKEEP_BIN": str(BIN), **environment})


class CopyBench(unittest.TestCase):
    def test_what_it_writes(self):
        with scratch("vmkeep-test.") as folder:
            done = bench("copy", "--quick", "--size", 32, "--dir", folder, "--json", folder / "out.json")
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            *rows, about = json.loads((folder / "out.json").read_text())
            self.assertEqual([path.name for path in folder.iterdir()], ["out.json"])
        print(done.stdout)
        self.assertEqual((about["rounds"], about["quick"]), (3, True))
        self.assertIn("qemu-img", about["versions"]["qemu-img"])
        self.assertEqual({row["id"] for row in rows}, {"D1", "D2", "D3", "D6", "floor"} if os.geteuid() == 0 else {"D1", "D6", "floor"})
        for row in rows:
            self.assertEqual(KEYS, KEYS & row.keys(), row)
            self.check_row(row)

    def check_row(self, row):
        if row["id"] == "floor":
            self.assertIsNone(row["ours"], row)
            self.assertGreater(row["rival_value"], 0, row)
            return
        judged = row["ours"] if row["rival"] is None else row["ratio"]
        if row["rival"] is not None:
            # Of values that are rounded to milliseconds.
            self.assertAlmostEqual(row["ratio"], row["ours"] / row["rival_value"], delta=0.1 * row["ratio"])
            self.assertLessEqual(row["ours_spread"][0], row["ours"])
            self.assertGreaterEqual(row["ours_spread"][1], row["ours"])
        limit = float(row["goal"].removeprefix("<="))
        if abs(judged - limit) > 0.01:  # a rounded figure says nothing of its own edge
            self.assertEqual(row["held"], judged <= limit, row)

    def test_a_copy_that_is_not_its_source(self):
        for file, says in (("disk-vda.raw", "differs from"), ("disk-vda.raw.sha256", "is not the list of its digests")):
            with self.subTest(file), scratch("vmkeep-test.") as folder:
                spoiler = folder / "vmkeep-worker"
                spoiler.write_text(SPOILER.format(bin=BIN, folder=folder, file=file))
                spoiler.chmod(0o755)
                done = bench("copy", "--quick", "--size", 16, "--dir", folder, "--case", "vm raw", "--case", "disk, warm",
                             VMKEEP_BIN=str(folder))
                self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
                self.assertIn(says, done.stderr)

    def test_a_case_that_is_none(self):
        done = bench("copy", "--case", "nothing of that name")
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertIn("nothing of that name", done.stderr)


class FreezeBench(unittest.TestCase):
    def test_the_parts_of_a_window(self):
        (window,) = windows(AGENT_LOG)
        self.assertEqual([round(part, 3) for part in window], [0.15, 0.06, 0.009])

    def test_a_guest_that_stays_frozen(self):
        with self.assertRaisesRegex(ValueError, "not thawed"):
            windows("".join(AGENT_LOG.splitlines(keepends=True)[:6]))

    def test_a_freeze_that_failed(self):
        with self.assertRaisesRegex(ValueError, "failed"):
            windows(AGENT_LOG.replace("01.150+0000: 8: debug : qemuAgentCommandFull:1061 : Receive command reply ret=0",
                                      "01.150+0000: 8: debug : qemuAgentCommandFull:1061 : Receive command reply ret=-1"))


if __name__ == "__main__":
    unittest.main()
