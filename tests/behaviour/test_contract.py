# SPDX-License-Identifier: MIT
"""Who gets what: each kind of peer and each kind of opening, seen by an unmodified server."""
import re
import subprocess

import pytest
import wire
from harness import DEADLINE, tool
from program import STYLES, environment
from place import foreign_address, needs
from wire import CLIENT, CLIENT6, CLIENT6_TEXT, CLIENT_TEXT, DIRECT, LOCAL, PROXY, TRUSTED

DATA = b"PROXY, but this is data\r\n\0\xff"

CLAIMS_A_CLIENT = {
    "v1-tcp4": (wire.v1(), CLIENT_TEXT),
    "v1-port-0": (wire.v1(("203.0.113.7", 0)), "203.0.113.7:0"),
    "v1-port-65535": (wire.v1(("203.0.113.7", 65535)), "203.0.113.7:65535"),
    "v2-tcp4": (wire.v2(), CLIENT_TEXT),
    "v2-tcp4-with-tlvs": (wire.v2(tlvs=wire.tlv(wire.AUTHORITY, b"db.example") + wire.tlv(0xEA, b"\1v")), CLIENT_TEXT),
    "v2-tcp4-with-crc": (wire.v2(crc=True), CLIENT_TEXT),
    "v2-tcp4-536-bytes": (wire.v2_of_length(536), CLIENT_TEXT),
    "v2-tcp4-537-bytes": (wire.v2_of_length(537), CLIENT_TEXT),
    "v2-tcp4-loopback-client-of-a-loopback-proxy": (wire.v2(("127.0.0.9", 5)), "127.0.0.9:5"),
    "v2-tcp6-mapped": (wire.v2(("::ffff:203.0.113.7", 4711)), CLIENT_TEXT),
}

CLAIMS_NO_CLIENT = {
    "v1-unknown": b"PROXY UNKNOWN\r\n",
    "v1-unknown-with-text": b"PROXY UNKNOWN ffff:f 65535 whatever\r\n",
    "v2-local": wire.v2_raw(LOCAL, 0x00, b""),
    "v2-local-with-address": wire.v2_raw(LOCAL, wire.TCP4, wire.block(CLIENT, wire.SERVICE)),
    "v2-local-with-any-bytes": wire.v2_raw(LOCAL, 0xFF, b"\1\2\3"),
    "v2-local-aws": wire.v2_raw(LOCAL, 0x00, wire.tlv(wire.CRC32C, bytes(4)) + wire.tlv(0x04, bytes(74))),
    "v2-unspec": wire.v2_raw(PROXY, wire.UNSPEC, b""),
    "v2-unspec-stream": wire.v2_raw(PROXY, 0x01, b""),
    "v2-unspec-any-bytes": wire.v2_raw(PROXY, wire.UNSPEC, wire.block(CLIENT, wire.SERVICE)),
    "v2-unspec-dgram-any-bytes": wire.v2_raw(PROXY, 0x02, bytes(range(256)) * 255),
    "v2-inet6-unspec": wire.v2_raw(PROXY, 0x20, wire.block(CLIENT6, wire.SERVICE6)),
    "v2-inet-unspec": wire.v2_raw(PROXY, 0x10, wire.block(CLIENT, wire.SERVICE)),
    "v2-udp4": wire.v2_raw(PROXY, wire.UDP4, wire.block(CLIENT, wire.SERVICE)),
    "v2-udp6": wire.v2_raw(PROXY, wire.UDP6, wire.block(CLIENT6, wire.SERVICE6)),
    "v2-unix": wire.v2_raw(PROXY, wire.UNIX, b"/run/x".ljust(108, b"\0") * 2),
}

