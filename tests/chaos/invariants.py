"""The invariants of the design as checkers. Each takes what was observed and returns what is wrong with it: a list of
(invariant, detail), empty when it holds. No checker knows a hypervisor: sim_world.py and libvirt_world.py observe.

Each was seen red once in tools/chaos with the code, or the state on the disk, broken on purpose ("broken:" says what), and
is seen red for ever on made-up states by invariants_test.py."""

import dataclasses
import hashlib
import json
import pathlib

import harness

SETTLED = ("RUNNING", "UNRESOURCED", "CLOSED")


@dataclasses.dataclass
class VmLook:
    """A VM as it is now. `top`: target -> the file its guest writes to; `own`: target -> the file it should be."""

    name: str
    top: dict
    own: dict
    frozen: bool
    overlay_files: list  # that are ours by their names, decoys left out


@dataclasses.dataclass
class Write:
    """A write that the guest saw flushed: what must be found there, and what is."""

    where: str
    wanted: str
    found: str


def vm_on_its_base(vm):
    """I1: when nothing runs, every disk is the VM's own file again.
    broken: advance.cc wants no merge once a task aborts."""
    return [("I1", f"{vm.name}: {target} is on {top}, not on {vm.own[target]}")
            for target, top in vm.top.items() if top != vm.own[target]]


def no_write_lost(writes):
    """I2. An empty ledger shows nothing, and is refused.
    broken: SimHypervisor::Pivot does not apply the overlay."""
    if not writes:
        return [("I2", "no write was acknowledged: nothing is shown")]
    return [("I2", f"{w.where}: wanted {w.wanted!r}, found {w.found!r}") for w in writes if w.wanted != w.found]


def only_whole_backups(repositories, known=()):
    """I3: whatever is a backup by its place has a manifest, and all its digests pass. known: folders that are compared
    with what they were when they passed (scrub_takes_one).
    broken: publish.cc renames the folder before Prepare() completes it: red at a kill of the worker before the manifest. The
    state: a byte of a published image was changed; a published manifest was removed."""
    wrong = []
    for folder in backup_folders(repositories):
        if folder in known:
            continue
        try:
            manifest = harness.check_published(folder)
            if manifest["backup_id"] != folder.name:
                wrong.append(("I3", f"{folder}: its manifest is of backup {manifest['backup_id']}"))
        except Exception as error:  # anything that cannot be read is as wrong as a digest
            wrong.append(("I3", f"{folder}: {type(error).__name__}: {error}"))
    return wrong


def backup_folders(repositories):
    """Every folder that a reader would take for a backup."""
    return [folder for root in repositories for vm in sorted((pathlib.Path(root) / "vmkeep").glob("[!.]*"))
            for folder in sorted(vm.iterdir() if vm.is_dir() else [vm])]


def guest_not_frozen(vm):
    """I4, as far as it shows after the fact: the guest is thawed. Its 5 s are measured by tools/bench/freeze.
    broken: advance.cc does not thaw after a restart in mid-snapshot."""
    return [("I4", f"{vm.name} is frozen")] if vm.frozen else []


def record_true(record, folder, must_be_retryable=True):
    """I5 of a settled record; `folder`: where its backup is when it is published.
    broken: task_run.cc calls every failure final; the worker's scrub removes nothing; the state: a published folder removed."""
    state, wrong = record["state"], []
    if state not in SETTLED:
        return [("I5", f"{record['id']} is {state} at the end, conditions {record.get('conditions')}")]
    if folder.exists() != (state == "RUNNING"):
        wrong.append(("I5", f"{record['id']} is {state}, but {folder} {'exists' if folder.exists() else 'is absent'}"))
    elif state == "RUNNING":
        path = folder / "manifest.json"
        manifest = path.read_bytes() if path.exists() else b""
        if hashlib.sha256(manifest).hexdigest() != record["manifest_sha256"]:
            wrong.append(("I5", f"{record['id']}: the manifest is not the one that the record names"))
        elif int(json.loads(manifest)["epoch"]) != int(record["epoch"]):
            wrong.append(("I5", f"{record['id']}: epoch {record['epoch']} is recorded, another one is published"))
    if state == "UNRESOURCED":
        failure = record.get("failure") or {}
        if not failure.get("reason") or not failure.get("message"):
            wrong.append(("I5", f"{record['id']} failed without a reason: {failure}"))
        if must_be_retryable and not failure.get("retryable"):
            wrong.append(("I5", f"{record['id']}: the fault passed, but the failure is final: {failure}"))
    return wrong


def unfinished_says_why(record):
    """I5 of a record whose executor is dead: unfinished, and says why.
    broken: not in the product; on made-up states only."""
    if record["state"] in SETTLED or record.get("conditions"):
        return []
    return [("I5", f"{record['id']} is {record['state']} with a dead executor, and no condition says so")]


def copy_is_of_the_instant(copies):
    """I5: (what, digest of the disk at the snapshot, digest of the copy).
    broken: the state: a byte of a published image was changed."""
    return [("I5", f"{what}: the copy is not the disk as it was at the snapshot")
            for what, wanted, found in copies if wanted != found]


def one_backup_for_one_request(ids):
    """I6: ids answered to calls with one request_id, and ids of the records that are there.
    broken: create_backup.cc does not look for the request_id."""
    return [] if len(set(ids)) == 1 else [("I6", f"one request_id, but the backups {sorted(set(ids))}")]


def old_epoch_refused(answers):
    """I7: (what was sent, the reason of the refusal; None when it was accepted).
    broken: the journal's LookUp() does not compare epochs."""
    return [("I7", f"{what}: {reason or 'accepted'} instead of STALE_EPOCH")
            for what, reason in answers if reason != "STALE_EPOCH"]


def nothing_left(found, expected):
    """I8: files, tasks and processes that are there, and those that should be.
    broken: the worker's Discard() removes nothing."""
    return [("I8", f"left behind: {each}") for each in sorted(set(found) - set(expected))]


def decoys_there(decoys):
    """I8: what no journal names is as it was put. decoys: path -> content.
    broken: the worker's Discard() removes another entry of .incoming."""
    wrong = []
    for path, content in decoys.items():
        path = pathlib.Path(path)
        if not path.is_file() or path.read_text() != content:
            wrong.append(("I8", f"{path} is not ours, and {'was changed' if path.is_file() else 'is gone'}"))
    return wrong


def scrub_takes_one(scrubbed, others):
    """I9: the scrubbed folder is gone; others: (folder, tree_digest() before).
    broken: the worker's scrub removes nothing; the state: a byte of another backup was changed."""
    wrong = [("I9", f"{scrubbed} is there after its scrub")] if scrubbed is not None and scrubbed.exists() else []
    return wrong + [("I9", f"{folder} is not as it was") for folder, digest in others if tree_digest(folder) != digest]


def tree_digest(folder):
    """One digest of the names and bytes below a folder."""
    total = hashlib.sha256()
    for path in sorted(pathlib.Path(folder).rglob("*")):
        total.update(str(path.relative_to(folder)).encode() + b"\0")
        if path.is_file():
            total.update(file_digest(path).encode())
    return total.hexdigest()


def file_digest(path):
    if not pathlib.Path(path).exists():
        return "absent"
    total = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            total.update(block)
    return total.hexdigest()
