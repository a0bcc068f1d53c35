# SPDX-License-Identifier: MIT
"""PPSHIM_HEADER_OPTIONAL: a header is honoured, and whoever sends none is served as it came."""
import pytest
import wire
from program import STYLES
from wire import CLIENT_TEXT, TRUSTED

OPTIONAL = "127.0.0.5"


@pytest.fixture
def optional(serve):
    def starter(*arguments, **settings):
        return serve(*arguments, **{"header_optional": OPTIONAL, "trust": TRUSTED, **settings})

    return starter


@pytest.mark.parametrize("header", [wire.v1(), wire.v2()], ids=["v1", "v2"])
def test_header_is_honoured(optional, header):
    server = optional()
    with server.peer(OPTIONAL) as peer:
        assert peer.send(header + b"x").report()["peer"] == CLIENT_TEXT
        peer.echo(b"x")
    with server.peer(OPTIONAL) as peer:
        peer.send(header[:9])
        server.settled(peer)
        assert peer.send(header[9:] + b"x").report()["peer"] == CLIENT_TEXT
        peer.echo(b"x")


@pytest.mark.parametrize("settings", [{}, {"local_addr": "header", "inherited": "on"}], ids=["alone", "more"])
def test_it_needs_no_other_list(optional, settings):
    server = optional(trust=None, **settings)
    server.logged("active", trust="1-prefixes")
    server.serves(OPTIONAL, wire.v2(), CLIENT_TEXT)
    server.serves(OPTIONAL)
    with server.peer(TRUSTED) as peer:  # in no list
        assert peer.send(wire.v1()).report()["peer"] == peer.text
        peer.echo(wire.v1())


@pytest.mark.parametrize("opening", [b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\x02\0", b"proxy", b"PROXX ",
                                     b"\r\n\r\n\0\r\nQUIX"])
def test_bytes_that_cannot_begin_a_header_are_handed_over_at_once(optional, opening):
    server = optional()
    with server.peer(OPTIONAL) as peer:
        report = peer.send(opening).report()
        assert (report["accept"], report["peer"], report["rcvlowat"]) == (peer.text, peer.text, "1")
        peer.echo(opening)
    assert not server.log.matching("reject")


def test_bytes_that_turn_out_not_to_begin_a_header_are_handed_over(optional):
    server = optional()
    for first, rest in (b"PRO", b"BLEM\r\n"), (b"\r\n\r\n", b"\r\nQUIT\nNOT A HEADER"):
        with server.peer(OPTIONAL) as peer:
            peer.send(first)
            server.settled(peer)
            assert peer.send(rest).report()["peer"] == peer.text
            peer.echo(first + rest)


def test_silence_is_handed_over_after_the_timeout(optional, now):
    server = optional(timeout="300ms")
    with server.peer(OPTIONAL) as peer:
        start = now()
        report = peer.report()
        assert 0.29 <= now() - start
        assert (report["accept"], report["peer"], report["rcvlowat"]) == (peer.text, peer.text, "1")
        peer.send(b"late").echo(b"late")
    assert not server.log.matching("reject")


def test_silence_keeps_nobody_waiting(optional):
    server = optional(*STYLES["blocking"])
    peers = [server.peer(OPTIONAL) for _ in range(5)]
    server.settled(*peers)
    server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)
    assert wire.all_wait(peers)


def test_invalid_header_is_closed_all_the_same(optional):
    server = optional()
    with server.peer(OPTIONAL) as peer:
        peer.send(b"PROXY TCP4 203.0.113.7 192.0.2.10 4711 99999\r\n").rejected()
        server.logged("reject", peer=peer.text, reason="v1-bad-port")


def test_other_trusted_peers_still_have_to_send_one(optional):
    server = optional(timeout="300ms")
    with server.peer(TRUSTED) as peer:
        peer.rejected()
        server.logged("reject", peer=peer.text, reason="timeout")


def test_list_may_name_several(optional):
    server = optional(header_optional=f"{OPTIONAL} 127.0.0.6")
    for source in OPTIONAL, "127.0.0.6":
        with server.peer(source) as peer:
            assert peer.send(wire.v2()).report()["peer"] == CLIENT_TEXT
