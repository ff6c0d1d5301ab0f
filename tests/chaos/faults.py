"""The folder between the harness and the fault points of our processes: see common/fault_point/fault_point.h."""

import collections
import os
import pathlib
import time

Hit = collections.namedtuple("Hit", "program pid point kind action")


class Faults:
    """One site's fault folder. Daemons and workers find it by VMKEEP_FAULT_DIR."""

    def __init__(self, folder):
        self.dir = pathlib.Path(folder)
        self.dir.mkdir(exist_ok=True)

    def plan(self, *lines):
        """From now on: lines of "ACTION POINT N". Hits count from here."""
        for stale in self.dir.glob("hit.*"):
            stale.unlink(missing_ok=True)
        beside = self.dir / "plan.new"
        beside.write_text("".join(line + "\n" for line in lines))
        os.rename(beside, self.dir / "plan")

    def clear(self):
        """No plan any more, and nothing is held: the plan goes first, as fault_point.cc wants it."""
        (self.dir / "plan").unlink(missing_ok=True)
        for held in [*self.dir.glob("held.*"), *self.dir.glob("hit.*")]:
            held.unlink(missing_ok=True)

    def holder(self, point):
        """(program, pid) of the process that is held at the point, or None."""
        try:
            program, pid = (self.dir / f"held.{point}").read_text().split()
        except FileNotFoundError:
            return None
        return program, int(pid)

    def release(self, point):
        (self.dir / f"held.{point}").unlink(missing_ok=True)

    def mark(self):
        """Where the trace ends now."""
        try:
            return (self.dir / "trace").stat().st_size
        except FileNotFoundError:
            return 0

    def trace(self, since=0):
        """The hits after a mark(), in order."""
        try:
            with open(self.dir / "trace") as file:
                file.seek(since)
                lines = file.read().splitlines()
        except FileNotFoundError:
            return []
        hits = []
        for line in lines:
            program, pid, point, _, kind, *action = line.split()
            hits.append(Hit(program, int(pid), point, kind, action[0] if action else ""))
        return hits

    def acted(self, point, since):
        """Whether the planned fault happened."""
        return any(hit.point == point and hit.action for hit in self.trace(since))


def wait(condition, seconds, interval=0.01):
    """The value of `condition` once it is true, or the last one after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(interval)
