# SPDX-License-Identifier: MIT
"""wire.py: PROXY headers as bytes, and the peers that send them over raw sockets."""
import errno
import ipaddress
import os
import socket
import struct

from sockets import ended_among, reset
from waiting import DEADLINE, until

TRUSTED = "127.0.0.2"  # a balancer: what the tests put into PPSHIM_TRUST
DIRECT = "127.0.0.1"  # a client that comes without one
CLIENT = ("203.0.113.7", 4711)
CLIENT_TEXT = "203.0.113.7:4711"
CLIENT6 = ("2001:db8::7", 4711)
CLIENT6_TEXT = "[2001:db8::7]:4711"
SERVICE = ("192.0.2.10", 3306)
SERVICE6 = ("2001:db8::10", 3306)

# --- headers ----------------------------------------------------------------------------------------------------------

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL, PROXY = 0, 1
UNSPEC, TCP4, UDP4, TCP6, UDP6, UNIX, UNIX_DGRAM = 0x00, 0x11, 0x12, 0x21, 0x22, 0x31, 0x32
ALPN, AUTHORITY, CRC32C, NOOP, UNIQUE_ID, SSL, NETNS = 0x01, 0x02, 0x03, 0x04, 0x05, 0x20, 0x30
SSL_VERSION, SSL_CN, SSL_CIPHER = 0x21, 0x22, 0x23
ZTUNNEL, GCP, AWS, AZURE = 0xD0, 0xE0, 0xEA, 0xEE


def v1(src=CLIENT, dst=None):
    six = ":" in src[0]
    dst = dst or (SERVICE6 if six else SERVICE)
    return f"PROXY TCP{6 if six else 4} {src[0]} {dst[0]} {src[1]} {dst[1]}\r\n".encode()


def v2_raw(command, family, payload, version=2, length=None):
    """The fixed part and whatever is given after it, right or wrong."""
    length = len(payload) if length is None else length
    return SIGNATURE + struct.pack("!BBH", version << 4 | command, family, length) + payload


def block(src, dst):
    hosts = [ipaddress.ip_address(host).packed for host in (src[0], dst[0])]
    return b"".join(hosts) + struct.pack("!HH", src[1], dst[1])


def v2(src=CLIENT, dst=None, tlvs=b"", *, command=PROXY, family=None, crc=False, bad_crc=False):
    """A client's header, or with src None one without an address block. `tlvs`: their bytes, or (type, value) pairs."""
    payload = block(src, dst or (SERVICE6 if ":" in src[0] else SERVICE)) if src else b""
    if family is None:
        family = {0: UNSPEC, 12: TCP4, 36: TCP6}[len(payload)]
    payload += tlvs if isinstance(tlvs, bytes) else b"".join(tlv(*one) for one in tlvs)
    if not crc and not bad_crc:
        return v2_raw(command, family, payload)
    header = v2_raw(command, family, payload + tlv(CRC32C, bytes(4)))
    return header[:-4] + struct.pack("!I", crc32c(header) ^ bad_crc)


def v2_of_length(length):
    """A whole, valid header of exactly that many bytes, padded with NOOP TLVs."""
    room = length - len(v2())
    pad = tlv(NOOP, bytes(room - 3)) if room else b""
    assert len(v2(tlvs=pad)) == length
    return v2(tlvs=pad)


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def ssl_tlv(*subs, client=1, verify=0):
    return tlv(SSL, struct.pack("!BI", client, verify) + b"".join(subs))


