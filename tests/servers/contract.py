# SPDX-License-Identifier: MIT
"""contract.py: what must be true of every server under the shim, written once.

A test file brings a Server, the little that differs from one server to the next, and `class TestContract(Contract)`,
or of the contract's parts those that its server can be asked about. A server that can be set up to accept in several
ways names these in VARIANTS: whatever starts a server of its own to keep it waiting does so with each.
"""
import contextlib
import os
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import counters
import pytest
from answers import ppshim
from harness import (BALANCER, CLIENT, CLIENT6, COMMON_NAME, LINES_A_SECOND, LOCAL, MODES, OTHER_BALANCER,
                     EndedAtStart, Process, accept_queue, dial, ended_among, example, in_an_epoll, open_files, proxy_v1,
                     proxy_v2, read_to_end, reserve_port, reset, room_in_the_log, shim_env, until)
from place import needs
from wire import inode_of

CROWD = 300


class Refused(Exception):
    """The server, or whoever stands before it, did not let the client in; the client's own words."""


class Peer(NamedTuple):
    """Whom a session says it is serving."""
    address: str
    port: int


class Server(Process):
    """One server in a directory of its own, on loopback only.

    settings: the shim's, as shim_env takes them; None for a bare server.
    """
    accept_error = None  # pattern of a log line about a failed accept
    nonsense = b"\r\n" * 20  # what this server refuses and ends the connection for
    keeps_waiting = True  # False: a process may turn from the listener, and so from those whose header it waits for
    loses_races = False  # True: its processes block in accept; who lost one sees to its own when the next client comes
    counts = True  # False: it changes its root directory before it accepts, and cannot make a file where it was told
    shares_accounts = True  # False: those who accept were executed, and each counts its clients for itself
    ipv6_routes = ("ipv6-v1", "ipv6-v2")  # (none: it cannot name an IPv6 client of an IPv4 listener)
    reload_signal = None  # that by which it takes in a new configuration and goes on; None: it is stopped and started
    reload_refuses = False  # True: for a moment nobody listens, with the shim or without
    reloaded = None  # pattern of what its log says then

    def __init__(self, directory, template, settings, host="127.0.0.1"):
        super().__init__(directory, shim_env(**settings) if settings is not None else {})
        self.template = template
        self.endpoint = (host, reserve_port())

    @classmethod
    def make_template(cls, directory):
        """Fills `directory` with what is the same for every server of this kind."""

    @property
    def port(self):
        return self.endpoint[1]

    @property
    def listens_on(self):
        return text(self.endpoint)

    def example_with_names(self, name):
        """A file of scripts/examples that names the variables which this server leaves to its children, with those that
        tests set beyond it."""
        more = [variable for variable in self.env if variable not in example(name)]
        return example(name, (" PPSHIM_TRUST", " ".join(["", *more, "PPSHIM_TRUST"])))

    def acceptors(self):
        """The processes that accept clients."""
        return [self.pid]

    def speakers(self):
        """The processes that were given the listener, or made it: each says once that the shim is active."""
        return [self.pid]

    def holds_back(self, peer):
        """Whether the shim waits for the header of this (address, port)."""
        return any(in_an_epoll(pid, peer) for pid in self.acceptors())

    def open_files(self):
        return sum(map(open_files, self.acceptors()))

    def login(self, endpoint):
        """Logs in there as a client that only the balancer's client address lets in, where the server has such rules:
        the Peer that the session reports, or Refused."""
        raise NotImplementedError

    def direct_login(self):
        """The same without the balancer, from 127.0.0.1."""
        raise NotImplementedError

    def log_names(self, peer, since):
        """Whether the server's own log names this (address, port) as its client's; since client_log's mark."""
        raise NotImplementedError

    def log_names_refused(self, peer, since):
        """Whether it names this (address, port) as that of a client that sent nonsense; since log's mark."""
        raise NotImplementedError

    def start_children(self, endpoint):
        """Makes the server start programs of all kinds it ever starts; they must work."""
        self.login(endpoint)

    def renew(self):
        """Has it go on with a new configuration: in what it is, if it can, else in a new start."""
        if self.reload_signal is None:
            self.stop()
            self.start()
            return
        mark = self.log.mark()
        os.kill(self.pid, self.reload_signal)
        self.log.wait(self.reloaded, mark)

    def accept_errors(self, since=0):
        return self.log.find(self.accept_error, since)


