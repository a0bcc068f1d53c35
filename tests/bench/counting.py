# SPDX-License-Identifier: MIT
"""counting.py: what the shim costs, counted: system calls by strace, instructions by callgrind, memory by the kernel.

Counts depend on no clock. Whatever has to be so before the next step is waited for: that the server has taken the
connection and sleeps, that a peer is parked, that what was sent is there.
"""
import atexit
import contextlib
import fcntl
import functools
import os
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
from collections import Counter
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))

from harness import DEADLINE, SHIM, clean_env, dial, proxy_v1, proxy_v2, read_to_end, run, scratch  # noqa: E402
from harness import shim_env, tool, until  # noqa: E402
from servers import BENCH  # noqa: E402
from wire import inode_of  # noqa: E402

TRUSTED = "127.0.0.2"
TRUSTING = {"TRUST": TRUSTED, "TIMEOUT": "60s", "LOG": "stderr:error"}
COUNTING = {**TRUSTING, "STATS": tempfile.mkdtemp(prefix="ppshim-counted-", dir="/dev/shm")}
atexit.register(shutil.rmtree, COUNTING["STATS"], ignore_errors=True)
HEADERS = {"v1": proxy_v1(), "v2": proxy_v2()}
WARM_UP = 2  # connections: what a process does once is not what each costs


# --- the server, watched by a tracer ----------------------------------------------------------------------------------

class Server:
    """counted.c under strace or callgrind, held until told to go."""

    def __init__(self, scope, tracer, style, env, threads=1):
        self.directory = scope.enter_context(scratch("counted"))
        self.output = self.directory / "trace"
        self.pid = None
        argv = [*tracer(self.output, env), BENCH / "counted", style, threads]
        self.process = scope.enter_context(subprocess.Popen(
            list(map(str, argv)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=clean_env()))
        scope.callback(self.kill)
        words = self.process.stdout.readline().split()
        assert len(words) == 2, self.process.stderr.read()
        self.endpoint, self.pid = ("127.0.0.1", int(words[0])), int(words[1])

    def kill(self):
        if self.process.poll() is None:
            if self.pid:
                os.kill(self.pid, signal.SIGKILL)
            self.process.kill()

    def go(self):
        print("go", file=self.process.stdin, flush=True)

    def dial(self):
        return dial(self.endpoint, TRUSTED)

    def asleep(self):
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return all((task / "stat").read_text().rpartition(")")[2].split()[0] == "S" for task in tasks)

    def arrival(self):
        """A silent connection that the server was asleep for, has accepted, and sleeps again."""
        until(self.asleep, "the server sleeps")
        peer = self.dial()
        until(lambda: inode_of(self.endpoint, peer.getsockname()), "it accepts")
        until(self.asleep, "it sleeps again")
        return peer

    def parks(self, *peers):
        """Waits until all these are parked, and it sleeps again: a parked one stands in an epoll of the shim's."""
        inodes = {until(lambda: inode_of(self.endpoint, peer.getsockname()), "the server accepts") for peer in peers}
        until(lambda: inodes <= self.in_epolls() and self.asleep(), "all are parked")

    def in_epolls(self):
        """Inodes of what stands in one of its epolls."""
        found = set()
        for entry in Path(f"/proc/{self.pid}/fdinfo").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                found |= {int(inode, 16) for inode in re.findall(r"^tfd:.* ino:([0-9a-f]+)", entry.read_text(), re.M)}
        return found

    def queue(self, first_bytes):
        """A connection whose first bytes are there, in the kernel, when this returns."""
        peer = self.dial()
        peer.sendall(first_bytes)
        until(lambda: unacknowledged(peer) == 0, "what was sent has arrived")
        return peer

    def hold(self, header):
        with self.queue(header + b"h") as peer:
            assert read_to_end(peer) == b"h"
        assert self.process.stdout.readline() == "held\n"

    def quit(self, header):
        with self.queue(header + b"q") as peer:
            assert read_to_end(peer) == b"q"
        said = self.process.communicate()[1]
        assert self.process.returncode == 0, said
        return said


def unacknowledged(sock):
    return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0]


def answered(peers):
    for peer in peers:
        assert read_to_end(peer) == b"!"
        peer.close()


# --- what is done with it ---------------------------------------------------------------------------------------------

def there(server, header, count, what=b"?"):
    """All of them, and their headers, stand in the queue before the server takes its first."""
    peers = [server.queue(header + what) for _ in range(count)]
    server.go()
    answered(peers)


def late(server, header, count):
    """Each header comes when the server has taken the connection, found nothing, and sleeps."""
    server.go()
    for _ in range(count):
        with server.arrival() as peer:
            peer.sendall(header + b"?")
            answered([peer])


