# SPDX-License-Identifier: MIT
"""PPSHIM_CLIENT_RATE and PPSHIM_CLIENT_MAX: who makes or has too many connections is refused, and nobody else, across
the processes and threads of a server."""
import contextlib
import ctypes
import errno
import itertools
import os
import platform
import signal
import struct
import time

import pytest
import wire
from harness import environment, run
from program import helper
from waiting import until
from wire import DIRECT, TRUSTED, UnixPeer

CLIENT, OTHER, CLIENT6 = "203.0.113.7", "203.0.113.8", "2001:db8:0:1::7"
WORKERS = ["--accept=fork=8"]

# Connections are accepted by several at once, and handed from one process to another.
SHARING = {"prefork": WORKERS, "threads": ["--accept=threads=8"], "fork": ["--accept=blocking", "--handle=fork"],
           "exclusive": ["--accept=epoll-exclusive", "--nonblock-listener", "--workers=8"]}


@pytest.fixture
def scope():
    with contextlib.ExitStack() as stack:
        yield stack


def is_let_in(peer):
    """Whether the server greets it; who is refused is reset."""
    try:
        return peer.report()
    except ConnectionResetError:
        return None


class Clients:
    """Connections of clients to one server, open until the test ends."""

    def __init__(self, server, scope):
        self.server, self.scope, self.ports = server, scope, itertools.count(10000)

    def dial(self, host):
        peer = self.scope.enter_context(self.server.peer())
        return peer.send(wire.v2((host, next(self.ports))))

    def open(self, host, count):
        """Those that are let in, one after the other."""
        peers = [self.dial(host) for _ in range(count)]
        for peer in peers:
            peer.told = is_let_in(peer)
        return [peer for peer in peers if peer.told]

    def let_in(self, host, count=1):
        return len(self.open(host, count))


def ends(peer, act=wire.Peer.close):
    """Does that to it, and waits until no process has the server's end of it any more. Whether something else has its
    addresses then, like the listener, is no matter."""
    name, inode = peer.name, peer.inode()
    act(peer)
    until(lambda: wire.inode_of(peer.server, name) != inode, "the server's end is closed")


@pytest.fixture
def clients(serve, scope):
    def start(*arguments, **settings):
        return Clients(serve(*(arguments or WORKERS), **settings), scope)
    return start


# --- new connections in a time ----------------------------------------------------------------------------------------

RATE, WINDOW = 20, 10  # PPSHIM_CLIENT_RATE=20/10s


def test_one_client_at_ten_times_its_rate_is_held_to_it_and_no_other_is_refused(serve):
    """Eight workers, one client that tries as fast as it can, and in between each of 200 others, a few times."""
    server = serve(*WORKERS, client_rate=f"{RATE}/{WINDOW}s", log="stderr:error")
    ports = itertools.count(10000)

    def tries(host):
        with server.peer() as peer:
            return bool(is_let_in(peer.send(wire.v2((host, next(ports) % 50000 + 1024)))))

    others = [f"198.51.100.{n}" for n in range(1, 201)]
    queue, refused = others * 3, []
    began, tried, taken, allowed = time.monotonic(), 0, 0, 0
    while allowed < RATE + 6 or tried < 10 * allowed or queue:
        taken += tries(CLIENT)
        tried += 1
        if queue and not tries(queue[-1]):
            refused.append(queue[-1])
        del queue[-1:]
        # A full bucket, and a token each WINDOW / RATE since.
        allowed = RATE + (time.monotonic() - began) * RATE / WINDOW
    assert abs(taken - allowed) <= allowed / 10, f"{taken} of {tried}; the bucket had {allowed:.1f}"
    assert refused == []


def test_refused_connection_is_reset_and_logged_with_its_client(clients):
    c = clients(client_rate="1/1h")
    assert c.let_in(CLIENT) == 1
    peer = c.dial(CLIENT)
    with pytest.raises(ConnectionResetError):
        peer.receive()
    c.server.logged("reject", peer=peer.text, reason="client-rate", client=f"{CLIENT}:10001")
    assert c.let_in(OTHER) == 1


def test_prefix_is_one_client(clients):
    c = clients(client_rate="2/1h per /24,/56")
    assert c.let_in("203.0.113.1") + c.let_in("203.0.113.2") + c.let_in("203.0.113.3") == 2
    assert c.let_in("203.0.112.1") == 1
    assert c.let_in("2001:db8:0:1::1") + c.let_in("2001:db8:0:2::1") + c.let_in("2001:db8:0:3::1") == 2
    assert c.let_in("2001:db8:0:100::1") == 1


