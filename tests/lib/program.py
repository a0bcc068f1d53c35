# SPDX-License-Identifier: MIT
"""program.py: runs programs of our own under the preload and reads what they say. See wire.py for the other end, and
harness.py for servers that are not our own."""
import os
import re
import resource
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import wire
from place import ROOT, SHIM as LIBRARY, missing

HELPERS = ROOT / "build" / "tests"

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


def tool(name):
    return shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") or missing(name)


def helper(name):
    path = HELPERS / name
    assert path.exists(), f"{path} is not built: make check-behaviour"
    return str(path)


def environment(store=None, **settings):
    """A small environment: the preload, and PPSHIM_ names from keywords (trust="..." is PPSHIM_TRUST). With store="table"
    the shim remembers clients as on a kernel that does not do it for us."""
    assert LIBRARY.exists(), f"{LIBRARY} is not built: make"
    forced = {"LIBPPSHIM_TEST_STORE": store} if store else {}
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "LD_PRELOAD": str(LIBRARY), **forced,
            **{"PPSHIM_" + name.upper(): str(value) for name, value in settings.items() if value is not None}}


def run(argv, settings=None, **options):
    """A program from start to end under the preload."""
    return subprocess.run(argv, env=environment(**(settings or {})), stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=wire.PATIENCE, **options)


class Lines:
    """The lines of a pipe, read as they come."""

    def __init__(self, pipe):
        self.lines, self.ended, self.news = [], False, threading.Condition()
        self.thread = threading.Thread(target=self.read, args=(pipe,), daemon=True)
        self.thread.start()

    def read(self, pipe):
        for line in pipe:
            with self.news:
                self.lines.append(line.decode(errors="backslashreplace").rstrip("\n"))
                self.news.notify_all()
        with self.news:
            self.ended = True
            self.news.notify_all()

    def matching(self, pattern):
        with self.news:
            return [line for line in self.lines if re.search(pattern, line)]

    def wait(self, pattern, count=1, patience=wire.PATIENCE):
        """The first `count` lines that match, when they are there."""
        found = []

        def enough():
            found[:] = [line for line in self.lines if re.search(pattern, line)]
            return len(found) >= count or self.ended

        with self.news:
            self.news.wait_for(enough, patience)
            assert len(found) >= count, f"no {count} lines match {pattern!r} in:\n" + "\n".join(self.lines)
        return found[:count]


class Program:
    """A server in a process group of its own. `ready` matches its ready line, group 1 the port (or ports)."""

    def __init__(self, argv, env, ready=r"^listening ([\d ]+)$", ready_on="out", nofile=None, stderr=subprocess.PIPE):
        limit = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))) if nofile else None
        self.process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
                                        start_new_session=True, preexec_fn=limit)
        self.pid = self.process.pid
        self.out = Lines(self.process.stdout)
        self.log = Lines(self.process.stderr) if stderr == subprocess.PIPE else None
        self.status = None
        try:
            line = getattr(self, ready_on).wait(ready)[0]
        except AssertionError:
            self.kill()
            said = "\n".join(self.log.lines) if self.log else ""
            raise AssertionError(f"not ready (exit status {self.process.returncode}): {said}") from None
        self.ports = [int(port) for port in re.search(ready, line).group(1).split()]
        self.port = self.ports[0]

    def kill(self):
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        for lines in filter(None, (self.out, self.log)):
            lines.thread.join(wire.PATIENCE)

    def stop(self):
        """SIGTERM; the exit status. Whatever is left of the process group is killed after it."""
        if self.status is None:
            self.process.terminate()
            try:
                self.status = self.process.wait(wire.PATIENCE)
            finally:
                self.kill()
        return self.status

    def peer(self, source=wire.TRUSTED, **options):
        return wire.Peer(options.pop("port", self.port), source, **options)

    def processes(self):
        found, queue = [], [self.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").glob("*"):
                try:
                    queue += [int(child) for child in (task / "children").read_text().split()]
                except OSError:
                    pass
        return found

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
        wire.eventually(lambda: all(peer.inode() for peer in peers) and self.asleep(),
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

    def parked(self, *peers):
        """Waits until every one of `peers` is out of the server's way, in the upper half of its descriptors."""
        limit = re.search(r"^Max open files +(\d+)", Path(f"/proc/{self.pid}/limits").read_text(), re.M)
        half = int(limit[1]) // 2
        wire.eventually(lambda: [fd >= half for fd in self.parked_at(*peers)] == [True] * len(peers),
                        "the peers are no longer merely late")

    def cpu_ticks(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    # tests/behaviour/server.c only

    def was_given(self, *peers):
        """The connections the server heard of are these, in this order; let a live one be the last."""
        assert [wire.fields(line)["peer"] for line in self.out.wait("^conn ", len(peers))] == list(peers)

    def stats(self):
        """Stops the server; its last line as numbers."""
        assert self.stop() == 0, f"exit status {self.status}"
        return {key: int(value) for key, value in wire.fields(self.out.wait("^stats ")[0]).items() if key}

    def logged(self, event, **wanted):
        """The fields of the one log line of that event, once it is there."""
        line = self.log.wait(rf"^ppshim\[\d+\]: {event} ")[0]
        assert self.log.matching(rf"^ppshim\[\d+\]: {event} ") == [line], "more than one"
        found = wire.fields(line)
        assert {key: found.get(key) for key in wanted} == wanted, line
        return found

    def serves(self, source=wire.DIRECT, header=b"", expected=None):
        """A live client, now, from end to end."""
        with self.peer(source) as peer:
            peer.send(header + b"live")
            report = peer.report()
            assert report["peer"] == (expected or peer.text)
            peer.echo(b"live")
        return report
