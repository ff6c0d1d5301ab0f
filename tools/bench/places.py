"""Where copies are written: a folder, and the truth about the file system below it."""

import contextlib
import os
import pathlib
import shutil
import tempfile

from contest import run


class Unavailable(Exception):
    """This place cannot be had on this machine; says why."""


def file_system(folder):
    # Not `stat -f`, which knows ext2, ext3 and ext4 by one name.
    # Of mounts on top of each other the last one is what is seen.
    return run("findmnt", "-no", "FSTYPE", "-T", folder).split()[-1]


@contextlib.contextmanager
def folder(parent):
    """A private folder below `parent` (None: where temporary files go), removed at the end."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="vmkeep-bench.", dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def memory():
    """A folder of a tmpfs: no disk, so that only the processor is measured."""
    if not os.path.isdir("/dev/shm") or file_system("/dev/shm") != "tmpfs":
        raise Unavailable("/dev/shm is no tmpfs")
    with folder("/dev/shm") as path:
        yield path


@contextlib.contextmanager
def loop(parent, kind, size):
    """A new file system of that kind in a file below `parent`, on a loop device that writes past the page cache."""
    mkfs = shutil.which(f"mkfs.{kind}", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if os.geteuid() != 0:
        raise Unavailable("mounts need root")
    if not mkfs:
        raise Unavailable(f"there is no mkfs.{kind}")
    with folder(parent) as path, contextlib.ExitStack() as undo:
        image, mount = path / "image", path / "mount"
        with open(image, "wb") as file:
            file.truncate(size)
        run(mkfs, "-q", image)
        device = run("losetup", "--find", "--show", "--direct-io=on", image).strip()
        undo.callback(run, "losetup", "--detach", device)
        mount.mkdir()
        run("mount", "-t", kind, device, mount)
        undo.callback(run, "umount", mount)
        yield mount