def test_client_that_is_denied_anyway_costs_its_prefix_nothing(clients):
    c = clients(client_rate="2/1h per /24", client_deny=OTHER)
    for _ in range(5):
        c.dial(OTHER).rejected()
    assert c.let_in(CLIENT, 3) == 2


# --- open at once -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("style", SHARING)
def test_of_many_at_once_exactly_the_maximum_is_let_in(clients, style):
    c = clients(*SHARING[style], client_max=10)
    assert c.let_in(CLIENT, 40) == 10
    assert c.let_in(OTHER, 3) == 3


def kill(peer):
    os.kill(int(peer.told["pid"]), signal.SIGKILL)


ENDINGS = {"close": (wire.Peer.close, WORKERS), "reset": (wire.Peer.reset, WORKERS),
           "exit": (wire.Peer.close, SHARING["fork"]), "kill": (kill, SHARING["fork"])}


@pytest.mark.parametrize("how", ENDINGS)
def test_as_many_are_let_in_again_as_ended(clients, how):
    """By the server's close, its process' exit or death, or the peer's reset."""
    act, style = ENDINGS[how]
    c = clients(*style, client_max=5)
    peers = c.open(CLIENT, 8)
    assert len(peers) == 5
    for count in 1, 2, 5:
        ended, peers = peers[:count], peers[count:]
        for peer in ended:
            ends(peer, act)
        more = c.open(CLIENT, count + 2)
        assert len(more) == count
        peers += more


def test_half_closed_connection_is_open(clients):
    """The server still has it: here it waits for a child that it stopped."""
    c = clients(*SHARING["fork"], client_max=1)
    peer, = c.open(CLIENT, 1)
    child = int(peer.told["pid"])
    os.kill(child, signal.SIGSTOP)
    peer.half_close()
    assert c.let_in(CLIENT) == 0
    ends(peer, lambda _: os.kill(child, signal.SIGCONT))
    assert c.let_in(CLIENT) == 1


def test_many_short_connections_are_never_too_many(clients):
    c = clients(client_max=3)
    for _ in range(50):
        peer, = c.open(CLIENT, 1)
        ends(peer)


def test_ipv6_clients_and_listeners_of_both_families(clients, scope):
    c = clients(*WORKERS, "--family=inet6", client_max=2)
    assert c.let_in(CLIENT6, 4) == 2
    assert c.let_in(CLIENT, 4) == 2


def test_ipv6_connections_are_found_again(serve, scope):
    server = serve(*WORKERS, "--family=inet6", trust="::1", client_max=2)

    def dial():
        peer = scope.enter_context(server.peer("::1", host="::1"))
        peer.told = is_let_in(peer.send(wire.v2((CLIENT6, 4711))))
        return peer
    peers = [dial() for _ in range(4)]
    assert [bool(peer.told) for peer in peers] == [True, True, False, False]
    ends(peers[0])
    assert dial().told and not dial().told


def test_unix_listener_counts_the_clients_of_headers(serve, scope, tmp_path):
    path = str(tmp_path / "socket")
    server = serve(*WORKERS, f"--unix={path}", trust=f"unix:{path}", client_max=2)

    def dial(host):
        peer = scope.enter_context(UnixPeer(path))
        peer.send(wire.v2((host, 4711)))
        try:
            peer.report()
        except (AssertionError, ConnectionResetError):
            return None
        return peer
    peers = [dial(CLIENT) for _ in range(4)]
    assert [bool(peer) for peer in peers] == [True, True, False, False]
    peers[0].half_close()
    while peers[0].receive():
        pass
    until(lambda: wire.accepted_at(path) == 1, "the server closes it")
    assert dial(CLIENT) and not dial(CLIENT) and dial(OTHER)
    assert len(server.log.matching(f"peer=unix:{path} .*reason=client-max client={CLIENT}:4711")) == 3


def test_more_clients_than_there_are_accounts_are_let_in_and_that_is_said_once(clients):
    """Accounts of 10000 connections each are 128."""
    c = clients(client_max=10000)
    hosts = [f"198.51.{n // 200}.{n % 200 + 1}" for n in range(400)]
    assert sum(c.let_in(host) for host in hosts) == len(hosts)
    assert c.server.logged("limit-full", setting="PPSHIM_CLIENT_MAX", clients="128")


