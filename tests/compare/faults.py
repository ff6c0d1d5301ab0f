"""The fault list. Each fault is a function (stage, side) -> None that starts the backup, does the damage at its moment, and
ends it again; then the judge looks. The same code for both sides; where a side has another name for a thing, sides.py has it."""

import contextlib
import os
import signal
import time

from harness import LAB, run, virsh, wait_until

FAULTS = {}


class Fault:
    def __init__(self, name, play, quick, after=None, guest_off=False, **stage):
        self.name, self.play, self.quick, self.after, self.guest_off, self.stage = name, play, quick, after, guest_off, stage


def fault(name, quick=False, **how):
    def note(play):
        FAULTS[play.__name__] = Fault(name, play, quick, **how)
        return play
    return note


@contextlib.contextmanager
def held_in_copy(stage):
    """Whoever copies vda stands still meanwhile."""
    pid = stage.stopped_in_copy()
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@fault("no fault at all", quick=True)
def none(stage, side):
    side.start()


@fault("repository full in mid-copy", quick=True)
def full(stage, side):
    side.start()
    with held_in_copy(stage):
        stage.repository.fill()
    side.settle(60)
    stage.repository.make_room()


@fault("write error late: the repository's own storage is full", kind="thin")
def late_error(stage, side):
    side.start()
    with held_in_copy(stage):
        stage.repository.fill()
    side.settle(60)
    run("sync", "-f", stage.repository.path, check=False)  # what the kernel does by itself within half a minute
    stage.repository.make_room()


@fault("write error (EIO) near the end of the copy", kind="fuse")
def eio(stage, side):
    stage.repository.fail_writes("write vda EIO from=146800640")
    side.start()
    side.settle(60)
    stage.repository.fail_writes("")


@fault("repository not mounted")
def not_mounted(stage, side):
    stage.repository.unmount()
    side.start()
    side.settle(60)
    stage.repository.stray = sorted(str(p) for p in stage.repository.path.rglob("*") if p.is_file())
    for path in stage.repository.stray:
        os.unlink(path)
    stage.repository.mount()


@fault("repository read-only", kind="ext4")
def read_only(stage, side):
    stage.repository.read_only(True)
    side.start()
    side.settle(60)
    stage.repository.read_only(False)


@fault("repository hangs for 25 s in mid-copy", kind="ext4")
def hangs(stage, side):
    side.start()
    with held_in_copy(stage):
        stage.repository.hang()
    try:
        time.sleep(25)  # the fault itself; what matters is how the VM is at its end
        stage.on_overlay_while_hung = not stage.guest.on_own_disks()
    finally:
        stage.repository.go_on()


@fault("job killed in copy", quick=True)
def killed_in_copy(stage, side):
    side.start()
    with held_in_copy(stage):
        side.kill()
    side.restart()


@fault("job killed in the merge", cmdline="lab.writer=10 lab.load=16")
def killed_in_merge(stage, side):
    side.start()
    side.merging()
    side.kill()
    side.restart()


@fault("libvirtd killed in mid-copy")
def libvirtd_in_copy(stage, side):
    side.start()
    with held_in_copy(stage):
        run(LAB / "libvirtd-restart", "--kill")


@fault("libvirtd killed in the merge", cmdline="lab.writer=10 lab.load=16")
def libvirtd_in_merge(stage, side):
    side.start()
    side.merging()
    run(LAB / "libvirtd-restart", "--kill")


@fault("guest shut down in mid-copy", quick=True, guest_off=True)
def guest_off(stage, side):
    side.start()
    with held_in_copy(stage):
        virsh("shutdown", stage.guest.name)
        wait_until(lambda: "shut off" in stage.state(), "the guest is off", 60, 0.2)


@fault("merge fails: the disks' file system is full", host_mib=420)
def host_full(stage, side):
    side.start()
    filler = stage.home / ".filler"
    with held_in_copy(stage):
        time.sleep(2)  # guest writes, to be merged later
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
            while file.write(b"\1" * 65536) == 65536:
                pass
    side.settle(60)
    filler.unlink()


@fault("two jobs on one VM")
def two_jobs(stage, side):
    side.start()
    with held_in_copy(stage):
        side.start()
        time.sleep(1)


@fault("no guest agent", agent=False)
def no_agent(stage, side):
    side.start()


def flip(stage, side, verdict):
    """One bit, in the middle of what was copied of vda, behind everybody's back."""
    backups = side.presented()
    if not backups:
        return
    image, _ = backups[0]["vda"]
    image.chmod(0o600)
    with open(image, "r+b") as file:
        file.seek(100 << 20)
        byte = file.read(1)
        file.seek(100 << 20)
        file.write(bytes([byte[0] ^ 1]))
    if not side.notices(backups[0]):
        verdict.add("UNNOTICED", "one bit of vda was flipped; there is nothing to compare the copy with")


@fault("a bit of the copy flips afterwards", after=flip)
def bit(stage, side):
    side.start()
