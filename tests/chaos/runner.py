"""tools/chaos: all cases on several sites at once, what was found, and the exit code."""

import argparse
import ctypes
import fnmatch
import json
import multiprocessing
import os
import pathlib
import queue
import random
import signal
import sys
import time

import cases
import harness

PR_SET_PDEATHSIG = 1  # prctl(2)
LAST = cases.Case("all", "last-look", 1, "power-cut")


def make_world(backend, folder):
    if backend == "sim":
        from sim_world import SimWorld
        return SimWorld(folder)
    from libvirt_world import LibvirtWorld
    return LibvirtWorld(folder)


class Site:
    """A world that is replaced after anything went wrong in it."""

    def __init__(self, backend, folder):
        self.backend, self.folder, self.count, self.world = backend, pathlib.Path(folder), 0, None

    def ready(self):
        if self.world is None:
            self.count += 1
            self.world = make_world(self.backend, self.folder / str(self.count))
            self.world.start()
        return self.world

    def run(self, case):
        outcome = cases.run_case(self.ready(), case)
        if outcome.wrong:
            self.drop()
        return outcome

    def drop(self):
        world, self.world = self.world, None
        if world:
            world.stop()


def work(backend, folder, todo, done):
    """One process: takes cases until there are none. Ends with its parent, and takes its daemons along."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    site = Site(backend, folder)
    try:
        while (case := todo.get()) is not None:
            if case == LAST:
                wrong = site.world.last_look() if site.world else []
                done.put(cases.Outcome(case, "off", wrong, 0.0))
                continue
            try:
                done.put(site.run(case))
            except Exception as error:  # of the harness itself: told as a wrong outcome, never swallowed
                done.put(cases.Outcome(case, "?", [("HARNESS", f"{type(error).__name__}: {error}")], 0.0))
                site.drop()
    finally:
        site.drop()


def dry_runs(backend, folder, names):
    site = Site(backend, folder)
    try:
        return {name: [cases.hits_of(site.ready(), name) for _ in range(2)] for name in names}
    finally:
        site.drop()


def run_all(backend, folder, todo, sites, seconds):
    """Yields outcomes as they come; stops handing out cases after `seconds`."""
    deadline = time.monotonic() + seconds
    start = multiprocessing.get_context("spawn")  # gRPC does not survive a fork
    waiting, done = start.Queue(), start.Queue()
    workers = [start.Process(target=work, args=(backend, folder / f"s{i}", waiting, done)) for i in range(sites)]
    for worker in workers:
        worker.start()
    try:
        left, running = list(todo), 0
        while True:
            while left and running < sites and time.monotonic() < deadline:
                waiting.put(left.pop(0))
                running += 1
            if not running:
                break
            yield next_of(done, workers)
            running -= 1
        if backend == "libvirt":
            waiting.put(LAST)
            yield next_of(done, workers)
    finally:
        for _ in workers:
            waiting.put(None)
        for worker in workers:
            worker.join(60)
            if worker.is_alive():
                worker.terminate()


def next_of(done, workers):
    while True:
        try:
            return done.get(timeout=1)
        except queue.Empty:
            if not all(worker.is_alive() for worker in workers):
                raise AssertionError(f"a site's process ended: {[w.exitcode for w in workers]}") from None


def summary(outcomes):
    points, bad = {}, []
    for outcome in outcomes:
        key = (outcome.case.scenario, outcome.case.point, outcome.case.nth)
        if outcome.case != LAST and (outcome.wrong or outcome.ended != cases.NOT_REACHED):
            points[key] = points.get(key, True) and not outcome.wrong
        bad += [{"point": f"{outcome.case.scenario}/{outcome.case.point}#{outcome.case.nth}", "fault": outcome.case.fault,
                 "invariant": invariant, "detail": detail} for invariant, detail in outcome.wrong]
    return {"points": len(points), "held": sum(points.values()), "wrong": bad}


def main(argv):
    parser = argparse.ArgumentParser(prog="tools/chaos", description=__doc__)
    parser.add_argument("--backend", choices=("sim", "libvirt"), default="sim")
    parser.add_argument("--seed", type=int, help="of the order, and of what is sampled; default: a new one, printed")
    parser.add_argument("--minutes", type=float, help="no new case is begun after this; default: sim 60, libvirt 10")
    parser.add_argument("--points", default="*", help="only points whose name matches this pattern, such as 'worker.*'")
    parser.add_argument("--faults", default="*", help="only faults that match, such as 'kill-*'")
    parser.add_argument("--sites", type=int, default=max(4, 3 * (os.cpu_count() or 1)), help="worlds at once (sim)")
    parser.add_argument("--json", help="write the result here")
    parser.add_argument("--list", action="store_true", help="print the cases, run none")
    parser.add_argument("--keep", help="work below this folder and leave it")
    args = parser.parse_args(argv)
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"chaos: backend={args.backend} seed={seed}", flush=True)
    with harness.scratch("vmkeep-chaos.") as scratch:
        folder = pathlib.Path(args.keep) if args.keep else scratch
        folder.mkdir(parents=True, exist_ok=True)
        return run(args, seed, folder)


def run(args, seed, folder):
    started = time.monotonic()
    backend_module = __import__(f"{args.backend}_world")
    found = dry_runs(args.backend, folder / "dry", backend_module.SCENARIOS)
    todo = [case for case in cases.cases_of(found)
            if fnmatch.fnmatch(case.point, args.points) and fnmatch.fnmatch(case.fault, args.faults)]
    todo = backend_module.order(todo, random.Random(seed))
    print(f"chaos: {len({c[:3] for c in todo})} points, {len(todo)} cases; dry runs took "
          f"{time.monotonic() - started:.1f} s", flush=True)
    if args.list:
        for case in todo:
            print(f"{case.scenario:14} {case.point} #{case.nth} {case.fault}")
        return 0
    sites = args.sites if args.backend == "sim" else 1
    seconds = 60 * (args.minutes or {"sim": 60, "libvirt": 10}[args.backend])
    outcomes = []
    for outcome in run_all(args.backend, folder, todo, sites, seconds):
        outcomes.append(outcome)
        case = outcome.case
        verdict = "WRONG" if outcome.wrong else "-" if outcome.ended == cases.NOT_REACHED else "held"
        print(f"{verdict:5} {case.scenario:13} {case.point} #{case.nth} {case.fault} -> "
              f"{outcome.ended} {outcome.seconds:.1f} s", flush=True)
        for invariant, detail in outcome.wrong:
            print(f"      {invariant}: {detail}", flush=True)
    result = summary(outcomes)
    result |= {"not_reached": sum(o.ended == cases.NOT_REACHED for o in outcomes), "backend": args.backend, "seed": seed, "cases": sum(o.case != LAST for o in outcomes),
               "not_run": len(todo) - sum(o.case != LAST for o in outcomes),
               "seconds": round(time.monotonic() - started, 1), "hit": sorted({p for runs in found.values() for p in runs[0]})}
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(result, indent=1) + "\n")
    print(f"chaos: {result['points']} points, {result['held']} held; {result['cases']} cases, "
          f"{result['not_reached']} not reached, {result['not_run']} not run, "
          f"{result['seconds']} s, seed {seed}", flush=True)
    return 1 if result["wrong"] else 0
