# SPDX-License-Identifier: MIT
"""PPSHIM_LOCAL_ADDR=header: getsockname tells what the client connected to, where its header says so."""
import pytest
import wire
from program import environment
from test_contract import foreign_address
from test_store import PYTHON, MptcpPeer, mptcp_listener
from wire import CLIENT, CLIENT6, DIRECT, LOCAL, PROXY, SERVICE, SERVICE6, TRUSTED

SERVICE_TEXT = "192.0.2.10:3306"
SERVICE6_TEXT = "[2001:db8::10]:3306"
MAPPED_CLIENT = f"[::ffff:{wire.CLIENT[0]}]:{wire.CLIENT[1]}"
STORES = pytest.mark.parametrize("store", ["socket", "table"])


@pytest.fixture
def told(serve):
    """told(header, ...): the report of a server that was given this header."""
    def ask(header, *arguments, source=TRUSTED, host="127.0.0.1", **settings):
        server = serve(*arguments, **{"local_addr": "header", "trust": f"{TRUSTED},::1", **settings})
        with server.peer(source, host=host) as peer:
            return {**peer.send(header).report(), "own": f"127.0.0.1:{server.port}", "own6": f"[::1]:{server.port}"}
    return ask


@STORES
@pytest.mark.parametrize("family, host, source, header, client, expected, length", [
    ("inet", "127.0.0.1", TRUSTED, wire.v1(), wire.CLIENT_TEXT, SERVICE_TEXT, 16),
    ("inet", "127.0.0.1", TRUSTED, wire.v2(), wire.CLIENT_TEXT, SERVICE_TEXT, 16),
    ("inet", "127.0.0.1", TRUSTED, wire.v2(CLIENT6), wire.CLIENT6_TEXT, SERVICE6_TEXT, 28),
    ("inet6", "127.0.0.1", TRUSTED, wire.v2(), MAPPED_CLIENT, "[::ffff:192.0.2.10]:3306", 28),
    ("inet6", "127.0.0.1", TRUSTED, wire.v1(CLIENT6), wire.CLIENT6_TEXT, SERVICE6_TEXT, 28),
    ("v6only", "::1", "::1", wire.v2(), wire.CLIENT_TEXT, SERVICE_TEXT, 16),
    ("v6only", "::1", "::1", wire.v2(CLIENT6), wire.CLIENT6_TEXT, SERVICE6_TEXT, 28),
    # one of each family, as a TCP6 header can say
    ("inet6", "127.0.0.1", TRUSTED, wire.v2(CLIENT6, ("::ffff:192.0.2.10", 3306)), wire.CLIENT6_TEXT,
     "[::ffff:192.0.2.10]:3306", 28),
    ("v6only", "::1", "::1", wire.v2(CLIENT6, ("::ffff:192.0.2.10", 3306)), wire.CLIENT6_TEXT, SERVICE_TEXT, 16),
    ("v6only", "::1", "::1", wire.v2(("::ffff:203.0.113.7", 4711), SERVICE6), wire.CLIENT_TEXT, SERVICE6_TEXT, 28),
])
def test_destination_is_told_in_the_form_of_the_listener(told, store, family, host, source, header, client, expected,
                                                         length):
    report = told(header, f"--family={family}", host=host, source=source, store=store)
    assert (report["local"], report["locallen"]) == (expected, str(length))
    assert report["accept"] == report["peer"] == client


@pytest.mark.parametrize("settings", [{"local_addr": None}, {"local_addr": "socket"}], ids=["unset", "socket"])
def test_unasked_the_sockets_own_address_is_told(told, settings):
    report = told(wire.v2(), **settings)
    assert report["local"] == report["own"]


@pytest.mark.parametrize("header", [
    b"PROXY UNKNOWN\r\n", wire.v2_raw(LOCAL, 0, b""), wire.v2_raw(PROXY, wire.UDP4, wire.block(CLIENT, SERVICE)),
    wire.v2(dst=("0.0.0.0", 3306)), wire.v2(dst=("224.0.0.1", 3306)), wire.v2(dst=("255.255.255.255", 3306)),
    wire.v2(CLIENT6, ("::", 3306)), wire.v2(CLIENT6, ("ff02::1", 3306))],
    ids=["unknown", "local", "udp", "0.0.0.0", "multicast", "broadcast", "::", "multicast6"])
def test_header_without_a_usable_destination_leaves_the_sockets_own(told, header):
    report = told(header)
    assert report["local"] == report["own"]


def test_destination_on_this_hosts_loopback_is_believed_of_this_host_only(told):
    here = foreign_address()
    assert told(wire.v2(dst=("127.0.0.9", 25)))["local"] == "127.0.0.9:25"
    report = told(wire.v2(dst=("127.0.0.9", 25)), source=here, host=here, trust=here)
    assert report["local"] == report["own"].replace("127.0.0.1", here)
    assert report["peer"] == wire.CLIENT_TEXT


