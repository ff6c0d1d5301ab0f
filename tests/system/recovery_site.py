"""What the tests of the controller's recovery share: real daemons on the simulated hypervisor, a gate that holds a worker's job,
kills and stops, and what must be true of a record, its files and its VM afterwards."""

import os
import signal
import time

from harness import BIN, Api, Site, SystemTest, check_published, run, wait_until

GATE_WORKER = BIN.parent / "tests" / "gate-worker"


class RecoverySite(SystemTest):
    @classmethod
    def set_up_site(cls):
        os.environ["VMKEEP_TEST_GATE"] = str(cls.dir / "gate")
        os.environ["VMKEEP_TEST_WORKER"] = str(BIN / "vmkeep-worker")
        cls.sim = cls.dir / "sim"
        cls.sim.mkdir()
        cls.site = Site(cls.dir, "sim", [f"--sim_dir={cls.sim}", "--sim_vms=web-1:2:8MiB,db-1:1:8MiB",
                                         f"--worker_binary={GATE_WORKER}", "--overlay_reserve_bytes=1048576"])
        cls.use(cls.site)
        cls.prepare()
        cls.site.start()
        cls.site.init_repositories()
        cls.api = Api(cls.site, cls.dir)
        wait_until(lambda: len(cls.site.json("vm", "list").get("vms", [])) == 2, "the VMs are listed")

    @classmethod
    def prepare(cls):
        """Before the daemons start."""

    def setUp(self):
        self.names = 0

    def tearDown(self):
        self.gate("")
        for daemon in (self.site.controller, self.site.executor):
            if daemon.alive():
                daemon.process.send_signal(signal.SIGCONT)

    # what a test does ---------------------------------------------------------------------------------------------------

    def gate(self, text):
        """Holds the worker jobs whose request has this text; "" lets them go."""
        path = self.dir / "gate"
        if text:
            path.write_text(text)
        else:
            path.unlink(missing_ok=True)

    def create(self, vm="web-1", **fields):
        self.names += 1
        return self.api.call("BackupService/CreateBackup", vm_id=vm, name=f"{self.id()} {self.names}",
                             **{"repository": 1, **fields})["id"]

    def scrub(self, backup):
        return self.api.call("BackupService/UpdateBackup", id=backup, state="SCRUB")["state"]

    def kill_controller(self):
        self.site.controller.kill()

    def start_controller(self):
        self.site.controller.start()
        wait_until(lambda: self.site.ctl("host", "list", check=False).returncode == 0, "the controller is back")
        # Not the dead connection's back-off.
        self.api.channel.close()
        self.api.channel = self.api.grpc.insecure_channel(self.site.server, [("grpc.use_local_subchannel_pool", 1)])

    @staticmethod
    def pause(seconds):
        """Until the moment of a fault, which a seed chose: nothing is waited for."""
        time.sleep(seconds)

    def stop(self, daemon):
        daemon.process.send_signal(signal.SIGSTOP)

    def resume(self, daemon):
        daemon.process.send_signal(signal.SIGCONT)

    def held(self, text, vm="web-1"):
        """A backup whose worker job with this text is held."""
        held = self.dir / "gate.held"
        held.unlink(missing_ok=True)
        self.gate(text)
        backup = self.create(vm)
        # Not the executor's word that it started the worker: stopped right then it never gives it the job.
        wait_until(held.exists, f"the job {text} is held")
        return backup

    def executor_lines(self, word):
        return [line for line in self.site.executor.log.read_text(errors="replace").splitlines() if word in line]

    # what must hold -----------------------------------------------------------------------------------------------------

    def folders(self, backup):
        return [path for root in self.site.repositories.values() for path in root.glob(f"vmkeep/*/{backup}")]

    def working(self):
        """What lies in the working folders. (leftovers() waits for a probe's file to go: it lives for milliseconds.)"""
        return [path for path in self.site.leftovers() if path.startswith(("vmkeep/.incoming/", "vmkeep/.scrub/"))]

    def assert_vms_untouched(self):
        self.assertEqual(sorted(self.sim.rglob("*.vmkeep-*")), [], "an overlay was left")
        for vm in self.site.json("vm", "list")["vms"]:
            self.assertNotIn("overlay", vm)

    def assert_running(self, backup, epoch=1):
        record = self.site.wait_state(backup, "RUNNING", seconds=60)
        self.assertEqual(int(record["epoch"]), epoch, "a second try was begun")
        [folder] = self.folders(backup)
        manifest = check_published(folder)
        self.assertEqual((manifest["backup_id"], int(manifest["epoch"])), (backup, epoch))
        self.assertEqual(run("sha256sum", folder / "manifest.json").stdout.split()[0], record["manifest_sha256"])
        self.assertEqual(self.working(), [])
        self.assert_vms_untouched()

    def assert_gone(self, backup):
        record = wait_until(lambda: (r := self.site.get(backup))["state"] == "CLOSED" and r, f"{backup} is CLOSED", 60)
        self.assertEqual(self.folders(backup), [], "a closed backup is visible")
        self.assertEqual(self.working(), [])
        self.assert_vms_untouched()
        return record
