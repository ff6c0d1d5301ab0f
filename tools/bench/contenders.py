"""Who copies: ours, and what people use instead. Each has `clear()`, which removes what it wrote, and `copy()`, a generator
for contest.take_turns()."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

from contest import bounded, run

HERE = pathlib.Path(__file__).resolve().parent
BIN = pathlib.Path(os.environ.get("VMKEEP_BIN", HERE.parents[1] / "build/dev/bin"))

REPOSITORY = "00000000-0000-4000-8000-00000000be7c"
VM = "00000000-0000-4000-8000-000000000001"
TASK = "01890000-0000-7000-8000-00000000be7c"
BACKUP = "01890000-0000-7000-8000-0000000000ba"


def flush(path):
    for one, flags in ((path, os.O_RDONLY), (path.parent, os.O_RDONLY | os.O_DIRECTORY)):
        fd = os.open(one, flags)
        os.fsync(fd)
        os.close(fd)


def same_content(fmt, source, copy):
    """qemu-img's word: what a guest sees in both is the same."""
    run("qemu-img", "compare", "-s", "-f", fmt, "-F", fmt, source, copy) if fmt != "raw" else \
        run(sys.executable, HERE / "images.py", "same", source, copy)


class Ours:
    """One disk, by the worker's own jobs: copied, hashed, flushed, then published with its manifest."""

    def __init__(self, source, fmt, place):
        self.source, self.fmt, self.root = source, fmt, place / "repository"
        self.root.mkdir()
        self.peak_bytes = 0
        self.repository = {"root": str(self.root), "id": REPOSITORY}
        self._job({"init_repository": {"repository": self.repository, "allow_plain_directory": True}})

    def copy(self):
        self.copied = self._job({"copy": {"repository": self.repository, "incoming": f"{TASK}.1", "source": str(self.source),
                                          "format": self.fmt, "file": f"disk-vda.{self.fmt}"}})["copy"]
        disk = {"target": "vda", "file": f"disk-vda.{self.fmt}", "format": self.fmt, "digest": self.copied["digest"],
                "file_bytes": self.copied["file_bytes"], "data_bytes": self.copied.get("data_bytes", 0)}
        manifest = {"format_version": 1, "backup_id": BACKUP, "task_id": TASK, "epoch": 1, "vm": {"uuid": VM},
                    "repository": {"id": REPOSITORY}, "disks": [disk]}
        self._job({"publish": {"repository": self.repository, "incoming": f"{TASK}.1", "manifest": manifest}})
        yield "ours"

    def check(self):
        """Exits when the backup is not its source, by other means than ours."""
        copy = self.root / "vmkeep" / VM / BACKUP / f"disk-vda.{self.fmt}"
        run(sys.executable, HERE / "images.py", "same", self.source, copy, self.copied["digest"]["root"])

    def clear(self):
        for below in (".incoming", VM):
            shutil.rmtree(self.root / "vmkeep" / below, ignore_errors=True)

    def _job(self, request):
        # The end of stdin would cancel the job: it stays open until the end.
        worker = subprocess.Popen(bounded(BIN / "vmkeep-worker"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        worker.stdin.write(json.dumps(request) + "\n")
        worker.stdin.flush()
        lines = [json.loads(line) for line in worker.stdout]
        _, status, usage = os.wait4(worker.pid, 0)
        worker.returncode = os.waitstatus_to_exitcode(status)
        worker.stdin.close()
        worker.stdout.close()
        if worker.returncode != 0 or not lines or "result" not in lines[-1]:
            sys.exit(f"vmkeep-worker ended with {worker.returncode}: {lines[-1:]}")
        self.peak_bytes = max(self.peak_bytes, usage.ru_maxrss << 10)
        return lines[-1]["result"]


class Convert:
    """qemu-img convert, which proves nothing; then openssl over source and copy, which does."""

    def __init__(self, source, fmt, place, hashes=True):
        self.source, self.fmt, self.target, self.hashes = source, fmt, place / "converted", hashes

    def copy(self):
        run("qemu-img", "convert", "-f", self.fmt, "-O", self.fmt, self.source, self.target)
        flush(self.target)
        yield "convert"
        if self.hashes:
            run("openssl", "dgst", "-sha256", self.source)
            run("openssl", "dgst", "-sha256", self.target)
            yield "convert, hash"

    def check(self):
        same_content(self.fmt, self.source, self.target)

    def clear(self):
        self.target.unlink(missing_ok=True)


class CopyTwice:
    """As scripts do that copy into a working folder first, and from there to where it stays; holes kept."""

    def __init__(self, source, place):
        self.source, self.working, self.target = source, place / "working", place / "final"

    def copy(self):
        for source, target in ((self.source, self.working), (self.working, self.target)):
            run("cp", "--sparse=always", source, target)
            flush(target)
        yield "cp twice"

    def check(self):
        same_content("raw", self.source, self.target)

    def clear(self):
        for path in (self.working, self.target):
            path.unlink(missing_ok=True)
