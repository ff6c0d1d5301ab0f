"""What a benchmark prints and writes, in one shape: a list of objects with id, case, metric, ours, rival, rival_value,
ratio, goal and held (null where there is none; values are medians), and a last one about the machine."""

import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess


def row(identity, case, metric, ours=None, rival=None, rivals=None, limit=None, judged="ratio", digits=3):
    """One line: medians of `ours` and of `rivals` (lists; either may be None), with their spread. `limit`: what the ratio
    must not exceed, or `judged="ours"`, what ours must not."""
    ours_value = statistics.median(ours) if ours else None
    rival_value = statistics.median(rivals) if rivals else None
    values = {"ours": ours_value, "ratio": ours_value / rival_value if ours and rivals else None}
    line = {"id": identity, "case": case, "metric": metric, "ours": _round(ours_value, digits), "rival": rival,
            "rival_value": _round(rival_value, digits), "ratio": _round(values["ratio"], 3),
            "goal": None if limit is None else f"<={limit:.2f}", "held": None if limit is None else values[judged] <= limit}
    for name, taken in (("ours_spread", ours), ("rival_spread", rivals)):
        if taken and len(taken) > 1:
            line[name] = [_round(min(taken), digits), _round(max(taken), digits)]
    return line


def _round(value, digits):
    return None if value is None else round(value, digits)


def show(rows, about):
    width = max(len(line["case"]) for line in rows) + 2 if rows else 6
    print(f"{'id':6}{'case':{width}}{'metric':34}{'ours':>9}{'rival':>9}{'ratio':>7}  {'goal':10}{'held':6}rival")
    for line in rows:
        number = lambda key: "-" if line[key] is None else f"{line[key]:.2f}"
        held = {None: "-", True: "yes", False: "NO"}[line["held"]]
        print(f"{line['id']:6}{line['case']:{width}}{line['metric']:34}{number('ours'):>9}{number('rival_value'):>9}{number('ratio'):>7}  "
              f"{line['goal'] or '-':10}{held:6}{line['rival'] or '-'}")
    print("  ".join(f"{key}={value}" for key, value in about.items()))


def write(path, rows, about):
    pathlib.Path(path).write_text(json.dumps([*rows, about], indent=1) + "\n")


def about(rounds, versions, **more):
    """The machine, the versions and the rounds. `versions`: name -> argv that prints a version first of all."""
    cpu = pathlib.Path("/proc/cpuinfo").read_text()
    model = next((line.split(":", 1)[1].strip() for line in cpu.splitlines() if line.startswith("model name")), "")
    return {"machine": f"{model or platform.machine()}, {os.cpu_count()} cores", "sha_instructions": " sha_ni" in cpu,
            "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20, "kernel": platform.release(),
            "versions": {name: _first_line(argv) for name, argv in versions.items()},
            "rounds": rounds, "load_before": round(os.getloadavg()[0], 2), **more}


def _first_line(argv):
    if not shutil.which(argv[0]):
        return "absent"
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.partition("\n")[0]
