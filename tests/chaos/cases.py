"""One case: a scenario, a point, which hit of it, and the fault that strikes there. Run it, then look at everything."""

import collections
import os
import signal
import time

import invariants
import scenarios
from faults import wait
from world import WITHIN, Broken, Call

Case = collections.namedtuple("Case", "scenario point nth fault")
Outcome = collections.namedtuple("Outcome", "case ended wrong seconds")  # wrong: [(invariant, detail)]

KILLS = {"kill-executor": "vmkeep-executor", "kill-controller": "vmkeep-controller", "kill-worker": "vmkeep-worker"}
STOP = "stop-executor"
STOPPED = 60.0  # s that it stands still
# A point in each phase: the executor stands still there for a minute, its worker and the controller do not.
STOPS = {
    "preflight": "journal.write.before:save-a-preflight",
    "snapshot": "hypervisor.snapshot.before",
    "snapshot, made": "hypervisor.snapshot.after",
    "copy": "worker.copy.write.after",
    "flush of the copy": "worker.copy.flush.before",
    "merge": "hypervisor.start-merge.after",
    "removal of the overlay": "hypervisor.remove-overlay.before",
    "publish": "worker.publish.rename.before",
    "report": "journal.write.before:end-a-task",
    "cancel": "worker.remove.unlink.before:discard",
    "scrub": "worker.remove.unlink.before:scrub",
}
NOT_REACHED = "not reached"
REACHED = 20.0  # s within which a planned point is reached; the scheduler sends a task again after 5 s


def hits_of(world, name):
    """point -> [program, kind, hits] of one run of the scenario without any fault: the dry run."""
    scenario = scenarios.ALL[name](world)
    scenario.prepare()
    since = world.faults.mark()
    world.faults.plan(*scenario.plan())
    scenario.act()
    record = scenario.settle()
    wrong = look_at_all(world, scenario, record)
    found = {}
    for hit in world.faults.trace(since):
        found.setdefault(hit.point, [hit.program, hit.kind, 0])[2] += 1
    clean_up(world, scenario, record, wrong)
    if wrong:
        raise Broken(f"{name} without a fault: {wrong}\n{world.site.log_tail()}")
    return found


def cases_of(dry_runs):
    """Cases of [{point: [program, kind, hits]}] per scenario (two dry runs each): every point with every fault that can
    strike there, in the first scenario that hits it. Later hits of it, as far as every run has them: a kill of the
    process that is there, and one failure."""
    cases, seen = [], set()
    for name, runs in dry_runs.items():
        for point, (program, kind, _) in runs[0].items():
            if point in seen or any(point not in run for run in runs):
                continue
            seen.add(point)
            fails = kind == "fault"
            faults = ["kill-executor", "kill-controller"] + ["kill-worker"] * (program == "vmkeep-worker")
            faults += ["fail-once", "fail"] * fails + [STOP] * (point in STOPS.values())
            cases += [Case(name, point, 1, fault) for fault in faults]
            own = {"vmkeep-controller": "kill-controller"}.get(program, "kill-executor")
            for nth in range(2, min(run[point][2] for run in runs) + 1):
                cases += [Case(name, point, nth, fault) for fault in [own] + ["fail-once"] * fails]
    return cases


def ends_that_are_right(case):
    """A daemon that cannot write its own id when it starts says so and ends. Nothing else ends one."""
    return [("vmkeep-executor", 1)] if case.point == "journal.write.before:executor-id" else []


def run_case(world, case):
    started = time.monotonic()
    world.ended.clear()
    world.reached = True
    wrong, record = [], None
    scenario = scenarios.ALL[case.scenario](world)
    try:
        scenario.prepare()
        since = world.faults.mark()
        world.faults.plan(f"{'hold' if case.fault in {*KILLS, STOP} else case.fault} {case.point} {case.nth}",
                          *scenario.plan())
        scenario.act()
        wrong += strike(world, case, scenario, since)
        record = scenario.settle()
        wrong += look_at_all(world, scenario, record)
        wrong += clean_up(world, scenario, record, wrong)
    except Broken as broken:
        wrong.append(("END", str(broken)))
    wrong += [("END", f"{program} ended by itself with {code}") for program, code in world.ended
              if (program, code) not in ends_that_are_right(case)]
    return Outcome(case, "?" if record is None else record["state"] if world.reached else NOT_REACHED, wrong, time.monotonic() - started)


def strike(world, case, scenario, since):
    """The fault happens, and what it needs to pass is done."""
    if case.fault in {*KILLS, STOP}:
        holder = wait(lambda: world.faults.holder(case.point), REACHED)
        if not holder:
            return not_reached(world, case, scenario)
        if case.fault == STOP:
            return stand_still(world, scenario)
        return kill(world, case, scenario, *holder)
    if not wait(lambda: world.faults.acted(case.point, since), REACHED):
        return not_reached(world, case, scenario)
    if case.fault == "fail":
        wait(scenario.settled, 5.0, 0.05)  # longer than the tries of a publish
        world.faults.clear()
        for program in ("vmkeep-executor", "vmkeep-controller"):
            world.daemon(program).kill()
            world.start_daemon(program)
    return []


