"""The tools that stand for a sick NAS and a sick network do what they say: vmkeep-faultfs and tcp_proxy.py.

Their faults are judged from outside, by plain system calls and sockets of this process and its children."""

import errno
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from faultfs import FaultFs, gone_within, missing, state
from tcp_proxy import TcpProxy


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class FaultFsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="vmkeep-faultfs.")
        self.addCleanup(folder.cleanup)
        self.fs = FaultFs(pathlib.Path(folder.name) / "mnt", folder.name)
        self.addCleanup(self.fs.close)
        self.mount = self.fs.mount

    def refused(self, call, *args):
        with self.assertRaises(OSError) as caught:
            call(*args)
        return errno.errorcode[caught.exception.errno]

    def test_passes_through_and_says_what_it_was_asked(self):
        (self.mount / "folder").mkdir()
        (self.mount / "folder/a").write_text("text")
        (self.mount / "folder/a").rename(self.mount / "b")
        self.assertEqual((self.fs.behind / "b").read_text(), "text")
        self.assertEqual(os.statvfs(self.mount).f_blocks, os.statvfs(self.fs.behind).f_blocks)
        self.assertEqual([c for c in self.fs.calls() if c[0] in ("mkdir", "write", "rename")],
                         [("mkdir", "/folder", "ok"), ("write", "/folder/a", "ok"), ("rename", "/folder/a->/b", "ok")])

    def test_each_call_fails_with_the_errno_asked_for_and_others_do_not(self):
        fd = os.open(self.mount / "sick", os.O_RDWR | os.O_CREAT)
        other = os.open(self.mount / "well", os.O_RDWR | os.O_CREAT)
        for operation, call in (("write", lambda: os.write(fd, b"x")), ("fsync", lambda: os.fsync(fd)),
                                ("open", lambda: os.open(self.mount / "sick", os.O_RDONLY)),
                                ("unlink", lambda: os.unlink(self.mount / "sick")),
                                ("rename", lambda: os.rename(self.mount / "sick", self.mount / "new")),
                                ("flush", lambda: os.close(os.dup(fd)))):
            for name in ("EIO", "ENOSPC", "ESTALE"):
                self.fs.fault(f"{operation} sick {name}")
                with self.subTest(operation, fault=name):
                    self.assertEqual(self.refused(call), name)
            os.write(other, b"x")
            os.fsync(other)
        self.fs.fault("mkdir * ENOSPC", "statfs * ESTALE")
        self.assertEqual(self.refused(os.mkdir, self.mount / "folder"), "ENOSPC")
        self.assertEqual(self.refused(os.statvfs, self.mount), "ESTALE")
        self.fs.fault()
        os.write(fd, b"x")
        self.assertEqual((self.fs.behind / "sick").read_bytes(), b"x")
        os.close(fd)
        os.close(other)

    def test_an_error_after_the_deed_and_a_write_beyond_an_offset(self):
        (self.mount / "a").write_bytes(b"")
        self.fs.fault("rename a after-EIO", "write b EIO from=4")
        self.assertEqual(self.refused(os.rename, self.mount / "a", self.mount / "c"), "EIO")
        self.assertTrue((self.fs.behind / "c").exists())
        fd = os.open(self.mount / "b", os.O_RDWR | os.O_CREAT)
        os.pwrite(fd, b"1234", 0)
        self.assertEqual(self.refused(os.pwrite, fd, b"5", 4), "EIO")
        os.close(fd)

    def writer(self):
        """A process that writes one byte into `file`, and where it is when the file system has its call."""
        process = subprocess.Popen([sys.executable, "-c", f"open({str(self.mount / 'file')!r}, 'wb', 0).write(b'x')"])
        self.addCleanup(lambda: (self.fs.fault(), process.wait()))
        self.assertTrue(wait_until(lambda: self.fs.calls("write", "file")), "it writes")
        return process

    def test_who_hangs_can_be_killed_and_others_go_on(self):
        self.fs.fault("write file hang")
        process = self.writer()
        (self.mount / "other").write_text("others go on")
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGKILL)
        self.assertTrue(gone_within(process.pid, 5))

    # Seen: a process in a FUSE call that its server has taken and does not answer is in state D, and SIGKILL does not end
    # it; so this is no play-acting. It ends only because 'hang' answers the kernel's interrupt and 'stuck' does not.
    def test_who_is_stuck_cannot_be_killed_until_the_fault_is_gone(self):
        self.fs.fault("write file stuck")
        process = self.writer()
        process.send_signal(signal.SIGKILL)
        self.assertFalse(gone_within(process.pid, 1))
        self.assertEqual(state(process.pid), "D")
        self.fs.fault()
        self.assertTrue(gone_within(process.pid, 5))

    def test_the_end_of_the_file_system_frees_who_is_stuck(self):
        self.fs.fault("write file stuck")
        process = self.writer()
        self.fs.close()
        self.assertTrue(wait_until(lambda: process.poll() is not None))
        self.assertNotEqual(process.returncode, 0)
        self.assertFalse(os.path.ismount(self.mount))

    def test_it_ends_with_who_started_it(self):
        helper = pathlib.Path(__file__).resolve().parents[1] / "support"
        mount = self.fs.folder / "second"
        code = (f"import os, sys; sys.path.insert(0, {str(helper)!r}); from faultfs import FaultFs\n"
                f"fs = FaultFs({str(mount)!r}, {str(self.fs.folder / 'of-second')!r}); print(fs.process.pid, flush=True)\n"
                "os._exit(3)")
        pid = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout)
        self.assertTrue(gone_within(pid, 5))
        self.assertFalse(os.path.ismount(mount))

    def test_a_rule_that_is_none_ends_it(self):
        for rule in ("write file", "write file EWHAT", "write file EIO 7"):
            with self.subTest(rule):
                self.fs.fault(rule)
                self.assertRaises(OSError, os.listdir, self.mount)
                self.assertEqual(self.fs.process.wait(5), 2)
                self.fs.close()
                self.fs.fault()
                self.fs.start()


