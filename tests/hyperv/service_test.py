"""vmkeep-executor.exe as a service of Windows: under wine's service manager."""

import subprocess
import unittest

import windows_site
from windows_site import HOST, WindowsTest, wait_until

ENVIRONMENT = "HKLM\\System\\CurrentControlSet\\Control\\Session Manager\\Environment"


class ServiceTest(WindowsTest):
    VMS = ({"name": "off-1", "disks": [[("off.vhdx", 1)]], "state": "Off"},)

    @classmethod
    def before_start(cls):
        """A service has the machine's environment, and not that of whoever started it: what the stand-in needs has to be there."""
        site = cls.site
        given = site.prefix.environment(**site.executor.environment)
        for name in sorted({*site.executor.environment, *(n for n in given if n.startswith(("DOTNET_", "POWERSHELL_")))}):
            done = site.prefix.run("reg", "add", ENVIRONMENT, "/v", name, "/d", given[name], "/f")
            assert done.returncode == 0, done
        # Read anew when the machine comes up; and it stays up without a program of a user's, as a Windows does.
        for how in ("-k", "-p"):
            subprocess.run(["wineserver", how], env=site.prefix.environment(), timeout=30, check=how == "-p")
        site.executor = Service(site)

    def test_1_it_backs_up(self):
        self.published(self.create(1, "by a service"))

    def test_2_stops_and_starts_again(self):
        self.site.executor.stop()
        self.assertEqual(self.site.prefix.processes("vmkeep-executor.exe"), [])
        wait_until(lambda: self.site.json("host", "get", HOST)["availability"] != "ONLINE", "the controller notices")
        self.site.executor.start()
        self.site.wait_online()
        self.published(self.create(1, "by a service again"))

    def test_3_install_twice_is_refused(self):
        again = self.site.executor.ours("install", *self.site.executor.flags)
        self.assertNotEqual(again.returncode, 0)
        self.assertIn("installed", again.stdout)

    def test_4_uninstalled_it_is_gone(self):
        """Also while it runs: it is stopped first."""
        service = self.site.executor
        self.assertTrue(service.alive())
        self.assertEqual(service.ours("uninstall").returncode, 0)
        self.assertFalse(service.alive())
        self.assertNotEqual(service.manager("start").returncode, 0)
        self.assertNotEqual(service.ours("uninstall").returncode, 0)
        service.installed = False


class Service:
    """As a Daemon, by way of the service manager."""

    name = "executor"

    def __init__(self, site):
        self.prefix, self.log, self.installed = site.prefix, site.prefix.c / "vmkeep/state/executor.log", False
        self.program, self.flags = site.executor.argv[1], site.executor.argv[2:]

    def ours(self, *argv):
        return self.prefix.run(self.program, "service", *argv)

    def manager(self, verb):
        return self.prefix.run("sc", verb, "vmkeep-executor")

    def start(self):
        if not self.installed:
            self.well(self.ours("install", *self.flags))
            self.installed = True
        self.well(self.manager("start"))
        wait_until(self.alive, "the service runs")

    def stop(self):
        self.well(self.manager("stop"))
        wait_until(lambda: not self.alive(), "the service has ended")

    @staticmethod
    def well(done):
        assert done.returncode == 0, done

    def alive(self):
        return bool(self.prefix.processes("vmkeep-executor.exe"))

    def kill(self):
        """The prefix's end is the service's."""


if __name__ == "__main__":
    windows_site.need_the_programs()
    unittest.main()
