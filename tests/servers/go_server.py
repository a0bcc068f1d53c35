# SPDX-License-Identifier: MIT
"""go_server.py: the Go server of these tests (go/server) in its modes, under the preload and by `ppshim run`, and the Go
program that asks any server as many clients (go/client)."""
import os
import re
import struct
from pathlib import Path

from contract import Peer, Refused, Server, text
from go_programs import build
from harness import BALANCER, ROOT, dial, read_to_end, run

TOOL = ROOT / "build" / "ppshim"


def by_run(command, env):
    """The command line by which a static program is served as `env` says; without settings it is not."""
    if "PPSHIM_TRUST" not in env:
        return command
    return [TOOL, "run", "--trust", env["PPSHIM_TRUST"], "--ports", "all", "--", *command]


class Go(Server):
    name = "go"
    accept_error = r"^error .*"
    way = "dynamic"
    mode = ask = "http"  # how it serves, and how it is asked who we are
    library = None  # that it is built with
    options = ("-tell",)
    threads = None  # GOMAXPROCS

    @classmethod
    def make_template(cls, directory):
        build("server", cls.way, cls.library)

    def __init__(self, directory, template, settings, host="127.0.0.1"):
        super().__init__(directory, template, settings, host)
        self.client_log = self.log
        if self.threads:
            self.env["GOMAXPROCS"] = str(self.threads)

    def program(self):
        return build("server", self.way, self.library)

    def argv(self):
        command = [self.program(), "-listen", f"127.0.0.1:{self.port}", "-mode", self.mode, *self.options]
        return by_run(command, self.env) if self.way == "static" else command

    def is_ready(self, mark):
        return self.log.find(r"^ready ", mark)

    @classmethod
    def client(cls):
        return build("client", library=cls.library)

    def login(self, endpoint):
        done = run(self.client(), "-to", text(endpoint), "-ask", self.ask, "-who", check=False)
        if done.returncode:
            raise Refused(done.stderr)
        address, _, port = done.stdout.strip().rpartition(":")
        return Peer(address.strip("[]"), int(port))

    def direct_login(self):
        return self.login(self.endpoint)

    def log_names(self, peer, since):
        return self.log.find(rf"^from {peer[0]} {peer[1]}$", since)

    log_names_refused = log_names


class Static:
    way = "static"


class GoStatic(Static, Go):
    pass


class Raw(Go):
    """What answers each client with its name."""
    mode = ask = "raw"


class RawStatic(Static, Raw):
    pass


class TLS(Go):
    mode = ask = "tls"


class TLSStatic(Static, TLS):
    pass


class GRPC(Go):
    mode = ask = "grpc"
    library = "google.golang.org/grpc"


class GRPCStatic(Static, GRPC):
    pass


HERE = {"TRUST": "127.0.0.1 127.0.0.2", "MAX_PENDING": "4000"}  # where the clients are the balancer
CONNECTIONS = os.environ.get("GO_CONNECTIONS", "2000")  # of each test that counts wrong answers
ALL = [Go, GoStatic, Raw, RawStatic, TLS, TLSStatic, GRPC, GRPCStatic]


def wrong_answers(server, *options):
    """(how many asked, how many answers were wrong or did not come)"""
    told = run(server.client(), "-to", f"127.0.0.1:{server.port}", "-ask", server.ask, *options, timeout=1800)
    return tuple(map(int, told.stdout.split()))


def having(kind, **attributes):
    """The same with other attributes."""
    return type(kind.__name__, (kind,), attributes)


def answer_to(server, header, line=b"hello\n"):
    with dial(server.endpoint, BALANCER) as sock:
        sock.sendall(header + line)
        return read_to_end(sock).decode()


# What stands before the jump that replaced a system call: in Syscall6, and in runtime.epollctl up to Go 1.20.
SYSCALL6, EPOLL_CTL = b"\x48\x89\xce\x48\x89\xdf", b"\x8b\x54\x24\x10\x4c\x8b\x54\x24\x18"


def gate_of(pid, program, before=SYSCALL6):
    """Where the program goes instead; None: it makes no such system call itself."""
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    text = next(line for line in maps if " r-xp " in line and line.endswith(str(program)))
    first, end = (int(address, 16) for address in text.split()[0].split("-"))
    with open(f"/proc/{pid}/mem", "rb") as memory:
        memory.seek(first)
        found = re.findall(re.escape(before) + rb"\x49\xbb(.{8})\x41\xff\xe3", memory.read(end - first), re.DOTALL)
    assert len(found) <= 1
    return struct.unpack("<Q", found[0])[0] if found else None
