"""The API as outsiders meet it: buf curl and python3-grpcio, good requests and bad ones. The hypervisor is simulated."""

import json
import subprocess
import unittest

from harness import ROOT, Api, Site, SystemTest, run, wait_until

BUF = ROOT / "tools/check.d/buf"
VMS = "web-1:2:16MiB,web-2:1:8MiB,slow-1:1:512MiB"


class ApiTest(SystemTest):
    @classmethod
    def set_up_site(cls):
        cls.site = Site(cls.dir, "sim", [f"--sim_dir={cls.dir / 'sim'}", f"--sim_vms={VMS}"])
        (cls.dir / "sim").mkdir()
        cls.use(cls.site)
        cls.site.start()
        cls.site.init_repositories()
        cls.api = Api(cls.site, cls.dir)
        vms = wait_until(lambda: cls.site.json("vm", "list").get("vms"), "the VMs are listed")
        cls.uuid = {vm["name"]: vm["uuid"] for vm in vms}

    def curl(self, method, body, check=True):
        """buf curl with nothing but reflection, as an engineer types it."""
        done = subprocess.run(
            [BUF, "curl", "--protocol", "grpc", "--http2-prior-knowledge", "--unix-socket", str(self.site.socket),
             "-d", body, f"http://localhost/vmkeep.v1.{method}"],
            capture_output=True, text=True, timeout=60)
        if check:
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done

    def open_ids(self):
        return sorted(b["id"] for b in self.api.call("BackupService/ListBackups", filter={"show_closed": True})["backups"])

    def create(self, **fields):
        return self.api.call("BackupService/CreateBackup", **{"vm_id": "web-1", "repository": 1, **fields})

    def scrub(self, backup):
        self.api.call("BackupService/UpdateBackup", id=backup, state="SCRUB")
        return self.site.wait_state(backup, "CLOSED")

    # the two actions, as typed ----------------------------------------------------------------------------------------

    def test_buf_curl_takes_both_actions_as_typed(self):
        created = json.loads(self.curl("BackupService/CreateBackup",
                                       '{"vm_id":"web-1","name":"nightly","repository":1}').stdout)
        record = self.site.wait_state(created["id"], "RUNNING")
        self.assertTrue(record["simulated"])
        self.curl("BackupService/UpdateBackup", '{"id":"%s","state":"SCRUB"}' % created["id"])
        self.site.wait_state(created["id"], "CLOSED")
        self.assertEqual(self.site.leftovers(), [])

    def test_buf_curl_finds_health_by_reflection(self):
        done = subprocess.run(
            [BUF, "curl", "--protocol", "grpc", "--http2-prior-knowledge", "--unix-socket", str(self.site.socket),
             "-d", "{}", "http://localhost/grpc.health.v1.Health/Check"], capture_output=True, text=True, timeout=60)
        self.assertIn("SERVING", done.stdout, done.stderr)

    def test_python_takes_both_actions_as_typed(self):
        created = self.create(name="nightly")
        self.assertEqual(created["state"], "REQUESTED")
        record = self.site.wait_state(created["id"], "RUNNING")
        self.assertEqual(record["vm_uuid"], self.uuid["web-1"])
        self.assertEqual(self.scrub(created["id"])["scrub_level"], "REMOVED")
        self.assertEqual(self.site.leftovers(), [])

    # bad input: code, reason, sentence, and nothing left -----------------------------------------------------------------

    def test_garbage_in_every_field_of_create(self):
        before = self.open_ids()
        table = [
            ({"vm_id": ""}, "vm_id"),
            ({"vm_id": "x" * 300}, "vm_id"),
            ({"vm_id": "a\u0000b"}, "vm_id"),
            ({"name": ""}, "name"),
            ({"name": "   "}, "name"),
            ({"name": "x" * 129}, "name"),
            ({"name": "line\nbreak"}, "name"),
            ({"repository": 3}, "repository"),
            ({"repository": -1}, "repository"),
            ({"request_id": "x" * 129}, "request_id"),
            ({"labels": {"": "v"}}, "labels"),
            ({"labels": {"k" * 64: "v"}}, "labels"),
            ({"labels": {"k": "v" * 256}}, "labels"),
            ({"labels": {f"k{i}": "v" for i in range(65)}}, "labels"),
            ({"quiesce": 7}, "quiesce"),
        ]
        for fields, field in table:
            with self.subTest(fields):
                code, reason, message, details = self.api.error(
                    "BackupService/CreateBackup", **{"vm_id": "web-1", "name": "ok", "repository": 1, **fields})
                self.assertEqual((code, reason), ("INVALID_ARGUMENT", "INVALID_ARGUMENT"))
                violations = [v.field for v in details["BadRequest"].field_violations]
                self.assertTrue(any(v.startswith(field) for v in violations), violations)
                self.assertIn(field, message)
        self.assertEqual(self.open_ids(), before)
        self.assertEqual(self.site.leftovers(), [])

    def test_all_problems_are_named_in_one_answer(self):
        details = self.api.error("BackupService/CreateBackup", repository=9)[3]
        self.assertEqual({v.field for v in details["BadRequest"].field_violations}, {"vm_id", "name", "repository"})

    def test_unknown_things_are_not_found(self):
        nil = "00000000-0000-7000-8000-000000000000"
        for method, fields, reason in (
                ("BackupService/CreateBackup", {"vm_id": "nobody", "name": "n"}, "VM_NOT_FOUND"),
                ("BackupService/GetBackup", {"id": nil}, "BACKUP_NOT_FOUND"),
                ("BackupService/UpdateBackup", {"id": nil, "state": "SCRUB"}, "BACKUP_NOT_FOUND"),
                ("BackupService/RetryBackup", {"id": nil}, "BACKUP_NOT_FOUND"),
                ("InventoryService/GetHost", {"id": "nowhere"}, "HOST_NOT_FOUND"),
                ("InventoryService/UpdateHost", {"id": "nowhere", "draining": True}, "HOST_NOT_FOUND"),
                ("InventoryService/DeleteHost", {"id": "nowhere"}, "HOST_NOT_FOUND"),
                ("InventoryService/GetVm", {"id": "nobody"}, "VM_NOT_FOUND"),
                ("InventoryService/InitRepository", {"host_id": "nowhere", "slot": 1}, "HOST_NOT_FOUND")):
            with self.subTest(method):
                code, got, message, _ = self.api.error(method, **fields)
                self.assertEqual((code, got), ("NOT_FOUND", reason))
                self.assertGreater(len(message), 10)

    def test_garbage_elsewhere(self):
        table = [
            ("BackupService/GetBackup", {"id": ""}),
            ("BackupService/GetBackup", {"id": "../../etc/passwd"}),
            ("BackupService/UpdateBackup", {"id": "nonsense", "state": "SCRUB"}),
            ("BackupService/ListBackups", {"page_size": -1}),
            ("BackupService/ListBackups", {"page_token": "garbage"}),
            ("BackupService/ListBackups", {"order_by": "name; drop table backup"}),
            ("BackupService/ListBackups", {"filter": {"states": [5]}}),
            ("BackupService/ListBackups", {"filter": {"repositories": [5]}}),
            ("InventoryService/RegisterHost", {"id": "UPPER", "address": "unix:/x"}),
            ("InventoryService/RegisterHost", {"id": "h", "address": "nonsense"}),
            ("InventoryService/InitRepository", {"host_id": "kvm-1", "slot": 3}),
            ("InventoryService/ListVms", {"page_token": "garbage"}),
            ("BackupService/RetryBackup", {"id": "nonsense"}),
            ("InventoryService/UpdateHost", {"id": "kvm-1"}),
            ("InventoryService/UpdateHost", {"id": "kvm-1", "update_mask": "address"}),
            ("InventoryService/UpdateHost", {"id": "kvm-1", "executor_id": "nonsense"}),
            ("InventoryService/DeleteHost", {"id": "../x"}),
            ("InventoryService/RegisterVm", {"id": "shop"}),
            ("InventoryService/RegisterVm", {"id": "shop", "uuid": "nonsense"}),
            ("InventoryService/RegisterVm", {"id": self.uuid["web-2"], "uuid": self.uuid["web-1"]}),
            ("InventoryService/GetVm", {"id": "a\nb"}),
        ]
        for method, fields in table:
            with self.subTest(f"{method} {fields}"):
                code, reason, message, _ = self.api.error(method, **fields)
                self.assertEqual(code, "INVALID_ARGUMENT", message)
                self.assertTrue(reason)

    def test_an_update_may_only_scrub(self):
        backup = self.create(name="update")["id"]
        for state in ("RUNNING", "REQUESTED", "CLOSED", "SCRUBBING"):
            with self.subTest(state):
                code, *_ = self.api.error("BackupService/UpdateBackup", id=backup, state=state)
                self.assertEqual(code, "INVALID_ARGUMENT")
        code, *_ = self.api.error("BackupService/UpdateBackup", id=backup, update_mask="epoch")
        self.assertEqual(code, "INVALID_ARGUMENT")
        self.site.wait_state(backup, "RUNNING")
        code, reason, *_ = self.api.error("BackupService/UpdateBackup", id=backup, name="new", etag="stale")
        self.assertEqual((code, reason), ("ABORTED", "ETAG_MISMATCH"))
        renamed = self.api.call("BackupService/UpdateBackup", id=backup, name="renamed", labels={"a": "b"})
        self.assertEqual((renamed["name"], renamed["labels"]), ("renamed", {"a": "b"}))
        self.scrub(backup)

    def test_a_mask_names_what_changes(self):
        backup = self.create(name="masked", labels={"tier": "gold"})["id"]
        self.site.wait_state(backup, "RUNNING")
        update = {"id": backup, "name": "not meant", "labels": {"a": "b"}}
        changed = self.api.call("BackupService/UpdateBackup", **update, update_mask="labels")
        self.assertEqual((changed["name"], changed["labels"]), ("masked", {"a": "b"}))
        bare = self.api.call("BackupService/UpdateBackup", id=backup, update_mask="labels")
        self.assertEqual(bare["labels"], {})
        self.scrub(backup)

    # another try ------------------------------------------------------------------------------------------------------

    def wait_health(self, health):
        """Until repository 2 is so; an executor looks every minute, also unasked."""
        wait_until(lambda: self.api.call("InventoryService/ListRepositories")["repositories"][1]["health"] == health,
                   f"repository 2 is {health}", 90)

    def test_a_failed_backup_is_tried_again_as_the_same_record(self):
        marker = self.site.repositories[2] / ".vmkeep-repository"
        marker.rename(self.dir / "marker")
        try:
            backup = self.create(name="again", repository=2)["id"]
            failed = self.site.wait_state(backup, "UNRESOURCED")
            # Seen by a probe too: else one that looked meanwhile may report it after it is back.
            self.wait_health("UNINITIALIZED")
        finally:
            (self.dir / "marker").rename(marker)
        code, reason, *_ = self.api.error("BackupService/RetryBackup", id=backup, etag="1")
        self.assertEqual((code, reason), ("ABORTED", "ETAG_MISMATCH"))
        self.wait_health("HEALTHY")
        retried = json.loads(self.curl("BackupService/RetryBackup", json.dumps(
            {"id": backup, "etag": failed["etag"]})).stdout)
        self.assertEqual((retried["id"], retried["state"]), (backup, "REQUESTED"))
        self.assertNotIn("failure", retried)
        self.site.wait_state(backup, "RUNNING")
        code, reason, message, _ = self.api.error("BackupService/RetryBackup", id=backup)
        self.assertEqual((code, reason), ("FAILED_PRECONDITION", "ILLEGAL_TRANSITION"))
        self.assertIn("UNRESOURCED", message)
        self.scrub(backup)

    # hosts and VMs ----------------------------------------------------------------------------------------------------

    def test_a_draining_host_starts_nothing_and_says_so(self):
        kept = self.create(vm_id="web-2", name="kept")["id"]
        self.site.wait_state(kept, "RUNNING")
        self.assertTrue(self.api.call("InventoryService/UpdateHost", id="kvm-1", draining=True)["draining"])
        try:
            waiting = self.create(name="waits for the host")["id"]
            self.api.call("BackupService/UpdateBackup", id=kept, state="SCRUB")
            for backup, state in ((waiting, "REQUESTED"), (kept, "SCRUB")):
                record = wait_until(lambda b=backup: (r := self.site.get(b)).get("conditions") and r, "it says why")
                self.assertEqual([c["type"] for c in record["conditions"]], ["HOST_DRAINING"])
                self.assertEqual(record["state"], state)
        finally:
            self.curl("InventoryService/UpdateHost", '{"id":"kvm-1","draining":false}')
        self.site.wait_state(kept, "CLOSED")
        self.assertEqual(self.site.wait_state(waiting, "RUNNING").get("conditions", []), [])
        self.scrub(waiting)

    def test_a_host_is_deleted_only_when_nothing_needs_it(self):
        backup = self.create(name="holds the host")["id"]
        self.site.wait_state(backup, "RUNNING")
        code, reason, *_ = self.api.error("InventoryService/DeleteHost", id="kvm-1")
        self.assertEqual((code, reason), ("FAILED_PRECONDITION", "HOST_IN_USE"))
        self.scrub(backup)
        self.api.call("InventoryService/RegisterHost", id="kvm-9", address=f"unix:{self.dir}/nobody.sock")
        self.curl("InventoryService/DeleteHost", '{"id":"kvm-9"}')
        self.assertEqual(self.api.error("InventoryService/GetHost", id="kvm-9")[1], "HOST_NOT_FOUND")

    def test_no_executor_is_confirmed_that_was_not_refused(self):
        code, reason, message, details = self.api.error(
            "InventoryService/UpdateHost", id="kvm-1", executor_id="00000000-0000-4000-8000-000000000001")
        self.assertEqual((code, reason), ("FAILED_PRECONDITION", "EXECUTOR_NOT_SEEN"))
        self.assertIn("REFUSED", message)
        self.assertIn("PreconditionFailure", details)
        host = self.site.json("host", "get", "kvm-1")
        self.assertEqual(host["availability"], "ONLINE")
        self.assertTrue(host["last_seen_time"])

    def test_a_vm_has_an_id_of_the_callers_own(self):
        for _ in range(2):  # a repeat changes nothing
            vm = json.loads(self.curl("InventoryService/RegisterVm", json.dumps(
                {"id": "shop-backend", "uuid": self.uuid["web-2"].upper()})).stdout)
            self.assertEqual((vm["id"], vm["name"]), ("shop-backend", "web-2"))
        for fields, expected in (({"id": "shop-backend", "uuid": self.uuid["web-1"]}, "VM_REGISTERED"),
                                 ({"id": "slow-1", "uuid": self.uuid["web-1"]}, "VM_ID_IS_A_NAME")):
            code, reason, *_ = self.api.error("InventoryService/RegisterVm", **fields)
            self.assertEqual((code, reason), ("ALREADY_EXISTS", expected))
        for spelling in ("shop-backend", self.uuid["web-2"], "web-2"):
            self.assertEqual(self.api.call("InventoryService/GetVm", id=spelling)["id"], "shop-backend")
        backup = self.create(vm_id="shop-backend", name="by its id")["id"]
        record = self.site.wait_state(backup, "RUNNING")
        self.assertEqual((record["vm_id"], record["vm_name"]), ("shop-backend", "web-2"))
        self.scrub(backup)
        self.assertEqual(self.api.call("InventoryService/ListVms", on_overlay=True)["vms"], [])

    # a watch ------------------------------------------------------------------------------------------------------------

    def watch(self, **fields):
        request, response = self.api.method("BackupService/WatchBackups")
        message = self.api.json_format.ParseDict(fields, request())
        stub = self.api.channel.unary_stream("/vmkeep.v1.BackupService/WatchBackups", request.SerializeToString,
                                             response.FromString)
        return stub(message, timeout=60)

    def test_a_watch_goes_on_after_the_controller_was_killed(self):
        before = self.create(name="before the kill")["id"]
        self.site.wait_state(before, "RUNNING")
        token = None
        stream = self.watch()
        for response in stream:
            token = response.resume_token or token
            if response.snapshot_complete:
                break
        self.site.controller.kill()
        with self.assertRaises(self.api.grpc.RpcError) as ended:
            list(stream)
        self.assertEqual(ended.exception.code().name, "UNAVAILABLE")
        self.site.controller.start()
        wait_until(lambda: self.site.ctl("host", "list", check=False).returncode == 0, "the controller answers")
        self.site.wait_online()
        self.api.grpc.channel_ready_future(self.api.channel).result(timeout=30)
        after = self.create(vm_id="web-2", name="after the kill")["id"]
        seen = []
        for response in self.watch(resume_token=token, until_settled=True):
            if response.HasField("backup"):
                seen.append((response.backup.id, response.backup.state))
        self.assertEqual({backup for backup, _ in seen}, {after}, "nothing of before is told again")
        self.assertEqual(seen[-1][1], 4)  # RUNNING
        for backup in (before, after):
            self.scrub(backup)

    # request ids, names, pages ----------------------------------------------------------------------------------------

    def test_request_id_twice_is_one_backup(self):
        fields = {"name": "once", "request_id": "r-1", "labels": {"a": "1", "b": "2"}}
        first, second = self.create(**fields), self.create(**fields)
        self.assertEqual(first["id"], second["id"])
        code, reason, *_ = self.api.error("BackupService/CreateBackup", vm_id="web-1", name="twice", repository=1,
                                          request_id="r-1")
        self.assertEqual(reason, "REQUEST_ID_REUSED", code)
        self.site.wait_state(first["id"], "RUNNING")
        self.assertEqual(self.create(**fields)["state"], "RUNNING")  # the record as it is now
        self.scrub(first["id"])

    def test_name_is_unique_until_it_is_scrubbed(self):
        backup = self.create(name="weekly")["id"]
        self.site.wait_state(backup, "RUNNING")
        code, reason, message, details = self.api.error("BackupService/CreateBackup", vm_id=self.uuid["web-1"],
                                                        name="weekly")
        self.assertEqual((code, reason), ("ALREADY_EXISTS", "NAME_TAKEN"))
        self.assertEqual(details["ErrorInfo"].metadata["backup_id"], backup)
        self.assertIn("{date}", message)
        self.scrub(backup)
        again = self.create(name="weekly")["id"]
        self.site.wait_state(again, "RUNNING")
        self.scrub(again)

    def test_a_name_may_hold_the_day_and_the_time(self):
        made = self.create(name="nightly {date} {time}")
        self.assertRegex(made["name"], r"^nightly \d{4}-\d\d-\d\d \d\d:\d\d:\d\d$")
        self.assertEqual(made["name"][8:18], made["create_time"][:10])
        self.site.wait_state(made["id"], "RUNNING")
        renamed = self.api.call("BackupService/UpdateBackup", id=made["id"], name="kept {date}")
        self.assertRegex(renamed["name"], r"^kept \d{4}-\d\d-\d\d$")
        self.scrub(made["id"])

    def test_validate_only_stores_nothing(self):
        before = self.open_ids()
        self.create(name="what if", validate_only=True)
        self.assertEqual(self.open_ids(), before)

    def test_pages(self):
        made = []
        for vm in ("web-1", "web-2"):
            for n in range(2):
                backup = self.create(vm_id=vm, name=f"page {n}", labels={"suite": "pages"})["id"]
                self.site.wait_state(backup, "RUNNING")
                made.append(backup)
        query = {"filter": {"labels": {"suite": "pages"}}, "page_size": 3}
        first = self.api.call("BackupService/ListBackups", **query)
        second = self.api.call("BackupService/ListBackups", **query, page_token=first["next_page_token"])
        self.assertEqual([b["id"] for b in first["backups"] + second["backups"]], made[::-1])
        self.assertEqual(second["next_page_token"], "")
        oldest = self.api.call("BackupService/ListBackups", filter=query["filter"], order_by="create_time")
        self.assertEqual([b["id"] for b in oldest["backups"]], made)
        code, reason, *_ = self.api.error("BackupService/ListBackups", page_size=3, page_token=first["next_page_token"])
        self.assertEqual((code, reason), ("INVALID_ARGUMENT", "BAD_PAGE_TOKEN"))
        for backup in made:
            self.scrub(backup)

    # scrub in every state -----------------------------------------------------------------------------------------------

    def test_scrub_in_every_state(self):
        with self.subTest("BUILDING, and SCRUB"):
            backup = self.create(vm_id="slow-1", name="cancel me")["id"]
            wait_until(lambda: self.site.get(backup)["state"] == "BUILDING", "it builds", 30, 0.01)
            first = self.api.call("BackupService/UpdateBackup", id=backup, state="SCRUB")
            self.assertIn(first["state"], ("SCRUB", "SCRUBBING", "CLOSED"))
            try:
                self.api.call("BackupService/UpdateBackup", id=backup, state="SCRUB")
            except self.api.grpc.RpcError as error:  # only if it was quick
                self.assertEqual(error.code().name, "FAILED_PRECONDITION")
            self.site.wait_state(backup, "CLOSED")
            self.assertEqual(self.site.leftovers(), [])
        with self.subTest("CLOSED"):
            code, reason, *_ = self.api.error("BackupService/UpdateBackup", id=backup, state="SCRUB")
            self.assertEqual((code, reason), ("FAILED_PRECONDITION", "ILLEGAL_TRANSITION"))
        with self.subTest("UNRESOURCED"):
            (self.site.repositories[2] / ".vmkeep-repository").rename(self.dir / "marker")
            try:
                backup = self.create(name="fails", repository=2)["id"]
                self.site.wait_state(backup, "UNRESOURCED")
            finally:
                (self.dir / "marker").rename(self.site.repositories[2] / ".vmkeep-repository")
            self.scrub(backup)
        with self.subTest("REQUESTED"):
            self.site.executor.stop()
            backup = self.create(name="waits")["id"]
            self.assertEqual(self.site.get(backup)["state"], "REQUESTED")
            self.scrub(backup)  # needs no host: nothing was ever begun
            self.site.executor.start()
            self.site.wait_online()

    # the CLI ----------------------------------------------------------------------------------------------------------

    def test_watch_shows_the_phases_and_ends_when_settled(self):
        backup = self.create(vm_id="slow-1", name="watched")["id"]
        done = self.site.ctl("--json", "backup", "watch", backup, "--until-settled", timeout=120)
        views = [json.loads(line) for line in done.stdout.splitlines()]
        states = [v["state"] for v in views]
        self.assertEqual(states[-1], "RUNNING")
        phases = {v.get("progress", {}).get("phase") for v in views}
        self.assertIn("COPYING", phases)
        self.scrub(backup)

    def test_unreachable_controller_has_its_own_exit_code(self):
        done = run(self.site.controller.argv[0].replace("vmkeep-controller", "vmkeepctl"), "--server",
                   f"unix:{self.dir}/nobody.sock", "--timeout", "2s", "host", "list", check=False)
        self.assertEqual(done.returncode, 3, done.stderr)


if __name__ == "__main__":
    unittest.main()
