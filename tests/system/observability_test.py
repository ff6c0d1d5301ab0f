"""What an operator sees of the real daemons while things happen: /metrics over HTTP, and the logs by a backup's id.

The hypervisor is simulated; gate-worker holds a copy until the test lets it go."""

import os
import re
import signal
import socket
import unittest
import urllib.request

from harness import BIN, ROOT, Api, Site, SystemTest, run, wait_until

GATE_WORKER = BIN.parent / "tests" / "gate-worker"
VMS = "web-1:2:16MiB,db-1:1:8MiB,app-1:1:8MiB"
MIB = 1 << 20


class Scrape:
    """One answer of /metrics: value(name, label=...) adds up the samples that have these labels."""

    SAMPLE = re.compile(r'^([a-z_]+)(?:\{(.*)\})? (\S+)$')

    def __init__(self, port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            self.text = answer.read().decode()
        self.helps, self.types, self.samples = {}, {}, []
        for line in self.text.splitlines():
            if line.startswith("# HELP "):
                name, words = line[7:].split(" ", 1)
                self.helps[name] = words
            elif line.startswith("# TYPE "):
                name, kind = line[7:].split(" ")
                self.types[name] = kind
            else:
                name, labels, value = self.SAMPLE.match(line).groups()
                self.samples.append((name, dict(re.findall(r'(\w+)="([^"]*)"', labels or "")), float(value)))

    def find(self, metric, /, **labels):
        return [(have, value) for each, have, value in self.samples
                if each == metric and all(have.get(k) == str(v) for k, v in labels.items())]

    def value(self, metric, /, **labels):
        return sum(value for _, value in self.find(metric, **labels))


class ObservabilityTest(SystemTest):
    @classmethod
    def set_up_site(cls):
        os.environ["VMKEEP_TEST_GATE"] = str(cls.dir / "gate")
        os.environ["VMKEEP_TEST_WORKER"] = str(BIN / "vmkeep-worker")
        (cls.dir / "sim").mkdir()
        cls.site = Site(cls.dir, "sim", [f"--sim_dir={cls.dir / 'sim'}", f"--sim_vms={VMS}", "--metrics_listen=127.0.0.1:0",
                                         f"--worker_binary={GATE_WORKER}", "--overlay_reserve_bytes=1048576"])
        cls.site.controller.argv += ["--metrics_listen=127.0.0.1:0", "--tasks_per_host=1"]
        cls.use(cls.site)
        cls.site.start()
        cls.site.init_repositories()
        cls.api = Api(cls.site, cls.dir)
        cls.vms = {vm["name"]: vm["uuid"] for vm in wait_until(
            lambda: cls.site.json("vm", "list").get("vms"), "the VMs are listed")}

    def tearDown(self):
        self.gate("")

    # the daemons and their ports ----------------------------------------------------------------------------------------

    def port(self, daemon):
        return int(re.findall(r"metrics_serving .*port=(\d+)", daemon.log.read_text())[-1])

    def controller(self):
        return Scrape(self.port(self.site.controller))

    def executor(self):
        return Scrape(self.port(self.site.executor))

    def gate(self, text):
        """Holds the jobs whose request has this text; "" lets them go."""
        path = self.dir / "gate"
        if text:
            path.write_text(text)
        else:
            path.unlink(missing_ok=True)

    def create(self, vm, name, repository=1):
        return self.api.call("BackupService/CreateBackup", vm_id=vm, name=name, repository=repository)["id"]

    def held_copy(self, vm, name, disk):
        """A backup whose copy of `disk` moves no further; its VM is on an overlay."""
        self.gate(f"disk-{disk}")
        backup = self.create(vm, name)
        wait_until(lambda: self.site.get(backup).get("progress", {}).get("phase") == "COPYING", "the copy is held")
        wait_until(lambda: self.controller().find("vmkeep_vm_on_overlay_seconds", name=vm), "the overlay is seen")
        return backup

    # metrics --------------------------------------------------------------------------------------------------------------

    def test_every_metric_says_what_it_is_and_follows_the_conventions(self):
        for scrape in (self.controller(), self.executor()):
            self.assertGreater(len(scrape.types), 10)
            for name, kind in scrape.types.items():
                self.assertRegex(name, r"^vmkeep_[a-z_]+$")
                self.assertEqual(name.endswith("_total"), kind == "counter", name)
                self.assertGreater(len(scrape.helps[name]), 1, name)
                if kind == "histogram":
                    self.assertRegex(name, r"_(seconds|mutations)$")
            self.assertEqual(scrape.value("vmkeep_build_info"), 1)

    def test_a_backup_before_while_and_after(self):
        # What a VM's last backup took is what the next one is promised.
        stored = int(self.site.wait_state(self.create("web-1", "first"), "RUNNING")["stored_bytes"])
        wait_until(lambda: self.executor().value("vmkeep_executor_tasks") == 0, "its task is at its end")
        before, before_there = self.controller(), self.executor()
        self.assertEqual(before.value("vmkeep_backups", state="BUILDING"), 0)
        self.assertEqual(before.value("vmkeep_hosts", availability="ONLINE"), 1)
        self.assertEqual(before.find("vmkeep_vm_on_overlay_seconds"), [])
        self.assertEqual(before_there.find("vmkeep_executor_tasks"), [])

        backup = self.held_copy("web-1", "nightly", "vdb")
        waiting = self.create("db-1", "waits")
        wait_until(lambda: self.controller().value("vmkeep_backup_conditions", type="WAITING_FOR_SLOT") == 1, "it waits")
        # Age is time that passes: two scrapes, the later says more.
        first = self.controller().value("vmkeep_vm_on_overlay_seconds", name="web-1")
        there = wait_until(lambda: (s := self.executor()).find("vmkeep_executor_overlay_age_seconds", disk="vdb") and s,
                           "the executor sees its overlay", 40)
        here = self.controller()
        self.assertEqual(here.value("vmkeep_backups", state="BUILDING"), 1)
        self.assertEqual(here.value("vmkeep_backups", state="REQUESTED"), 1)
        self.assertGreater(here.value("vmkeep_oldest_unfinished_backup_age_seconds", state="BUILDING"), 0)
        self.assertEqual(here.value("vmkeep_oldest_unfinished_backup_age_seconds", state="SCRUB"), 0)
        self.assertEqual(here.value("vmkeep_queue_tasks", kind="backup"), 1)
        overlay = {"host": "kvm-1", "vm": self.vms["web-1"], "name": "web-1"}
        self.assertGreater(here.value("vmkeep_vm_on_overlay_seconds", **overlay), first)
        self.assertLess(here.value("vmkeep_vm_on_overlay_seconds", **overlay), 120)
        self.assertEqual(here.find("vmkeep_vm_overlay_needs_attention", **overlay)[0][1], 0)
        self.assertGreater(here.value("vmkeep_vm_overlay_bytes", **overlay), 0)
        [(labels, reserved)] = here.find("vmkeep_repository_reserved_bytes")
        self.assertEqual(labels["repository_id"], self.repository(1)["id"])
        self.assertEqual(reserved, stored)

        self.assertEqual(there.value("vmkeep_executor_tasks", kind="backup", phase="COPYING"), 1)
        self.assertGreater(there.value("vmkeep_executor_oldest_task_age_seconds", kind="backup"), 0)
        self.assertEqual(there.value("vmkeep_executor_workers", job="copy"), 1)
        self.assertEqual(there.find("vmkeep_executor_overlay_needs_attention", disk="vdb")[0][1], 0)

        merges, snapshots = "vmkeep_executor_merge_seconds_count", "vmkeep_executor_snapshot_seconds_count"
        writes = "vmkeep_executor_journal_write_seconds_count"
        self.gate("")
        for each in (backup, waiting):
            self.site.wait_state(each, "RUNNING")
        after = wait_until(lambda: not (s := self.controller()).find("vmkeep_vm_on_overlay_seconds") and s, "no overlay")
        after_there = self.executor()
        self.assertEqual(after.value("vmkeep_backups", state="RUNNING") - before.value("vmkeep_backups", state="RUNNING"), 2)
        self.assertEqual(after.value("vmkeep_backups", state="BUILDING"), 0)
        self.assertEqual(after.value("vmkeep_oldest_unfinished_backup_age_seconds", state="BUILDING"), 0)
        self.assertEqual(after.value("vmkeep_queue_tasks"), 0)
        self.assertEqual(after.value("vmkeep_backup_conditions"), 0)
        self.assertEqual(after.find("vmkeep_repository_reserved_bytes"), [])
        self.assertGreater(after.value("vmkeep_store_commit_seconds_count", result="ok"),
                           before.value("vmkeep_store_commit_seconds_count", result="ok"))
        self.assertGreaterEqual(after.value("vmkeep_store_commit_mutations_sum"),
                                after.value("vmkeep_store_commit_mutations_count"))

        def grew(metric, /, **labels):
            return after_there.value(metric, **labels) - before_there.value(metric, **labels)

        self.assertEqual(grew("vmkeep_executor_copied_bytes_total", repository_id=self.repository(1)["id"]), 40 * MIB)
        self.assertEqual(grew(merges), 3)
        self.assertEqual(grew(snapshots, result="ok"), 2)
        self.assertEqual(grew("vmkeep_executor_worker_job_seconds_count", job="copy", result="ok"), 3)
        self.assertEqual(grew("vmkeep_executor_worker_job_seconds_count", job="publish", result="ok"), 2)
        self.assertGreater(grew(writes, result="ok"), 0)
        self.assertEqual(after_there.value("vmkeep_executor_tasks"), 0)
        self.assertEqual(after_there.value("vmkeep_executor_workers_abandoned"), 0)
        self.assertEqual(after_there.value("vmkeep_executor_hypervisor_reachable"), 1)

    def repository(self, slot):
        return next(r for r in self.site.json("repo", "list", "--host", "kvm-1")["repositories"] if r["slot"] == slot)

    def test_calls_count_by_method_and_code_and_no_caller_invents_a_label(self):
        get = "/vmkeep.v1.BackupService/GetBackup"
        before = self.controller()
        for _ in range(3):
            self.api.error("BackupService/GetBackup", id="00000000-0000-7000-8000-000000000000")
        made_up = self.api.channel.unary_unary("/no.such.Service/AtAll")
        with self.assertRaises(self.api.grpc.RpcError):
            made_up(b"", timeout=20)
        after = self.controller()

        def grew(metric, /, **labels):
            return after.value(metric, **labels) - before.value(metric, **labels)

        self.assertEqual(grew("vmkeep_grpc_calls_total", method=get, code="NOT_FOUND"), 3)
        self.assertEqual(grew("vmkeep_grpc_call_seconds_count", method=get, code="NOT_FOUND"), 3)
        self.assertGreater(grew("vmkeep_grpc_call_seconds_sum", method=get, code="NOT_FOUND"), 0)
        self.assertNotIn("no.such", after.text)

    def test_a_watcher_is_a_call_in_progress(self):
        watch = "/vmkeep.v1.BackupService/WatchBackups"
        self.assertEqual(self.controller().value("vmkeep_grpc_calls_in_progress", method=watch), 0)
        method, response = self.api.method("BackupService/WatchBackups")
        stream = self.api.channel.unary_stream(
            "/vmkeep.v1.BackupService/WatchBackups", method.SerializeToString, response.FromString)(method(), timeout=60)
        wait_until(lambda: self.controller().value("vmkeep_grpc_calls_in_progress", method=watch) == 1, "it watches")
        stream.cancel()
        wait_until(lambda: self.controller().value("vmkeep_grpc_calls_in_progress", method=watch) == 0, "it went")
        self.assertEqual(self.controller().value("vmkeep_grpc_calls_total", method=watch, code="CANCELLED"), 1)

    def test_repositories_by_size_and_health(self):
        here, there, space = self.controller(), self.executor(), os.statvfs(self.site.repositories[1])
        labels = {"host": "kvm-1", "repository": "1", "repository_id": self.repository(1)["id"]}
        self.assertEqual(here.value("vmkeep_repository_total_bytes", **labels), space.f_blocks * space.f_frsize)
        self.assertGreater(here.value("vmkeep_repository_free_bytes", **labels), 0)
        self.assertEqual(here.value("vmkeep_repository_health", health="HEALTHY", **labels), 1)
        self.assertLess(here.find("vmkeep_repository_probe_age_seconds", **labels)[0][1], 300)
        self.assertGreater(there.value("vmkeep_executor_repository_free_bytes", repository=1), 0)
        self.assertGreaterEqual(there.value("vmkeep_executor_worker_job_seconds_count", job="probe"), 2)
        self.assertGreaterEqual(there.value("vmkeep_executor_worker_job_seconds_count", job="probe", result="ok"), 1)
        marker = self.site.repositories[2] / ".vmkeep-repository"
        marker.rename(self.dir / "marker")
        try:
            # Refused at the repository: which also has it probed again.
            failed = self.create("app-1", "no-repository", repository=2)
            self.site.wait_state(failed, "UNRESOURCED")
            wait_until(lambda: self.controller().value("vmkeep_repository_health", repository=2, health="UNINITIALIZED") == 1,
                       "the controller knows")
            self.assertEqual(self.executor().value("vmkeep_executor_repository_health", repository=2, health="HEALTHY"), 0)
            self.assertEqual(self.controller().value("vmkeep_backups", state="UNRESOURCED"), 1)
        finally:
            (self.dir / "marker").rename(marker)
        self.api.call("BackupService/UpdateBackup", id=failed, state="SCRUB")
        self.site.wait_state(failed, "CLOSED")

    def test_zz_a_host_that_is_gone(self):
        backup = self.held_copy("db-1", "interrupted", "vda")
        self.site.executor.kill()
        gone = wait_until(lambda: (s := self.controller()).value("vmkeep_hosts", availability="UNREACHABLE") == 1
                          and s.value("vmkeep_backup_conditions", type="HOST_UNREACHABLE") == 1 and s, "it is noticed")
        self.assertEqual(gone.value("vmkeep_host_online", host="kvm-1"), 0)
        self.assertGreater(gone.value("vmkeep_vm_on_overlay_seconds", name="db-1"), 0, "the last that is known")
        self.gate("")
        self.site.executor.start()
        self.site.wait_online()
        self.site.wait_state(backup, "RUNNING")  # its copy is gone on with
        wait_until(lambda: self.controller().value("vmkeep_host_online", host="kvm-1") == 1, "it is back")

    def test_zzz_a_scraper_that_does_not_read_holds_up_no_stop(self):
        self.site.ctl("host", "list")
        stuck = []
        for daemon in (self.site.controller, self.site.executor):
            client = socket.create_connection(("127.0.0.1", self.port(daemon)))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            client.sendall(b"GET /metr")
            stuck.append(client)
        self.assertEqual([daemon.stop(seconds=10) for daemon in (self.site.controller, self.site.executor)], [0, 0])
        for client in stuck:
            client.close()

    def test_the_docs_name_metrics_that_exist(self):
        declared = set()
        for source in ("controller/metrics/families.h", "executor/metrics/families.h", "common/metrics/grpc_calls.cc"):
            declared |= set(re.findall(r'"(vmkeep_[a-z_]+)"', (ROOT / source).read_text()))
        for page in ("docs/operations.md", "docs/vmkeep.rules.yml"):
            named = set(re.findall(r"\b(vmkeep_[a-z_]+)", (ROOT / page).read_text()))
            self.assertGreater(len(named), 2)
            self.assertEqual({n for n in named if re.sub("_(count|sum|bucket)$", "", n) not in declared}, set(), page)

    # logs -------------------------------------------------------------------------------------------------------------------

    def story(self, backup):
        """daemon -> its lines with this id, as it wrote them."""
        lines = {}
        for daemon in (self.site.controller, self.site.executor):
            lines[daemon.name] = [line for line in daemon.log.read_text().splitlines() if backup in line]
            for line in lines[daemon.name]:
                self.assertIn(f"backup={backup}", line)
                self.assertRegex(line, r"\bhost=\S", "a line of a job names its host")
        return lines

    def assert_in_order(self, story, expected):
        """Each daemon's lines, in the order in which it wrote them. Between two daemons there is no order: an executor
        logs a task's end after it is durable, and the controller may read and record it in between."""
        for daemon, lines in story.items():
            at = 0
            for pattern in [pattern for name, pattern in expected if name == daemon]:
                while at < len(lines) and not re.search(pattern, lines[at]):
                    at += 1
                self.assertLess(at, len(lines), f"{daemon}: {pattern} is missing, or too early, in\n" + "\n".join(lines))
                at += 1

    def test_the_logs_tell_a_backup_by_its_id(self):
        backup = self.create("app-1", "logged")
        self.site.wait_state(backup, "RUNNING")
        self.assert_in_order(self.story(backup), [
            ("controller", "backup_recorded .*state=REQUESTED"),
            ("controller", "backup_recorded .*state=BUILDING .*epoch=1"),
            ("controller", "task_start "),
            ("executor", "task_begin "),
            ("executor", "step_done step=preflight"),
            ("executor", "step_done step=snapshot"),
            ("executor", "worker_started job=copy .*disk=disk-vda"),
            ("executor", "worker_ended job=copy .*result=ok"),
            ("executor", "step_done step=copy disk=vda"),
            ("executor", "step_done step=merge disk=vda"),
            ("executor", "worker_ended job=publish .*result=ok"),
            ("executor", "task_end outcome=DONE"),
            ("controller", "backup_recorded .*state=RUNNING"),
        ])

    def test_the_logs_tell_a_failed_backup_by_its_id(self):
        backup = self.held_copy("app-1", "doomed", "vda")
        pid = int(re.search(rf"worker_started job=copy pid=(\d+) .*backup={backup}", self.site.executor.log.read_text())[1])
        os.kill(pid, signal.SIGKILL)
        self.gate("")
        self.site.wait_state(backup, "UNRESOURCED")
        self.assert_in_order(self.story(backup), [
            ("controller", "backup_recorded .*state=REQUESTED"),
            ("controller", "task_start "),
            ("executor", "task_begin "),
            ("executor", "worker_started job=copy"),
            ("executor", "worker_ended job=copy .*result=WORKER_DIED"),
            ("executor", "step_failed step=copy .*reason=WORKER_DIED"),
            ("executor", "step_done step=merge"),
            ("executor", "task_end outcome=FAILED reason=WORKER_DIED"),
            ("controller", "backup_recorded .*state=UNRESOURCED .*reason=WORKER_DIED"),
        ])

    def test_a_metrics_address_that_cannot_be_used_is_said_at_start(self):
        taken = self.port(self.site.controller)
        for address, said in ((f"127.0.0.1:{taken}", "Address already in use"), ("0.0.0.0:9817", "loopback|127.0.0.1")):
            for program, flags in (("vmkeep-controller", []), ("vmkeep-executor", ["--hypervisor=sim", f"--sim_dir={self.dir / 'x'}"])):
                done = run(BIN / program, f"--listen=unix:{self.dir / 'x.sock'}", f"--state_dir={self.dir / ('x-' + program)}",
                           f"--metrics_listen={address}", *flags, check=False, timeout=30)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertRegex(done.stderr, said)


if __name__ == "__main__":
    unittest.main()
