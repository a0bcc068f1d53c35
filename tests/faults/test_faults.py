# SPDX-License-Identifier: MIT
"""What becomes of clients when a system call of the library's own fails: each call, each error that its manual page names,
the first time, the second, and so on until it is not made so often. Nobody gets a wrong address; who is lost is named
in the log; the server goes on, and no descriptor stays behind."""
import contextlib
import errno
import itertools
import mmap
import os
import re
import signal
import struct
from collections import Counter

import counters
import pytest
import wire
from harness import SHIM, environment, run, tool, until
from process import EndedAtStart
from program import HELPERS, STYLES, Program, helper
from wire import CLIENT6, DIRECT, TRUSTED

# Of several workers one may lose a race, and sleep with its parked peers: libppshim(8).
SERVERS = {"threads": STYLES["threads"], "prefork": ["--accept=fork=1"], "poll": STYLES["poll"],
           "epoll": STYLES["epoll-lt-nonblock"]}

ERRORS = {
    "accept4": "EAGAIN EBADF ECONNABORTED EFAULT EINTR EINVAL EMFILE ENFILE ENOBUFS ENOMEM ENOTSOCK EOPNOTSUPP EPERM EPROTO",
    "recv": "EAGAIN EBADF ECONNREFUSED ECONNRESET EFAULT EINTR EINVAL ENOMEM ENOTCONN ENOTSOCK",
    "setsockopt": "EBADF EFAULT EINVAL ENOMEM ENOPROTOOPT ENOTSOCK",
    "getsockopt": "EBADF EFAULT ENOTSOCK",  # ENOPROTOOPT, EINVAL: of a kernel that would not have kept the client either
    "getpeername": "EBADF EFAULT EINVAL ENOBUFS ENOTCONN ENOTSOCK",
    "getsockname": "EBADF EFAULT EINVAL ENOBUFS ENOTSOCK",
    "socket": "EACCES EAFNOSUPPORT EINVAL EMFILE ENFILE ENOBUFS",
    "epoll_create1": "EINVAL EMFILE ENFILE ENOMEM",
    "epoll_ctl": "EBADF EEXIST EINVAL ELOOP ENOENT ENOMEM ENOSPC EPERM",
    "timerfd_create": "EINVAL EMFILE ENFILE ENODEV ENOMEM EPERM",
    "timerfd_settime": "EBADF ECANCELED EFAULT EINVAL",
    "fcntl": "EACCES EAGAIN EBADF EINVAL EMFILE EPERM",
    "mmap": "EAGAIN EINVAL ENFILE ENOMEM EPERM",
    "open": "EACCES EINTR ELOOP EMFILE ENFILE ENOENT ENOMEM",
    "read": "EAGAIN EBADF EINTR EIO",
}


class Plan:
    """The file of faults.c: which call is to fail."""
    LAYOUT = "16siii4xQ"

    def __init__(self, path):
        self.path = path
        path.write_bytes(bytes(struct.calcsize(self.LAYOUT)))
        with path.open("r+b") as file:
            self.map = mmap.mmap(file.fileno(), 0)

    def set(self, call, error, n):
        self.call, self.error, self.n = call, error, n
        struct.pack_into(self.LAYOUT, self.map, 0, call.encode(), error, n, 0, 0)

    def end(self):
        struct.pack_into("16s", self.map, 0, b"")

    def happened(self):
        return struct.unpack_from(self.LAYOUT, self.map)[3] >= self.n

    def is_about_another(self):
        """The library was told that its private epoll is none: it leaves that number alone, for it may be the server's."""
        return self.call == "epoll_ctl" and self.error in (errno.EBADF, errno.EINVAL, errno.ENOENT, errno.EPERM)

    def where(self):
        """The line of the call that failed."""
        at = struct.unpack_from(self.LAYOUT, self.map)[4]
        return run(tool("addr2line"), "-sfe", SHIM, hex(at)).stdout.split()


@pytest.fixture
def plan(tmp_path):
    return Plan(tmp_path / "plan")


class Server(Program):
    """With the plan, and a list of trust in a file."""

    def __init__(self, plan, style, **settings):
        self.plan, trust = plan, plan.path.parent / "trust"
        trust.write_text(f"# balancers\n{TRUSTED}\n")
        settings = {"trust": f"@{trust}", "timeout": "10s", "log": "stderr:debug", **settings}
        super().__init__([helper("server"), "--go-on", *SERVERS[style]], environment(**settings) | {
            "LD_PRELOAD": f"{SHIM} {HELPERS / 'faults.so'}", "FAULTS": str(plan.path)})

    def processes_keep(self):
        """For each of its processes, its descriptors by kind."""
        return [Counter(re.sub(r":?\[\d+\]$", "", what) for what in self.fds(pid).values()) for pid in self.processes()]

    def keeps_its_own(self, style, abandoned=0):
        """No more than its listener, its epoll, and what the library has for parked peers."""
        private = 1 + (style == "prefork")
        epolls = private * (1 + abandoned) + (style == "epoll")
        return all(kept["socket"] == 1 and kept["anon_inode:[timerfd]"] <= 1 + abandoned and
                   kept["anon_inode:[eventpoll]"] <= epolls for kept in self.processes_keep())

    def names(self, peer):
        """Of one that left before it spoke a line is written for those who debug."""
        left = self.plan.error in (errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOTCONN)
        return self.log.matching(f"(reject{'|probe' if left else ''}) peer={re.escape(peer.text)} ")


