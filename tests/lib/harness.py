# SPDX-License-Identifier: MIT
"""harness.py: what every test that runs a real program needs.

Owns processes and what becomes of them, their logs, PROXY headers as bytes, raw sockets, ports, certificates and the
balancer (HAProxy). Knows no server: how PostgreSQL is started or asked stands in its own test file.

Nothing here sleeps to let something happen. Every wait polls for the event itself and fails at a deadline, with what
it waited for in the message.
"""
import contextlib
import ctypes
import ipaddress
import os
import pwd
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from place import PATH, ROOT, SHIM, missing
from wire import CLIENT, CLIENT6, SIGNATURE, crc32c, tlv

DEADLINE = 50.0  # seconds until a wait is a failure; long, because a loaded machine is no bug, but less than a minute's
               # PPSHIM_TIMEOUT: what was kept waiting for that is one
POLL = 0.01


# --- tools ------------------------------------------------------------------------------------------------------------

def tool(name, *places):
    """The path of a program: in PATH, in the sbin directories, or by one of the glob patterns `places` (the newest)."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")
    for pattern in places:
        for path in sorted(Path("/").glob(pattern.lstrip("/"))):
            found = str(path)
    return found or missing(name)


def run(*argv, check=True, timeout=DEADLINE, **options):
    """A command to its end, output captured as text; a failure shows what it said."""
    options.setdefault("env", clean_env())
    options.setdefault("input", "")
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=timeout, **options)
    if check and done.returncode:
        raise AssertionError(f"{argv[0]} exited {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def clean_env(**more):
    """An environment that no setting of whoever runs the tests can leak into."""
    return {"PATH": PATH, "LC_ALL": "C", "TZ": "UTC",
            "HOME": "/nonexistent", **more}


def shim_env(**settings):
    """The environment of a server under the shim: shim_env(TRUST="127.0.0.2") sets PPSHIM_TRUST."""
    if not SHIM.exists():
        pytest.fail(f"{SHIM} is not built: run make", pytrace=False)
    return {"LD_PRELOAD": str(SHIM), **{f"PPSHIM_{name}": value for name, value in settings.items()}}


@contextlib.contextmanager
def scratch(name):
    """A directory that servers running as another user can reach, short enough for a Unix socket's path."""
    directory = Path(tempfile.mkdtemp(prefix=f"ppshim-{name}-", dir="/tmp"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def unprivileged(*names):
    """Who a server that refuses to run as root runs as: the first of these users that exists. None: we are not root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in (*names, "nobody") if name in known)


# --- waiting ----------------------------------------------------------------------------------------------------------

def until(happened, what, deadline=DEADLINE):
    """Polls until happened() is truthy and returns that; past the deadline the test fails. `what` may be a call that says
    how things stand then."""
    end = time.monotonic() + deadline
    while True:
        answer = happened()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline:g} s: {what() if callable(what) else what}")
        time.sleep(POLL)


# --- logs -------------------------------------------------------------------------------------------------------------

LINES_A_SECOND = 10          # what the shim writes at most
_CLOCK_MONOTONIC_COARSE = 6  # the clock it counts by
_window = [0, 0]             # a second of that clock, and the lines promised in it


def room_in_the_log(lines):
    """The shim leaves out what is more than ten lines a second: waits for a second in which so many more fit. Tests
    that count lines call it first, so that what they miss was never written rather than left out."""
    def fits():
        second = int(time.clock_gettime(_CLOCK_MONOTONIC_COARSE))
        if second != _window[0]:
            _window[:] = second, 0
        return _window[1] + lines <= LINES_A_SECOND
    until(fits, "a new second")
    _window[1] += lines


class Event(NamedTuple):
    """One line of the shim: `ppshim[PID]: reject peer=... reason=...`."""
    pid: int
    name: str
    fields: dict
    line: str

    def __getattr__(self, field):
        try:
            return self.fields[field]
        except KeyError:
            raise AttributeError(f"no {field}= in: {self.line}") from None


EVENT = re.compile(r"ppshim\[(\d+)\]: (\S+)(.*)")
FIELD = re.compile(r'([a-z0-9_-]+)=("[^"]*"|\S*)')


class Log:
    """A file that a server appends to."""

    def __init__(self, path):
        self.path = Path(path)
        self.path.touch()

    def mark(self):
        """Where the log ends now: give it as `since`."""
        return self.path.stat().st_size

    def text(self, since=0):
        with self.path.open("rb") as file:
            file.seek(since)
            return file.read().decode(errors="backslashreplace").replace("\r\n", "\n")

    def find(self, pattern, since=0):
        return re.findall(pattern, self.text(since), re.MULTILINE)

    def wait(self, pattern, since=0):
        return until(lambda: self.find(pattern, since), f"/{pattern}/ in {self.path}:\n{self.tail(since)}")

    def events(self, name=None, since=0):
        found = []
        for line in self.text(since).splitlines():
            match = EVENT.search(line)
            if match and name in (None, match[2]):
                found.append(Event(int(match[1]), match[2], dict(FIELD.findall(match[3])), line))
        return found

    def wait_event(self, name, since=0, **fields):
        """The one event of that name with those fields; it is an error if there are two."""
        def matching():
            return [e for e in self.events(name, since) if fields.items() <= e.fields.items()]
        found = until(matching, f"event {name} {fields} in {self.path}")
        assert len(found) == 1, found
        return found[0]

    def tail(self, since=0, lines=60):
        return "\n".join(self.text(since).splitlines()[-lines:])


# --- processes --------------------------------------------------------------------------------------------------------

running = []  # every Process that is up: their logs are shown with a failed test

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_the_tests():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _parents():
    """pid -> (parent, start time) of every process."""
    table = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                table[int(entry.name)] = (int(fields[1]), fields[19])
    return table


def descendants(pid):
    """{(pid, start time)} of all processes below pid: servers' children leave the process group, but not the tree."""
    table, found, level = _parents(), set(), {pid}
    while level:
        level = {child for child, (parent, _) in table.items() if parent in level}
        found |= {(child, table[child][1]) for child in level}
    return found


def waits_in(pid):
    """Where in the kernel each thread of a process waits, for messages about one that should not."""
    return [(task / "wchan").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class EndedAtStart(AssertionError):
    """A program was gone before it was ready."""

    def __init__(self, name, status, log):
        super().__init__(f"{name} exited {status} at start:\n{log}")
        self.status = status
        self.log = log


class Process:
    """A program with its output in a log; gone, with all its children, when the with-block ends.

    Subclasses say argv, ready_line and how to stop. A program that does not stop when asked politely fails the test:
    that is a server deaf to signals.
    """
    name = "process"
    ready_line = None
    stop_signal = signal.SIGTERM
    user = None

    def __init__(self, directory, env=None):
        self.directory = Path(directory)
        self.env = env or {}
        self.log = Log(self.directory / f"{self.name}.log")
        self.process = None

    def argv(self):
        raise NotImplementedError

    @property
    def pid(self):
        return self.process.pid

    def is_ready(self, mark):
        return self.log.find(self.ready_line, mark)

    def start(self):
        mark = self.log.mark()
        with self.log.path.open("ab") as out:
            self.process = subprocess.Popen(
                [str(a) for a in self.argv()], stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/",
                env=clean_env(**self.env), start_new_session=True, preexec_fn=_die_with_the_tests,
                **({"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []}
                   if self.user else {}))
        running.append(self)
        try:
            until(lambda: self._alive(mark) and self.is_ready(mark), f"{self.name} is ready")
        except BaseException:
            self.kill()
            raise
        return self

    def _alive(self, mark):
        if self.process.poll() is not None:
            raise EndedAtStart(self.name, self.process.returncode, self.log.text(mark))
        return True

    def signal_stop(self):
        self.process.send_signal(self.stop_signal)

    def stop(self):
        """Asks, waits, and makes certain. Idempotent."""
        if self.process is None:
            return
        with contextlib.ExitStack() as certain:
            certain.callback(self.kill)
            if self.process.poll() is None:
                self.signal_stop()
            try:
                self.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                raise AssertionError(f"{self.name} did not stop on {self.stop_signal.name}; its threads are in "
                                     f"{waits_in(self.pid)}") from None

    def kill(self):
        """The process and everything below it, whatever its state."""
        if self.process is None:
            return
        family = descendants(self.process.pid) if self.process.poll() is None else set()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        table = _parents()
        for pid, started in family:
            if table.get(pid, (0, None))[1] == started:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process = None
        running.remove(self)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, error, trace):
        if error is None:
            self.stop()
        else:
            self.kill()


# --- sockets ----------------------------------------------------------------------------------------------------------

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


# --- PROXY headers as bytes -------------------------------------------------------------------------------------------

V2_LOCAL, V2_PROXY = 0x20, 0x21
TCP4, TCP6 = 0x11, 0x21
TLV_CRC32C, TLV_SSL, TLV_SSL_CN = 0x03, 0x20, 0x22


def _default_destination(src):
    return ("192.0.2.1", 443) if ipaddress.ip_address(src[0]).version == 4 else ("2001:db8::1", 443)


def proxy_v1(src=CLIENT, dst=None):
    dst = dst or _default_destination(src)
    version = ipaddress.ip_address(src[0]).version
    return f"PROXY TCP{version} {src[0]} {dst[0]} {src[1]} {dst[1]}\r\n".encode()


def proxy_v2(src=CLIENT, dst=None, *, tlvs=(), crc=False, bad_crc=False, command=V2_PROXY, family=None):
    """The v2 header of a client, or with src None one without an address block. `tlvs` are (type, value)."""
    block = b""
    if src:
        dst = dst or _default_destination(src)
        block = b"".join(ipaddress.ip_address(end[0]).packed for end in (src, dst))
        block += struct.pack("!HH", src[1], dst[1])
    if family is None:
        family = {0: 0x00, 12: TCP4, 36: TCP6}[len(block)]
    body = block + b"".join(tlv(*one) for one in tlvs)
    if crc or bad_crc:
        body += tlv(TLV_CRC32C, bytes(4))
    header = SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body
    if crc or bad_crc:
        header = header[:-4] + struct.pack("!I", crc32c(header) ^ (1 if bad_crc else 0))
    return header


# --- the balancer -----------------------------------------------------------------------------------------------------

BALANCER = "127.0.0.2"          # HAProxy's address on the server's side; 127.0.0.1 stays a direct client
OTHER_BALANCER = "127.0.0.3"
COMMON_NAME = "ppshim test client"

MODES = ("send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn")


class Route(NamedTuple):
    """One way through the balancer: what it sends, who it says the client is, and the address it comes from."""
    mode: str = "send-proxy-v2"
    client: tuple = CLIENT
    source: str = BALANCER

    @property
    def tls(self):
        return "ssl" in self.mode

    @property
    def loopback(self):
        """Where clients reach it: of the client's family, so that both ends in the header are."""
        return "::1" if ":" in self.client[0] else "127.0.0.1"


ROUTES = {
    **{mode: Route(mode) for mode in MODES},
    "send-proxy-v2-crc32c": Route("send-proxy-v2 proxy-v2-options crc32c"),
    "ipv6-v1": Route("send-proxy", client=CLIENT6),
    "ipv6-v2": Route("send-proxy-v2", client=CLIENT6),
    "stranger": Route(client=("203.0.113.8", 4711)),
    "other-balancer": Route("send-proxy", source=OTHER_BALANCER),
}


class Certificates:
    """A certificate authority, a server's and a client's certificate by it, each with its key in one PEM file."""

    def __init__(self, directory):
        self.directory = directory
        self.openssl = tool("openssl")
        self.ca = self._make("ca", "ppshim test CA")
        self.server = self._make("server", "localhost", issuer=self.ca)
        self.client = self._make("client", COMMON_NAME, issuer=self.ca)

    def _make(self, name, common_name, issuer=None):
        pem, key, cert = (self.directory / f"{name}.{kind}" for kind in ("pem", "key", "crt"))
        request = [self.openssl, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                   "-keyout", key, "-subj", f"/CN={common_name}"]
        if issuer is None:
            run(*request, "-x509", "-days", "2", "-out", cert)
        else:
            csr = run(*request).stdout
            run(self.openssl, "x509", "-req", "-CA", issuer, "-CAkey", issuer, "-set_serial", str(time.time_ns()),
                "-days", "2", "-out", cert, input=csr)
        pem.write_text(cert.read_text() + key.read_text())
        return pem


class Balancer(Process):
    """HAProxy in front of one server: balancer["send-proxy"] is the (host, port) at which a client reaches the server
    by that route. Routes with TLS are plain too where the client stands: a hop of its own inside HAProxy does the
    handshake, with the client's certificate."""
    name = "haproxy"
    stop_signal = signal.SIGTERM

    def __init__(self, directory, target, certificates, routes=None):
        super().__init__(directory)
        self.target = target
        self.certificates = certificates
        self.routes = routes or ROUTES
        self.endpoints = {name: (route.loopback, reserve_port()) for name, route in self.routes.items()}
        self.inner = {name: (route.loopback, reserve_port()) for name, route in self.routes.items() if route.tls}
        self.control = self.directory / "haproxy.sock"
        self.config = self.directory / "haproxy.cfg"

    def __getitem__(self, route):
        return self.endpoints[route]

    def outside(self, route):
        """The address that the header on this route says the client connected to."""
        return self.inner.get(route) or self.endpoints[route]

    def argv(self):
        sections = [self._preamble(), *(self._section(name) for name in self.routes)]
        self.config.write_text("\n".join(sections))
        return [tool("haproxy"), "-db", "-f", self.config]

    def is_ready(self, mark):
        """It answers on its control socket: every listener is up. (To connect to one would connect to the server.)"""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as control:
            control.settimeout(DEADLINE)
            control.connect(str(self.control))
            control.sendall(b"show info\n")
            return b"Uptime" in read_to_end(control)

    def _preamble(self):
        return (f"global\n  stats socket {self.control} mode 600\n"
                "defaults\n  mode tcp\n  timeout connect 20s\n  timeout client 120s\n  timeout server 120s\n")

    def _section(self, name):
        route, (host, port) = self.routes[name], self.endpoints[name]
        bind, before = f"{host}:{port}", ""
        if route.tls:
            inner = "{}:{}".format(*self.inner[name])
            certs = self.certificates
            before = (f"listen {name}-client\n  bind {bind}\n"
                      f"  server tls {inner} ssl crt {certs.client} ca-file {certs.ca} verify required\n")
            bind = f"{inner} ssl crt {certs.server} ca-file {certs.ca} verify required"
        if isinstance(self.target, str):  # "unix@/path"; one connection for each client, though it is closed at once
            target, source, retries = self.target, "", "  retries 0\n"
        else:
            target = "{}:{}".format(*self.target)
            source = f"source {route.source}" if ":" not in self.target[0] else ""
            retries = ""
        return (f"{before}listen {name}\n  bind {bind}\n{retries}"
                f"  tcp-request connection set-src str({route.client[0]})\n"
                f"  tcp-request connection set-src-port int({route.client[1]})\n"
                f"  server target {target} {source} {route.mode}\n")