def not_reached(world, case, scenario):
    """Wrong for the first hit of a point. How often threads come by again is not the same in every run: a later hit that
    did not happen is told, and counts as neither held nor wrong."""
    world.faults.clear()
    world.reached = False
    if case.nth > 1:
        return []
    record = scenario.call.answer and world.try_call("BackupService/GetBackup", id=scenario.call.answer["id"])
    return [("REACHED", f"the point was not reached; the record: {record}")]


def kill(world, case, scenario, holder, pid):
    victim = KILLS[case.fault]
    if victim == "vmkeep-worker":
        os.kill(pid, signal.SIGKILL)
        world.faults.clear()
        return []
    world.daemon(victim).kill()
    wrong = []
    if victim == "vmkeep-executor" and holder != "vmkeep-controller" and scenario.call.answer:
        wrong = what_the_record_says(world, scenario.call.answer["id"])
    world.faults.clear()
    world.start_daemon(victim)
    return wrong


def stand_still(world, scenario):
    """The executor is stopped where it is, and the rest goes on without it."""
    process = world.daemon("vmkeep-executor").process
    process.send_signal(signal.SIGSTOP)
    try:
        world.faults.clear()
        time.sleep(STOPPED)  # the fault itself
        wrong = what_the_record_says(world, scenario.call.answer["id"])
    finally:
        process.send_signal(signal.SIGCONT)
    world.restarted = time.monotonic()
    return wrong


def what_the_record_says(world, backup):
    """What is wrong with a record whose executor is dead; the controller has 5 s to notice."""
    deadline = time.monotonic() + 5.0
    while True:
        record = world.try_call("BackupService/GetBackup", id=backup)
        wrong = invariants.unfinished_says_why(record) if record else [("I5", "the controller does not answer")]
        if not wrong or time.monotonic() > deadline:
            return wrong
        time.sleep(0.02)


def look_at_all(world, scenario, record):
    """Every checker. What may take a while has 30 s from the last start of a process."""
    published = [world.baseline] + ([record] if record["state"] == "RUNNING" else [])

    def at_rest():
        vm = world.look()
        return (invariants.vm_on_its_base(vm) + invariants.guest_not_frozen(vm) +
                invariants.nothing_left(*world.left(*published)))

    remaining = max(2.0, world.restarted + WITHIN - time.monotonic())
    latest = []

    def rested():
        latest[:] = at_rest()
        return not latest

    wait(rested, remaining, 0.08)
    wrong = latest
    wrong += invariants.no_write_lost(world.writes())
    wrong += invariants.only_whole_backups(world.site.repositories.values(), [world.folder(world.baseline)])
    wrong += invariants.record_true(record, world.folder(record) if record["repository"] else world.dir / "none")
    wrong += invariants.decoys_there(world.decoys)
    closed = world.folder(record) if record["state"] == "CLOSED" and record["repository"] else None
    wrong += invariants.scrub_takes_one(closed, [(world.folder(world.baseline), world.baseline_digest)])
    if record["state"] == "RUNNING":
        wrong += invariants.copy_is_of_the_instant(world.copies(record, scenario.before))
        again = world.call("BackupService/CreateBackup", **world.request)
        there = world.call("BackupService/ListBackups", filter={"vm_ids": [world.vm]}, page_size=1000)
        ids = [b["id"] for b in there["backups"] if b["name"] == world.request["name"]]
        wrong += invariants.one_backup_for_one_request(ids + [again["id"], record["id"]])
        wrong += invariants.old_epoch_refused([
            (f"another task of epoch {record['epoch']}", world.refusal("StartTask", **start_task(record, record["id"])))])
    return wrong


def start_task(record, task_id):
    """StartTask as a controller of the past would send it."""
    return {"task": {"task_id": task_id, "epoch": record["epoch"]},
            "backup": {"backup_id": record["id"], "vm_uuid": record["vm_uuid"], "vm_id": record["vm_id"],
                       "name": record["name"], "repository": record["repository"],
                       "repository_id": record["repository_id"]}}


def clean_up(world, scenario, record, wrong_before):
    """A failure that may pass is retried, the backup is scrubbed: which is checked too."""
    scenario.tear_down()
    world.faults.clear()
    wrong = []
    if wrong_before:
        return wrong  # the world is thrown away
    if record["state"] == "UNRESOURCED":
        scenario.before = world.instant()
        record = world.finish(Call(world, "BackupService/RetryBackup", id=record["id"]), "RUNNING", "UNRESOURCED")
        if record["state"] != "RUNNING":
            return [("I5", f"said to be retryable, but: {record['failure']}")]
        wrong += look_at_all(world, scenario, record)
    if record["state"] != "CLOSED":
        late = start_task(record, record["id"])
        record = world.finish(world.scrub(record["id"]), "CLOSED")
        wrong += look_at_all(world, scenario, record)
        wrong += invariants.old_epoch_refused([("the backup's task after its scrub", world.refusal("StartTask", **late))])
    return wrong