INVALID = {
    "not-a-header": (b"GET / HTTP/1.0\r\n\r\n", "not-a-header"),
    "lower-case": (b"proxy TCP4 203.0.113.7 192.0.2.10 1 2\r\n", "not-a-header"),
    "v1-108-bytes": (b"PROXY UNKNOWN " + b"x" * 94, "v1-too-long"),
    "v1-lone-lf": (b"PROXY TCP4 203.0.113.7 192.0.2.10 4711 3306\n", "v1-bad-line"),
    "v1-protocol": (b"PROXY TCP5 203.0.113.7 192.0.2.10 4711 3306\r\n", "v1-bad-protocol"),
    "v1-two-spaces": (b"PROXY TCP4  203.0.113.7 192.0.2.10 4711 3306\r\n", "v1-bad-spacing"),
    "v1-octet": (b"PROXY TCP4 203.0.113.256 192.0.2.10 4711 3306\r\n", "v1-bad-address"),
    "v1-ipv6-in-tcp4": (b"PROXY TCP4 2001:db8::7 2001:db8::10 4711 3306\r\n", "v1-family-mismatch"),
    "v1-ipv4-in-tcp6": (b"PROXY TCP6 203.0.113.7 192.0.2.10 4711 3306\r\n", "v1-family-mismatch"),
    "v1-port": (b"PROXY TCP4 203.0.113.7 192.0.2.10 65536 3306\r\n", "v1-bad-port"),
    "v2-version": (wire.v2_raw(PROXY, wire.TCP4, wire.block(CLIENT, wire.SERVICE), version=3), "v2-bad-version"),
    "v2-command": (wire.v2_raw(2, wire.TCP4, wire.block(CLIENT, wire.SERVICE)), "v2-bad-command"),
    "v2-family": (wire.v2_raw(PROXY, 0x41, wire.block(CLIENT, wire.SERVICE)), "v2-bad-family"),
    "v2-short-block": (wire.v2_raw(PROXY, wire.TCP4, bytes(11)), "v2-short-block"),
    "v2-tlv-overrun": (wire.v2(tlvs=b"\x04\x00\x05abcd"), "v2-tlv-overrun"),
    "v2-stray-byte": (wire.v2(tlvs=b"\x04"), "v2-tlv-overrun"),
    "v2-crc": (wire.v2(bad_crc=True), "v2-bad-crc"),
    "unspecified-client": (wire.v2(("0.0.0.0", 5)), "src-unspecified"),
    "multicast-client": (wire.v2(("224.0.0.1", 5)), "src-multicast"),
    "broadcast-client": (wire.v2(("255.255.255.255", 5)), "src-broadcast"),
    "unspecified-ipv6-client": (wire.v2(("::", 5)), "src-unspecified"),
}


def param(table):
    return [pytest.param(*(value if isinstance(value, tuple) else (value,)), id=name) for name, value in table.items()]


def rejected_alone(server, peer, reason):
    """`peer` is closed, one line says why, the server never hears of it and goes on with its next client."""
    peer.rejected()
    line = server.logged("reject", peer=peer.text, reason=reason)
    assert re.fullmatch(rf"\S*:{server.port}", line["local"])
    server.was_given(server.serves()["peer"])
    return line


# --- trusted peers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header, client", param(CLAIMS_A_CLIENT))
def test_valid_header_gives_its_source_and_leaves_the_data(serve, header, client):
    server = serve()
    with server.peer() as peer:
        report = peer.send(header + DATA).report()
        assert (report["accept"], report["peer"]) == (client, client)
        assert (report["acceptlen"], report["peerlen"]) == ("16", "16")
        assert report["local"] == f"127.0.0.1:{server.port}"
        assert report["rcvlowat"] == "1"
        peer.echo(DATA)


@pytest.mark.parametrize("header", param(CLAIMS_NO_CLIENT))
def test_header_without_a_client_leaves_the_real_peer(serve, header):
    server = serve()
    with server.peer() as peer:
        report = peer.send(header + DATA).report()
        assert (report["accept"], report["peer"]) == (peer.text, peer.text)
        peer.echo(DATA)


@pytest.mark.parametrize("opening, reason", param(INVALID))
def test_invalid_opening_is_closed_with_its_reason(serve, opening, reason):
    server = serve()
    with server.peer() as peer:
        peer.send(opening)
        rejected_alone(server, peer, reason)


