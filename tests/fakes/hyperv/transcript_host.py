#!/usr/bin/python3
"""Stands for an interpreter that runs one of our Hyper-V scripts: replays what a transcript says, and knows nothing itself.

Called as the executor calls its interpreter: options, then `-File SCRIPT`. VMKEEP_TRANSCRIPT_<SCRIPT>, such as
VMKEEP_TRANSCRIPT_EXPORT_VM, is the transcript. VMKEEP_TRANSCRIPT_LOG, if set, gets each line read from stdin, after the
script's name.

A transcript has one JSON object a line. One with the key "fake" is a directive; any other is written as it stands:

  {"fake": "delay", "seconds": 0.2}
  {"fake": "write", "text": "noise", "times": 1}        raw, to stdout; no line end is added
  {"fake": "stderr", "text": "..."}
  {"fake": "await_request"}                             reads a line
  {"fake": "await_cancel"}                              reads on until one says cancel, or to the end of stdin
  {"fake": "hang"}                                      reads nothing and stays
  {"fake": "close"}                                     closes stdout, and goes on
  {"fake": "crash"}                                     SIGKILL to itself
  {"fake": "exit", "code": 3}                           at once; at a transcript's end the code is 0"""

import json
import os
import pathlib
import signal
import sys
import time


def read_line(script):
    line = sys.stdin.readline()
    log = os.environ.get("VMKEEP_TRANSCRIPT_LOG")
    if log and line:
        with open(log, "a", encoding="utf-8") as out:
            out.write(f"{script} {line}")
    return line


def await_cancel(script):
    while line := read_line(script):
        if "cancel" in json.loads(line):
            return


def put(text, times=1):
    for _ in range(times):
        sys.stdout.write(text)
    sys.stdout.flush()


def hang():
    # A test that was killed leaves nobody behind.
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.5)


def play(script, line):
    step = json.loads(line)
    match step.get("fake") if isinstance(step, dict) else None:
        case None:
            put(line.rstrip("\n") + "\n")
        case "delay":
            time.sleep(step["seconds"])
        case "write":
            put(step["text"], step.get("times", 1))
        case "stderr":
            print(step["text"], file=sys.stderr, flush=True)
        case "await_request":
            read_line(script)
        case "await_cancel":
            await_cancel(script)
        case "hang":
            hang()
        case "close":
            os.close(1)
        case "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(step["code"])
        case other:
            raise ValueError(f"no directive {other}")


def main(argv):
    script = pathlib.Path(argv[argv.index("-File") + 1]).stem
    transcript = os.environ["VMKEEP_TRANSCRIPT_" + script.upper().replace("-", "_")]
    for line in pathlib.Path(transcript).read_text(encoding="utf-8").splitlines():
        play(script, line)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv)
