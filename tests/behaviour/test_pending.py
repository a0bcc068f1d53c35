# SPDX-License-Identifier: MIT
"""Connections that wait for their header: they cost the server nothing, end in time, and leave nothing behind."""
import re
import select
import socket
import threading

import pytest
import wire
from harness import DEADLINE, tool, until
from program import STYLES, environment, helper
from wire import CLIENT_TEXT, DIRECT, TRUSTED

HALF = {"v1": wire.v1()[:20], "v2": wire.v2()[:20]}


def silent(server, count, opening=b""):
    """That many trusted peers that sent `opening` and no more, all of them taken from the kernel and no longer merely
    late, oldest first."""
    peers = []
    for _ in range(count):
        peers.append(server.peer().send(opening))
        server.settled(peers[-1])
    server.parked(*peers)
    return peers


def finish(peer, number):
    """The silent peer is silent no longer."""
    assert peer.send(wire.v1(("203.0.113.9", number))).report()["peer"] == f"203.0.113.9:{number}"
    peer.send(b"late").echo(b"late")
    peer.close()


# --- ends -------------------------------------------------------------------------------------------------------------


def test_oldest_goes_when_too_many_wait(serve):
    server = serve(max_pending=3)
    peers = silent(server, 3)
    newest = server.peer()
    peers[0].rejected()
    server.logged("reject", peer=peers[0].text, reason="too-many-pending")
    for number, peer in enumerate([*peers[1:], newest]):
        finish(peer, 1000 + number)


def test_timeout_ends_silent_peers_while_nothing_else_happens(serve, now):
    server = serve(timeout="400ms")
    start = now()
    peers = [server.peer().send(opening) for opening in (b"", b"", b"", *HALF.values())]
    for peer in peers:
        peer.rejected()
    assert 0.39 <= now() - start
    lines = [wire.fields(line) for line in server.log.wait(": reject ", count=5)]
    assert {line["peer"]: (line["reason"], line["got"], line.get("hint")) for line in lines} == {
        **{peer.text: ("timeout", "0", "peer-sent-nothing") for peer in peers[:3]},
        **{peer.text: ("timeout", "20", None) for peer in peers[3:]}}
    server.was_given(server.serves()["peer"])


def test_timeout_is_counted_from_the_connection_not_from_the_last_byte(serve, now):
    server = serve(timeout="500ms")
    with server.peer() as peer:
        start = now()
        header = iter(wire.v1())
        while not select.select([peer.socket], [], [], 0.06)[0]:
            peer.send(bytes([next(header)]))
        peer.rejected()
        assert 0.49 <= now() - start
        server.logged("reject", peer=peer.text, reason="timeout")


def test_timeouts_of_many_come_in_their_order(serve):
    server = serve(timeout="300ms")
    order = []
    peers = [server.peer() for _ in range(9)]
    waiting = {peer.socket: number for number, peer in enumerate(peers)}
    while waiting:
        for ready in select.select(list(waiting), [], [], DEADLINE)[0]:
            order.append(waiting.pop(ready))
    assert sorted(order) == list(range(9))
    lines = server.log.wait(": reject .*reason=timeout", count=9)
    assert [wire.fields(line)["peer"] for line in lines] == [peer.text for peer in peers]


@pytest.mark.parametrize("opening", HALF.values(), ids=HALF)
def test_half_a_header_and_fin_is_rejected(serve, opening):
    server = serve()
    for parked in False, True:
        with server.peer() as peer:
            peer.send(opening)
            if parked:
                server.settled(peer)
            peer.half_close().rejected()
            server.log.wait(f"reject peer={peer.text} .*got=20 reason=peer-left")
    server.was_given(server.serves()["peer"])


def test_half_a_header_and_reset_is_rejected(serve):
    server = serve()
    peer, = silent(server, 1, HALF["v1"])
    peer.reset()
    server.logged("reject", peer=peer.text, reason="peer-left")
    server.was_given(server.serves()["peer"])


@pytest.mark.parametrize("leave", [wire.Peer.close, wire.Peer.half_close, wire.Peer.reset])
@pytest.mark.parametrize("parked", [False, True], ids=["at-once", "parked"])
def test_probe_without_a_byte_is_no_news(serve, leave, parked):
    server = serve()
    for _ in range(3):
        peer = server.peer()
        if parked:
            server.settled(peer)
        leave(peer)
    server.was_given(server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)["peer"])
    server.stop()
    assert [line for line in server.log.lines if ": active " not in line] == []


