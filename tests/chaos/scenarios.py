"""What is under way when a fault strikes. prepare() comes before the plan, act() after it, settle() gives the record."""


class Backup:
    """A backup of a VM that runs."""

    name = "backup"
    finals = ("RUNNING", "UNRESOURCED")

    def __init__(self, world):
        self.world = world

    def prepare(self):
        self.before = self.world.instant()

    def plan(self):
        """Lines that the scenario itself needs besides the fault."""
        return []

    def act(self):
        self.call = self.world.create()

    def settled(self):
        """The record, when the scenario is at its end; never waits."""
        record = self.call.answer and self.world.try_call("BackupService/GetBackup", id=self.call.answer["id"])
        return record if record and record["state"] in self.finals else None

    def settle(self):
        return self.world.finish(self.call, *self.finals)

    def tear_down(self):
        pass


class Scrub(Backup):
    """A published backup is scrubbed."""

    name = "scrub"
    finals = ("CLOSED",)

    def prepare(self):
        super().prepare()
        record = self.world.finish(self.world.create())
        self.world.must(lambda: not self.world.tasks(), "the backup's task is forgotten")
        self.backup = record["id"]

    def act(self):
        self.call = self.world.scrub(self.backup)


class Cancel(Backup):
    """A backup is cancelled in mid-copy: its worker hangs, and is given up."""

    name = "cancel"
    finals = ("CLOSED",)
    gate = "worker.copy.write.after"

    def prepare(self):
        super().prepare()
        self.world.faults.plan(f"hold {self.gate} 1")
        self.backup = self.world.finish(self.world.create(), "BUILDING")["id"]
        self.world.must(lambda: self.world.faults.holder(self.gate), "the copy is under way")

    def act(self):
        self.call = self.world.scrub(self.backup)


class CancelUnsent(Backup):
    """A backup is cancelled that its host has not heard of: the first try to tell it failed, the next is due in 5 s."""

    name = "cancel-unsent"
    finals = ("CLOSED",)
    unsent = "dispatch.start.before"

    def prepare(self):
        super().prepare()
        since = self.world.faults.mark()
        self.world.faults.plan(f"fail-once {self.unsent} 1")
        self.backup = self.world.finish(self.world.create(), "BUILDING")["id"]
        self.world.must(lambda: self.world.faults.acted(self.unsent, since), "the task was to be sent")

    def act(self):
        self.call = self.world.scrub(self.backup)


class Recover(Backup):
    """Both daemons were killed while the guest was frozen for its snapshot, and come up again."""

    name = "recover"

    def prepare(self):
        super().prepare()
        self.world.faults.plan(f"hold {self.world.snapshot_point} 1")
        self.call = self.world.create()
        self.world.must(lambda: self.call.answer and self.world.faults.holder(self.world.snapshot_point), "the guest is frozen")
        for daemon in (self.world.site.executor, self.world.site.controller):
            daemon.kill()
        self.world.faults.clear()

    def act(self):
        for program in ("vmkeep-controller", "vmkeep-executor"):
            self.world.start_daemon(program)


class Offline(Backup):
    """A backup of a VM that is off."""

    name = "offline"

    def prepare(self):
        self.world.set_power("off")
        super().prepare()

    def tear_down(self):
        self.world.set_power("on")


class Leftover(Cancel):
    """The discard of a cancelled backup fails: its files are removed later, from what the journal says."""

    name = "leftover"

    def plan(self):
        return ["fail-once worker.remove.unlink.before:discard 1"]


class Stranded(Backup):
    """The overlays of a backup could not be removed; its executor comes up again and finds them."""

    name = "stranded"
    failing = "hypervisor.remove-overlay.before"

    def prepare(self):
        super().prepare()
        self.world.faults.plan(f"fail {self.failing} 1")
        self.call = self.world.create()
        self.world.finish(self.call)
        self.world.must(lambda: not self.world.tasks(), "the end of the task is told")
        self.world.site.executor.kill()
        self.world.faults.clear()

    def act(self):
        self.world.start_daemon("vmkeep-executor")


ALL = {scenario.name: scenario
       for scenario in (Backup, Scrub, Cancel, CancelUnsent, Recover, Offline, Leftover, Stranded)}
