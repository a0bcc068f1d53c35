# SPDX-License-Identifier: MIT
"""Nobody untrusted is taken for somebody else, whatever he sends and when: SPOOF_ATTEMPTS (4,000) of them, from addresses
of their own, while clients of the trusted balancer come and go beside them. The kernel's record of each connection's
first packet says who is who."""
import contextlib
import os
import re

import pytest
from counters import counted, directory
from crowd import FOUND, crowd, spelled
from network import Host, plug
from place import needs
from process import environment
from program import STYLES, Program, helper
from waiting import until
from wire import fields

ATTEMPTS = int(os.environ.get("SPOOF_ATTEMPTS", "4000"))
# Of several workers that block in accept one may lose a race, and sleep with its parked peers until the next connection
# (libppshim(8), NOTES), which the last of these clients would wait for.
WAYS = {"threads": STYLES["threads"], "prefork": ["--accept=fork=1"], "poll": STYLES["poll"],
        "epoll-exclusive-prefork": STYLES["epoll-exclusive-prefork"], "epoll-lt": STYLES["epoll-lt"]}

TRUSTED = "198.51.100.1", "2001:db8:2::1"  # the balancer's
TARGETS = "198.51.100.2", "[2001:db8:2::2]"
ATTACKERS = [f"198.51.100.{n}" for n in range(10, 30)] + [f"2001:db8:2::{n:x}" for n in range(10, 30)]
CLAIMED = r"(203\.0\.113\.7|\[2001:db8::7\])"

ATTACKS = {kind: 1 for kind in ("claim-v1", "claim-v2", "claim-split", "claim-pipelined", "claim-urgent", "claim-syn",
                                "claim-reset", "claim-reuse", "claim-forged")}
BESIDE = {"there": 1, "late": 1, "split": 1, "syn": 1, "silent": 1, "half": 1, "reset": 1}

# Fast Open for clients, and for every listener. With 0x200, which takes SYNs without their cookie, whoever can send from
# the balancer's address is believed, for nothing shows that he hears there.
FAST_OPEN = 0x1 | 0x2 | 0x400


@pytest.fixture
def hosts():
    """One network for all: attackers sit beside the balancer."""
    needs("root", "network", "cables")
    with contextlib.ExitStack() as stack:
        switch, server, balancer, attacker = hosts = [Host() for _ in range(4)]
        for host in hosts:
            stack.callback(host.close)
            host.sysctl("ipv4/tcp_fastopen", FAST_OPEN)
        switch.ip("link", "add", "switch", "type", "bridge")
        switch.ip("link", "set", "switch", "up")
        for host, addresses in (server, TARGETS), (balancer, TRUSTED), (attacker, ATTACKERS):
            port, end = plug(switch, host)
            switch.ip("link", "set", port, "master", "switch", "up")
            host.address(end, *(a.strip("[]") + ("/64" if ":" in a else "/24") for a in addresses))
        yield server, balancer, attacker


def plain(endpoint):
    """An IPv4 client's name, where the listener is for both families."""
    return re.sub(r"^\[::ffff:([\d.]+)\]", r"\1", endpoint)


def arrivals(server):
    """(who the kernel says it was, what accept told, what getpeername told) of each."""
    for line in server.out.matching("^conn "):
        told = fields(line)
        yield told["syn"], plain(told["accept"]), plain(told["peer"])


def is_from(addresses, endpoint):
    return endpoint.rpartition(":")[0].strip("[]") in addresses


def is_right(syn, accepted, peer):
    if peer not in (accepted, "errno-107"):  # ENOTCONN: it was reset
        return False
    if is_from(TRUSTED, syn):
        # Who speaks in his SYN cannot know his port yet.
        return re.fullmatch(rf"{CLAIMED}:(1|{syn.rpartition(':')[2]})", accepted)
    return is_from(ATTACKERS, syn) and accepted == syn


@pytest.mark.parametrize("way", WAYS)
def test_nobody_untrusted_is_believed(hosts, way, record_property):
    host, balancer, attacker = hosts
    weights = {**ATTACKS, **BESIDE}
    share = sum(weights.values()) / sum(ATTACKS.values()) * 1.1
    with directory() as stats, contextlib.ExitStack() as scope:
        with host:
            server = Program([helper("server"), *WAYS[way], "--family=inet6", "--saved-syn"],
                             environment(trust=" ".join(TRUSTED), timeout="60s", stats=stats))
        scope.callback(server.kill)
        were = crowd(timeout=60 + ATTEMPTS / 100, count=int(ATTEMPTS / len(WAYS) * share), patience=60000,
                     kinds=spelled(weights), to=",".join(f"{target}:{server.port}" for target in TARGETS),
                     trusted=",".join(TRUSTED), untrusted=",".join(ATTACKERS),
                     trusted_net=balancer.path, untrusted_net=attacker.path)
        attempts = sum(n for kind, n in were.items() if kind in ATTACKS)
        arrived = attempts - were["claim-forged"]
        believed = sum(n for kind, n in were.items() if kind in FOUND)
        assert attempts >= ATTEMPTS / len(WAYS) and were["in-syn"] > 0
        until(lambda: counted(stats).get("untrusted-passed", 0) >= arrived, lambda: (were, counted(stats)))
        server.stop()
        told = list(arrivals(server))
        assert [one for one in told if not is_right(*one)] == []
        assert sum(is_from(ATTACKERS, syn) for syn, _, _ in told) == arrived == counted(stats)["untrusted-passed"]
        assert believed <= sum(n for key, n in counted(stats).items() if key.startswith("found.")) <= believed + were["reset"]
    record_property("attempts", dict(were))
    print(f"{way}: " + " ".join(f"{kind}={n}" for kind, n in were.items()))
