#!/usr/bin/python3
"""Enforces who may include whom, and how include guards are spelled.

The tables below are docs/architecture.md's arrows as data; change both together, with a reason.

  include_arrows.py              checks every header and source of the working tree
  include_arrows.py --selftest   feeds forbidden includes and expects each to be refused
"""

import re
import subprocess
import sys
from pathlib import Path

# A module -> the modules it may include. Everything may include itself, common, standard and third-party headers.
# A module is a folder below controller/ or executor/; the files directly in those two are the composition root and
# may include all of their own binary. A folder missing here is refused: a new one starts with its line.
ARROWS = {
    "common": set(),
    "controller/domain": set(),
    "controller/store": {"controller/domain"},
    "controller/inventory": {"controller/store", "controller/domain"},
    "controller/placement": {"controller/inventory", "controller/domain"},
    "controller/dispatch": {"controller/inventory", "controller/domain"},
    "controller/progress": {"controller/store", "controller/domain"},
    "controller/access": {"controller/domain"},
    "controller/tasks": {
        "controller/placement", "controller/inventory", "controller/dispatch", "controller/store",
        "controller/progress", "controller/domain",
    },
    "controller/service": {
        "controller/access", "controller/tasks", "controller/progress", "controller/inventory",
        "controller/store", "controller/domain",
    },
    "controller/metrics": {
        "controller/progress", "controller/inventory", "controller/store", "controller/domain",
    },
    "executor/hypervisor": set(),
    "executor/worker": set(),
    "executor/worker_client": set(),
    "executor/flat_view": {"executor/hypervisor"},
    "executor/task": {"executor/hypervisor", "executor/flat_view", "executor/worker_client"},
    "executor/service": {"executor/task"},
    "executor/metrics": {"executor/task", "executor/hypervisor", "executor/worker_client"},
}
BINARIES = ("controller", "executor")
PROJECT = ("common", "controller", "executor", "tools", "tests")

# What is included -> why only some may, and who: both are patterns at the start of a path. tests/ may include anything.
RESTRICTED = [
    (r"SQLiteCpp/|sqlite3|common/sqlite/", "SQL stays at the stores",
     r"common/sqlite/|controller/store/|executor/task/(\w+/)?\w*journal"),
    (r"pqxx/|libpq", "PostgreSQL is one store", r"controller/store/postgres/"),
    (r"libvirt/", "libvirt is one hypervisor", r"executor/hypervisor/libvirt/"),
    (r"vmkeep/hyperv/", "Hyper-V is one hypervisor", r"executor/hypervisor/hyperv/"),
    (r"grpc(pp|\+\+)?/|.*\.grpc\.pb\.h", "gRPC stays at the edges",
     r"controller/(service|dispatch)/|executor/service/|(controller|executor)/(main|app)\b"
     r"|common/(grpc_status|channel|metrics/grpc_calls)|tools/"),
    (r"prometheus/|httplib", "others see common/metrics", r"common/metrics/"),
    (r"vmkeep/.*\.pb\.h|google/", "the domain knows no wire format", r"(?!controller/domain/)"),
    # An interface is for everyone its module serves; an implementation is for the composition root alone.
    (r"controller/store/(sqlite|postgres)/", "others see the BackupStore interface",
     r"controller/(store/|[^/]+$)"),
    (r"controller/dispatch/grpc_", "others see the ExecutorClient interface",
     r"controller/(dispatch/|[^/]+$)"),
    (r"executor/hypervisor/(libvirt|hyperv|sim)/", "others see the Hypervisor interface",
     r"executor/(hypervisor/|[^/]+$)"),
]

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def module_of(path):
    """'controller/store/sqlite/db.h' -> 'controller/store'; 'controller/main.cc' -> 'controller'; 'x/y.h' -> 'x'."""
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] in BINARIES and len(parts) > 2 else parts[0]


def arrow_problem(source, included):
    """Why `source` may not include the project's header `included`, or None."""
    here, there = module_of(source), module_of(included)
    if here == there or there == "common" or here == "tests":
        return None
    if here in BINARIES:  # the composition root
        return None if there.startswith(here + "/") else f"{here} may not include {there}"
    if here != "tools" and here not in ARROWS:
        return f"{here} has no line in the arrows of tools/check.d/include_arrows.py"
    return None if there in ARROWS.get(here, ()) else f"{here} may not include {there}"


def guard_problem(path, text):
    guard = "VMKEEP_" + re.sub(r"[^A-Z0-9]", "_", path.upper()) + "_"
    if re.search(rf"^#ifndef {guard}\n#define {guard}$", text, re.MULTILINE):
        return None
    return f"the include guard must be {guard}"


