# SPDX-License-Identifier: MIT
"""measure.py: the ways to a server, side by side, and one run of the load on one of them. Knows no table."""
import contextlib
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from harness import clean_env, descendants, dial, proxy_v1, proxy_v2, scratch, shim_env
from servers import BALANCERS, BENCH, END, Balancer, HAProxySidecar, NginxSidecar

FROM = "127.0.2.1"
HEADERS = {"v1": proxy_v1(), "v2": proxy_v2()}


def setting(name, default, understand, values):
    """What the environment says of it, or one line about what would be right."""
    try:
        return understand(os.environ.get(name) or default)
    except (KeyError, ValueError):
        sys.exit(f"bench: {name}={os.environ[name]}: not {values}")


HEADER = setting("BENCH_HEADER", "v2", HEADERS.__getitem__, "v1 or v2")
PEER = os.environ.get("PEER")
if PEER and not os.access(PEER, os.R_OK):
    sys.exit(f"bench: PEER={PEER}: no such file")
WAYS = {  # in the order in which they are shown
    "bare": "the server alone, no header",
    "shim": "the server under libppshim",
    "shim-defer": "the same with PPSHIM_DEFER_ACCEPT=on",
    "native": "the server's own support",
    "haproxy": "HAProxy before it, which takes the header off",
    "nginx": "nginx (stream) before it, which takes the header off",
    **({"peer": f"the server under {Path(PEER).name}"} if PEER else {}),
}


class Way(NamedTuple):
    name: str
    endpoint: tuple
    header: bytes
    processes: tuple  # whose processor time it is

    def ask(self, request):
        """A connection of its own; what comes back until it ends."""
        with dial(self.endpoint, FROM) as sock:
            sock.sendall(self.header + request)
            while sock.recv(65536):
                pass


def settings(**more):
    return shim_env(TRUST=BALANCERS, LOG="stderr:error", **more)


def peer_env():
    return {"LD_PRELOAD": PEER, **dict(word.split("=", 1) for word in os.environ.get("PEER_ENV", "").split())}


def start(scope, kind, *arguments, **options):
    return scope.enter_context(kind(scope.enter_context(scratch(kind.name)), *arguments, **options))


NOT_STARTED = (AssertionError, OSError, pytest.skip.Exception, pytest.fail.Exception)  # also where a program is missing


def start_ways(scope, kind, names):
    """{name: Way}, all of them up at once, each server filled; and {name: why} of those that did not start."""
    def own(name, header, env, **options):
        server = start(scope, kind, env, **options)
        return Way(name, server.endpoint, header, (server,))

    def before(name, sidecar):
        proxy = start(scope, sidecar, bare.endpoint)
        return Way(name, proxy.endpoint, HEADER, (proxy, *bare.processes))

    bare = own("bare", b"", {})
    makers = {
        "bare": lambda name: bare,
        "shim": lambda name: own(name, HEADER, settings()),
        "shim-defer": lambda name: own(name, HEADER, settings(DEFER_ACCEPT="on")),
        "native": lambda name: own(name, HEADER, {}, native=True),
        "haproxy": lambda name: before(name, HAProxySidecar),
        "nginx": lambda name: before(name, NginxSidecar),
        "peer": lambda name: own(name, HEADER, peer_env()),
    }
    ways, failed = {}, {}
    for name in names:
        try:
            ways[name] = makers[name](name)
            if name == "bare" or ways[name].processes[-1] is not bare.processes[0]:
                ways[name].processes[-1].fill(ways[name].ask)
        except NOT_STARTED as error:
            failed[name] = str(error)
    return ways, failed


def behind_a_balancer(scope, ways, quick):
    """The same ways, each reached through a front of one HAProxy, which sends the header where one is wanted."""
    fronts = {name: (way.endpoint, way.header) for name, way in ways.items()}
    balancer = start(scope, Balancer, fronts, quick)
    return {name: way._replace(endpoint=balancer.endpoints[name], header=b"") for name, way in ways.items()}


# --- dialogues, as load takes them ------------------------------------------------------------------------------------

def spoken(way, *dialogues):
    """Each dialogue as a script, learnt by having it once: how long the answers are is the same every time."""
    scripts = []
    with dial(way.endpoint, FROM) as sock:
        if way.header:
            sock.sendall(way.header)
        for dialogue in dialogues:
            scripts.append(" ".join(one_step(sock, step) for step in dialogue))
    return scripts