@pytest.mark.parametrize("opening", [b"", b"P", wire.v1()[:-1], wire.v2()[:15], wire.v2()[:-1]],
                         ids=["silence", "one-byte", "v1-without-lf", "v2-15-bytes", "v2-without-last"])
def test_unfinished_header_is_closed_after_the_timeout(serve, now, opening):
    server = serve(timeout="300ms")
    with server.peer() as peer:
        start = now()
        peer.send(opening).rejected()
        assert 0.29 <= now() - start
        line = rejected_alone(server, peer, "timeout")
        assert line["got"] == str(len(opening))
        assert line.get("hint") == (None if opening else "peer-sent-nothing")


def test_second_header_is_data(serve):
    server = serve()
    with server.peer() as peer:
        again = wire.v2(("198.51.100.1", 1))
        assert peer.send(wire.v2() + again).report()["peer"] == CLIENT_TEXT
        peer.echo(again)


def test_header_then_fin_is_a_client_that_sent_nothing(serve):
    server = serve()
    for header in wire.v1(), wire.v2():
        with server.peer() as peer:
            assert peer.send(header).half_close().report()["peer"] == CLIENT_TEXT
            while peer.receive():
                pass
            assert peer.buffer == b""


def test_local_address_stays_the_sockets_own(serve):
    server = serve()
    with server.peer() as peer:
        report = peer.send(wire.v2(dst=("192.0.2.99", 99))).report()
        assert report["local"] == f"127.0.0.1:{server.port}"


@pytest.mark.parametrize("versions, refused, accepted", [("1", wire.v2(), wire.v1()), ("2", wire.v1(), wire.v2())])
def test_version_left_out_is_refused(serve, versions, refused, accepted):
    server = serve(versions=versions)
    with server.peer() as peer:
        rejected_alone(server, peer.send(refused), "version-refused")
    server.serves(TRUSTED, accepted, CLIENT_TEXT)


def test_loopback_client_of_a_proxy_elsewhere_is_refused(serve):
    needs("foreign")
    here = foreign_address()
    server = serve(trust=here)
    for claim in ("127.0.0.1", 5), ("::1", 5), ("::ffff:127.0.0.1", 5):
        with server.peer(here, host=here) as peer:
            peer.send(wire.v2(claim)).rejected()
            server.log.wait(f"reject peer={peer.text} .*reason=src-loopback")
    with server.peer(here, host=here) as peer:
        assert peer.send(wire.v2()).report()["peer"] == CLIENT_TEXT


# --- real clients -----------------------------------------------------------------------------------------------------


def test_denied_client_is_closed_even_where_it_is_allowed(serve):
    server = serve(client_allow="203.0.113.0/24", client_deny="203.0.113.7")
    with server.peer() as peer:
        rejected_alone(server, peer.send(wire.v2()), "client-denied")
    server.serves(TRUSTED, wire.v2(("203.0.113.8", 1)), "203.0.113.8:1")


def test_client_not_on_the_allow_list_is_closed(serve):
    server = serve(client_allow="203.0.113.8/30")
    with server.peer() as peer:
        rejected_alone(server, peer.send(wire.v2()), "client-denied")
    server.serves(TRUSTED, wire.v2(("203.0.113.9", 1)), "203.0.113.9:1")


# --- other peers ------------------------------------------------------------------------------------------------------


def test_untrusted_peer_is_passed_on_with_every_byte(serve):
    server = serve()
    for opening in wire.v1(), wire.v2(), b"GET / HTTP/1.0\r\n\r\n", b"P":
        with server.peer(DIRECT) as peer:
            report = peer.send(opening).report()
            assert (report["accept"], report["peer"]) == (peer.text, peer.text)
            peer.echo(opening)
    assert not server.log.matching("reject")


def test_untrusted_peer_that_says_nothing_is_greeted_at_once(serve):
    server = serve()
    with server.peer(DIRECT) as peer:
        assert peer.report()["peer"] == peer.text


def test_untrusted_peer_can_be_rejected(serve):
    server = serve(untrusted="reject")
    for opening in b"", wire.v2():
        with server.peer(DIRECT) as peer:
            peer.send(opening).rejected()
            server.log.wait(f"reject peer={peer.text} .*reason=untrusted")
    server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)
    server.was_given(CLIENT_TEXT)


