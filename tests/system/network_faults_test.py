"""A sick network between controller and executor: a proxy that cuts, delays, and half-opens. The hypervisor is simulated.

A copy is held in the middle by a repository that hangs (vmkeep-faultfs) while the network fails. The executor carries on alone,
the record says that its host is not reachable and stays as it is, and in the end there is one task, one try, one backup."""

import pathlib
import re
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from faultfs import FaultFs, missing
from harness import Site, SystemTest, check_published, wait_until
from tcp_proxy import TcpProxy

# Half-open: two silent pings of gRPC (common/channel.cc), or a silent stream (controller/dispatch/host_link.h).
NOTICED_WITHIN = 60


class NetworkFaultsTest(SystemTest):
    @classmethod
    def set_up_site(cls):
        (cls.dir / "sim").mkdir()
        site = Site(cls.dir, "sim", [f"--sim_dir={cls.dir / 'sim'}", "--sim_vms=web-1:1:16MiB", "--stall_timeout=100s",
                                     "--overlay_reserve_bytes=1048576"])
        cls.fs = FaultFs(site.repositories[1], cls.dir / "nas")
        cls.stack.callback(cls.fs.close)
        site.repositories[1] = cls.fs.behind
        cls.proxy = TcpProxy(site.executor_socket)
        cls.stack.callback(cls.proxy.close)
        site.executor_address = f"127.0.0.1:{cls.proxy.port}"
        cls.use(site)
        site.start()
        site.init_repositories()
        wait_until(lambda: site.json("vm", "list").get("vms"), "the VM is listed")

    def tearDown(self):
        self.fs.fault()
        self.proxy.set("pass")
        self.site.wait_online(90)

    def held_copy(self, name):
        began = len(self.fs.calls())
        self.fs.fault("write disk- hang from=4194304")
        backup = self.site.json("backup", "create", "web-1", name, "--repository", 1)["id"]
        wait_until(lambda: any(c[0] == "write" and c[2] == "hang" for c in self.fs.calls()[began:]), "the copy is held")
        return backup

    def unreachable(self, backup):
        return "HOST_UNREACHABLE" in [c["type"] for c in self.site.get(backup).get("conditions", [])]

    def carries_on_alone(self, backup):
        """The copy goes on and ends on the host, while the record stays as it was."""
        self.fs.fault()
        wait_until(lambda: re.search(f"task_end outcome=DONE .*backup={backup}", self.site.executor.log.read_text()),
                   "the executor ends its task alone")
        record = self.site.get(backup)
        self.assertEqual(record["state"], "BUILDING")
        self.assertNotIn("failure", record)

    def assert_one_try(self, backup):
        log = self.site.executor.log.read_text()
        self.assertEqual(len(re.findall(f"task_begin .*backup={backup}", log)), 1, "it was started twice")
        record = self.site.wait_state(backup, "RUNNING", seconds=90)
        self.assertEqual(record["conditions"], [])
        check_published(self.site.folder(record))
        self.assertEqual([p for p in self.site.leftovers() if "/.incoming/" in p], [])

    def test_cut_in_mid_copy(self):
        backup = self.held_copy("cut")
        self.proxy.cut()
        wait_until(lambda: self.unreachable(backup), "the record says so", 10)
        self.carries_on_alone(backup)
        self.proxy.set("pass")
        self.assert_one_try(backup)

    def test_cut_and_back_while_it_copies(self):
        backup = self.held_copy("cut and back")
        self.proxy.cut()
        wait_until(lambda: self.unreachable(backup), "the record says so", 10)
        self.proxy.set("pass")
        wait_until(lambda: not self.unreachable(backup), "it is attached to again", 60)
        self.assertEqual(self.site.get(backup)["state"], "BUILDING")
        self.fs.fault()
        self.assert_one_try(backup)

    def test_half_open_in_mid_copy(self):
        backup = self.held_copy("half-open")
        began = time.monotonic()
        self.proxy.set("swallow")
        wait_until(lambda: self.unreachable(backup), "a silent host is noticed", NOTICED_WITHIN)
        self.assertLess(time.monotonic() - began, NOTICED_WITHIN)
        self.carries_on_alone(backup)
        self.proxy.set("pass")
        self.assert_one_try(backup)

    def test_a_slow_network_is_only_slow(self):
        self.proxy.set("delay", 0.2)
        backup = self.site.json("backup", "create", "web-1", "slow", "--repository", 1)["id"]
        self.site.wait_state(backup, "RUNNING", seconds=90)
        self.assert_one_try(backup)


if __name__ == "__main__":
    if missing():
        print(f"SKIPPED: a FUSE mount {missing()}")
        sys.exit(77)
    unittest.main()