def parked(server, header, count):
    """Each header comes when the shim has put the connection aside."""
    server.go()
    for _ in range(count):
        with server.arrival() as peer:
            server.parks(peer)
            peer.sendall(header + b"?")
            answered([peer])


def after_parked(server, header, count):
    parked(server, header, 1)
    server.hold(header)
    there(server, header, count)


def among_silent(server, header, count, silent=100):
    server.go()
    with contextlib.ExitStack() as scope:
        server.parks(*(scope.enter_context(server.dial()) for _ in range(silent)))
        server.hold(header)
        there(server, header, count)


def getpeername(server, header, count):
    there(server, header, count, b"n")


class Case(NamedTuple):
    drive: callable = there
    version: str = "v2"
    settings: dict = TRUSTING
    count: int = 20
    may_park: bool = True  # else it is done again if one was late enough, which is a matter of time


CASES = {
    "there": Case(),
    "there, v1": Case(version="v1"),
    "there, DEFER_ACCEPT": Case(settings={**TRUSTING, "DEFER_ACCEPT": "on"}),
    "there, JOURNAL": Case(settings={**TRUSTING, "JOURNAL": "/nonexistent"}),
    "there, and getpeername": Case(getpeername),
    "there, after one was parked": Case(after_parked),
    "there, 100 silent": Case(among_silent),
    "there, counted": Case(settings=COUNTING),
    "late": Case(late, may_park=False),
    "parked": Case(parked, count=8),
    "parked, counted": Case(parked, count=8, settings=COUNTING),
    "there, CLIENT_RATE": Case(settings={**TRUSTING, "CLIENT_RATE": "100000/1s"}),
    "there, CLIENT_MAX": Case(settings={**TRUSTING, "CLIENT_MAX": "10000"}),
    "direct": Case(version=None, settings={**TRUSTING, "TRUST": "203.0.113.1"}),
    "direct, CLIENT_RATE": Case(version=None, settings={**TRUSTING, "TRUST": "203.0.113.1", "CLIENT_RATE": "100000/1s"}),
    "unset": Case(version=None, settings={}),
    "off": Case(version=None, settings={"TRUST": "none"}),
    "another port": Case(version=None, settings={**TRUSTING, "PORTS": "1"}),
}


# --- system calls -----------------------------------------------------------------------------------------------------

def strace(output, env):
    settings = [word for name, value in env.items() for word in ("-E", f"{name}={value}")]  # not for strace itself
    return [tool("strace"), "-f", "-qq", "-o", output, *settings]


def trace_of(drive, style, header, env, count, threads=1):
    with contextlib.ExitStack() as scope:
        server = Server(scope, strace, style, env, threads)
        drive(server, header, count + WARM_UP)
        server.quit(header)
        return server.output.read_text()


def connections(trace, count):
    """The calls for each of the last `count` connections, as Counters: from one's answer to the next one's."""
    slices, current = [], Counter()
    for name, arguments in re.findall(r"^\d+ +(\w+)\((.*)", trace, re.M):
        current[name] += 1
        if name == "write" and re.match(r'\d+, "[!hq]"', arguments):
            slices.append(current)
            current = Counter()
    return slices[:-1][-count:]  # the last was told to quit


@functools.cache
def bare_connection(drive, style):
    """What the bare server does for each connection; nothing is late for it, nor silent."""
    drive = drive if drive is getpeername else there
    each = connections(trace_of(drive, style, b"", {}, 20), 20)
    assert all(one == each[0] for one in each), f"the bare server does not do the same every time: {each}"
    return each[0]