def test_exception_in_the_trust_list_is_untrusted(serve):
    for trust in "127.0.0.0/8,!127.0.0.2", "!127.0.0.2 127.0.0.0/8":
        server = serve(trust=trust)
        with server.peer(TRUSTED) as peer:
            assert peer.send(wire.v2()).report()["peer"] == peer.text
            peer.echo(wire.v2())
        server.serves("127.0.0.3", wire.v2(), CLIENT_TEXT)


@pytest.mark.parametrize("settings", [{"trust": "none"}, {"trust": None, "timeout": None}], ids=["none", "unset"])
def test_without_a_trust_list_nothing_happens(serve, settings):
    server = serve(**settings)
    for opening in wire.v1(), wire.v2():
        with server.peer() as peer:
            assert peer.send(opening).report()["peer"] == peer.text
            peer.echo(opening)
    server.stop()
    assert server.log.lines == []


def test_port_that_is_not_governed_is_left_alone(serve):
    server = serve(ports="1-7,9")
    with server.peer() as peer:
        assert peer.send(wire.v2()).report()["peer"] == peer.text
        peer.echo(wire.v2())
    assert server.stop() == 0
    only, = server.log.lines
    assert f" not-governed listen=0.0.0.0:{server.port} hint=PPSHIM_PORTS-names-others" in only


def test_listeners_that_are_left_out_are_told_of_once(start):
    code = """import socket
listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print("listening", listeners[0].getsockname()[1], flush=True)
listeners[0].accept()"""
    server = start(["/usr/bin/python3", "-c", code], environment(trust=TRUSTED, ports="1"))
    assert [": not-governed " in line for line in server.log.lines] == [True]


def test_the_first_untrusted_peer_is_told_of_once(serve):
    server = serve()
    with server.peer(DIRECT) as first, server.peer(DIRECT) as second:
        first.send(b"").report()
        second.send(b"").report()
        assert server.stop() == 0  # then all it said is here
        told = [line for line in server.log.lines if "untrusted peer=" in line]
        assert [wire.fields(line)["peer"] for line in told] == [first.text]
        assert wire.fields(told[0])["hint"] == "in-no-list"


# --- address families -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family, host, source, header, expected, length", [
    ("inet", "127.0.0.1", TRUSTED, wire.v2(CLIENT6), CLIENT6_TEXT, 28),
    ("inet6", "127.0.0.1", TRUSTED, wire.v2(), "[::ffff:203.0.113.7]:4711", 28),
    ("inet6", "127.0.0.1", TRUSTED, wire.v1(CLIENT6), CLIENT6_TEXT, 28),
    ("inet6", "::1", "::1", wire.v2(), "[::ffff:203.0.113.7]:4711", 28),
    ("inet6", "::1", "::1", wire.v2(CLIENT6), CLIENT6_TEXT, 28),
    ("v6only", "::1", "::1", wire.v2(), CLIENT_TEXT, 16),
    ("v6only", "::1", "::1", wire.v1(CLIENT6), CLIENT6_TEXT, 28),
])
def test_client_is_told_in_the_form_of_the_listener(serve, family, host, source, header, expected, length):
    server = serve(f"--family={family}", trust=f"{TRUSTED},::1")
    with server.peer(source, host=host) as peer:
        report = peer.send(header + b"x").report()
        assert (report["accept"], report["peer"]) == (expected, expected)
        assert (report["acceptlen"], report["peerlen"]) == (str(length), str(length))
        peer.echo(b"x")


def test_mapped_trust_entry_is_the_ipv4_one(serve):
    server = serve("--family=inet6", trust="::ffff:127.0.0.2/128")
    with server.peer() as peer:
        assert peer.send(wire.v2()).report()["peer"] == "[::ffff:203.0.113.7]:4711"


def test_ipv6_client_of_a_server_with_16_byte_addresses_is_closed(serve):
    server = serve("--addrlen=16")
    with server.peer() as peer:
        rejected_alone(server, peer.send(wire.v2(CLIENT6)), "client-needs-inet6")


