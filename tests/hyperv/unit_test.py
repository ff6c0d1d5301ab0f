"""The unit tests of what is another source on Windows (files, child processes, the service), as Windows programs under wine."""

import pathlib
import re
import sys
import tempfile
import unittest

import host
from wine import Prefix
from windows_site import WINDOWS_BIN

PROGRAMS = sorted((WINDOWS_BIN.parent / "tests").glob("*_test.exe"))


class WindowsUnitTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="vmkeep-unit-")
        cls.addClassCleanup(folder.cleanup)
        cls.prefix = Prefix(pathlib.Path(folder.name) / "wine", host.set_up()[2])
        cls.addClassCleanup(cls.prefix.close)

    def run_program(self, program):
        done = self.prefix.run(program, timeout=240)
        print(done.stdout)
        self.assertEqual(done.returncode, 0, f"{program.name}\n{done.stdout}\n{done.stderr}")
        ran = re.search(r"\[==========\] (\d+) tests? from .* ran\.", done.stdout)
        self.assertTrue(ran and int(ran[1]) > 0, f"{program.name} ran no test\n{done.stdout}")


for one in PROGRAMS:
    setattr(WindowsUnitTest, f"test_{one.stem}", lambda self, program=one: self.run_program(program))


if __name__ == "__main__":
    host.need_windows()
    if not PROGRAMS:
        print(f"!!! SKIPPED: {sys.argv[0]}: no *_test.exe beside {WINDOWS_BIN} (tools/windows/build --tests)")
        sys.exit(77)
    unittest.main()