def test_peer_without_a_header_leaves_the_sockets_own(told):
    for header in b"", wire.v2():
        report = told(header, source=DIRECT)
        assert report["local"] == report["own"]


def test_turned_off_shim_tells_the_sockets_own(told):
    report = told(wire.v2(), trust="none")
    assert report["local"] == report["own"]


def test_what_getsockname_writes_is_what_the_kernel_would(start):
    """Buffers of every length, listeners, sockets of other kinds, and the kernel's errors."""
    server = start([PYTHON, "-c", """
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)

def ask(fd, room):
    buffer, length = ctypes.create_string_buffer(b'\\xaa' * 64, 64), ctypes.c_int(room)
    ctypes.set_errno(0)
    result = libc.getsockname(fd, buffer, ctypes.byref(length))
    return result, ctypes.get_errno(), length.value, buffer.raw

def check(what, holds):
    if not holds: peer.sendall(('failed=%s\\n' % what).encode()), os._exit(1)

listener = socket.create_server(('127.0.0.1', 0))
port = listener.getsockname()[1]
print('listening', port, flush=True)
while True:
    peer, _ = listener.accept()
    fd = peer.fileno()
    result, errno, length, whole = ask(fd, 64)
    check('whole', (result, errno, length) == (0, 0, 16) and whole[16:] == b'\\xaa' * 48)
    check('address', whole[2:8] == (3306).to_bytes(2, 'big') + bytes([192, 0, 2, 10]))
    for room in range(16):
        check('short', ask(fd, room) == (0, 0, 16, whole[:room] + b'\\xaa' * (64 - room)))
    check('negative', ask(fd, -1)[:2] == (-1, 22))
    check('bad number', ask(999, 64)[:2] == (-1, 9))
    check('pipe', ask(os.pipe()[0], 64)[:2] == (-1, 88))
    check('null', libc.getsockname(fd, None, None) == -1 and ctypes.get_errno() == 14)
    check('listener', listener.getsockname() == ('127.0.0.1', port))
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.connect(('127.0.0.1', 9))
    check('udp', udp.getsockname()[0] == '127.0.0.1')
    check('unix', socket.socketpair()[0].getsockname() == '')
    check('client', socket.create_connection(('127.0.0.1', port)).getsockname()[0] == '127.0.0.1')
    peer.sendall(b'failed=nothing\\n')
    break
"""], environment(trust=TRUSTED, timeout="60s", local_addr="header"))
    with server.peer() as peer:
        assert peer.send(wire.v2()).report() == {None: [], "failed": "nothing"}


def test_ipv6_destination_does_not_fit_into_16_bytes(start):
    server = start([PYTHON, "-c", """
import ctypes, socket
libc = ctypes.CDLL(None, use_errno=True)
listener = socket.create_server(('127.0.0.1', 0))
print('listening', listener.getsockname()[1], flush=True)
fd = libc.accept(listener.fileno(), None, None)
length = ctypes.c_int(16)
result = libc.getsockname(fd, ctypes.create_string_buffer(16), ctypes.byref(length))
socket.socket(fileno=fd).sendall(f'result={result} errno={ctypes.get_errno()}\\n'.encode())
"""], environment(trust=TRUSTED, timeout="60s", local_addr="header"))
    with server.peer() as peer:
        report = peer.send(wire.v2(CLIENT6)).report()
    assert (report["result"], report["errno"]) == ("-1", "105")


SHOW = "import socket; s = socket.socket(fileno=0); " \
    "s.sendall(('peer=%s local=%s\\n' % (s.getpeername()[0], s.getsockname()[0])).encode())"


def test_ipv4_destination_survives_exec_and_an_ipv6_one_does_not(start):
    server = start([PYTHON, "-c", f"""
import os, socket, sys
listener = socket.create_server(('::', 0), family=socket.AF_INET6, dualstack_ipv6=True)
print('listening', listener.getsockname()[1], flush=True)
while True:
    peer, _ = listener.accept()
    if os.fork() == 0:
        os.dup2(peer.fileno(), 0)
        os.execv(sys.executable, [sys.executable, '-c', {SHOW!r}])
    peer.close()
    os.wait()
"""], environment(trust=TRUSTED, timeout="60s", local_addr="header"))
    with server.peer() as peer:
        report = peer.send(wire.v2()).report()
        assert (report["peer"], report["local"]) == ("::ffff:203.0.113.7", "::ffff:192.0.2.10")
    with server.peer() as peer:
        report = peer.send(wire.v2(CLIENT6)).report()
        assert (report["peer"], report["local"]) == ("2001:db8::7", "::ffff:127.0.0.1")


def test_mptcp_connection_tells_the_destination(start):
    server = mptcp_listener(start, local_addr="header")
    with MptcpPeer(server.port) as peer:
        report = peer.send(wire.v2() + b"x").report()
        assert (report["peer"], report["local"]) == (wire.CLIENT_TEXT, SERVICE_TEXT)
