# SPDX-License-Identifier: MIT
"""A listener looks ready exactly when a client is: silent peers delay nobody and wake nobody, whatever the server waits
with."""
import re

import pytest
import wire
from program import STYLES
from wire import CLIENT_TEXT, DIRECT, TRUSTED

# The styles for which this is promised today; the others are not collected.
# Not `prefork`: a worker that lost the race for a connection blocks in the real accept, its own parked peers with it.
PROMISED = [style for style in STYLES if style != "prefork"]

# Of these the ones that wait before they accept, and in one process: of several, each may be woken for one client.
LOOPS = [style for style in PROMISED if not re.search("blocking|threads|prefork", style)]

def for_each(styles):
    """Parametrises over `styles`; with none the test is not there, rather than skipped."""
    return lambda test: pytest.mark.parametrize("style", styles)(test) if styles else None


def warm(server):
    """Every process has accepted once: before that a watcher may not take what a child of its would accept."""
    for _ in range(6):
        server.serves()


@for_each(PROMISED)
def test_silent_peers_do_not_delay_the_next_client(serve, style):
    server = serve(*STYLES[style])
    warm(server)
    silent = [server.peer() for _ in range(40)] + [server.peer().send(wire.v2()[:9]) for _ in range(10)]
    for number in range(10):
        server.serves(TRUSTED, wire.v2(("203.0.113.7", number)), f"203.0.113.7:{number}")
        server.serves(DIRECT)
    assert wire.all_wait(silent)
    for peer in silent:
        peer.close()


@for_each(PROMISED)
def test_first_peers_ever_may_be_silent(serve, style):
    server = serve(*STYLES[style])
    silent = [server.peer() for _ in range(5)]
    server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)
    server.serves(DIRECT)
    assert wire.all_wait(silent)
    assert server.stop() == 0
    for peer in silent:
        peer.close()


@for_each(PROMISED)
def test_first_peer_ever_may_be_a_bare_probe(serve, style):
    server = serve(*STYLES[style])
    server.peer().close()
    server.settled()
    server.serves()
    assert server.stats()["failed"] <= 1  # ECONNABORTED, once, where the wait could not know


@for_each(PROMISED)
def test_server_answers_sigterm_after_a_bare_probe(serve, style):
    server = serve(*STYLES[style])
    server.peer().close()
    server.settled()
    assert server.stop() == 0


@for_each(PROMISED)
def test_late_header_wakes_the_server(serve, style):
    server = serve(*STYLES[style])
    warm(server)
    for pieces in [wire.v1()], [wire.v2()[:5], wire.v2()[5:20], wire.v2()[20:]]:
        with server.peer() as peer:
            for piece in pieces:
                server.settled(peer)
                peer.send(piece)
            assert peer.report()["peer"] == CLIENT_TEXT
            peer.send(b"data").echo(b"data")


@for_each(PROMISED)
def test_silent_peers_that_speak_in_turn_are_all_served(serve, style):
    server = serve(*STYLES[style])
    warm(server)
    peers = [server.peer() for _ in range(12)]
    for number in reversed(range(12)):
        assert peers[number].send(wire.v1(("203.0.113.9", number))).report()["peer"] == f"203.0.113.9:{number}"
        peers[number].send(b"data").echo(b"data")


@for_each(PROMISED)
def test_silent_peers_time_out_while_nothing_else_happens(serve, now, style):
    server = serve(*STYLES[style], timeout="250ms")
    warm(server)
    start = now()
    peers = [server.peer() for _ in range(5)]
    for peer in peers:
        peer.rejected()
    assert 0.24 <= now() - start
    server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)


@for_each(PROMISED)
def test_server_lives_on_after_each_kind_of_peer(serve, style):
    """A one-shot registration that is not armed again, say, shows here."""
    server = serve(*STYLES[style], timeout="250ms")
    warm(server)
    for _ in range(2):
        with server.peer() as peer:
            peer.rejected()  # silent
        server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)
        with server.peer() as peer:
            peer.send(b"nonsense").rejected()
        server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)
        with server.peer() as peer:
            peer.send(wire.v1()[:9]).half_close().rejected()
        server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)
        server.peer().reset()
        server.serves(DIRECT)


@for_each(LOOPS)
def test_server_is_never_woken_for_nothing(serve, style):
    server = serve(*STYLES[style], timeout="250ms")
    warm(server)
    for _ in range(2):
        silent, nonsense = server.peer(), server.peer().send(b"nonsense")
        server.peer().close()
        server.peer().reset()
        half = server.peer().send(wire.v2()[:20]).half_close()
        for peer in nonsense, half, silent:
            peer.rejected()
        server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)
    stats = server.stats()
    assert (stats["empty"], stats["failed"]) == (0, 0), stats


@for_each(LOOPS)
def test_one_wake_is_one_client(serve, style):
    server = serve(*STYLES[style])
    warm(server)
    silent = [server.peer() for _ in range(5)]
    for _ in range(10):
        server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)
    stats = server.stats()
    assert stats["wakes"] == stats["accepted"] == 16, stats
    for peer in silent:
        peer.close()


@for_each(LOOPS)
def test_waiting_for_headers_costs_no_cpu(serve, style):
    server = serve(*STYLES[style], timeout="600ms")
    warm(server)
    peers = [server.peer(), server.peer().send(wire.v1()[:9]), server.peer().send(wire.v2()[:17])]
    before = server.cpu_ticks()
    for peer in peers:
        peer.rejected()
    assert server.cpu_ticks() - before <= 10  # of 60


@for_each(["threads"] + LOOPS)
def test_every_port_stays_ready_while_another_has_silent_peers(serve, style):
    server = serve(*STYLES[style], "--listeners=3")
    warm(server)
    silent = [server.peer(port=server.ports[0]) for _ in range(5)]
    for port in server.ports * 3:
        with server.peer(port=port) as peer:
            assert peer.send(wire.v2() + b"x").report()["peer"] == CLIENT_TEXT
            peer.echo(b"x")
    assert wire.all_wait(silent)
    for peer in silent:
        peer.close()
