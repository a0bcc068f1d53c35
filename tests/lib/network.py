# SPDX-License-Identifier: MIT
"""network.py: hosts with addresses of their own, network namespaces that end with the tests, and the cables between them.
What is started or opened `with host:` is there for good: sockets, programs."""
import ctypes
import itertools
import os
from pathlib import Path

from place import tool
from process import Process, run
from program import helper

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_names = itertools.count(1)


def _must(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Host:
    """Lives as long as its descriptor, or what was opened in it."""

    def __init__(self):
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        try:
            _must(_libc.unshare(_CLONE_NEWNET))
            self.net = os.open("/proc/self/ns/net", os.O_RDONLY)
        finally:
            _must(_libc.setns(home, _CLONE_NEWNET))
            os.close(home)
        self.ip("link", "set", "lo", "up")

    def __enter__(self):
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY)
        _must(_libc.setns(self.net, _CLONE_NEWNET))
        return self

    def __exit__(self, *_):
        _must(_libc.setns(self.home, _CLONE_NEWNET))
        os.close(self.home)

    @property
    def path(self):
        """For programs that go there themselves."""
        return f"/proc/{os.getpid()}/fd/{self.net}"

    def ip(self, *words):
        with self:
            run(tool("ip"), *words)

    def sysctl(self, name, value):
        with self:
            (Path("/proc/sys/net") / name).write_text(str(value))

    def address(self, device, *addresses):
        for address in addresses:
            self.ip("address", "add", address, "dev", device, *(["nodad"] if ":" in address else []))
        self.ip("link", "set", device, "up")

    def close(self):
        os.close(self.net)


def plug(one, other):
    """A good cable: the names of its ends."""
    ends = [f"net{next(_names)}" for _ in range(2)]
    one.ip("link", "add", "name", ends[0], "type", "veth", "peer", "name", ends[1], "netns", other.path)
    return ends


class BadCable(Process):
    """One that delays and loses: see cable.c. Its ends are there from its start on."""
    name = "cable"
    ready_line = "^ready$"

    def __init__(self, directory, one, other, **options):
        super().__init__(directory)
        self.ends = [f"net{next(_names)}" for _ in range(2)]
        self.command = [helper("network/cable"), one.path, self.ends[0], other.path, self.ends[1],
                        *(f"{name}={value}" for name, value in options.items())]

    def argv(self):
        return self.command

    def told(self):
        """Ends it: how many of TCP's packets were carried, and lost."""
        self.stop()
        return {key: int(n) for key, n in self.log.find(r"(carried|lost)=(\d+)")}
