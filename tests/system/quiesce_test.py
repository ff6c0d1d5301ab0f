"""Each quiesce policy, on a guest with an agent and on one without."""

import unittest

from harness import Guest, Site, SystemTest, wait_until

WITH_UUID = "7b3f1a52-93a1-4a0e-8d57-0c8a4f6e2c01"
WITHOUT_UUID = "7b3f1a52-93a1-4a0e-8d57-0c8a4f6e2c02"


class QuiesceTest(SystemTest):
    @classmethod
    def set_up_site(cls):
        cls.guests = {
            "with": Guest(cls.dir / "with", "with-agent", WITH_UUID, [("vda", "raw", "64M", 4)]),
            "without": Guest(cls.dir / "without", "without-agent", WITHOUT_UUID, [("vda", "raw", "64M", 4)], agent=False),
        }
        for guest in cls.guests.values():
            cls.stack.callback(guest.remove)
        cls.site = Site(cls.dir, executor_flags=["--overlay_reserve_bytes=67108864"])
        cls.use(cls.site)
        cls.site.start()
        cls.site.init_repositories()
        for name, guest in cls.guests.items():
            guest.start(wait_agent=name == "with")
        wait_until(lambda: all(g.acknowledged()["vda"] > 2 for g in cls.guests.values()), "both guests write", 60)

    def back_up(self, guest, policy):
        vm = self.guests[guest]
        name = f"{guest} {policy}"
        self.site.ctl("backup", "create", vm.name, name, "--quiesce", policy, "--wait", check=False)
        record = [b for b in self.site.json("backup", "list")["backups"] if b["name"] == name][0]
        # Whatever came of it: back on its disk, not frozen, still writing.
        self.assertTrue(vm.on_own_disks(), vm.top_sources())
        self.assertEqual(vm.overlays(), [])
        now = vm.acknowledged()["vda"]
        wait_until(lambda: vm.acknowledged()["vda"] > now + 1, f"{vm.name} goes on writing", 30)
        return record

    def test_with_an_agent(self):
        for policy, consistency in (("if-available", "FILESYSTEM"), ("required", "FILESYSTEM"), ("never", "CRASH")):
            with self.subTest(policy):
                record = self.back_up("with", policy)
                self.assertEqual((record["state"], record["consistency"]), ("RUNNING", consistency), record)

    def test_without_an_agent(self):
        for policy in ("if-available", "never"):
            with self.subTest(policy):
                record = self.back_up("without", policy)
                self.assertEqual((record["state"], record["consistency"]), ("RUNNING", "CRASH"), record)
        with self.subTest("required"):
            record = self.back_up("without", "required")
            self.assertEqual((record["state"], record["failure"]["reason"]), ("UNRESOURCED", "QUIESCE_FAILED"), record)
            self.assertIn("agent", record["failure"]["message"])


if __name__ == "__main__":
    unittest.main()