class TcpProxyTest(unittest.TestCase):
    def setUp(self):
        self.upstream = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.upstream.close)
        threading.Thread(target=self.echo, daemon=True).start()
        self.proxy = TcpProxy(f"127.0.0.1:{self.upstream.getsockname()[1]}")
        self.addCleanup(self.proxy.close)

    def echo(self):
        while True:
            try:
                peer, _ = self.upstream.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(peer,), daemon=True).start()

    @staticmethod
    def answer(peer):
        with peer:
            try:
                while data := peer.recv(100):
                    peer.sendall(data)
            except OSError:
                pass

    def connect(self):
        client = socket.create_connection(("127.0.0.1", self.proxy.port), timeout=5)
        self.addCleanup(client.close)
        return client

    def ask(self, client, timeout=5):
        client.settimeout(timeout)
        client.sendall(b"hello")
        return client.recv(100)

    def test_passes_and_delays(self):
        client = self.connect()
        self.assertEqual(self.ask(client), b"hello")
        self.proxy.set("delay", 0.3)
        began = time.monotonic()
        self.assertEqual(self.ask(client), b"hello")
        self.assertGreater(time.monotonic() - began, 0.6)  # there and back

    def test_cuts_what_stands_and_what_comes(self):
        client = self.connect()
        self.assertEqual(self.ask(client), b"hello")
        self.proxy.cut()
        with self.assertRaises(OSError):
            if not self.ask(client):
                raise ConnectionError("closed")
        self.assertRaises(ConnectionRefusedError, self.connect)
        self.proxy.set("pass")
        self.assertEqual(self.ask(self.connect()), b"hello")

    def test_half_open_accepts_and_never_answers(self):
        before = self.connect()
        self.assertEqual(self.ask(before), b"hello")
        self.proxy.set("swallow")
        for client in (before, self.connect()):
            self.assertRaises(TimeoutError, self.ask, client, 0.3)
        self.proxy.set("pass")
        self.assertEqual(self.ask(self.connect()), b"hello")


if __name__ == "__main__":
    if missing():
        print(f"SKIPPED: a FUSE mount {missing()}")
        sys.exit(77)
    unittest.main()
