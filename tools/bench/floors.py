#!/usr/bin/python3
"""The least that a copy can take on this machine: its bytes read and nothing else, its bytes written and nothing else.

    floors.py read FILE          the data of FILE, holes left out
    floors.py write FILE BYTES   so many bytes into a new file, the file and its folder flushed

Four threads, 1 MiB at a time, past the page cache where the file system can. Prints the seconds that it took."""

import mmap
import os
import sys
import threading
import time

STEP = 1 << 20
THREADS = 4


def extents(fd):
    """(offset, bytes) of the file's data, in steps."""
    end, at = os.fstat(fd).st_size, 0
    while at < end:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            return  # only a hole is left
        hole = os.lseek(fd, at, os.SEEK_HOLE)
        while at < hole:
            yield at, min(STEP, hole - at)
            at += STEP
        at = hole


def open_direct(path, flags):
    try:
        return os.open(path, flags | os.O_DIRECT, 0o600)
    except OSError:
        return os.open(path, flags, 0o600)


def on_threads(steps, do):
    """do(buffer, offset, bytes) for all steps, by several threads; seconds. The buffers are made before the clock starts."""
    steps, lock = iter(steps), threading.Lock()
    buffers = [mmap.mmap(-1, STEP) for _ in range(THREADS)]
    for buffer in buffers:
        buffer.write(os.urandom(STEP))

    def work(buffer):
        while True:
            with lock:
                step = next(steps, None)
            if step is None:
                return
            do(buffer, *step)

    threads = [threading.Thread(target=work, args=(buffer,)) for buffer in buffers]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - started


def read(path):
    fd = open_direct(path, os.O_RDONLY)
    return on_threads(list(extents(fd)), lambda buffer, at, size: os.preadv(fd, [buffer], at))


def write(path, size):
    fd = open_direct(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    took = on_threads([(at, STEP) for at in range(0, size, STEP)], lambda buffer, at, size: os.pwritev(fd, [buffer], at))
    started = time.monotonic()
    os.fsync(fd)
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(folder)
    return took + time.monotonic() - started


if __name__ == "__main__":
    print(read(sys.argv[2]) if sys.argv[1] == "read" else write(sys.argv[2], int(sys.argv[3])))
