# SPDX-License-Identifier: MIT
"""curves.py: cost against size: open connections, silent peers, trust lists, workers, threads."""
import contextlib
import ipaddress
import resource

from harness import scratch
from measure import HEADER, Failed, Figure, Run, Way, interleaved, load, settings, silent_peers, start, starts, together
from servers import BALANCERS, Blocking, Epoll

FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
SHORT = {"request": "s3f r1", "flight": 16, "when": "with"}


def small(scope, kind, name, env, many=1):
    server = start(scope, type(name, (kind,), {"name": name, "many": many}), env)
    return Way(name, server.endpoint, HEADER if env else b"", (server,))


VALUES = {"served": Run.rate.__get__, "processor": Run.cpu.__get__}


def compared(results, line, base):
    """{"served": Figure, "processor": Figure}"""
    for name in line, base:
        if isinstance(results[name], str):
            raise Failed(f"{name}: {results[name]}")
    return {word: Figure.of_rounds(results[line], results[base], value) for word, value in VALUES.items()}


class Curve:
    heading, xname, sizes = "", "", ()
    lines = {"shim": ("shim", "bare")}  # what is compared with what

    def measure(self, rounds, seconds):
        """{line: [(size, Figure)]}: of each line what it served and what processor time it took, as ratios."""
        points = {f"{line}, {word}": [] for line in self.lines for word in VALUES}
        for size in self.sizes:
            results = None
            for some in starts(rounds):
                with contextlib.ExitStack() as scope:
                    more = self.at(scope, size, some, seconds)
                results = together(results, more) if results else more
            for line, (one, base) in self.lines.items():
                for word, figure in compared(results, one, base).items():
                    points[f"{line}, {word}"].append((size, figure))
            news = "; ".join(f"{line} {those[-1][1].median:.2f}" for line, those in points.items())
            print(f"  {size}: {news}", flush=True)
        return points

    def at(self, scope, size, rounds, seconds):
        ways = self.ways(scope, size)
        return interleaved(list(ways), rounds, lambda name: load(ways[name], seconds, **self.options(size)))

    def ways(self, scope, size):
        """{name: Way}"""
        raise NotImplementedError

    def options(self, size):
        return SHORT


class Open(Curve):
    heading, xname = "Requests on open connections", "open connections"
    sizes = [n for n in (1, 10, 100, 1000, 10000, 20000, 50000) if n < FILES - 100] or [1, 10, 100]

    def ways(self, scope, size):
        return {"bare": small(scope, Epoll, "bare", {}), "shim": small(scope, Epoll, "shim", settings())}

    def options(self, size):
        return {"request": "s3f r1", "open": size, "flight": min(size, 16)}


class Parked(Curve):
    """Two servers under the shim, silent peers at one of them, and the bare one."""
    heading, xname = "New connections while peers are silent", "silent peers"
    sizes = [n for n in (0, 1, 10, 100, 1000, 10000) if n < FILES - 100]
    lines = {"with / without them": ("with", "without"), "with / bare": ("with", "bare")}

    def ways(self, scope, size):
        more = {"TIMEOUT": "60s", "MAX_PENDING": str(size + 100)}
        ways = {"with": small(scope, Epoll, "with", settings(**more)),
                "without": small(scope, Epoll, "without", settings(**more)), "bare": small(scope, Epoll, "bare", {})}
        scope.enter_context(silent_peers(ways["with"], size))
        return ways


class Trust(Curve):
    heading, xname = "New connections, with a trust list", "prefixes"
    sizes = (1, 10, 100, 1000, 10000, 100000)

    def ways(self, scope, size):
        listed = scope.enter_context(scratch("trust")) / "list"
        others = (f"{ipaddress.ip_address(0x0B000000 + 512 * n)}/24" for n in range(size - 1))
        listed.write_text("\n".join([BALANCERS, *others]) + "\n")
        env = {**settings(), "PPSHIM_TRUST": f"@{listed}"}
        return {"bare": small(scope, Epoll, "bare", {}), "shim": small(scope, Epoll, "shim", env)}


class Workers(Curve):
    heading, xname = "New connections, several processes on one listener", "workers"
    sizes = (1, 2, 4, 8)
    kind = Epoll
    lines = {"shim": ("shim", "bare"), "shim-defer": ("shim-defer", "bare")}

    def ways(self, scope, size):
        envs = {"bare": {}, "shim": settings(), "shim-defer": settings(DEFER_ACCEPT="on")}
        return {name: small(scope, self.kind, name, env, size) for name, env in envs.items()}


class Threads(Workers):
    heading, xname = "New connections, several threads in a blocking accept", "threads"
    sizes = (1, 2, 4, 8, 16)
    kind = Blocking


CURVES = {"open": Open(), "parked": Parked(), "trust": Trust(), "workers": Workers(), "threads": Threads()}


def duration(names, rounds, seconds):
    def one(curve):
        return len(curve.sizes) * (rounds * (len(curve.lines) + 1) * (seconds * 1.1 + .1) + len(starts(rounds)))
    return sum(one(CURVES[name]) for name in names)
