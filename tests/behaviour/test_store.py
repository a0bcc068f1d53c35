# SPDX-License-Identifier: MIT
"""Where clients are remembered: in the socket, or in a table of the process where the kernel does not lend the bytes.
Servers cannot tell the two apart, but for what exec and other processes inherit."""
import re
import socket

import pytest
import wire
from program import STYLES, environment
from place import needs
from test_contract import CLAIMS_A_CLIENT, CLAIMS_NO_CLIENT, DATA, param
from wire import CLIENT6, CLIENT6_TEXT, CLIENT_TEXT, DIRECT, TRUSTED

PYTHON = "/usr/bin/python3"
MPTCP = 262

pytestmark = pytest.mark.parametrize("store", ["socket", "table"])


def scripted(start, code, store, **settings):
    """A server in Python: `code` finds `listener`, and says what it has to say with print."""
    setup = "import os, socket, sys\nlistener = socket.create_server(('127.0.0.1', 0))\n" \
        "print('listening', listener.getsockname()[1], flush=True)\n"
    settings = {"trust": TRUSTED, "timeout": "60s", **settings}
    return start([PYTHON, "-c", setup + code], environment(store=store, **settings))


def test_active_line_says_which(serve, store):
    server = serve(store=store)
    server.logged("active", store=store)


@pytest.mark.parametrize("header, client", param(CLAIMS_A_CLIENT))
def test_client_is_told(serve, store, header, client):
    server = serve(store=store)
    with server.peer() as peer:
        report = peer.send(header + DATA).report()
        assert (report["accept"], report["peer"]) == (client, client)
        peer.echo(DATA)
    server.serves()


@pytest.mark.parametrize("header", param(CLAIMS_NO_CLIENT))
def test_header_without_a_client_leaves_the_real_peer(serve, store, header):
    server = serve(store=store)
    server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)
    server.serves(TRUSTED, header)


@pytest.mark.parametrize("family, header, expected", [
    ("inet", wire.v2(CLIENT6), CLIENT6_TEXT), ("inet6", wire.v2(), "[::ffff:203.0.113.7]:4711"),
    ("inet6", wire.v2(CLIENT6), CLIENT6_TEXT)])
def test_client_is_told_in_the_form_of_the_listener(serve, store, family, header, expected):
    serve(f"--family={family}", store=store).serves(TRUSTED, header, expected)


@pytest.mark.parametrize("style", STYLES)
def test_every_way_of_waiting_tells_the_client(serve, store, style):
    server = serve(*STYLES[style], store=store)
    server.serves()
    for number in range(3):
        server.serves(TRUSTED, wire.v2(("203.0.113.7", number)), f"203.0.113.7:{number}")
        server.serves(DIRECT)


def test_many_clients_at_once_keep_their_names(serve, store):
    """More than the table holds at first, and others that come and go meanwhile."""
    server = serve(*STYLES["epoll-lt-nonblock"], store=store)
    peers = [server.peer().send(wire.v2(("203.0.113.7", 1000 + number))) for number in range(300)]
    for number in range(300):
        server.serves(TRUSTED, wire.v2(("203.0.113.8", number)), f"203.0.113.8:{number}")
    for number, peer in enumerate(peers):
        assert peer.report()["peer"] == f"203.0.113.7:{1000 + number}"
        peer.close()


def test_dup_and_fork_keep_the_client(start, store):
    server = scripted(start, """
while True:
    peer = listener.accept()[0]
    copy = os.dup(peer.fileno())
    peer.close()
    peer = socket.socket(fileno=copy)
    if os.fork() == 0:
        listener.close()
        peer.sendall(('peer=%s:%d\\n' % peer.getpeername()).encode())
        os._exit(0)
    peer.close()
    os.wait()
""", store)
    for number in range(100):
        with server.peer() as peer:
            assert peer.send(wire.v2(("203.0.113.7", number))).report()["peer"] == f"203.0.113.7:{number}"