def test_server_that_asks_for_no_address_gets_ipv6_clients(serve):
    server = serve("--null-addr")
    with server.peer() as peer:
        assert peer.send(wire.v2(CLIENT6)).report()["peer"] == CLIENT6_TEXT


# --- every way of waiting ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [[], ["--call=accept4"], ["--flags=nonblock,cloexec"]],
                         ids=["accept", "accept4", "flags"])
@pytest.mark.parametrize("style", STYLES)
def test_every_way_of_waiting_gets_the_client_and_the_data(serve, style, call):
    server = serve(*STYLES[style], *call)
    flags = ("1", "1") if call == ["--flags=nonblock,cloexec"] else ("0", "0")
    expected = [server.serves()["peer"]]  # the very first accept may end with ECONNABORTED, where a late header woke it
    for header in wire.v1, wire.v2:
        for pieces in 1, 2:
            client = ("203.0.113.7", 5000 + len(expected))
            expected.append("203.0.113.7:%d" % client[1])
            whole = header(client) + DATA
            with server.peer() as peer:
                if pieces == 2:
                    peer.send(whole[:9])
                    server.settled(peer)
                    whole = whole[9:]
                report = peer.send(whole).report()
                assert (report["accept"], report["peer"]) == (expected[-1], expected[-1])
                assert (report["nonblock"], report["cloexec"]) == flags
                assert report["rcvlowat"] == "1"
                peer.echo(DATA)
        with server.peer() as peer:
            peer.send(b"nonsense").rejected()
    server.was_given(*expected, server.serves()["peer"])
    assert server.stats()["failed"] == 0


def test_server_on_several_ports_gets_each_client(serve):
    for style in "threads", "epoll-lt-nonblock":
        server = serve(*STYLES[style], "--listeners=3")
        for number, port in enumerate(server.ports):
            with server.peer(port=port) as peer:
                report = peer.send(wire.v2(("203.0.113.7", 5000 + number)) + DATA).report()
                assert report["peer"] == f"203.0.113.7:{5000 + number}"
                assert report["local"] == f"127.0.0.1:{port}"
                peer.echo(DATA)


# --- other people's servers -------------------------------------------------------------------------------------------


def test_socat_prints_the_client(start):
    told = "SYSTEM:echo $SOCAT_PEERADDR $SOCAT_PEERPORT; cat"
    server = start([tool("socat"), "-d", "-d", "TCP4-LISTEN:0,fork", told],
                   environment(trust=TRUSTED), ready=r"listening on AF=2 0\.0\.0\.0:(\d+)$", ready_on="log")
    for header in wire.v1(), wire.v2():
        with server.peer() as peer:
            peer.send(header + b"hello").echo(b"203.0.113.7 4711\nhello")
    with server.peer(DIRECT) as peer:
        peer.echo(b"127.0.0.1 %d\n" % peer.name[1])


def test_socat_as_the_balancer(serve):
    server = serve()
    balancer = [tool("socat"), "-", f"TCP4:127.0.0.1:{server.port},bind={TRUSTED}"]
    answer = subprocess.run(balancer, input=wire.v1() + DATA, capture_output=True, timeout=DEADLINE)
    line, _, rest = answer.stdout.partition(b"\n")
    assert wire.fields(line.decode())["peer"] == CLIENT_TEXT
    assert rest == DATA


def test_python_http_server_logs_the_client(start, tmp_path):
    (tmp_path / "index.html").write_text("it works")
    server = start(["/usr/bin/python3", "-u", "-m", "http.server", "0", "--directory", str(tmp_path)],
                   environment(trust=TRUSTED), ready=r"port (\d+) ")
    for header in wire.v1(), wire.v2():
        with server.peer() as peer:
            peer.send(header + b"GET / HTTP/1.0\r\n\r\n")
            while peer.receive():
                pass
            assert peer.buffer.endswith(b"it works")
    assert len(server.log.wait(r'^203\.0\.113\.7 .*"GET / HTTP/1\.0" 200', count=2)) == 2
