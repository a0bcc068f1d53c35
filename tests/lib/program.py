# SPDX-License-Identifier: MIT
"""program.py: servers of our own under the preload, and what they say. See wire.py for the other end."""
import os
import re
import tempfile
from pathlib import Path

import wire
from log import Log
from place import ROOT
from process import Process, descendants, environment  # noqa: F401
from waiting import until

HELPERS = Path(os.environ.get("PPSHIM_HELPERS") or ROOT / "build" / "tests")

# Every way to wait for a connection that tests/behaviour/server.c knows.
STYLES = {
    "blocking": ["--accept=blocking"],
    "blocking-then-fork": ["--accept=blocking", "--handle=fork"],
    "threads": ["--accept=threads=3"],
    "prefork": ["--accept=fork=3"],
    "poll": ["--accept=poll"],
    "poll-nonblock": ["--accept=poll", "--nonblock-listener"],
    "ppoll": ["--accept=ppoll", "--nonblock-listener"],
    "select": ["--accept=select"],
    "select-nonblock": ["--accept=select", "--nonblock-listener"],
    "pselect": ["--accept=pselect", "--nonblock-listener"],
    "epoll-lt": ["--accept=epoll-lt"],
    "epoll-lt-nonblock": ["--accept=epoll-lt", "--nonblock-listener"],
    "epoll-et": ["--accept=epoll-et", "--nonblock-listener"],
    "epoll-oneshot": ["--accept=epoll-oneshot", "--nonblock-listener"],
    "epoll-exclusive-prefork": ["--accept=epoll-exclusive", "--nonblock-listener", "--workers=2"],
    "epoll_pwait": ["--accept=epoll_pwait", "--nonblock-listener"],
}
# Of several workers that block in accept one may lose a race, and sleep with its silent peers until the next connection
# (libppshim(8), Limits), which the last of them would wait for.
ONE_WORKER = {"prefork": ["--accept=fork=1"]}


def helper(name):
    path = HELPERS / name
    assert path.exists(), f"{path} is not built: make check-behaviour"
    return str(path)


class Program(Process):
    """One that runs from here on. `ready` matches its ready line, group 1 the port (or ports)."""
    name = "program"

    def __init__(self, argv, env, ready=r"^listening ([\d ]+)$", ready_on="out", nofile=None, stderr=None):
        self.room = tempfile.TemporaryDirectory(prefix="ppshim-program-")
        super().__init__(self.room.name, env)
        self.out = Log(self.directory / "out")
        self.command, self.nofile, self.stderr = argv, nofile, stderr
        self.ready_line, self.told_ready = ready, getattr(self, ready_on)
        self.start()
        self.ports = [int(port) for port in re.search(ready, self.is_ready(0)[0])[1].split()]
        self.port = self.ports[0]

    def argv(self):
        return self.command

    def is_ready(self, mark):
        return self.told_ready.matching(self.ready_line)

    def peer(self, source=wire.TRUSTED, **options):
        return wire.Peer(options.pop("port", self.port), source, **options)

    def processes(self):
        return [self.pid, *(pid for pid, _ in descendants(self.pid))]

    def asleep(self):
        for pid in self.processes():
            for task in Path(f"/proc/{pid}/task").glob("*"):
                try:
                    if (task / "stat").read_text().rpartition(")")[2].split()[0] != "S":
                        return False
                except OSError:
                    return False
        return True

    def settled(self, *peers):
        """Waits until the server took every one of `peers` from the kernel and all its threads are asleep again."""
        until(lambda: all(peer.inode() for peer in peers) and self.asleep(),
              "the server accepts the peers and goes back to waiting")

    def fds(self, pid=None):
        """{number: what /proc says it is} of the open descriptors."""
        found = {}
        for link in Path(f"/proc/{pid or self.pid}/fd").iterdir():
            try:
                found[int(link.name)] = os.readlink(link)
            except OSError:
                pass
        return found

    def parked_at(self, *peers):
        """The server's descriptors of these peers' connections."""
        inodes = {f"socket:[{peer.inode()}]" for peer in peers}
        return [fd for pid in self.processes() for fd, what in self.fds(pid).items() if what in inodes]

    def has_parked(self, *peers):
        """Whether every one of `peers` is out of the server's way, in the upper half of its descriptors."""
        limit = re.search(r"^Max open files +(\d+)", Path(f"/proc/{self.pid}/limits").read_text(), re.M)
        half = int(limit[1]) // 2
        return [fd >= half for fd in self.parked_at(*peers)] == [True] * len(peers)

    def parked(self, *peers):
        until(lambda: self.has_parked(*peers), "the peers are no longer merely late")

    def cpu_ticks(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    # tests/behaviour/server.c only

    def was_given(self, *peers):
        """The connections the server heard of are these, in this order; let a live one be the last."""
        assert [wire.fields(line)["peer"] for line in self.out.wait("^conn ", count=len(peers))] == list(peers)

    def stats(self):
        """Stops the server; its last line as numbers."""
        assert self.stop() == 0, f"exit status {self.status}"
        return {key: int(value) for key, value in wire.fields(self.out.wait("^stats ")[0]).items() if key}

    def logged(self, event, **wanted):
        """The fields of the one log line of that event, once it is there."""
        found = self.log.wait_event(event).fields
        assert {key: found.get(key) for key in wanted} == wanted, found
        return found

    def serves(self, source=wire.DIRECT, header=b"", expected=None):
        """A live client, now, from end to end."""
        with self.peer(source) as peer:
            peer.send(header + b"live")
            report = peer.report()
            assert report["peer"] == (expected or peer.text)
            peer.echo(b"live")
        return report
