# SPDX-License-Identifier: MIT
"""conftest.py: what README.md and scripts/examples tell operators to do, done to real servers while clients keep asking them."""
import contextlib
import re
import signal
import socket
import struct
import sys
import threading
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "servers"))

pytest.register_assert_rewrite("contract")

from contract import Refused  # noqa: E402
from harness import DEADLINE, ROOT, Process, dial, read_to_end, reserve_port, scratch, tool, until  # noqa: E402

README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="session")
def make():
    """make(Kind, settings) is a server of that kind, not started; what kinds share is made once."""
    with contextlib.ExitStack() as scope:
        templates = {}

        def make(kind, settings):
            if kind not in templates:
                templates[kind] = scope.enter_context(scratch("template"))
                kind.make_template(templates[kind])
            return kind(scope.enter_context(scratch(kind.name)), templates[kind], settings)
        yield make


# --- clients that keep asking -----------------------------------------------------------------------------------------

class Session:
    """A client's connection, on which it asks whom the server takes it for."""

    def __init__(self, endpoint, source):
        self.sock = dial(endpoint, source)
        self.stream = self.sock.makefile("rwb", buffering=0)
        try:
            self.log_in()
        except BaseException:
            self.close()
            raise

    def log_in(self):
        pass

    def who(self):
        raise NotImplementedError

    def take(self, size):
        taken = b""
        while len(taken) < size:
            piece = self.stream.read(size - len(taken))
            if not piece:
                raise Refused(f"the connection ended after {taken!r}")
            taken += piece
        return taken

    def close(self):
        self.stream.close()
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class RedisSession(Session):
    def who(self):
        self.stream.write(b"CLIENT INFO\r\n")
        line = self.stream.readline()
        if not line.startswith(b"$"):
            raise Refused(repr(line))
        return re.search(r" addr=(\S+):\d+ ", self.take(int(line[1:]) + 2).decode())[1]


class PostgresSession(Session):
    """As the user app; the few messages of protocol 3 that this takes."""

    def log_in(self):
        startup = struct.pack("!I", 0x30000) + b"user\0app\0database\0postgres\0\0"
        self.stream.write(struct.pack("!I", len(startup) + 4) + startup)
        self.until_ready()

    def who(self):
        query = b"select host(inet_client_addr())\0"
        self.stream.write(b"Q" + struct.pack("!I", len(query) + 4) + query)
        return self.until_ready()

    def until_ready(self):
        """The row that came before, if one did."""
        row = None
        while True:
            kind, size = struct.unpack("!cI", self.take(5))
            body = self.take(size - 4)
            if kind == b"E":
                raise Refused(body.decode(errors="replace").replace("\0", " "))
            if kind == b"D":
                row = body[6:].decode()
            if kind == b"Z":
                return row


class Load:
    """For as long as the with-block lasts each client asks again and again, on a new connection and on one that it keeps.
    A single failure of any of them fails the test."""
    PAUSE = 0.005  # so that it is the server's readiness that is tried, and not the machine

    def __init__(self, session, endpoint, clients):
        self.session, self.endpoint, self.clients = session, endpoint, clients
        self.answers = []  # (client, what the server takes it for), in the order of their arrival
        self.failures = []
        self.done = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(client, kept)) for client in clients
                        for kept in (False, True)]

    def _run(self, client, kept):
        try:
            if kept:
                with self.session(self.endpoint, client) as session:
                    first = session.who()
                    while not self.done.wait(self.PAUSE):
                        assert session.who() == first, "a connection's client changed"
            else:
                while not self.done.wait(self.PAUSE):
                    with self.session(self.endpoint, client) as session:
                        self.answers.append((client, session.who()))
        except (OSError, Refused, AssertionError) as error:
            self.failures.append(f"{client}: {error!r}")

    def served(self, expected, rounds=20):
        """Waits until all clients, for some rounds, are those that expected(client) says; a failure ends it at once."""
        def settled():
            assert self.failures == []
            latest = self.answers[-rounds * len(self.clients):]
            return (len(latest) == rounds * len(self.clients) and {client for client, _ in latest} == set(self.clients)
                    and all(told == expected(client) for client, told in latest))
        until(settled, "clients are told as they should be")

    def rounds(self, count=20):
        """That many more answers for each client, whatever they say."""
        enough = len(self.answers) + count * len(self.clients)
        until(lambda: self.failures or len(self.answers) >= enough, "more answers")
        assert self.failures == []

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, error, trace):
        self.done.set()
        for thread in self.threads:
            thread.join(DEADLINE)
        if error is None:
            assert self.failures == []
            assert not any(thread.is_alive() for thread in self.threads), "a client waits for its answer"


# --- the balancer on the server's own host ----------------------------------------------------------------------------

class Sidecar(Process):
    """HAProxy as Debian's unit runs it, a master that reloads without letting a connection go."""
    name = "haproxy"
    stop_signal = signal.SIGTERM

    def __init__(self, directory, server_line):
        super().__init__(directory)
        self.endpoint = ("127.0.0.1", reserve_port())
        self.config = self.directory / "haproxy.cfg"
        self.control = self.directory / "haproxy.sock"
        self.configure(server_line)

    def configure(self, server_line):
        self.config.write_text(f"""\
defaults
    mode tcp
    timeout connect 20s
    timeout client 60s
    timeout server 60s
listen sidecar
    bind {self.endpoint[0]}:{self.endpoint[1]}
    {server_line}
""")

    def argv(self):
        return [tool("haproxy"), "-W", "-S", self.control, "-db", "-f", self.config]

    def ask(self, command):
        """What the master answers; nothing while it cannot be asked. Only when it answers does it listen to signals."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as control:
            control.settimeout(DEADLINE)
            control.connect(str(self.control))
            control.sendall(f"{command}\n".encode())
            control.shutdown(socket.SHUT_WR)
            return read_to_end(control).decode()
        return ""

    def reloads(self):
        """How often it was told to reload, once all that it started for it is up; else None."""
        counted = re.search(r"^\d+ +master +(\d+) \[failed: 0\].*^\d+ +worker +0 ", self.ask("show proc"), re.M | re.S)
        return int(counted[1]) if counted else None

    def is_ready(self, mark):
        return self.reloads() is not None

    def reload(self, server_line):
        """As `systemctl reload haproxy`."""
        before = self.reloads()
        self.configure(server_line)
        self.process.send_signal(signal.SIGUSR2)
        until(lambda: self.reloads() == before + 1, "HAProxy has reloaded")