def one_step(sock, step):
    if isinstance(step, bytes):
        sock.sendall(step)
        return "s" + step.hex()
    answer = b""
    while step == END or not step(answer):
        piece = sock.recv(65536)
        if not piece:
            assert step == END, f"the connection ended after {answer!r}"
            return "e"
        assert step != END, f"{piece!r} instead of the connection's end"
        answer += piece
    return f"r{len(answer)}"


# --- one run ----------------------------------------------------------------------------------------------------------

TICKS = os.sysconf("SC_CLK_TCK")
CPUCLOCK_SCHED = 2


def processor_time(processes):
    """Seconds that these and everything below them have used so far: to the nanosecond (clock_getcpuclockid(3)), but
    for children that have ended, which are counted in ticks."""
    seconds = 0.0
    for process in processes:
        for pid in {process.pid, *(pid for pid, _ in descendants(process.pid))}:
            with contextlib.suppress(OSError):
                seconds += time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED)
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                seconds += (int(fields[13]) + int(fields[14])) / TICKS
    return seconds


class Run(NamedTuple):
    rate: float   # a second
    bytes: float  # a second
    p50: float    # microseconds
    p99: float
    cpu: float    # seconds of processor time at the server's side, a request


class Failed(Exception):
    """The load's own words."""


def load(way, seconds, **options):
    argv = [BENCH / "load", "to={}:{}".format(*way.endpoint), f"from={FROM}", f"header={way.header.hex()}",
            f"seconds={seconds}", *(f"{name}={value}" for name, value in options.items())]
    with subprocess.Popen(argv, env=clean_env(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        try:
            if process.stdout.readline() != "ready\n":
                raise Failed(process.stderr.read().strip())
            before = processor_time(way.processes)
            print("go", file=process.stdin, flush=True)
            line = process.stdout.readline()
            cpu = processor_time(way.processes) - before
            if not line:
                raise Failed(process.stderr.read().strip())
        finally:
            process.stdin.close()
    said = {name: float(value) for name, value in (word.split("=") for word in line.split())}
    return Run(said["rate"], said["bytes"], said["p50"], said["p99"], cpu / max(1, said["ended"]))


@contextlib.contextmanager
def silent_peers(way, count):
    """That many connections which never say a word, for as long as the block lasts."""
    argv = [BENCH / "load", "to={}:{}".format(*way.endpoint), f"from={FROM}", f"silent={count}"]
    with subprocess.Popen(argv, env=clean_env(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as crowd:
        if crowd.stdout.readline() != "ready\n":
            raise Failed("the silent peers were not let in")
        yield
        crowd.stdin.close()


# --- many -------------------------------------------------------------------------------------------------------------

class Figure(NamedTuple):
    """A ratio to the same round's base: the median over the rounds and the quartiles."""
    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values):
        quartiles = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
        return cls(quartiles[1], quartiles[0], quartiles[2])

    @classmethod
    def of_rounds(cls, those, base, value):
        return cls.of([value(one) / value(other) for one, other in zip(those, base)])


ROUNDS_A_START = 5  # what luck a process had with its memory lasts as long as it does, and is no way's own


def starts(rounds):
    """The rounds, by the start of all servers that they are run with."""
    return [range(first, min(first + ROUNDS_A_START, rounds)) for first in range(0, rounds, ROUNDS_A_START)]


def together(before, more):
    """Of two starts; who failed in one is out."""
    failed = {name: those for one in (more, before) for name, those in one.items() if isinstance(those, str)}
    return {name: failed.get(name) or before[name] + more[name] for name in before}


def interleaved(names, rounds, run):
    """{name: [what run(name) gave, for each of these rounds]}; each takes them in turn, and begins with another one, so
    that what else the machine does falls on all alike. Who fails once is out: its words instead of the list."""
    results = {name: [] for name in names}
    for number in rounds:
        for name in names[number % len(names):] + names[:number % len(names)]:
            if isinstance(results[name], list):
                try:
                    results[name].append(run(name))
                except Failed as failed:
                    results[name] = str(failed)
    return results