# --- who is limited ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("limit, reason", [({"client_rate": "2/1h"}, "client-rate"), ({"client_max": "2"}, "client-max")])
class TestWho:
    def test_peer_in_no_list_is_its_own_client(self, serve, scope, limit, reason):
        server = serve(*WORKERS, **limit)
        told = [is_let_in(scope.enter_context(server.peer(DIRECT))) for _ in range(4)]
        assert [bool(line) for line in told] == [True, True, False, False]
        server.log.wait(rf"reject peer={DIRECT}:.* reason={reason}$", count=2)
        assert is_let_in(scope.enter_context(server.peer("127.0.0.9")))

    def test_peer_that_need_not_send_a_header_and_does_not_is_its_own_client(self, serve, scope, limit, reason):
        server = serve(*WORKERS, trust=None, header_optional=TRUSTED, **limit)
        told = [is_let_in(scope.enter_context(server.peer()).send(b"hello")) for _ in range(4)]
        assert [bool(line) for line in told] == [True, True, False, False]
        server.log.wait(rf"reject peer={TRUSTED}:.* reason={reason}$", count=2)
        assert is_let_in(scope.enter_context(server.peer()).send(wire.v2((CLIENT, 1))))

    @pytest.mark.parametrize("header", [wire.v2_raw(wire.LOCAL, 0, b""), b"PROXY UNKNOWN\r\n",
                                        wire.v2_raw(wire.PROXY, wire.UNIX, bytes(216))])
    def test_header_without_a_client_is_not_limited(self, serve, scope, limit, reason, header):
        server = serve(*WORKERS, **limit)
        assert all(is_let_in(scope.enter_context(server.peer()).send(header)) for _ in range(6))

    def test_client_that_is_let_in_by_a_list_is_limited_too(self, clients, limit, reason):
        c = clients(client_allow="203.0.113.0/24", **limit)
        assert c.let_in(CLIENT, 4) == 2

    def test_exempt_client_is_not(self, clients, limit, reason):
        c = clients(limit_exempt="203.0.113.0/24 !203.0.113.8", **limit)
        assert c.let_in(CLIENT, 6) == 6
        assert c.let_in(OTHER, 4) == 2

    def test_exempt_list_is_read_again_when_its_file_changes(self, clients, tmp_path, limit, reason):
        path = tmp_path / "exempt"
        path.write_text(f"{OTHER}\n")
        c = clients("--accept=threads=3", limit_exempt=f"@{path}", **limit)
        assert c.let_in(CLIENT, 4) == 2
        new = tmp_path / "new"
        new.write_text(f"{CLIENT}\n{OTHER}\n")
        os.replace(new, path)
        until(lambda: c.let_in(CLIENT), "the new list is in force")
        assert c.let_in(CLIENT, 4) == 4

    def test_dry_run_refuses_nobody_and_tells_of_each(self, clients, limit, reason):
        (name, value), = limit.items()
        c = clients(**{name: value + ", dry-run"})
        peers = c.open(CLIENT, 5)
        assert len(peers) == 5
        for line in c.server.log.wait("would-reject ", count=3):
            told = wire.fields(line)
            assert told["reason"] == reason and told["client"].startswith(CLIENT + ":") and told["hint"] == "dry-run"
            assert told["peer"] in [peer.text for peer in peers]
        c.server.stop()
        assert len(c.server.log.matching("would-reject ")) == 3
        assert not c.server.log.matching(": reject ")


# --- where it cannot be ------------------------------------------------------------------------------------------------

def without_netlink():
    """As RestrictAddressFamilies= makes it: socket(AF_NETLINK) fails with EAFNOSUPPORT (seccomp(2))."""
    number = {"x86_64": 41, "aarch64": 198}[platform.machine()]
    load, equal, give = 0x20, 0x15, 0x06
    code = [(load, 0, 0, 0), (equal, 0, 3, number), (load, 0, 0, 16), (equal, 0, 1, 16),
            (give, 0, 0, 0x00050000 | errno.EAFNOSUPPORT), (give, 0, 0, 0x7fff0000)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in code))
    described = struct.pack("HxxxxxxP", len(code), ctypes.addressof(program))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, described, 0, 0) == 0, os.strerror(ctypes.get_errno())


def test_server_that_may_not_ask_the_kernel_does_not_start_with_a_maximum():
    answer = run(helper("server"), env=environment(trust=TRUSTED, client_max="50"), check=False,
                 preexec_fn=without_netlink)
    assert (answer.returncode, answer.stdout) == (78, "")
    assert "PPSHIM_CLIENT_MAX" in answer.stderr and "RestrictAddressFamilies=AF_NETLINK" in answer.stderr
    assert answer.stderr.count("\n") == 1
