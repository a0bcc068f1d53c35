# SPDX-License-Identifier: MIT
"""waits.py: by which system call the threads of a server wait for a listener, now, as /proc tells it."""
import contextlib
import os
import re
import struct
from pathlib import Path

from place import lacks
from process import descendants

_CALLS = {"x86_64": {43: "accept", 288: "accept", 7: "poll", 271: "poll", 23: "select", 270: "select",
                     232: "epoll", 281: "epoll", 441: "epoll"}}


def listeners(port):
    """The inodes of those on this local port."""
    rows = [line.split() for table in ("/proc/net/tcp", "/proc/net/tcp6")
            for line in Path(table).read_text().splitlines()[1:]]
    return {row[9] for row in rows if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port}


def _numbers_of(pid, inodes):
    """The descriptors of a process that are one of these sockets."""
    found = set()
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            if re.sub(r"socket:\[(\d+)\]", r"\1", os.readlink(entry.path)) in inodes:
                found.add(int(entry.name))
    return found


def _memory(pid, address, size):
    with open(f"/proc/{pid}/mem", "rb") as memory:
        memory.seek(address)
        return memory.read(size)


def _watched(pid, way, arguments):
    """The descriptors that a call of this kind waits for."""
    first, second = arguments[:2]
    if way == "accept":
        return {first}
    if way == "poll":
        return {fd for fd, _, _ in struct.iter_unpack("=iHH", _memory(pid, first, 8 * second))}
    if way == "select":
        bits = _memory(pid, second, (first + 7) // 8) if second else b""
        return {8 * at + bit for at, byte in enumerate(bits) for bit in range(8) if byte >> bit & 1}
    told = Path(f"/proc/{pid}/fdinfo/{first}").read_text()
    return {int(fd) for fd in re.findall(r"^tfd:\s*(\d+)", told, re.M)}


def ways_to_wait(pid, port):
    """(process, "epoll", "poll", "select" or "accept") of each thread at or below pid that waits for a listener on this
    port."""
    calls = _CALLS.get(os.uname().machine) or lacks("system calls by the numbers that these tests know")
    inodes, found = listeners(port), []
    for process in (pid, *(child for child, _ in descendants(pid))):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            numbers = _numbers_of(process, inodes)
            for task in Path(f"/proc/{process}/task").iterdir() if numbers else ():
                words = (task / "syscall").read_text().split()
                way = calls.get(int(words[0])) if words[0].isdigit() else None
                if way and numbers & _watched(process, way, [int(word, 16) for word in words[1:3]]):
                    found.append((process, way))
    return found