class Bad(NamedTuple):
    """What a trusted peer does wrong, and the shim's word for it."""
    name: str
    reason: str
    sent: bytes
    then: str = "wait"  # or "shutdown", "reset"


V1, V2 = proxy_v1(), proxy_v2()
V1_UNKNOWN = b"PROXY UNKNOWN\r\n"

BAD = [
    Bad("tls_hello", "not-a-header", bytes.fromhex("16030100a5010000a10303") + bytes(100)),
    Bad("one_wrong_byte", "not-a-header", b"PROXy TCP4 "),
    Bad("v1_port_too_big", "v1-bad-port", V1.replace(b" 4711 ", b" 65536 ")),
    Bad("v1_without_end", "v1-too-long", b"PROXY UNKNOWN " + b"x" * 120),
    Bad("v2_wrong_crc", "v2-bad-crc", proxy_v2(bad_crc=True)),
    Bad("v2_block_of_another_family", "v2-short-block", proxy_v2(family=0x21)),
    Bad("v2_tlv_past_the_end", "v2-tlv-overrun", V2[:15] + b"\x0f" + V2[16:] + b"\x04\0\1"),
    Bad("client_unspecified", "src-unspecified", proxy_v2(("0.0.0.0", 4711))),
    Bad("half_a_header_and_fin", "peer-left", V2[:20], "shutdown"),
    Bad("half_a_header_and_reset", "peer-left", V2[:20], "reset"),
]

LATE = [
    Bad("half_a_v1_header_and_silence", "timeout", V1[:17]),
    Bad("half_a_v2_header_and_silence", "timeout", V2[:20]),
    Bad("silence", "timeout", b""),
]


def misbehave(server, bad, source=BALANCER):
    """Does it, from a trusted address, until the connection has ended: what was received, and our own address."""
    with dial(server.endpoint, source) as peer:
        name = peer.getsockname()
        peer.sendall(bad.sent)
        if bad.then == "reset":
            until(lambda: server.holds_back(name), "the shim waits for the rest")
            reset(peer)
            return b"", name
        if bad.then == "shutdown":
            peer.shutdown(socket.SHUT_WR)
        return read_to_end(peer), name


def text(name):
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"


def own_lines(server, since):
    """The server's log without the shim's lines."""
    return "\n".join(line for line in server.log.text(since).splitlines() if "ppshim[" not in line)


def timed(call, *args):
    began = time.monotonic()
    answer = call(*args)
    return answer, time.monotonic() - began


def refused(call, *args):
    try:
        call(*args)
    except Refused:
        return True
    return False


class TrustFile:
    """A list file that is replaced as an operator's tool would: a new file, renamed over the old."""

    def __init__(self, directory, *entries):
        self.path = directory / "trust"
        self.write(*entries)

    def write(self, *entries):
        new = self.path.with_suffix(".new")
        new.write_text("".join(f"{entry}\n" for entry in entries))
        new.chmod(0o644)
        os.replace(new, self.path)


def assert_served(server, balancer, mark):
    """The next client is, as itself, and the server met no error since mark."""
    assert server.login(balancer["send-proxy-v2"]) == CLIENT
    assert server.accept_errors(mark) == []


def assert_lets_nobody_through(bare, balancer):
    mark = bare.client_log.mark()
    assert bare.direct_login().address == "127.0.0.1"
    assert all(refused(bare.login, balancer[mode]) for mode in MODES)
    assert not bare.log_names(CLIENT, mark)


def strangers(count):
    """That many clients, no two alike."""
    return [(f"203.0.113.{1 + number % 200}", 10000 + number) for number in range(count)]


def as_client(server, client, header=proxy_v2):
    """A connection of that client's, by a balancer of its own."""
    sock = dial(server.endpoint, BALANCER)
    sock.sendall(header(client))
    return sock


def crowd(server):
    """Trusted peers that stay silent, some of them in the middle of a header."""
    peers = [dial(server.endpoint, BALANCER) for _ in range(CROWD)]
    for one, another in zip(peers[::3], peers[1::3]):
        one.sendall(V1[:17])
        another.sendall(V2[:20])
    return peers


def begin_badly(server, peer, how):
    """Does what a first peer should not, until the shim has seen it."""
    if how == "silence":
        until(lambda: server.holds_back(peer.getsockname()), "the shim waits for a header")
    elif how == "garbage":
        peer.sendall(BAD[0].sent)
        server.log.wait_event("reject")
    else:
        peer.shutdown(socket.SHUT_WR)
        server.log.wait_event("probe")


