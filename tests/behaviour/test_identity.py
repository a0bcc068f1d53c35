# SPDX-License-Identifier: MIT
"""A connection keeps its client: through copies of its descriptor, fork, exec and being passed on, among thousands, and
no other connection ever gets it. The cases are in identity.c, each run in a process of its own."""
import errno
import os
import subprocess

import pytest
import wire
from harness import SHIM
from program import environment, helper
from place import lacks
from wire import CLIENT, CLIENT6, SERVICE, SERVICE6, TRUSTED

ANYBODY = "127.0.0.0/8"  # identity.c's clients come from many addresses
PYTHON = "/usr/bin/python3"
MORE = {name: value for name, value in os.environ.items() if name == "IDENTITY_CONNECTIONS"}


def stored(store, **settings):
    """An environment in which the addresses are kept in the sockets, or in the process, as where a kernel refuses."""
    env = {name: value for name, value in {**environment(**settings), **MORE}.items() if name != "LIBPPSHIM_TEST_STORE"}
    if store == "socket":
        return env
    if b"LIBPPSHIM_TEST_STORE" not in SHIM.read_bytes():
        pytest.skip("this library has no other store than the socket")
    return {**env, "LIBPPSHIM_TEST_STORE": store}


both_stores = pytest.mark.parametrize("store", ["socket", "table"])


def cases():
    listed = subprocess.run([helper("identity"), "--list"], capture_output=True, text=True, timeout=320)
    assert listed.returncode == 0 and listed.stdout, listed
    return listed.stdout.split()


@both_stores
@pytest.mark.parametrize("name", cases())
def test_identity(name, store):
    env = stored(store, trust=ANYBODY, timeout="60s", log="stderr:error")
    answer = subprocess.run([helper("identity"), name], env=env, stdin=subprocess.DEVNULL, capture_output=True,
                            text=True, timeout=320)  # more than HANGS_AFTER
    if answer.returncode == 77:
        lacks(answer.stdout.strip())
    assert answer.stdout == f"ok {name}\n", answer.stdout + answer.stderr
    assert (answer.returncode, answer.stderr) == (0, "")


@both_stores
def test_active_line_names_the_store(start, store):
    server = start([helper("server")], stored(store, trust=TRUSTED))
    assert f"store={store}" in server.log.wait("ppshim.*: active ")[0].split()


# --- an IPv6 client of an AF_INET socket, for a caller with room for an IPv4 address ----------------------------------

# It accepts in its own way, and then one connection as a C library of another make would: without an address.
CPYTHON = """
import ctypes, socket
listener = socket.create_server(("127.0.0.1", 0))
print("listening", listener.getsockname()[1], flush=True)
connection, told = listener.accept()
print("accepted", told, connection.getpeername(), flush=True)
fd = ctypes.CDLL(None, use_errno=True).accept(listener.fileno(), None, None)
try:
    print("peer", socket.socket(fileno=fd).getpeername(), flush=True)
except OSError as error:
    print("error", error.errno, flush=True)
"""


@both_stores
def test_cpython_is_never_given_a_made_up_address(start, store):
    server = start([PYTHON, "-c", CPYTHON], stored(store, trust=TRUSTED, timeout="60s"))
    with server.peer() as six, server.peer() as four, server.peer() as taken:
        six.send(wire.v2(CLIENT6)).rejected()
        server.logged("reject", peer=six.text, reason="client-needs-inet6")
        four.send(wire.v2())
        told = server.out.wait("^accepted ")[0]
        assert told == "accepted ('203.0.113.7', 4711) ('203.0.113.7', 4711)"
        taken.send(wire.v2(CLIENT6))
        assert server.out.wait("^(peer|error) ")[0] == f"error {errno.ENOBUFS}"


# --- a dual-stack socket that is made an AF_INET one ------------------------------------------------------------------

# As xinetd makes it, before it starts the service.
ADDRFORM = r"""
import ctypes, socket
IPV6_ADDRFORM = 1
FILLER = b"\xaa" * 32
libc = ctypes.CDLL(None, use_errno=True)
listener = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
print("listening", listener.getsockname()[1], flush=True)

def ask(call, fd, room):
    buffer, length = ctypes.create_string_buffer(FILLER, 32), ctypes.c_int(room)
    if call(fd, buffer, ctypes.byref(length)):
        return f"errno-{ctypes.get_errno()}"
    whole, family = buffer.raw, int.from_bytes(buffer.raw[:2], "little")
    assert whole[room:] == FILLER[room:] and length.value == (16 if family == socket.AF_INET else 28)
    return socket.inet_ntop(family, whole[4:8] if family == socket.AF_INET else whole[8:24])

while True:
    connection = listener.accept()[0]
    connection.setsockopt(socket.IPPROTO_IPV6, IPV6_ADDRFORM, socket.AF_INET)
    told = [ask(call, connection.fileno(), room) for call in (libc.getpeername, libc.getsockname) for room in (16, 28)]
    connection.sendall(("told=" + ",".join(told) + "\n").encode())
"""


@both_stores
@pytest.mark.parametrize("header", [wire.v1, wire.v2])
def test_answer_takes_the_family_that_the_socket_has_now(start, store, header):
    """Rooms of 16 and 28 bytes for the peer, then for the socket's own address: what does not fit is not cut short."""
    server = start([PYTHON, "-c", ADDRFORM], stored(store, trust=TRUSTED, timeout="60s", local_addr="header"))
    short = f"errno-{errno.ENOBUFS}"
    for client, expected in ((CLIENT, [CLIENT[0], CLIENT[0], SERVICE[0], SERVICE[0]]),
                             (CLIENT6, [short, CLIENT6[0], short, SERVICE6[0]])):
        with server.peer() as peer:
            assert peer.send(header(client)).report()["told"].split(",") == expected
