#!/usr/bin/python3
"""clang-tidy on the sources that a change touches, with a memory of what was already found clean.

  tidy.py [--base REV | --all]

The change is everything since the merge base with REV, the working tree and new files included. REV is --base, else
$VMKEEP_CHECK_BASE, else HEAD~1; where it does not exist (a shallow clone, a first commit) all sources are checked, as
they are when .clang-tidy changed. A changed header stands for the .cc beside it, or else for the first that includes
it. What was clean is remembered in ${VMKEEP_CACHE:-.cache}/tidy by the content of every file the compiler reads, and
of the configuration.
"""

import argparse
import functools
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BUILD = Path("build/dev")
CACHE = Path(os.environ.get("VMKEEP_CACHE", ".cache")) / "tidy"
JOBS = int(os.environ.get("VMKEEP_TIDY_JOBS", "2"))
CONFIG = ".clang-tidy"
# The build is gcc's: its warning names need not be clang's, and which warnings count is said in .clang-tidy alone.
TIDY = ["clang-tidy-19", "--quiet", "-p", str(BUILD), "--extra-arg=-Wno-unknown-warning-option",
        "--extra-arg=-Wno-error"]
PER_FILE_SECONDS = 600


def lines_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def prepare(*command):
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if run.returncode != 0:
        sys.exit(f"{run.stdout}{shlex.join(command)} failed")


def changed_files(base):
    """Paths changed since the merge base with `base`, or None where there is no such commit."""
    found = subprocess.run(["git", "merge-base", base, "HEAD"], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        return None
    return set(lines_of("git", "diff", "--name-only", "--diff-filter=d", found.stdout.strip())
               + lines_of("git", "ls-files", "-o", "--exclude-standard"))


def compile_commands():
    """Path below the repository -> the compiler's arguments; generated sources left out."""
    top = Path.cwd().resolve()
    commands = {}
    for entry in json.loads((BUILD / "compile_commands.json").read_text(encoding="utf-8")):
        path = Path(entry["directory"], entry["file"]).resolve()
        if path.is_relative_to(top) and not path.is_relative_to(top / "build"):
            commands[str(path.relative_to(top))] = shlex.split(entry["command"])
    return commands


def sources_for(changed, commands):
    """The sources whose check covers the changed files."""
    wanted = set()
    for path in sorted(changed):
        if path in commands:
            wanted.add(path)
        elif path.endswith(".cc"):
            print(f"  {path}: in no target of {BUILD}, not checked")
        elif path.endswith(".h"):
            beside = path[:-2] + ".cc"
            include = f'#include "{path}"'
            users = [beside] if beside in commands else [
                source for source in sorted(commands)
                if include in Path(source).read_text(encoding="utf-8")]
            if users:
                wanted.add(users[0])
            else:
                print(f"  {path}: no source includes it, not checked")
    return sorted(wanted)


@functools.lru_cache(maxsize=None)
def digest_of(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def fingerprint(files):
    whole = hashlib.sha256()
    for path in files:
        whole.update(f"{path}\0{digest_of(path)}\n".encode())
    return whole.hexdigest()


def files_read(source, arguments):
    """Every file the compiler reads for `source`, or None where it does not compile."""
    flags = iter(arguments[arguments.index(next(a for a in arguments if a.startswith("-"))):])
    kept = []
    for flag in flags:
        if flag in ("-o", "-MF", "-MT", "-MQ"):
            next(flags)
        elif flag not in ("-c", "-MD", "-MMD", "--"):
            kept.append(flag)
    listing = subprocess.run(["clang++-19", *kept, "-w", "-M"], cwd=BUILD, capture_output=True, text=True, check=False)
    if listing.returncode != 0:
        return None
    names = re.split(r"(?<!\\)\s+", listing.stdout.replace("\\\n", " ").split(":", 1)[1].strip())
    return sorted({os.path.realpath(BUILD / name.replace("\\ ", " ")) for name in names if name})


def tidy(source, arguments):
    """(verdict, seconds, findings) of one source; verdict is clean, remembered or red."""
    started = time.monotonic()
    version = lines_of("clang-tidy-19", "--version")
    key = hashlib.sha256(repr((source, arguments, version, TIDY, digest_of(CONFIG))).encode()).hexdigest()
    record = CACHE / f"{key}.json"
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
        if fingerprint(known["files"]) == known["fingerprint"]:
            return "remembered", time.monotonic() - started, ""
    except (OSError, ValueError, KeyError):
        pass  # nothing known, or a file it read is gone
    files = files_read(source, arguments)
    before = fingerprint(files) if files else None
    run = subprocess.run([*TIDY, source], capture_output=True, text=True, check=False, timeout=PER_FILE_SECONDS)
    if run.returncode != 0:
        return "red", time.monotonic() - started, run.stdout or run.stderr
    if before:
        # Written beside and renamed, so that two runs at once never read half a record.
        fresh = record.with_suffix(f".{os.getpid()}.tmp")
        fresh.write_text(json.dumps({"files": files, "fingerprint": before}), encoding="utf-8")
        fresh.replace(record)
    return "clean", time.monotonic() - started, ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default=os.environ.get("VMKEEP_CHECK_BASE") or "HEAD~1")
    parser.add_argument("--all", action="store_true", help="every source, changed or not")
    options = parser.parse_args()

    changed = None if options.all else changed_files(options.base)
    if changed is not None and CONFIG not in changed and not any(p.endswith((".cc", ".h")) for p in changed):
        print(f"  no source changed since {options.base}")
        return 0
    # Also configures again where a CMakeLists.txt is newer, so that compile_commands.json knows every source.
    if not (BUILD / "build.ninja").exists():
        prepare("cmake", "--preset", "dev")
    prepare("cmake", "--build", str(BUILD), "--target", "vmkeep_protos")

    commands = compile_commands()
    everything = changed is None or CONFIG in changed
    sources = sorted(commands) if everything else sources_for(changed, commands)
    print(f"  {len(sources)} sources ({'all' if everything else 'changed since ' + options.base})")
    CACHE.mkdir(parents=True, exist_ok=True)
    red = 0
    with ThreadPoolExecutor(JOBS) as pool:
        for source, (verdict, seconds, findings) in zip(
                sources, pool.map(lambda s: tidy(s, commands[s]), sources), strict=True):
            if verdict != "remembered":
                print(f"  {seconds:5.1f} s  {verdict:5}  {source}", flush=True)
            red += verdict == "red"
            print(findings, end="")
    return 1 if red else 0


if __name__ == "__main__":
    sys.exit(main())