class TheClient:
    """A server, in what it tells its clients and its log, knows everybody by their own address."""

    # Without the shim: that these tests measure the shim and nothing else.
    def test_without_the_shim_no_client_gets_through_the_balancer(self, start, balance):
        bare = start(bare=True)
        assert_lets_nobody_through(bare, balance(bare))

    @pytest.mark.parametrize("route", [*MODES, "send-proxy-v2-crc32c"])
    def test_a_session_serves_the_client_behind_the_balancer(self, server, balancer, route):
        assert server.login(balancer[route]) == CLIENT

    @pytest.mark.parametrize("mode", MODES)
    def test_the_servers_log_names_the_client_behind_the_balancer(self, server, balancer, mode):
        mark = server.log.mark(), server.client_log.mark()
        server.login(balancer[mode])
        until(lambda: server.log_names(CLIENT, mark[1]), "the client in the server's log")
        assert BALANCER not in own_lines(server, mark[0])

    @pytest.mark.parametrize("route", ["ipv6-v1", "ipv6-v2"])
    def test_an_ipv6_client_is_seen_on_an_ipv4_listener(self, server, balancer, route):
        assert server.login(balancer[route]) == CLIENT6

    def test_the_name_in_the_clients_certificate_is_logged(self, server, balancer):
        mark = server.log.mark()
        server.login(balancer["send-proxy-v2-ssl-cn"])
        accepted = server.log.wait_event("accept", mark, client=text(CLIENT))
        assert accepted.cn.encode().decode("unicode_escape") == COMMON_NAME
        assert accepted.ssl.startswith("TLSv1.")

    def test_a_direct_client_keeps_its_own_address(self, server):
        mark = server.log.mark(), server.client_log.mark()
        peer = server.direct_login()
        assert peer.address == "127.0.0.1"
        until(lambda: server.log_names(peer, mark[1]), "the direct client in the server's log")

    def test_clients_at_the_same_time_are_not_mixed_up(self, server, balancer):
        expected = {"send-proxy": CLIENT, "send-proxy-v2-ssl-cn": CLIENT, **dict.fromkeys(server.ipv6_routes, CLIENT6)}
        with ThreadPoolExecutor(8) as pool:
            direct = [pool.submit(server.direct_login) for _ in range(4)]
            told = [(route, pool.submit(server.login, balancer[route])) for route in list(expected) * 4]
        assert [(route, peer.result()) for route, peer in told] == [(route, expected[route]) for route, _ in told]
        assert {peer.result().address for peer in direct} == {"127.0.0.1"}
        room_in_the_log(LINES_A_SECOND)

    def test_the_shim_says_once_that_it_is_active(self, server, balancer):
        server.start_children(balancer["send-proxy"])
        def who_said_so():
            return sorted(active.pid for active in server.log.events("active"))
        until(lambda: who_said_so() == sorted(server.speakers()),
              lambda: f"{who_said_so()} are those that speak: {server.speakers()}")  # one may just have been started
        for active in server.log.events("active"):
            assert active.listen == server.listens_on
            assert (active.trust, active.timeout, active.untrusted) == ("1-prefixes", "30s", "pass")


