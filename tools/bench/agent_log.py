"""How long a guest was frozen, and by whom, from what libvirtd says of its talk with the guest agent."""

import collections
import datetime
import re

# Seconds. freeze: from the request to the agent's answer, and thaw likewise: the guest's own share. held: from the answer
# to the freeze until the request to thaw, what the host did meanwhile.
Window = collections.namedtuple("Window", "freeze held thaw")

# libvirt/src/qemu/qemu_agent.c, qemuAgentCommandFull(). Time in UTC, to the millisecond; the thread.
LINE = re.compile(r"^(?P<time>\S+ \S+?)\+0000: (?P<thread>\d+): debug : \w+:\d+ : "
                  r"(?:Send command '(?P<command>.*)' for write|Receive command reply ret=(?P<ret>-?\d+))")


def windows(text):
    """The freezes in the log, in order; one that was not both answered and thawed is an error."""
    found, asked, times = [], {}, {}
    for match in filter(None, map(LINE.match, text.splitlines())):
        now = datetime.datetime.fromisoformat(match["time"]).timestamp()
        if match["command"]:
            asked[match["thread"]] = (re.search(r'"execute": ?"([^"]*)"', match["command"])[1], now)
            continue
        name, since = asked.pop(match["thread"])
        if name not in ("guest-fsfreeze-freeze", "guest-fsfreeze-thaw"):
            continue
        if match["ret"] != "0":
            raise ValueError(f"{name} failed")
        times[name.rpartition("-")[2]] = (since, now)
        if name == "guest-fsfreeze-thaw" and "freeze" in times:
            (asked_freeze, frozen), (asked_thaw, thawed) = times["freeze"], times["thaw"]
            found.append(Window(frozen - asked_freeze, asked_thaw - frozen, thawed - asked_thaw))
            times = {}
    if "freeze" in times:
        raise ValueError("a guest was frozen and not thawed")
    return found