def test_probe_is_counted_at_debug(serve):
    server = serve(log="stderr:debug")
    for _ in range(3):
        server.peer().close()
    server.serves()
    assert [wire.fields(line)["count"] for line in server.log.wait(": probe ", count=3)] == ["1", "2", "3"]


# --- the server is not kept waiting -----------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["blocking", "blocking-then-fork", "threads", "prefork"])
@pytest.mark.parametrize("opening", [b"", HALF["v2"]], ids=["silent", "half"])
def test_live_client_is_served_at_once_behind_silent_peers(serve, style, opening):
    server = serve(*STYLES[style])
    for round in range(2):
        peers = silent(server, 12, opening)
        for number in range(5):
            server.serves(TRUSTED, wire.v2(("203.0.113.7", number)), f"203.0.113.7:{number}")
            server.serves(DIRECT)
        assert wire.all_wait(peers)
        for peer in peers:
            peer.close()


# One that watched its late ones beside the listener would be woken with all the others for each connection, lose it to
# one of them, and then sleep where nobody is watched. Calls are counted, for that race is rare.
def test_worker_that_shares_its_blocking_listener_never_watches_it_beside_a_silent_peer(start, tmp_path):
    trace, settings = tmp_path / "trace", environment(trust=TRUSTED, timeout="60s")
    words = [word for item in settings.items() for word in ("-E", "=".join(item))]  # not for strace itself
    traced = [tool("strace"), "-f", "-e", "trace=ppoll,epoll_pwait", "-o", str(trace), *words]
    server = start([*traced, helper("server"), *STYLES["prefork"]], {})
    with wire.Peer(server.port, TRUSTED) as silent_peer:
        until(lambda: "epoll_pwait(" in trace.read_text(), "a worker sleeps beside its silent peer")
        silent_peer.send(wire.v1()).report()
    server.kill()
    assert "ppoll(" not in trace.read_text()


def test_silent_peers_are_served_in_the_order_they_speak(serve):
    server = serve()
    peers = silent(server, 5)
    for number in 3, 0, 4, 1, 2:
        finish(peers[number], 1000 + number)
    server.was_given(*(f"203.0.113.9:{1000 + number}" for number in (3, 0, 4, 1, 2)))


def test_silent_peers_that_all_speak_at_once_are_all_served(serve):
    for style in "blocking", "threads":
        server = serve(*STYLES[style])
        peers = silent(server, 20)
        threads = [threading.Thread(target=peer.send, args=(wire.v1(("203.0.113.9", 1000 + number)),))
                   for number, peer in enumerate(peers)]
        for thread in threads:
            thread.start()
        for number, peer in enumerate(peers):
            assert peer.report()["peer"] == f"203.0.113.9:{1000 + number}"
        for thread in threads:
            thread.join()
        assert server.stats()["accepted"] == 20


def test_silent_peers_of_two_ports_do_not_mix(serve):
    server = serve(*STYLES["threads"], "--listeners=2")
    one, other = (wire.Peer(port) for port in server.ports)
    server.settled(one, other)
    finish(other, 2)
    finish(one, 1)
    assert [conn["local"] for conn in map(wire.fields, server.out.wait("^conn ", count=2))] == [
        f"127.0.0.1:{port}" for port in reversed(server.ports)]


# --- descriptors ------------------------------------------------------------------------------------------------------


def test_descriptors_return_to_what_they_were(serve):
    server = serve(timeout="5s")
    finish(*silent(server, 1), 1)  # whatever is set up once, is now
    server.serves()
    server.settled()
    before = server.fds()
    silent_peers = silent(server, 3)
    leaving = silent(server, 3, HALF["v1"])
    for peer in leaving:
        peer.close()
    probes = silent(server, 3)
    for peer in probes:
        peer.reset()
    for number in range(3):
        finish(*silent(server, 1), 10 + number)
    for peer in silent_peers:
        peer.rejected()
    until(lambda: server.fds() == before, "the descriptors of before and no others")