def test_exec_and_another_process_keep_what_is_in_the_socket_only(start, store):
    server = scripted(start, """
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
show = "import socket; s = socket.socket(fileno=0); s.sendall(('peer=%s:%d' % s.getpeername()).encode())"
if os.fork() == 0:
    listener.close()
    while True:
        _, fds, _, _ = socket.recv_fds(theirs, 1, 1)
        peer = socket.socket(fileno=fds[0])
        peer.sendall(('peer=%s:%d\\n' % peer.getpeername()).encode())
        peer.close()
while True:
    peer = listener.accept()[0]
    if peer.recv(4) == b'exec':
        if os.fork() == 0:
            os.dup2(peer.fileno(), 0)
            os.execv(sys.executable, [sys.executable, '-c', show + "; s.sendall(b'\\\\n')"])
        os.wait()
    else:
        socket.send_fds(ours, [b'x'], [peer.fileno()])
    peer.close()
""", store)
    for how in b"exec", b"pass":
        with server.peer() as peer:
            seen = peer.send(wire.v2() + how).report()["peer"]
            assert seen == (CLIENT_TEXT if store == "socket" else peer.text)


# --- MPTCP ------------------------------------------------------------------------------------------------------------


def mptcp_listener(start, **settings):
    """An echoing server on an MPTCP listener, that serves one connection after the other, waiting in an epoll."""
    needs("mptcp")
    return start([PYTHON, "-c", f"""
import select, socket
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, {MPTCP})
listener.bind(('127.0.0.1', 0))
listener.listen()
listener.setblocking(False)
print('listening', listener.getsockname()[1], flush=True)
wait = select.epoll()
wait.register(listener, select.EPOLLIN)
connections = []
while True:
    wait.poll()
    try:
        peer, name = listener.accept()
    except BlockingIOError:
        print('woken for nothing', flush=True)
        continue
    connections.append(peer)
    protocol = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL)
    peer.sendall(('accept=%s:%d' % name + ' peer=%s:%d' % peer.getpeername() + ' local=%s:%d' % peer.getsockname()
                  + ' protocol=%d\\n' % protocol).encode())
    peer.sendall(peer.recv(100))
    peer.shutdown(socket.SHUT_WR)
"""], environment(trust=TRUSTED, timeout="60s", **settings))


@pytest.fixture
def mptcp(start, store):
    return mptcp_listener(start, store=store)


class MptcpPeer(wire.Peer):
    protocol = MPTCP


@pytest.mark.parametrize("kind", [wire.Peer, MptcpPeer], ids=["tcp-client", "mptcp-client"])
def test_mptcp_listener_tells_the_client(mptcp, store, kind):
    with kind(mptcp.port, DIRECT) as peer:
        assert peer.send(b"data").report()["peer"] == peer.text
        peer.echo(b"data")
    silent = kind(mptcp.port)
    for number in range(40):
        with kind(mptcp.port) as peer:
            header = wire.v2(("203.0.113.7", number))
            if number % 4 == 0:  # in two pieces
                peer.send(header[:20])
                mptcp.settled()
                header = header[20:]
            report = peer.send(header + b"data").report()
            assert report["accept"] == report["peer"] == f"203.0.113.7:{number}"
            assert report["protocol"] == str(kind.protocol or socket.IPPROTO_TCP)
            peer.echo(b"data")
    with kind(mptcp.port) as peer:
        peer.send(b"nonsense").rejected()
        mptcp.log.wait(f"reject peer={re.escape(peer.text)} .*reason=not-a-header")
    assert not mptcp.out.matching("woken for nothing")
    silent.close()


def test_client_of_one_mptcp_connection_is_not_anothers(mptcp, store):
    """The kernel calls them all by their listener's cookie."""
    peers = [MptcpPeer(mptcp.port) for _ in range(3)]
    for number, peer in enumerate(peers):
        assert peer.send(wire.v2(("203.0.113.7", number)) + b"x").report()["peer"] == f"203.0.113.7:{number}"
    for peer in peers:
        peer.close()
