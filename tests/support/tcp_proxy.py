"""A TCP proxy on loopback that cuts, delays, or half-opens what goes through it; in threads of the test's own process."""

import contextlib
import select
import socket
import threading
import time


class TcpProxy:
    """Listens on 127.0.0.1:`port` (a free one) and passes on to `target` ("127.0.0.1:1234", or a unix socket's path).

    mode, for connections old and new:
      pass     as if it were not there
      delay    each piece is passed on `delay` seconds late, in order
      cut      new connections are refused: nobody listens; set by cut(), which also resets the standing ones
      swallow  half-open: connections are accepted, what comes is read and thrown away, nothing is ever answered;
               the standing ones are kept open, and what their other side says is thrown away too
    close() ends it and all its connections; so does the end of the process."""

    def __init__(self, target):
        self.target, self.mode, self.delay = str(target), "pass", 0.0
        self.accepted = 0
        self._lock, self._sockets, self._closed = threading.Lock(), set(), False
        self._listener = self._listen(0)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    @staticmethod
    def _listen(port):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        return listener

    def _connect(self):
        if ":" in self.target:
            host, port = self.target.rsplit(":", 1)
            return socket.create_connection((host, int(port)), timeout=5)
        upstream = socket.socket(socket.AF_UNIX)
        upstream.connect(self.target)
        return upstream

    def set(self, mode, delay=0.0):
        assert mode in ("pass", "delay", "swallow"), mode
        self.delay, self.mode = delay, mode
        if self._listener is None:
            self._listener = self._listen(self.port)

    def cut(self):
        """Resets every connection; until set() nobody listens."""
        self.mode = "cut"
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)  # a close alone waits for the select() in _serve
            listener.close()
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        for each in sockets:
            self._reset(each)

    def close(self):
        self._closed = True
        self.cut()

    @staticmethod
    def _reset(each):
        with contextlib.suppress(OSError):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            each.close()

    def _serve(self):
        while not self._closed:
            listener = self._listener
            try:
                if listener is None or not select.select([listener], [], [], 0.05)[0]:
                    if listener is None:
                        time.sleep(0.02)
                    continue
                client, _ = listener.accept()
            except (OSError, ValueError):
                continue  # cut between the look and the accept
            self.accepted += 1
            self._take(client)

    def _take(self, client):
        upstream = None
        if self.mode != "swallow":
            try:
                upstream = self._connect()
            except OSError:
                client.close()
                return
        with self._lock:
            self._sockets |= {s for s in (client, upstream) if s is not None}
        if upstream is None:
            threading.Thread(target=self._pump, args=(client, None), daemon=True).start()
            return
        for pair in ((client, upstream), (upstream, client)):
            threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source, sink):
        while True:
            try:
                data = source.recv(1 << 16)
                if not data:
                    break
                if self.mode == "delay":
                    time.sleep(self.delay)
                if self.mode != "swallow" and sink is not None:
                    sink.sendall(data)
            except OSError:
                break
        if self.mode == "swallow":
            return  # the other side never hears of it
        with self._lock:
            self._sockets -= {source, sink}
        for each in (source, sink):
            if each is not None:
                self._reset(each)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
