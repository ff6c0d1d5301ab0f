"""The two that are compared: how each is started, killed, started again, and what it says of itself."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time

from harness import Site, check_published, run, wait_until

SUCCESS, FAILURE, SILENCE = "success", "failure", "nothing"


class Script:
    """tests/compare/plain-backup. What it says: its last line, or that it ended with an error."""

    name = "script"

    def __init__(self, stack, stage):
        self.stage, self.jobs = stage, []
        self.log = stage.dir / "script.log"
        stack.callback(self.kill)

    def start(self):
        with open(self.log, "ab") as log:
            self.jobs.append(subprocess.Popen([pathlib.Path(__file__).parent / "plain-backup", self.stage.guest.name,
                                               self.stage.repository.path], start_new_session=True,
                                              stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        return self.jobs[-1]

    def merging(self):
        """Waits until the commit of vda runs."""
        def look():
            for pid in (int(p) for p in os.listdir("/proc") if p.isdigit()):
                with contextlib.suppress(OSError):
                    if (b"blockcommit" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
                            and os.getsid(pid) == self.jobs[0].pid):
                        return True
            return False

        wait_until(look, "the merge runs", 60, 0.001)

    def kill(self):
        for job in self.jobs:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(job.pid, signal.SIGKILL)

    def restart(self):
        """Nobody starts a script again before the next night."""

    def settle(self, seconds):
        """Waits for the end of what was started; what it says of each run."""
        deadline = time.monotonic() + seconds
        return [self._claim(job, deadline) for job in self.jobs]

    def _claim(self, job, deadline):
        try:
            code = job.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return SILENCE
        # One job writes after the other into one log: only the exit code is surely this one's.
        return SUCCESS if code == 0 and "completed successfully" in self.log.read_text() else FAILURE

    patience = 3  # to leave the overlay, after it ended

    def presented(self):
        """Every folder that looks like a backup: target -> (image, format)."""
        found = []
        for folder in sorted((self.stage.repository.path / self.stage.guest.name).glob("*")):
            found.append({target: (folder / path.name, fmt) for target, (fmt, path) in self.stage.guest.disks.items()})
        return found

    def unfinished(self):
        return [str(p) for p in (self.stage.repository.path / "work").glob("*")]

    def notices(self, backup):
        """Whether what it offers to check a backup finds something wrong: it offers nothing."""
        return False

    def says_why(self):
        return self.log.read_text().splitlines()[-1] if self.log.read_text() else ""


class Vmkeep:
    """The real daemons, and vmkeepctl. What it says: the state of its record."""

    name = "vmkeep"

    def __init__(self, stack, stage):
        self.stage, self.jobs, self.refused = stage, [], ""
        self.site = Site(stage.dir / "site", executor_flags=[
            f"--repository_primary={stage.repository.path}", "--overlay_reserve_bytes=67108864", "--stall_timeout=5s"])
        for daemon in (self.site.executor, self.site.controller):
            stack.callback(lambda d=daemon: d.alive() and d.kill())
        self.site.start()
        self.site.ctl("repo", "init", "kvm-1", 1)
        wait_until(lambda: self.site.json("vm", "list").get("vms"), "the VM is listed", 60)

    def start(self):
        done = self.site.ctl("--json", "backup", "create", self.stage.guest.name, f"night {len(self.jobs)}", "--repository", 1,
                             check=False)
        self.jobs.append(json.loads(done.stdout)["id"] if done.returncode == 0 else None)
        if done.returncode != 0:
            self.refused = done.stderr.strip()
        return self.jobs[-1]

    def merging(self):
        log = self.site.executor.log
        wait_until(lambda: "step_done step=copy disk=vdb" in log.read_text(errors="replace"), "the copy is done", 60, 0.001)

    def kill(self):
        self.site.executor.kill()

    def restart(self):
        """As systemd does."""
        if not self.site.executor.alive():
            self.site.executor.start()

    def settle(self, seconds):
        deadline = time.monotonic() + seconds
        return [self._claim(job, deadline) for job in self.jobs]

    def _claim(self, job, deadline):
        if job is None:
            return FAILURE
        with contextlib.suppress(AssertionError):
            record = wait_until(lambda: (r := self.site.get(job))["state"] in ("RUNNING", "UNRESOURCED") and r, "",
                                max(0.1, deadline - time.monotonic()), 0.1)
            return SUCCESS if record["state"] == "RUNNING" else FAILURE
        return SILENCE

    patience = 60  # design: a merge that is due is started within 30 s

    def presented(self):
        found = []
        for folder in sorted(self.stage.repository.path.glob("vmkeep/*/*")):
            if folder.parent.name not in (".incoming", ".scrub"):
                found.append({target: (folder / f"disk-{target}.{fmt}", fmt) for target, (fmt, _) in self.stage.guest.disks.items()})
        return found

    def unfinished(self):
        return [str(p) for name in (".incoming", ".scrub") for p in self.stage.repository.path.glob(f"vmkeep/{name}/*")]

    def notices(self, backup):
        """By coreutils, with the digest lists beside the images (docs/operations.md)."""
        try:
            check_published(next(iter(backup.values()))[0].parent)
            return False
        except AssertionError:
            return True

    def says_why(self):
        for job in self.jobs:
            if job is None:
                return self.refused.splitlines()[-1] if self.refused else ""
            record = self.site.get(job)
            if "failure" in record:
                return f"{record['failure']['reason']}: {record['failure']['message']}"
        return ""


SIDES = (Script, Vmkeep)