def system_calls(name, style):
    """How many the shim adds to each connection, and which."""
    case, bare = CASES[name], bare_connection(CASES[name].drive, style)
    header = HEADERS[case.version] if case.version else b""

    def trace():
        text = trace_of(case.drive, style, header, shim_env(**case.settings), case.count)
        return (case.may_park or "timerfd_create(" not in text) and text

    each = connections(until(trace, "none of the late ones is late enough to be parked"), case.count)
    chosen = sorted(each, key=Counter.total)[len(each) // 2]
    added = {call: chosen[call] - bare[call] for call in sorted(chosen | bare)}
    return chosen.total() - bare.total(), " ".join(f"{call}{n:+}" for call, n in added.items() if n)


def system_calls_of_threads(name, threads=4):
    """The same on average, for threads in a blocking accept: who sleeps and who wakes is not the same every time."""
    case = CASES[name]
    trace = trace_of(case.drive, "accept", HEADERS["v2"], shim_env(**case.settings), case.count, threads)
    each = connections(trace, case.count)
    return sum(map(Counter.total, each)) / len(each) - bare_connection(there, "accept").total()


def start_up_calls(settings):
    """How many the preload adds to `true`."""
    def count(env):
        with scratch("true") as directory:
            run(*strace(directory / "trace", env), tool("true"))
            return len(re.findall(r"^\d+ +\w+\(", (directory / "trace").read_text(), re.M))
    return count(shim_env(**settings)) - count({})


# --- instructions -----------------------------------------------------------------------------------------------------

def with_env(_, env):
    return ["/usr/bin/env", *(f"{name}={value}" for name, value in env.items())]


def callgrind(function):
    def tracer(output, env):
        only = [f"--toggle-collect={function}"] if function else []
        return [*with_env(output, env), tool("valgrind"), "--tool=callgrind", f"--callgrind-out-file={output}", *only]
    return tracer


def collected(said):
    return int(re.search(r"Collected : (\d+)", said)[1])


def instructions_each(drive, style, function, header, env, times=1):
    """Of one more connection: what is done once is in both numbers; what is done once a second is not, if the cheapest
    of several `times` is taken."""
    def count_once(connections):
        with contextlib.ExitStack() as scope:
            server = Server(scope, callgrind(function), style, env)
            drive(server, header, connections)
            return collected(server.quit(header))

    def count(connections):
        return min(count_once(connections) for _ in range(times))
    return (count(22) - count(2)) / 20


@functools.cache
def bare_instructions(drive, style, function):
    return instructions_each(drive, style, function, b"", {})


def shim_instructions(name, style, function, times=1):
    case = CASES[name]
    header = HEADERS[case.version] if case.version else b""
    return instructions_each(case.drive, style, function, header, shim_env(**case.settings), times)


def accept_instructions(name, style, function="take"):
    """What the shim adds to each connection: to waiting for it and accepting it, or to asking for its name."""
    return shim_instructions(name, style, function) - bare_instructions(CASES[name].drive, style, function)


def counting_instructions(name, style):
    """What PPSHIM_STATS adds to that: little, so that what happens once a second would show."""
    return shim_instructions(f"{name}, counted", style, "take", 3) - shim_instructions(name, style, "take", 3)


CALLS = 200


def call_instructions(call, pipes):
    """What it adds to a call that concerns no listener, in a process with one."""
    def each(env):
        with scratch("ungoverned") as directory:
            done = run(*callgrind("call_many")(directory / "out", env), BENCH / "ungoverned", call, CALLS, pipes,
                       timeout=6 * DEADLINE)
            return collected(done.stderr) / CALLS
    return each(shim_env(**TRUSTING)) - each({})


def calls_of_call(call):
    """System calls for each such call, by what the bare program does."""
    def each(env):
        with scratch("ungoverned") as directory:
            run(*strace(directory / "trace", env), BENCH / "ungoverned", call, CALLS, 8)
            parts = (directory / "trace").read_text().split("getppid()")
            assert len(parts) == 3
            return (parts[1].count("\n") - 1) / CALLS
    return each(shim_env(**TRUSTING)) - each({})


def start_up_instructions(settings):
    def count(env):
        with scratch("true") as directory:
            return collected(run(*callgrind(None)(directory / "out", env), tool("true"), timeout=6 * DEADLINE).stderr)
    return count(shim_env(**settings)) - count({})


# --- memory -----------------------------------------------------------------------------------------------------------

def private_dirty(pid):
    """Bytes that a process has written to and shares with nobody."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(map(int, re.findall(r"^Private_Dirty: +(\d+)", text, re.M))) * 1024


def memory_of_a_process(settings):
    """What the preload adds to a program that waits (cat)."""
    with SHIM.open("rb") as library:
        os.fsync(library.fileno())  # until it is on the disk, it counts as written to by whoever maps it

    def written(env):
        cat = [tool("setarch"), "--addr-no-randomize", tool("cat")]  # where things lie decides how many pages that is
        with subprocess.Popen(cat, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clean_env(**env)) as process:
            process.stdin.write(b"x")
            process.stdin.flush()
            assert process.stdout.read(1) == b"x"  # it is past its start
            return private_dirty(process.pid)
    return written(shim_env(**settings)) - written({})


def memory_of_a_parked_peer(peers=2000):
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files[1], files[1]))
    try:
        with contextlib.ExitStack() as scope:
            server = Server(scope, with_env, "epoll", shim_env(**TRUSTING, MAX_PENDING=str(peers + 10)))
            server.go()
            server.parks(*(scope.enter_context(server.dial()) for _ in range(10)))
            before = private_dirty(server.pid)
            server.parks(*(scope.enter_context(server.dial()) for _ in range(peers)))
            return (private_dirty(server.pid) - before) / peers
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, files)

