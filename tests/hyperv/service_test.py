"""vmkeep-executor.exe as a service of Windows: installed, started, stopped and uninstalled by itself, under wine's service manager."""

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
        subprocess.run(["wineserver", "-k"], env=site.prefix.environment(), timeout=30, check=False)

        cls.flags = site.executor.argv[2:]
        site.executor = Service(site)

    @classmethod
    def service(cls, *argv):
        return cls.site.prefix.run(windows_site.WINDOWS_BIN / "vmkeep-executor.exe", "service", *argv)

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
        self.assertNotEqual(self.service("install", *self.flags).returncode, 0)

    def test_4_uninstalled_it_is_gone(self):
        self.site.executor.stop()
        done = self.service("uninstall")
        self.assertEqual(done.returncode, 0, done)
        self.assertNotEqual(self.service("start").returncode, 0)
        # For whoever comes after.
        self.assertEqual(self.service("install", *self.flags).returncode, 0)


class Service:
    """As a Daemon, by way of the service manager."""

    name = "executor"

    def __init__(self, site):
        self.site, self.log, self.installed = site, site.executor.log, False
        self.program, self.flags = site.executor.argv[1], site.executor.argv[2:]

    def ask(self, *argv):
        done = self.site.prefix.run(self.program, "service", *argv)
        with open(self.log, "a") as log:
            log.write(f"service {argv[0]}: {done.returncode}\n{done.stdout}{done.stderr}")
        assert done.returncode == 0, f"service {argv[0]}: {done.returncode}\n{done.stdout}{done.stderr}"

    def start(self):
        if not self.installed:
            self.ask("install", *self.flags)
            self.installed = True
        self.ask("start")
        wait_until(self.alive, "the service runs")

    def stop(self):
        self.ask("stop")
        wait_until(lambda: not self.alive(), "the service has ended")

    def alive(self):
        return bool(self.site.prefix.processes("vmkeep-executor.exe"))

    def kill(self):
        """The prefix's end is the service's."""


if __name__ == "__main__":
    windows_site.need_the_programs()
    unittest.main()
