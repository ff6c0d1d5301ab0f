"""Where one fault is played: a guest with two disks that writes numbered records, and a repository that can go wrong.

Everything is real: libvirt, QEMU, file systems, SIGKILL. The repository is a tmpfs or an ext4 on a loop device; that stands
in for a NAS, which is said where figures are shown."""

import contextlib
import hashlib
import os
import pathlib
import signal
import subprocess
import sys
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from faultfs import FaultFs
from harness import Guest, run, scratch, virsh, wait_until

MIB = 1 << 20
DISKS = [("vda", "raw", "256M", 160), ("vdb", "qcow2", "128M", 24)]
DATA = 160 * MIB  # of vda: what a copy of it has to move at least


class Repository:
    """Mounted at `path`. kind: tmpfs; ext4; thin, an ext4 whose own storage can run dry, so that writes fail late; or fuse, a
    folder behind tests/faultfs."""

    def __init__(self, stack, folder, kind):
        self.path, self.kind, self.folder = folder / "repository", kind, folder
        self.path.mkdir()
        self.device = self.fuse = None
        self.filler = folder / "storage/filler" if kind == "thin" else self.path / ".filler"
        stack.callback(self._drop)
        if kind == "fuse":
            self.fuse = FaultFs(self.path, folder / "faultfs")
            stack.callback(self.fuse.close)
            return
        if kind != "tmpfs":
            storage = folder / "storage"
            storage.mkdir()
            run("mount", "-t", "tmpfs", "-o", "size=900m", "tmpfs", storage)
            image = storage / "image"
            with open(image, "wb") as file:
                file.truncate(800 * MIB)
            # No journal: an error of one write stays one of that write, as on a NAS, and does not end the file system.
            run("mkfs.ext4", "-q", "-O", "^has_journal", "-E", "nodiscard,lazy_itable_init=0", image)
            self.device = run("losetup", "--find", "--show", image).stdout.strip()
        self.mount()

    def mount(self):
        if self.device:
            run("mount", "-t", "ext4", "-o", "errors=continue", self.device, self.path)
        else:
            run("mount", "-t", "tmpfs", "-o", "size=800m", "tmpfs", self.path)

    def unmount(self):
        run("umount", self.path)

    def fail_writes(self, rule):
        """kind fuse: a rule of tests/faultfs/main.cc; "" for none."""
        self.fuse.fault(*([rule] if rule else []))

    def reread(self):
        """Forgets what this host has in its cache: afterwards the repository says what another host would see."""
        if self.device and os.path.ismount(self.path):
            self.unmount()
            self.mount()

    def fill(self):
        # What is there already stays: only what comes now is too much, or a full storage would cost the file system itself.
        run("sync", "-f", self.path)
        with contextlib.suppress(OSError), open(self.filler, "wb", buffering=0) as filler:
            for size in (MIB, 4096, 1):
                with contextlib.suppress(OSError):
                    while filler.write(b"\1" * size) == size:
                        pass

    def make_room(self):
        self.filler.unlink(missing_ok=True)

    def read_only(self, yes):
        run("mount", "-o", "remount,ro" if yes else "remount,rw", self.path)

    def hang(self):
        """Every write waits, and so does whoever writes, deaf to SIGKILL; at most 90 s, whatever becomes of us."""
        self._thaw = subprocess.Popen(["sh", "-c", 'sleep 90; fsfreeze -u "$0"', self.path], start_new_session=True,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        run("fsfreeze", "-f", self.path)

    def go_on(self):
        run("fsfreeze", "-u", self.path, check=False)
        os.killpg(self._thaw.pid, signal.SIGKILL)
        self._thaw.wait()

    def _drop(self):
        if self.fuse:
            return
        if os.path.ismount(self.path):
            wait_until(lambda: run("umount", self.path, check=False).returncode == 0
                       or not os.path.ismount(self.path), "the repository is unmounted", 30, 0.2)
        if self.device:
            run("losetup", "--detach", self.device, check=False)
        if self.kind != "tmpfs":
            run("umount", "-l", self.folder / "storage", check=False)


class Stage:
    """One guest and one repository, new for each fault and side."""

    def __init__(self, stack, folder, kind="tmpfs", agent=True, cmdline="lab.writer=10", host_mib=None):
        self.dir = pathlib.Path(folder)
        self.home = self.dir / "vm"
        if host_mib:  # the disks' own file system is small
            self.home.mkdir(mode=0o711)
            run("mount", "-t", "tmpfs", "-o", f"size={host_mib}m,mode=0711", "tmpfs", self.home)
            stack.callback(lambda: run("umount", "-l", self.home, check=False))
        self.guest = Guest(self.home, "web-1", str(uuid.uuid4()), DISKS, agent=agent, cmdline=cmdline)
        stack.callback(self.guest.remove)
        self.seeds = {target: seed_of(path, fmt) for target, (fmt, path) in self.guest.disks.items()}
        self.repository = Repository(stack, self.dir, kind)
        self.guest.start(wait_agent=agent)
        wait_until(lambda: min(self.guest.acknowledged().values()) >= 3, "the guest writes", 90)

    def stopped_in_copy(self, least=16 * MIB):
        """Waits until somebody has copied a part of vda into the repository, and stops him there: (pids, file)."""
        def look():
            for pid, path in writers(self.repository.path):
                with contextlib.suppress(OSError):
                    if "vda" in path and os.stat(path).st_blocks * 512 >= least:
                        os.kill(pid, signal.SIGSTOP)
                        return pid, path
            return None

        pid, path = wait_until(look, "somebody copies vda", 60, 0.002)
        copied = os.stat(path).st_blocks * 512
        assert copied < DATA - 8 * MIB, f"too fast: {copied >> 20} MiB of vda were copied before it could be stopped"
        return pid

    def guest_goes_on(self, seconds=15):
        now = self.guest.acknowledged()
        try:
            wait_until(lambda: all(self.guest.acknowledged()[t] > n for t, n in now.items()), "", seconds, 0.2)
            return True
        except AssertionError:
            return False

    def state(self):
        return virsh("domstate", self.guest.name, check=False).stdout.strip()


def writers(folder):
    """(pid, path) of every open file below `folder` that is open for writing."""
    found = []
    for pid in (int(p) for p in os.listdir("/proc") if p.isdigit()):
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    path = os.readlink(f"/proc/{pid}/fd/{fd}")
                    if not path.startswith(f"{folder}/"):
                        continue
                    flags = int(pathlib.Path(f"/proc/{pid}/fdinfo/{fd}").read_text().split("flags:")[1].split()[0], 8)
                    if flags & os.O_ACCMODE != os.O_RDONLY:
                        found.append((pid, path))
    return found


def seed_of(image, fmt):
    """SHA-256 of the file /seed in this image's file system: content that the guest never touches."""
    with scratch("seed.") as work:
        disk = pathlib.Path(image)
        if fmt == "qcow2":
            run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", disk, work / "disk")
            disk = work / "disk"
        run("debugfs", "-R", f"dump /seed {work / 'seed'}", disk)
        return hashlib.sha256((work / "seed").read_bytes()).hexdigest() if (work / "seed").exists() else "no seed"
