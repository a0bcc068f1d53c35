# SPDX-License-Identifier: MIT
"""What the shim costs, counted: the system calls of accept_n.c with and without it, by strace.

All clients and their headers stand in the queue before the server accepts its first, so nothing depends on timing. The
first connections are left out: what a process does once is not what a connection costs.
"""
import re
import subprocess
from collections import Counter

import pytest
from harness import DEADLINE, ROOT, clean_env, dial, proxy_v1, proxy_v2, read_to_end, run, scratch, shim_env, tool

N = 50
WARM_UP = 2

SAME = {"accept": "accept4", "poll": "ppoll", "epoll_wait": "epoll_pwait"}  # the kernel does the same for both
PEEK_CONSUME_REMEMBER = Counter({"recvfrom": 2, "setsockopt": 1})


@pytest.fixture(scope="module")
def accept_n():
    with scratch("accept-n") as directory:
        program = directory / "accept_n"
        run(tool("gcc"), "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, ROOT / "tests/servers/accept_n.c")
        yield program


@pytest.fixture
def count(accept_n):
    """count(wait, what, header, env): the system calls for each connection after the first few, as Counters."""
    def count(wait, what, header, env):
        trace = accept_n.with_suffix(".strace")
        argv = [tool("strace"), "-f", "-qq", "-o", trace]
        argv += [word for name, value in env.items() for word in ("-E", f"{name}={value}")]
        with subprocess.Popen([*map(str, argv), accept_n, str(N), wait, what], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True, env=clean_env()) as server:
            try:
                endpoint = ("127.0.0.1", int(server.stdout.readline()))
                clients = [dial(endpoint) for _ in range(N)]
                for client in clients:
                    client.sendall(header + b"hello\n")
                print("go", file=server.stdin, flush=True)
                heard = [read_to_end(client) for client in clients]
                assert server.wait(DEADLINE) == 0
            finally:
                server.kill()
        assert what != "talk" or heard == [b"hello\n"] * N
        return connections(trace.read_text(), wait)
    return count


def connections(trace, wait):
    """The trace cut at every close of a connection: what was done for each, from the end of the one before."""
    calls = re.findall(r"^\d+ +(\w+)\((\d*)", trace[trace.index('read(0, "go'):], re.M)[1:]
    slices, current = [], Counter()
    listener = re.search(r"listen\((\d+)", trace)[1]
    for name, fd in calls:
        current[SAME.get(name, name)] += 1
        if name == "close" and fd != listener:
            slices.append(current)
            current = Counter()
    assert len(slices) == N, trace
    return slices[WARM_UP:]


def added(bare, shimmed):
    """What the shim adds to each connection: the distinct differences (one, when every connection costs the same)."""
    assert len({tuple(sorted(one.items())) for one in bare}) == 1, "the bare server does the same every time"
    differences = []
    for one in shimmed:
        difference = Counter(one)
        difference.subtract(bare[0])
        difference = {name: n for name, n in difference.items() if n}
        if difference not in differences:
            differences.append(difference)
    return differences


TRUSTING = {"TRUST": "127.0.0.1"}


@pytest.mark.parametrize("header", [proxy_v1(), proxy_v2()], ids=["v1", "v2"])
@pytest.mark.parametrize("wait", ["accept", "poll", "epoll"])
def test_an_accept_with_its_header_there_costs_peek_consume_and_remember(count, wait, header):
    bare = count(wait, "only-accept", b"", {})
    assert added(bare, count(wait, "only-accept", header, shim_env(**TRUSTING))) == [PEEK_CONSUME_REMEMBER]


def test_getpeername_costs_one_call_more(count):
    bare = count("accept", "getpeername", b"", {})
    shimmed = count("accept", "getpeername", proxy_v2(), shim_env(**TRUSTING))
    assert added(bare, shimmed) == [PEEK_CONSUME_REMEMBER + Counter(getsockopt=1)]


def test_established_traffic_costs_nothing(count):
    bare = count("accept", "talk", b"", {})
    assert added(bare, count("accept", "talk", proxy_v2(), shim_env(**TRUSTING))) == [PEEK_CONSUME_REMEMBER]


@pytest.mark.parametrize("wait", ["accept", "poll", "epoll"])
@pytest.mark.parametrize("settings", [{}, {"TRUST": "none"}, {"TRUST": "127.0.0.1", "PORTS": "1"}],
                         ids=["unset", "none", "another_port"])
def test_what_is_not_governed_costs_nothing(count, wait, settings):
    bare = count(wait, "only-accept", b"", {})
    assert added(bare, count(wait, "only-accept", b"", shim_env(**settings))) == [{}]


@pytest.mark.parametrize("wait", ["accept", "poll", "epoll"])
def test_a_direct_client_of_a_governed_listener_costs_nothing(count, wait):
    bare = count(wait, "only-accept", b"", {})
    assert added(bare, count(wait, "only-accept", b"", shim_env(TRUST="203.0.113.1"))) == [{}]
