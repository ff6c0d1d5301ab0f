"""Judges from outside what became of the VM, of its data and of the repository. It knows nothing of either side's insides.

Each thing found wrong is one of KINDS. A backup that was not made is nothing wrong by itself, as long as it is said; what is
presented as a backup must be one."""

import pathlib
import re
import subprocess

from harness import LAB, run, wait_until
from sides import FAILURE, SILENCE, SUCCESS
from stage import seed_of

KINDS = {
    "LOST": "guest writes that were acknowledged are gone",
    "OVERLAY": "the VM is left on an overlay",
    "GUEST": "the guest does not run on",
    "FALSE_SUCCESS": "it says success, and there is no whole backup, or the VM is not as before",
    "FALSE_FAILURE": "it says failure, and shows a whole backup all the same",
    "NO_WORD": "nobody is told how it ended",
    "BAD_BACKUP": "what is shown as a backup is none",
    "LEFTOVER": "files are left behind",
    "UNNOTICED": "a damaged backup cannot be told from a whole one",
}


class Verdict:
    def __init__(self):
        self.wrong, self.claims, self.whole = [], [], 0

    def add(self, kind, detail):
        assert kind in KINDS, kind
        self.wrong.append({"what": kind, "detail": detail})


def judge(stage, side, at_request, guest_off=False, seconds=90):
    """After the fault is over. `at_request`: what the guest had acknowledged when the (first) backup was asked for."""
    verdict = Verdict()
    verdict.claims = side.settle(seconds)
    judge_vm(stage, side, verdict, guest_off)
    judge_repository(stage, side, verdict, at_request)
    judge_claims(verdict)
    return verdict


def judge_vm(stage, side, verdict, guest_off):
    guest = stage.guest
    try:
        wait_until(lambda: guest.on_own_disks() and not overlays(stage), "", side.patience, 0.2)
    except AssertionError:
        pass
    sources = guest.top_sources()
    if not guest.on_own_disks():
        verdict.add("OVERLAY", "its disks are " + ", ".join(f"{t}={pathlib.Path(p).name}" for t, p in sorted(sources.items())))
    if not guest_off and not ("running" in stage.state() and stage.guest_goes_on()):
        verdict.add("GUEST", f"it is {stage.state() or 'gone'} and writes no more")
    acknowledged = guest.acknowledged()
    if "running" in stage.state() or "paused" in stage.state():
        guest.power_off()
    # Where the definition says that its disks are: what the next start would find.
    for target, source in guest.top_sources().items():
        fmt, own = guest.disks[target]
        problem = records_problem(source, f"data-{target}", fmt if source == str(own) else "qcow2", acknowledged[target])
        if problem:
            verdict.add("LOST", f"{target}: {problem}")
    left = [p for p in overlays(stage) if str(p) not in guest.top_sources().values()]
    if left:
        verdict.add("LEFTOVER", "overlays: " + ", ".join(p.name for p in left))


def overlays(stage):
    """All beside the disks that is neither a disk nor the lab's."""
    own = {p for _, p in stage.guest.disks.values()}
    return [p for p in stage.home.glob("vd*") if p not in own]


def judge_repository(stage, side, verdict, at_request):
    stage.repository.reread()
    console = stage.home / f"{stage.guest.name}.console"
    for backup in side.presented():
        problem = backup_problem(stage, backup, at_request, console)
        if problem:
            verdict.add("BAD_BACKUP", problem)
        else:
            verdict.whole += 1
    unfinished = side.unfinished()
    if unfinished:
        verdict.add("LEFTOVER", "in the repository: " + ", ".join(pathlib.Path(p).name for p in unfinished))


def judge_claims(verdict):
    bad = [w["what"] for w in verdict.wrong if w["what"] in ("LOST", "OVERLAY", "GUEST", "BAD_BACKUP")]
    successes = verdict.claims.count(SUCCESS)
    if successes > verdict.whole:
        verdict.add("FALSE_SUCCESS", f"{successes} said to be made, {verdict.whole} there and whole")
    elif successes and bad:
        verdict.add("FALSE_SUCCESS", "said to be made, with " + " and ".join(sorted(set(bad))))
    if verdict.whole > successes and FAILURE in verdict.claims:
        verdict.add("FALSE_FAILURE", f"{successes} said to be made, {verdict.whole} there and whole")
    if SILENCE in verdict.claims:
        verdict.add("NO_WORD", "neither success nor failure")


def records_problem(image, label, fmt, at_least):
    """None, or why the guest's numbered records are not all there."""
    if not pathlib.Path(image).exists():
        return f"{pathlib.Path(image).name} is not there"
    done = subprocess.run([LAB / "records-check", image, label, "--format", fmt, "--at-least", str(at_least)],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return None if done.returncode == 0 else done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "unreadable"


def backup_problem(stage, backup, at_request, console):
    """None, or why this is not a whole copy of the VM at one instant, not before the request."""
    last = {}
    for target, (image, fmt) in backup.items():
        if not image.exists():
            return f"{image.name} is not there"
        problem = records_problem(image, f"data-{target}", fmt, at_request[target])
        if problem:
            return f"{target}: {problem}"
        try:
            if seed_of(image, fmt) != stage.seeds[target]:
                return f"{target}: content that was never changed differs"
        except AssertionError as error:
            return f"{target}: cannot be read: {error}"
        last[target] = last_record(image, target, fmt)
    return instant_problem(last, console.read_text(errors="replace"))


def last_record(image, target, fmt):
    out = run(LAB / "records-check", image, f"data-{target}", "--format", fmt).stdout
    return int(re.search(r'"last":(\d+)', out)[1])


def instant_problem(last, console):
    """The guest writes record by record, each after the last one's acknowledgement, to both disks by turns of its own. If
    record n+1 of one disk was acknowledged before record m of the other was begun, no instant has n as the last of one and
    m of the other."""
    acks = re.findall(r"^ack (vd[a-z]) (\d+)\s*$", console, re.MULTILINE)
    at = {(target, int(number)): line for line, (target, number) in enumerate(acks)}
    for one, n in last.items():
        for other, m in last.items():
            after, begun = at.get((one, n + 1)), at.get((other, m - 1))
            if one != other and after is not None and begun is not None and after < begun:
                return f"no one instant: {one} ends with record {n}, and {other} has {m}, begun later than {one}'s {n + 1}"
    return None
