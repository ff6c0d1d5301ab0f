"""How things are measured: in turn, from the same start, until all is flushed."""

import collections
import pathlib
import resource
import subprocess
import threading
import time

Lap = collections.namedtuple("Lap", "seconds cpu")
# No program of a benchmark takes longer on a machine that works.
DEADLINE_SECONDS = 600


def bounded(*argv):
    return ["timeout", "--signal=KILL", str(DEADLINE_SECONDS), *map(str, argv)]


def run(*argv):
    """A program to its end; its output."""
    return subprocess.run(bounded(*argv), check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout


def cpu_of_children():
    """CPU seconds of all programs that ran to their end; what the kernel's own threads did for them is not in it."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def take_turns(contenders, rounds, prepare):
    """Lets each contender copy once a round, every other round backwards: A B, B A, ... What it wrote before is removed
    and `prepare` called first, untimed. Its copy() is a generator that yields a name each time that something to be
    measured is done and flushed. Returns name -> [Lap], counted from the start of copy()."""
    laps = collections.defaultdict(list)
    for n in range(rounds):
        for one in contenders if n % 2 == 0 else reversed(contenders):
            one.clear()
            prepare()
            started, cpu = time.monotonic(), cpu_of_children()
            for name in one.copy():
                laps[name].append(Lap(time.monotonic() - started, cpu_of_children() - cpu))
    return laps


class CacheGrowth:
    """How far the page cache grew while this was entered, in bytes: the whole machine's, looked at every few
    milliseconds. A file in memory (tmpfs) is not counted."""

    INTERVAL_SECONDS = 0.01

    def __enter__(self):
        self.first = self.peak = self._now()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    @property
    def bytes(self):
        return self.peak - self.first

    def _watch(self):
        while not self.ended.wait(self.INTERVAL_SECONDS):
            self.peak = max(self.peak, self._now())

    @staticmethod
    def _now():
        lines = dict(line.split(":") for line in pathlib.Path("/proc/meminfo").read_text().splitlines())
        cached, buffers, shmem = (int(lines[key].split()[0]) << 10 for key in ("Cached", "Buffers", "Shmem"))
        return cached + buffers - shmem
