# SPDX-License-Identifier: MIT
"""A header may arrive in any pieces: the address is right and the server reads exactly the data, wherever it is cut."""
import pytest
import wire
from program import STYLES, Program, environment, helper
from wire import CLIENT_TEXT

DATA = b"data\0\r\nPROXY \xff"
HEADERS = {"v1": wire.v1(), "v2": wire.v2(), "v2-tlvs": wire.v2(tlvs=wire.tlv(wire.AUTHORITY, b"a.example"))}
LARGEST = wire.v2_of_length(16 + 65535)

# One that parks the connection, and two that have to wait for it inside accept while they cannot be told otherwise.
WAYS = ["blocking", "poll-nonblock", "epoll-lt"]


def arrives_in(server, *pieces, data=DATA):
    """Each piece is there, and the server back asleep over it, before the next is sent."""
    with server.peer() as peer:
        for piece in pieces[:-1]:
            peer.send(piece)
            server.settled(peer)
        report = peer.send(pieces[-1]).report()
        assert (report["accept"], report["peer"]) == (CLIENT_TEXT, CLIENT_TEXT)
        assert report["rcvlowat"] == "1"
        peer.echo(data)


def cuts():
    for name, header in HEADERS.items():
        for at in range(1, len(header) + 1):
            yield pytest.param(header, at, id=f"{name}-{at}")


@pytest.fixture(scope="module", params=WAYS)
def server(request):
    program = Program([helper("server"), *STYLES[request.param]], environment(trust=wire.TRUSTED, timeout="30s"))
    yield program
    assert program.stop() == 0
    assert program.log.matching("reject") == []


@pytest.mark.parametrize("header, at", cuts())
def test_cut_at_every_byte(server, header, at):
    arrives_in(server, header[:at], header[at:] + DATA)


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_one_byte_at_a_time(server, header):
    arrives_in(server, *(header[i:i + 1] for i in range(len(header))), DATA)


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_header_and_data_in_one_segment(server, header):
    arrives_in(server, header + DATA)


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_cut_inside_the_data(server, header):
    with server.peer() as peer:
        assert peer.send(header + DATA[:5]).report()["peer"] == CLIENT_TEXT
        peer.send(DATA[5:]).echo(DATA)


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_cut_inside_the_header_and_the_data(server, header):
    with server.peer() as peer:
        peer.send(header[:10])
        server.settled(peer)
        assert peer.send(header[10:] + DATA[:5]).report()["peer"] == CLIENT_TEXT
        peer.send(DATA[5:]).echo(DATA)


def test_longest_v1_line(server):
    arrives_in(server, b"PROXY TCP4 203.0.113.7 192.0.2.10 4711 3306\r\n" + DATA)
    longest = b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n"
    assert len(longest) == 107
    for at in 1, 53, 106, 107:
        with server.peer() as peer:
            peer.send(longest[:at])
            server.settled(peer)
            assert peer.send(longest[at:] + DATA).report()["peer"] == peer.text
            peer.echo(DATA)


@pytest.mark.parametrize("length", [535, 536, 537, 4096, 16384, 65551])
def test_long_header_in_one_go(server, length):
    arrives_in(server, wire.v2_of_length(length) + DATA)


@pytest.mark.parametrize("at", [1, 15, 16, 17, 535, 536, 537, 32768, 65550, 65551])
def test_largest_header_cut(server, at):
    arrives_in(server, LARGEST[:at], LARGEST[at:] + DATA)


def test_largest_header_in_several_pieces(server):
    arrives_in(server, *(LARGEST[i:i + 9000] for i in range(0, len(LARGEST), 9000)), DATA)


def test_largest_local_header(server):
    header = wire.v2_raw(wire.LOCAL, 0, bytes(65535))
    with server.peer() as peer:
        peer.send(header[:40000])
        server.settled(peer)
        assert peer.send(header[40000:] + DATA).report()["peer"] == peer.text
        peer.echo(DATA)


def test_much_data_behind_the_header_stays_whole(server):
    data = bytes(range(256)) * 256
    with server.peer() as peer:
        peer.send(wire.v2() + data)
        assert peer.report()["peer"] == CLIENT_TEXT
        peer.echo(data)