class Rejected:
    """Trusted peers that do it wrong: the server never hears of them."""

    @pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
    def test_a_bad_header_ends_the_connection_and_nothing_else(self, server, balancer, bad):
        mark = server.log.mark()
        self.assert_ends_with_one_line(server, bad)
        assert_served(server, balancer, mark)
        assert len(server.log.events("reject", mark)) == 1

    @pytest.mark.parametrize("bad", LATE, ids=lambda bad: bad.name)
    def test_a_header_that_does_not_come_in_time_ends_the_connection(self, hasty_server, bad):
        mark = hasty_server.log.mark()
        event, took = timed(self.assert_ends_with_one_line, hasty_server, bad)
        assert 0.5 <= took
        assert event.fields.get("hint") == (None if bad.sent else "peer-sent-nothing")
        assert hasty_server.direct_login().address == "127.0.0.1"
        assert len(hasty_server.log.events("reject", mark)) == 1

    def assert_ends_with_one_line(self, server, bad):
        mark = server.log.mark()
        received, name = misbehave(server, bad)
        assert received == b"", "the server heard of it"
        event = server.log.wait_event("reject", mark, peer=text(name))
        assert (event.reason, event.local, event.got) == (bad.reason, text(server.endpoint), str(len(bad.sent)))
        assert BALANCER not in own_lines(server, mark)
        return event

    def test_a_probe_that_says_nothing_leaves_no_trace(self, server, balancer):
        mark = server.log.mark()
        dial(server.endpoint, BALANCER).close()
        assert_served(server, balancer, mark)
        assert server.log.events("reject", mark) == []
        assert BALANCER not in own_lines(server, mark)

    def test_rejected_connections_leave_no_descriptor_behind(self, server, balancer):
        misbehave(server, BAD[-1])  # from its first wait on the shim keeps two of its own, in each process
        server.login(balancer["send-proxy-v2"])
        before = server.open_files() + 2 * (len(server.acceptors()) - 1)
        for bad in BAD * 3:
            misbehave(server, bad)
        server.login(balancer["send-proxy-v2"])
        until(lambda: server.open_files() <= before, f"no more than {before} descriptors")
        room_in_the_log(LINES_A_SECOND)  # the next test starts with a fresh allowance

    def test_with_untrusted_peers_rejected_only_the_balancer_gets_in(self, start, balance):
        server = start(UNTRUSTED="reject")
        assert refused(server.direct_login)
        event = server.log.wait_event("reject")
        assert (event.reason, event.got, event.peer.partition(":")[0]) == ("untrusted", "0", "127.0.0.1")
        assert server.login(balance(server)["send-proxy-v2"]) == CLIENT
        assert len(server.accept_errors()) <= 1


class BadHeaders(Rejected):
    """And what is the server's to refuse: headers that name no client, and those of untrusted peers."""

    @pytest.mark.parametrize("header", [V1_UNKNOWN, proxy_v2(None, command=LOCAL)], ids=["unknown", "local"])
    def test_a_health_check_in_a_header_is_the_balancers_own(self, server, header):
        mark = server.log.mark(), server.client_log.mark()
        with dial(server.endpoint, BALANCER) as peer:
            name = peer.getsockname()
            peer.sendall(header + server.nonsense)
            read_to_end(peer)
        until(lambda: server.log_names_refused(name, mark[0]), "the balancer in the server's log")
        assert server.log.events("reject", mark[0]) == []

    @pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
    def test_a_header_from_an_untrusted_peer_is_the_servers_to_refuse(self, server, balancer, header):
        mark = server.log.mark(), server.client_log.mark()
        with dial(server.endpoint) as peer:
            name = peer.getsockname()
            peer.sendall(header + server.nonsense)
            read_to_end(peer)
        until(lambda: server.log_names_refused(name, mark[0]), "the real peer in the server's log")
        assert not server.log_names(CLIENT, mark[1])
        assert server.log.events("reject", mark[0]) == []
        assert_served(server, balancer, mark[0])


