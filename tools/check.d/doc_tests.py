#!/usr/bin/python3 -B
"""docs/reliability.md says which test shows what: each test, suite and file that it names must be there."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def names():
    """Every test of the tree, as Suite.Name; every suite; every file of tests/system by its stem; every
    test program, as ctest has it."""
    found = set()
    for source in (ROOT / "tests").rglob("*.cc"):
        for suite, name in re.findall(r"^TEST(?:_[FP])?\((\w+),\s*(\w+)\)", source.read_text(), re.MULTILINE):
            found |= {suite, f"{suite}.{name}"}
    for lists in (ROOT / "tests").rglob("CMakeLists.txt"):
        found |= set(re.findall(r"(?:vmkeep_\w*test|add_test)\((?:NAME )?(\w+)", lists.read_text()))
    for source in (ROOT / "tests/system").glob("*_test.py"):
        found.add(source.stem)
        for line in source.read_text().splitlines():
            if match := re.match(r"class (\w+)", line):
                suite = match[1]
                found.add(suite)
            elif match := re.match(r"    def (test_\w+)", line):
                found.add(f"{suite}.{match[1]}")
    return found


def main():
    page = ROOT / "docs/reliability.md"
    known, red = names(), []
    faults = set(re.findall(r"^def (\w+)\(stage, side\)", (ROOT / "tests/compare/faults.py").read_text(), re.MULTILINE))
    for number, line in enumerate(page.read_text().splitlines(), 1):
        for name in re.findall(r"`([A-Z]\w*(?:Test|Contract)(?:\.\w+)?|\w+_test)`", line):
            if name not in known:
                red.append(f"{page.relative_to(ROOT)}:{number}: there is no test {name}")
        for words in re.findall(r"compare ((?:`\w+`(?:, )?)+)", line):
            red += [f"{page.relative_to(ROOT)}:{number}: tools/compare has no fault {name}"
                    for name in re.findall(r"`(\w+)`", words) if name not in faults]
    print("\n".join(red), end="\n" if red else "")
    return 1 if red else 0


if __name__ == "__main__":
    sys.exit(main())