def problems_of(path, text):
    """Every broken rule of one file as (line, message)."""
    if path.endswith(".h") and (problem := guard_problem(path, text)):
        yield 1, problem
    for match in INCLUDE.finditer(text):
        included = match[2]
        line = text.count("\n", 0, match.start(2)) + 1
        if match[1] == '"' and "/" not in included:
            yield line, f'"{included}": quoted includes are paths from the repository\'s root'
        if included.split("/")[0] in PROJECT and (problem := arrow_problem(path, included)):
            yield line, f'"{included}": {problem}'
        if path.startswith("tests/"):
            continue
        for what, why, who in RESTRICTED:
            if re.match(what, included) and not re.match(who, path):
                yield line, f'"{included}": {why}; not from {path}'


def selftest():
    def red(path, included):
        text = f'#include "{included}"\n'
        return bool(list(problems_of(path, text)))

    forbidden = [
        ("common/clock.cc", "controller/domain/backup.h"),
        ("controller/domain/backup.cc", "vmkeep/v1/backup.pb.h"),
        ("controller/domain/backup.cc", "controller/store/backup_store.h"),
        ("controller/placement/selector.cc", "controller/store/backup_store.h"),
        ("controller/tasks/queue.cc", "controller/service/backup_service.h"),
        ("controller/tasks/queue.cc", "controller/dispatch/grpc_executor_client.h"),
        ("controller/tasks/queue.cc", "controller/store/sqlite/sqlite_backup_store.h"),
        ("controller/service/backup_service.cc", "executor/task/task_manager.h"),
        ("controller/brand_new/thing.cc", "controller/domain/backup.h"),
        ("controller/main.cc", "executor/app.h"),
        ("controller/tasks/queue.cc", "controller/app.h"),
        ("controller/tasks/queue.cc", "SQLiteCpp/SQLiteCpp.h"),
        ("controller/tasks/queue.cc", "grpcpp/grpcpp.h"),
        ("controller/progress/hub.cc", "vmkeep/v1/backup_service.grpc.pb.h"),
        ("executor/service/executor_service.cc", "executor/hypervisor/hypervisor.h"),
        ("executor/worker/copy.cc", "executor/task/journal.h"),
        ("executor/task/step_engine.cc", "sqlite3.h"),
        ("executor/task/step_engine.cc", "executor/hypervisor/libvirt/libvirt_hypervisor.h"),
        ("executor/hypervisor/sim/sim.cc", "libvirt/libvirt.h"),
        ("executor/hypervisor/libvirt/domain.cc", "vmkeep/hyperv/v1/script.pb.h"),
        ("executor/task/step_engine.cc", "executor/hypervisor/hyperv/hyperv_hypervisor.h"),
        ("tools/demo/demo.cc", "controller/store/backup_store.h"),
        ("common/log.cc", "log.h"),
        ("controller/metrics/families.h", "prometheus/registry.h"),
        ("executor/app.cc", "httplib.h"),
        ("common/metrics/registry.cc", "grpcpp/server_builder.h"),
    ]
    allowed = [
        ("controller/store/sqlite/db.cc", "SQLiteCpp/SQLiteCpp.h"),
        ("controller/store/sqlite/db.cc", "common/sqlite/database.h"),
        ("controller/tasks/queue.cc", "controller/dispatch/executor_client.h"),
        ("controller/service/backup_service.cc", "grpcpp/grpcpp.h"),
        ("controller/app.cc", "controller/store/sqlite/sqlite_backup_store.h"),
        ("executor/app.cc", "executor/hypervisor/libvirt/libvirt_hypervisor.h"),
        ("executor/hypervisor/libvirt/domain.cc", "libvirt/libvirt.h"),
        ("executor/hypervisor/hyperv/protocol.cc", "vmkeep/hyperv/v1/script.pb.h"),
        ("executor/task/sqlite_journal.cc", "SQLiteCpp/SQLiteCpp.h"),
        ("common/grpc_status.cc", "grpcpp/support/status.h"),
        ("tests/unit/executor/journal_test.cc", "executor/task/journal.h"),
        ("tools/vmkeepctl/main.cc", "vmkeep/v1/backup_service.grpc.pb.h"),
    ]
    wrong = [f"not refused: {a} -> {b}" for a, b in forbidden if not red(a, b)]
    wrong += [f"refused: {a} -> {b}" for a, b in allowed if red(a, b)]
    good = "#ifndef VMKEEP_COMMON_CLOCK_H_\n#define VMKEEP_COMMON_CLOCK_H_\n#endif\n"
    if guard_problem("common/clock.h", good):
        wrong.append("refused: a good include guard")
    if not guard_problem("common/clock.h", good.replace("CLOCK", "TIME")):
        wrong.append("not refused: a foreign include guard")
    return wrong


def main():
    if sys.argv[1:] == ["--selftest"]:
        found = selftest()
    else:
        listing = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "--", "*.h", "*.cc"],
            check=True, capture_output=True, text=True).stdout.splitlines()
        files = [p for p in sorted(set(listing)) if p.split("/")[0] in PROJECT and Path(p).is_file()]
        found = [f"{path}:{line}: {message}"
                 for path in files
                 for line, message in problems_of(path, Path(path).read_text(encoding="utf-8"))]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