def answered(peer, expected):
    """Whether it is served; then by that name, and with its bytes."""
    try:
        while b"\n" not in peer.buffer and peer.receive():
            pass
    except ConnectionResetError:
        pass
    if not peer.buffer:
        return False
    report = peer.report()
    assert report["peer"] == report["accept"] == expected
    peer.echo(b"data")
    return True


LONG = wire.v2(CLIENT6, tlvs=wire.tlv(wire.NOOP, bytes(2000)))


def clients_of_each_kind(server, plan):
    """At once. Those that were not served."""
    with contextlib.ExitStack() as scope:
        def come(source):
            return scope.enter_context(server.peer(source))
        silent, long = come(TRUSTED), come(TRUSTED).send(LONG[:1000])
        until(lambda: plan.happened() or server.has_parked(silent, long), "they wait")
        there, direct, wrong, probe = come(TRUSTED), come(DIRECT), come(TRUSTED), come(TRUSTED)
        probe.close()
        with contextlib.suppress(OSError):
            wrong.send(b"GET / HTTP/1.0\r\n\r\n")
        for peer, opening in (direct, b""), (there, wire.v2()), (silent, wire.v1()), (long, LONG[1000:]):
            with contextlib.suppress(OSError):
                peer.send(opening + b"data")
        lost = [peer for peer, expected in [(direct, direct.text), (there, wire.CLIENT_TEXT), (silent, wire.CLIENT_TEXT),
                                            (long, wire.CLIENT6_TEXT)] if not answered(peer, expected)]
        wrong.rejected()
        assert [peer.text for peer in lost if not server.names(peer)] == [], server.log.lines
        return lost


def one_run(plan, style):
    try:
        server = Server(plan, style)
    except EndedAtStart as ended:
        assert plan.happened() and ended.status == 78 and re.fullmatch(r"ppshim\[\d+\]: error: [^\n]*\n", ended.log), ended
        return
    try:
        lost = clients_of_each_kind(server, plan)
        assert not lost or plan.happened()
        plan.end()
        server.serves(TRUSTED, wire.v2(), wire.CLIENT_TEXT)
        server.serves()
        until(lambda: server.keeps_its_own(style, plan.is_about_another()), lambda: f"nothing stays behind: {server.processes_keep()}")
        assert server.stop() == 0, server.out.lines
    finally:
        server.kill()


def each_error(styles):
    return pytest.mark.parametrize("style, call, error", [
        pytest.param(style, call, getattr(errno, error), id=f"{style}-{call}-{error}")
        for style in styles for call, errors in ERRORS.items() for error in errors.split()])


def each_time(plan, call, error):
    """From the first until it is not made so often."""
    for n in itertools.count(1):
        plan.set(call, error, n)
        yield n
        if not plan.happened():
            return


@each_error(SERVERS)
def test_call_fails(plan, style, call, error):
    for _ in each_time(plan, call, error):
        one_run(plan, style)


@pytest.mark.parametrize("call, error", [("open", "ENOSPC"), ("fstatfs", "EIO"), ("fallocate", "ENOSPC"),
                                         ("fallocate", "EINTR"), ("fchmod", "EPERM"), ("mmap", "ENOMEM")])
def test_call_that_fails_while_counters_begin_costs_a_line_and_no_client(plan, call, error):
    """What comes first finds its header there: nothing else is asked of the kernel for it."""
    lines = 0
    for _ in each_time(plan, call, getattr(errno, error)):
        with counters.directory() as stats, contextlib.ExitStack() as scope:
            try:
                server = Server(plan, "poll", trust=TRUSTED, stats=stats)
            except EndedAtStart as ended:
                assert call == "mmap" and plan.happened() and ended.status == 78
                continue
            scope.callback(server.kill)
            os.kill(server.pid, signal.SIGSTOP)
            peer = scope.enter_context(server.peer()).send(wire.v2())
            os.kill(server.pid, signal.SIGCONT)
            assert peer.report()["peer"] == wire.CLIENT_TEXT
            told = counters.counted(stats)
            if server.log.matching(" stats-off "):
                lines += 1
                assert plan.happened() and told == {} and os.listdir(stats) in ([], ["totals"])
            else:
                assert told == {"connections": 1, "found.v2.inet": 1}
    assert lines == 1