class Waiting:
    """Peers that keep the server waiting for a header, and cost nobody else anything."""

    def test_three_hundred_silent_peers_delay_nobody(self, start, balance, variant):
        server = start(kind=variant, TIMEOUT="60s", MAX_PENDING=str(2 * CROWD), LOG="stderr:notice")
        balancer = balance(server)
        server.login(balancer["send-proxy"])
        mark = server.log.mark()
        silent = crowd(server)
        until(lambda: accept_queue(server.port) == 0, "the silent peers were taken in")
        for mode in MODES:
            assert server.login(balancer[mode]) == CLIENT
        assert server.direct_login().address == "127.0.0.1"
        assert ended_among(silent) == [] or not server.keeps_waiting
        assert server.accept_errors(mark) == []
        while len(silent) > CROWD / 2:
            silent.pop().close()
        server.login(balancer["send-proxy"])
        server.stop()
        until(lambda: ended_among(silent) == silent, "the end of those that still waited")

    def test_silent_peers_are_ended_on_time_while_the_server_idles(self, start, balance, variant):
        server = start(kind=variant, TIMEOUT="1s", MAX_PENDING=str(2 * CROWD), LOG="stderr:notice")
        balancer = balance(server)
        began = time.monotonic()
        silent = crowd(server)  # the more slowly, the shorter the server's backlog
        until(lambda: ended_among(silent), "the end of the first")
        assert 1 <= time.monotonic() - began

        def all_ended():
            if server.loses_races:
                server.direct_login()
            return ended_among(silent) == silent
        until(all_ended, "the end of all")
        assert {read_to_end(peer) for peer in silent} == {b""}
        assert len(server.accept_errors()) <= 1
        assert_served(server, balancer, server.log.mark())

    def test_a_header_that_comes_in_pieces_is_a_header(self, server):
        mark = server.log.mark()
        with dial(server.endpoint, BALANCER) as peer:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in V1[:-1]:
                peer.sendall(bytes([byte]))
            # A process that the server has just started says that it is active.
            assert [event for event in server.log.events(since=mark) if event.name != "active"] == []
            peer.sendall(V1[-1:])
            accepted = server.log.wait_event("accept", mark, peer=text(peer.getsockname()))
            assert accepted.client == text(CLIENT)
            peer.sendall(server.nonsense)
            read_to_end(peer)
        assert server.log.events("reject", mark) == []

    def test_a_header_may_come_late_while_others_are_served(self, start, balance, variant):
        server = start(kind=variant, TIMEOUT="60s", **({} if variant.keeps_waiting else {"DEFER_ACCEPT": "on"}))
        balancer = balance(server)
        room_in_the_log(8)
        late = [dial(server.endpoint, BALANCER) for _ in range(4)]
        until(lambda: accept_queue(server.port) == 0, "the late peers were taken in")
        for route in ("send-proxy", "send-proxy-v2"):
            assert server.login(balancer[route]) == CLIENT
        for peer in late:
            peer.sendall(V1)
            assert server.log.wait_event("accept", peer=text(peer.getsockname())).client == text(CLIENT)

    @pytest.mark.parametrize("first", ["probe", "garbage", "silence"])
    def test_a_bad_peer_may_be_the_first_ever(self, start, balance, variant, first):
        server = start(kind=variant, TIMEOUT="60s", LOG="stderr:debug")
        balancer = balance(server)
        with dial(server.endpoint, BALANCER) as peer:
            begin_badly(server, peer, first)
            assert server.login(balancer["send-proxy-v2"]) == CLIENT
            if first != "silence":
                assert ended_among([peer]) == [peer]
            elif server.keeps_waiting:
                assert ended_among([peer]) == []
        assert len(server.accept_errors()) <= 1

    def test_a_probe_as_the_first_peer_leaves_the_server_able_to_stop(self, start, variant):
        server = start(kind=variant, LOG="stderr:debug")
        with dial(server.endpoint, BALANCER) as peer:
            begin_badly(server, peer, "probe")
        server.stop()
        assert len(server.accept_errors()) <= 1


class ListFile:
    """A list in a file."""
    list_server = None  # the kind of server, if not the file's SERVER

    def test_a_list_that_is_not_there_stops_the_server_at_start(self, start, trust_directory):
        with pytest.raises(EndedAtStart) as ended:
            start(TRUST=f"@{trust_directory}/absent")
        assert ended.value.status == 78
        [line] = [line for line in ended.value.log.splitlines() if "ppshim[" in line]
        assert f"{trust_directory}/absent" in line

    def test_a_list_file_broken_and_mended_while_the_server_runs(self, start, balance, trust_directory):
        trust = TrustFile(trust_directory, "# the balancer", BALANCER)
        more = {"kind": self.list_server} if self.list_server else {}
        server = start(TRUST=f"@{trust.path}", LOG="stderr:notice", **more)
        balancer = balance(server)
        assert server.login(balancer["send-proxy"]) == CLIENT
        first_served = server.log.mark()

        for broken in (["127.0.0.2", "127.0.0.3/99"], []):
            mark = server.log.mark()
            trust.write(*broken)

            def told():
                assert server.login(balancer["send-proxy"]) == CLIENT, "the old list is in force"
                return [e for e in server.log.events(since=mark) if str(trust.path) in e.line]
            until(told, "the log names the broken list")
            assert server.login(balancer["send-proxy-v2"]) == CLIENT
            server.start_children(balancer["send-proxy-v2-ssl-cn"])
            assert server.direct_login().address == "127.0.0.1"
            assert refused(server.login, balancer["other-balancer"])

        def named():
            with contextlib.suppress(Refused):
                assert server.login(balancer["other-balancer"]) == CLIENT
                return True

        trust.write(OTHER_BALANCER)
        # Each process looks at its lists by itself, once a second at most.
        until(named, "the new list is in force")
        until(lambda: refused(server.login, balancer["send-proxy"]), "the old list is no more")
        assert server.direct_login().address == "127.0.0.1"
        assert server.accept_errors(first_served) == []


