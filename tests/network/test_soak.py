# SPDX-License-Identifier: MIT
"""After SOAK_CONNECTIONS (100,000) of every kind a server has the descriptors, mappings and memory that it had before,
nobody waits in it, and what became of each connection was counted."""
import contextlib
import os
import re
from collections import Counter
from pathlib import Path

import pytest
from counters import counted, directory
from crowd import FOUND, crowd, spelled
from process import environment
from program import Program, helper
from waiting import until
from wire import DIRECT

CONNECTIONS = int(os.environ.get("SOAK_CONNECTIONS", "100000"))
WAYS = {
    "prefork": ["--accept=fork=4", "--handle=inline"],
    "threads": ["--accept=threads=6", "--handle=inline"],
    "epoll": ["--accept=epoll-lt"],
}
BEFORE = 5000  # after so many a server has all that it keeps
A_ROUND = 100000  # after each of which it is looked at
TIMEOUT = 2000

TRUSTED = [f"127.0.1.{n}" for n in range(1, 33)]
UNTRUSTED = [f"127.0.2.{n}" for n in range(1, 33)]
KINDS = {"there": 1500, "late": 300, "split": 300, "local": 300, "silent": 300, "half": 300, "reset": 300, "bad": 300,
         "overdue": 1, "plain": 400, "claim-v1": 100, "claim-v2": 100, "claim-reset": 100}


class Kept:
    """What one process has that it could lose or hoard."""

    def __init__(self, pid):
        proc = Path(f"/proc/{pid}")
        self.descriptors = len(os.listdir(proc / "fd"))
        self.mappings = len((proc / "maps").read_text().splitlines())
        self.kilobytes = sum(map(int, re.findall(r"^Private_\w+: +(\d+)", (proc / "smaps_rollup").read_text(), re.M)))

    def __repr__(self):
        return f"{self.descriptors} descriptors, {self.mappings} mappings, {self.kilobytes} kB"


def outcomes(counters):
    """What became of connections: each is one of these."""
    return {key: n for key, n in counters.items()
            if key.startswith(("found.", "rejected.")) or key in ("untrusted-passed", "probes")}


class Soak:
    """A server, and all who came to it."""

    def __init__(self, way, stats):
        self.stats, self.were = stats, Counter()
        self.server = Program([helper("server"), *WAYS[way], "--quiet"],
                              environment(trust="127.0.1.0/24", timeout=f"{TIMEOUT}ms", stats=stats))

    def come(self, count):
        """And then nobody is left in the server: whoever left while others slept is seen to when the next one comes."""
        self.were += crowd(timeout=60 + count / 20, count=count, patience=TIMEOUT, kinds=spelled(KINDS),
                           to=f"127.0.0.1:{self.server.port}", trusted=",".join(TRUSTED),
                           untrusted=",".join(UNTRUSTED))

        def is_quiet():
            self.were["plain"] += 1
            self.server.serves(DIRECT)
            now = counted(self.stats)
            return now["connections"] == sum(outcomes(now).values()) and not now.get("parked")
        until(is_quiet, lambda: f"nobody waits: {counted(self.stats)}")
        until(self.server.asleep, "the server has nothing to do")

    def kept(self):
        return [Kept(pid) for pid in self.server.processes()]

    def all_were_counted(self):
        def of(*kinds):
            return sum(self.were[kind] for kind in kinds)
        now = counted(self.stats)
        became = outcomes(now)
        found = sum(n for key, n in now.items() if key.startswith("found."))
        left = now["probes"] + now["rejected.peer-left"]
        assert now["connections"] == sum(self.were.values())
        assert now["untrusted-passed"] == of("plain", "claim-v1", "claim-v2", "claim-reset")
        assert now.get("rejected.timeout", 0) == of("overdue")
        assert found + left == of(*FOUND, "silent", "half", "reset") and found >= of(*FOUND)
        assert sum(became.values()) - found - left - now["untrusted-passed"] - of("overdue") == of("bad")


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_left_of_many_connections(way):
    with directory() as stats, contextlib.ExitStack() as scope:
        soak = Soak(way, stats)
        scope.callback(soak.server.kill)
        soak.come(BEFORE)
        before = soak.kept()
        for _ in range(1 + CONNECTIONS // len(WAYS) // A_ROUND):
            soak.come(min(A_ROUND, CONNECTIONS // len(WAYS)))
            soak.all_were_counted()
            after = soak.kept()
            assert [(one.descriptors, one.mappings) for one in after] == [(one.descriptors, one.mappings) for one in before]
            assert all(a.kilobytes <= b.kilobytes + 64 for a, b in zip(after, before)), (before, after)
        assert soak.server.stop() == 0
        print(f"{way}: {sum(soak.were.values())}: " + " ".join(f"{kind}={n}" for kind, n in soak.were.items()))
        print(f"{before} -> {after}")