def test_waiting_connections_sit_high(serve):
    for nofile in 1024, 256:
        server = serve(nofile=nofile)
        number = server.serves()["fd"]
        peers = silent(server, 10)
        parked = server.parked_at(*peers)
        assert len(parked) == 10
        assert nofile // 2 <= min(parked) and max(parked) < nofile
        assert server.serves()["fd"] == number
        finish(peers[0], 1)
        for peer in peers:
            peer.close()


def test_connection_that_waited_comes_down_to_the_lowest_number(serve):
    server = serve()
    number = server.serves()["fd"]
    peer, = silent(server, 1)
    assert peer.send(wire.v2()).report()["fd"] == number


def test_waiting_connections_do_not_use_up_the_descriptors(serve):
    """More silent peers than the server may have open files: the live client is served."""
    server = serve(nofile=32)
    peers = [server.peer() for _ in range(40)]
    server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)
    server.serves()
    for peer in peers:
        peer.close()
    assert server.stats()["failed"] == 0


def test_default_limit_is_a_quarter_of_the_descriptors(serve):
    server = serve(nofile=64)
    peers = silent(server, 16)
    newest = server.peer()
    peers[0].rejected()
    server.logged("reject", peer=peers[0].text, reason="too-many-pending")
    finish(newest, 1)
    finish(peers[1], 2)


def test_forked_child_holds_no_waiting_connection(serve):
    server = serve(*STYLES["blocking-then-fork"])
    peers = silent(server, 4)
    inodes = {f"socket:[{peer.inode()}]" for peer in peers}
    with server.peer(DIRECT) as live:
        child = int(live.report()["pid"])  # said after the fork
        assert child != server.pid
        held = server.fds(child)
        assert inodes & set(held.values()) == set()
        assert inodes <= set(server.fds().values())
        assert not [what for what in held.values() if "eventpoll" in what or "timerfd" in what]
        finish(peers[0], 1)  # and the child took nothing away from its parent
        for peer in peers[1:]:
            peer.half_close().rejected()
        live.echo(b"")


def test_program_started_by_the_server_holds_no_waiting_connection(start):
    """execve keeps no parked descriptor: they are close-on-exec whatever the server asked for."""
    server = start([tool("socat"), "-d", "-d", "TCP4-LISTEN:0,fork", "SYSTEM:ls -l /proc/self/fd"],
                   environment(trust=TRUSTED, timeout="60s"),
                   ready=r"listening on AF=2 0\.0\.0\.0:(\d+)$", ready_on="log")
    peers = silent(server, 3)
    inodes = {f"socket:[{peer.inode()}]".encode() for peer in peers}
    with server.peer(DIRECT) as live:
        live.half_close()
        while live.receive():
            pass
        assert b"/proc" in live.buffer and not [inode for inode in inodes if inode in live.buffer]


# --- openings that could spin -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments, opening, urgent", [
    ([], b"PROXY ", b""),
    ([], b"PROXY ", b"!"),
    (["--rcvbuf=2304"], wire.v2_of_length(60000)[:6000], b""),
], ids=["half", "urgent-byte", "small-buffer"])
def test_waiting_costs_no_cpu(serve, arguments, opening, urgent):
    server = serve(*arguments, timeout="600ms")
    with server.peer() as peer:
        peer.socket.setblocking(False)
        peer.socket.send(opening)
        peer.socket.setblocking(True)
        if urgent:
            peer.socket.send(urgent, socket.MSG_OOB)
        before = server.cpu_ticks()
        peer.socket.settimeout(DEADLINE)
        peer.rejected()
        assert server.cpu_ticks() - before <= 10  # of 60
        server.logged("reject", peer=peer.text, reason="timeout")
    server.was_given(server.serves()["peer"])


def test_header_longer_than_a_small_receive_buffer_is_taken(serve):
    server = serve("--rcvbuf=2304")
    with server.peer() as peer:
        sender = threading.Thread(target=lambda: suppress(peer.send, wire.v2_of_length(30000)))
        sender.start()
        assert peer.report()["peer"] == CLIENT_TEXT
        sender.join(DEADLINE)
        assert not sender.is_alive()
    server.serves()


def suppress(call, *arguments):
    try:
        call(*arguments)
    except OSError:
        pass