class Counted:
    """What becomes of connections is counted, whoever of its processes accepts them, with whatever privileges."""

    def test_what_comes_is_counted_once(self, start, balance):
        with counters.directory() as stats:
            server = start(STATS=stats)
            balancer, before = balance(server), Counter(counters.counted(stats))
            for mode in MODES:
                assert server.login(balancer[mode]) == CLIENT
            server.direct_login()
            with dial(server.endpoint, BALANCER) as peer:
                peer.sendall(b"nonsense, and no header at all")
                read_to_end(peer)
            told = Counter(counters.counted(stats)) - before
            expected = {"connections": 5, "found.v1.inet": 1, "found.v2.inet": 2, "untrusted-passed": 1,
                        "rejected.not-a-header": 1}
            assert {key: told[key] for key in told if not key.startswith("park")} == (expected if server.counts else {})
            assert [event.why for event in server.log.events("stats-off")] == (
                [] if server.counts else ["cannot-make-a-file"])


class Limits:
    """Clients that make or have too many connections, whichever process accepts them."""

    def test_a_client_has_no_more_connections_than_it_may_and_nobody_else_less(self, start, balance, variant):
        server = start(kind=variant, CLIENT_MAX="5", CLIENT_RATE="10/1h")
        if not variant.shares_accounts:
            self.assert_each_process_counts(server)
            return
        balancer = balance(server)
        socks = [as_client(server, CLIENT) for _ in range(8)]
        self.assert_rejected(server, {"client-max": 3})
        assert server.direct_login().address == "127.0.0.1"
        self.end(server, self.let_in(socks, 5)[0])
        assert server.login(balancer["send-proxy-v2"]) == CLIENT
        # One token is left, and so perhaps a slot; whether that session's is free again by now is the server's affair.
        before = self.judged(server)
        socks += [as_client(server, CLIENT) for _ in range(3)]
        until(lambda: self.judged(server) == before + 3, "all are judged")
        assert [e.reason for e in server.log.events("reject")].count("client-rate") == 2
        assert all(e.client.startswith(CLIENT[0] + ":") for e in server.log.events("reject"))

    def assert_each_process_counts(self, server):
        socks = [as_client(server, CLIENT) for _ in range(13)]
        until(lambda: self.judged(server) == len(socks), "all are judged")
        assert max(Counter(e.pid for e in server.log.events("accept")).values()) <= 5

    @staticmethod
    def judged(server):
        return len(server.log.events("accept")) + len(server.log.events("reject"))

    def assert_rejected(self, server, expected):
        until(lambda: len(server.log.events("reject")) >= sum(expected.values()), f"rejected: {expected}")
        assert Counter(e.reason for e in server.log.events("reject")) == expected

    def let_in(self, socks, count):
        """That many of these, when the others are reset."""
        left = list(socks)
        for sock in socks:
            sock.setblocking(False)

        def is_reset(sock):
            try:
                sock.recv(1, socket.MSG_PEEK)
            except ConnectionResetError:
                return True
            except BlockingIOError:
                pass
            return False

        def others_are_gone():
            left[:] = [sock for sock in left if not is_reset(sock)]
            return len(left) == count
        until(others_are_gone, "the others are reset")
        return left

    def end(self, server, sock):
        name = sock.getsockname()
        inode = inode_of(server.endpoint, name)
        sock.close()
        until(lambda: inode_of(server.endpoint, name) != inode, "the server closes its end")


class Asked:
    """The tool says that it is served, and finds it so by connections of its own."""

    def test_check_says_ok_and_the_probe_agrees(self, start, variant):
        needs("root", "descriptors")
        server = start(kind=variant, TIMEOUT="3s")
        self.assert_check_says_ok(server)
        self.assert_probe_finds_it_served(server)

    def assert_probe_finds_it_served(self, server):
        probed = ppshim("check", "--probe", text(server.endpoint))
        assert (probed.status, probed.probes()) == (0, ["right"] * 3), probed

    def assert_check_says_ok(self, server):
        """While a client is there: some servers have nobody who accepts before."""
        with as_client(server, CLIENT):
            server.log.wait_event("accept", client=text(CLIENT))
            checked = ppshim("check", server.pid)
        assert (checked.status, checked.verdict) == (0, "ok"), checked


class Contract(TheClient, BadHeaders, Waiting, ListFile, Counted, Limits, Asked):
    """All of it."""
