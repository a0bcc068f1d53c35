# SPDX-License-Identifier: MIT
"""sockets.py: ports, raw connections, and what the kernel says of them."""
import contextlib
import re
import select
import socket
import struct
from pathlib import Path

from waiting import DEADLINE

_reserved = []


def reserve_port():
    """A TCP port that nobody else is given: held by a bound socket that does not listen, beside which
    SO_REUSEADDR lets a server bind. Kept until the tests end, so that a server can stop and come back."""
    holder = socket.socket(socket.AF_INET6)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    holder.bind(("::", 0))
    _reserved.append(holder)
    return holder.getsockname()[1]


def dial(endpoint, source=None, deadline=DEADLINE):
    """A TCP connection to (host, port), from the address `source`; every later operation on it ends at the deadline."""
    return socket.create_connection(endpoint, timeout=deadline, source_address=(source, 0) if source else None)


def listens(endpoint):
    """Whether somebody does there, asked by a connection: what stands before another may hand that on."""
    try:
        dial(endpoint).close()
    except ConnectionRefusedError:
        return False
    return True


def read_to_end(sock):
    """All bytes until the other side ends the connection, in either way. The socket's timeout fails the test."""
    received = bytearray()
    try:
        while True:
            piece = sock.recv(65536)
            if not piece:
                return bytes(received)
            received += piece
    except ConnectionError:
        return bytes(received)
    except socket.timeout:
        raise AssertionError(f"the connection was not ended; received {bytes(received)!r}") from None


def exchange(endpoint, request):
    """What comes back for these bytes and no more, on a connection of their own, until the other side ends it."""
    with dial(endpoint) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(request)
            sock.shutdown(socket.SHUT_WR)
        return read_to_end(sock)


def reset(sock):
    """Closes with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def ended_among(socks):
    """Which of these connections have something to read, their end included, now."""
    poller = select.poll()
    by_fd = {sock.fileno(): sock for sock in socks}
    for fd in by_fd:
        poller.register(fd, select.POLLIN)
    return [by_fd[fd] for fd, _ in poller.poll(0)]


def accept_queue(port):
    """How many connections wait in the kernel for the listener on this local port."""
    waiting = 0
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, queues = line.split()[:5]
            if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                waiting += int(queues.partition(":")[2], 16)
    return waiting


_MAPPED = "0000000000000000FFFF0000"  # ::ffff: as /proc/net/tcp6 has it


def _inodes(peer):
    """Socket inodes of the connections whose other end is `peer`, an IPv4 (address, port)."""
    address = "{:08X}:{:04X}".format(*struct.unpack("=I", socket.inet_aton(peer[0])), peer[1])
    rows = [line.split() for table in ("/proc/net/tcp", "/proc/net/tcp6")
            for line in Path(table).read_text().splitlines()[1:]]
    return {int(row[9]) for row in rows if row[2] in (address, _MAPPED + address)}


def in_an_epoll(pid, peer):
    """Whether a process has its connection with `peer` in one of its epolls: the mark of one that is waited for, when
    the server itself uses none."""
    inodes = _inodes(peer)
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            if inodes & {int(ino, 16) for ino in re.findall(r"^tfd:.* ino:([0-9a-f]+)", entry.read_text(), re.M)}:
                return True
    return False