def crc32c(data):
    """CRC-32C, RFC 3720 appendix B.4, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def all_wait(peers):
    """None of them has been answered or ended: what was done meanwhile did not wait for their time to be over."""
    return ended_among([peer.socket for peer in peers]) == []


# --- the server's end, as the kernel sees it --------------------------------------------------------------------------

NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY = 4, 20


def _ask_diag(local, remote):
    """What sock_diag(7) answers of the server's end of a connection (struct inet_diag_msg), None if there is none: one
    look-up however many connections the host has."""
    family = socket.AF_INET6 if ":" in local[0] else socket.AF_INET
    addresses = b"".join(socket.inet_pton(family, host).ljust(16, b"\0") for host in (local[0], remote[0]))
    request = struct.pack("=BBBxI", family, socket.IPPROTO_TCP, 0, 0xFFFFFFFF)
    request += struct.pack("!HH", local[1], remote[1]) + addresses + struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as diag:
        diag.send(struct.pack("=IHHII", 16 + len(request), SOCK_DIAG_BY_FAMILY, 1, 0, 0) + request)
        answer = diag.recv(4096)
    kind, = struct.unpack_from("=H", answer, 4)
    if kind == SOCK_DIAG_BY_FAMILY:
        return answer[16:]
    error, = struct.unpack_from("=i", answer, 16)
    assert error == -errno.ENOENT, os.strerror(-error)  # the connection is gone
    return None


def inode_of(local, remote):
    """Of the server's end; 0 while no process has accepted it."""
    told = _ask_diag(local, remote)
    return struct.unpack_from("=I", told, 4 + 48 + 16)[0] if told else 0


def cookie_of(local, remote):
    """The kernel's number for the server's end, which the server itself learns by SO_COOKIE."""
    return struct.unpack_from("=Q", _ask_diag(local, remote), 4 + 40)[0]


# --- peers ------------------------------------------------------------------------------------------------------------


class Peer:
    """One TCP connection to a server, from a chosen address. Sends bytes as they are, one segment a send."""
    protocol = 0
    refused = None  # what whoever reads or sends first is told

    def __init__(self, port, source=TRUSTED, host="127.0.0.1", patience=DEADLINE):
        self.server = host, port
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM,
                                    self.protocol)
        self.socket.settimeout(patience)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.bind((source, 0))
        self.name = self.socket.getsockname()[:2]
        try:
            self.socket.connect((host, port))
        except ConnectionResetError as error:  # accepted and refused before connect() came to return
            self.refused = error
        self.buffer = b""
        self.known_inode = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    @property
    def text(self):
        return "{}:{}".format(f"[{self.name[0]}]" if ":" in self.name[0] else self.name[0], self.name[1])

    def inode(self):
        self.known_inode = self.known_inode or inode_of(self.server, self.name)
        return self.known_inode

    def send(self, data):
        if self.refused:
            raise self.refused
        self.socket.sendall(data)
        return self

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def close(self):
        self.socket.close()

    def reset(self):
        reset(self.socket)

    def receive(self):
        if self.refused:
            raise self.refused
        data = self.socket.recv(65536)
        self.buffer += data
        return bool(data)

    def report(self):
        """What the server under test says of this connection: the line it sends first, as a dict."""
        while b"\n" not in self.buffer:
            assert self.receive(), f"closed by the server before its first line; got {self.buffer!r}"
        line, _, self.buffer = self.buffer.partition(b"\n")
        return fields(line.decode())

    def echo(self, expected):
        """The server must give back exactly `expected`, and then, once we half-close, nothing more."""
        self.half_close()
        while self.receive():
            pass
        assert self.buffer == expected

    def rejected(self):
        """Waits for the server's close; it must not have said a word."""
        try:
            while self.receive():
                pass
        except (ConnectionResetError, BrokenPipeError):  # the second from MPTCP
            pass
        assert self.buffer == b""


class UnixPeer(Peer):
    """The same over a Unix socket; the server's end has no name by which it could be looked up."""

    def __init__(self, path, name=None, patience=DEADLINE):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(patience)
        if name:
            self.socket.bind(name)
        self.socket.connect(path)
        self.buffer = b""

    text = "unix:"

    def inode(self):
        raise NotImplementedError


def accepted_at(path):
    """How many connections of this listening Unix socket have been accepted, and are open at the server's end."""
    with open("/proc/net/unix") as file:
        lines = [line.split() for line in file]
    return sum(words[5] == "03" and words[7:] == [str(path)] for words in lines)


def fields(line):
    """key=value words of a line; the words without "=" under None."""
    words = line.split(" ")
    return {None: [w for w in words if "=" not in w], **dict(w.split("=", 1) for w in words if "=" in w)}
