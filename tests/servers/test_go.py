# SPDX-License-Identifier: MIT
"""Go: system calls of its own, an edge-triggered epoll that tolerates EAGAIN, accept4() and the address it tells. The
preload rewrites where a dynamic program makes them; into a static one `ppshim run` puts the same."""
import ctypes
import os
import re
import shutil
import signal
import struct
import subprocess
from pathlib import Path

import pytest
from answers import ppshim
from contract import Contract, Peer, Server
from go_programs import build
from harness import (BALANCER, DEADLINE, ROOT, Process, clean_env, descendants, dial, proxy_v1, proxy_v2,
                     read_to_end, reserve_port, run, scratch, shim_env, tool, until)
from place import SHIM, needs
from web import get

TOOL = ROOT / "build" / "ppshim"


class Go(Server):
    name = "go"
    accept_error = r"^error .*"
    way = "dynamic"
    mode = "http"
    options = ()

    @classmethod
    def make_template(cls, directory):
        build("server", cls.way)

    def __init__(self, directory, template, settings, host="127.0.0.1"):
        super().__init__(directory, template, settings, host)
        self.client_log = self.log

    def program(self):
        return build("server", self.way)

    def argv(self):
        return [self.program(), "-listen", f"127.0.0.1:{self.port}", "-mode", self.mode, *self.options]

    def is_ready(self, mark):
        return self.log.find(r"^ready ", mark)

    def login(self, endpoint):
        address, port, _ = get(endpoint).split()
        return Peer(address, int(port))

    def direct_login(self):
        return self.login(self.endpoint)

    def log_names(self, peer, since):
        return self.log.find(rf"^from {peer[0]} {peer[1]}$", since)

    log_names_refused = log_names


class GoPie(Go):
    way = "pie"


class GoStatic(Go):
    way = "static"

    def argv(self):
        if "PPSHIM_TRUST" not in self.env:
            return super().argv()
        return [TOOL, "run", "--trust", self.env["PPSHIM_TRUST"], "--ports", "all", "--", *super().argv()]


class GoThreads(Go):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.env["GOMAXPROCS"] = "8"


class GoOneThread(GoStatic):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.env["GOMAXPROCS"] = "1"


SERVER = Go
VARIANTS = [Go, GoPie, GoStatic, GoThreads, GoOneThread]


class TestContract(Contract):
    def test_check_says_ok_and_the_probe_agrees(self, start, variant):
        """Of a static one the tool cannot tell what `ppshim run` put into it."""
        if variant.way != "static":
            super().test_check_says_ok_and_the_probe_agrees(start, variant)
            return
        needs("root")
        assert ppshim("check", start(kind=variant).pid).verdict == "no"


# --- many clients -----------------------------------------------------------------------------------------------------

class Raw:
    """What answers each client with its name, and that the client program knows."""
    mode = "raw"
    options = ("-network", "tcp")


class RawDynamic(Raw, Go):
    pass


class RawStatic(Raw, GoStatic):
    pass


def wrong_answers(server, *options):
    """(how many asked, how many answers were wrong or did not come)"""
    told = run(build("client"), "-to", f"127.0.0.1:{server.port}", *options, timeout=600)
    return tuple(map(int, told.stdout.split()))


RAW = pytest.mark.parametrize("kind", [RawDynamic, RawStatic], ids=lambda kind: kind.way)
HERE = {"TRUST": "127.0.0.1 127.0.0.2", "MAX_PENDING": "4000"}


@RAW
def test_three_thousand_clients_at_once_with_half_a_header_each(start, kind):
    server = start(kind=kind, **HERE)
    assert wrong_answers(server, "-count", "3000", "-beside", "3000", "-hold") == (3000, 0)


@RAW
@pytest.mark.parametrize("threads", ["1", "8"])
def test_no_client_is_mistaken_while_memory_is_collected_and_the_profiler_strikes(start, tmp_path, kind, threads):
    class Pressed(kind):
        options = ("-garbage", "2", "-profile", str(tmp_path / "profile"))

        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            self.env["GOMAXPROCS"] = threads
    server = start(kind=Pressed, **HERE)
    assert wrong_answers(server, "-count", "2000", "-beside", "32") == (2000, 0)
    server.stop()
    assert (tmp_path / "profile").stat().st_size > 0


@RAW
@pytest.mark.parametrize("mode", ["twice", "blocking", "children"])
def test_no_client_is_mistaken(start, kind, mode):
    """twice: two goroutines accept from one listener; blocking: with system calls of their own, which sleep; children:
    while programs are started all the time."""
    server = start(kind=type(mode, (kind,), {"mode": mode}), **HERE)
    assert wrong_answers(server, "-count", "2000", "-beside", "16") == (2000, 0)
    assert not server.log.find(r"^child: .*")


# --- other listeners --------------------------------------------------------------------------------------------------

def answer_to(server, header, line=b"hello\n"):
    with dial(server.endpoint, BALANCER) as sock:
        sock.sendall(header + line)
        return read_to_end(sock).decode()


class DualStack(RawDynamic):
    @property
    def listens_on(self):
        return f"[::]:{self.port}"

    def argv(self):
        return [self.program(), "-listen", f":{self.port}", "-mode", "raw"]


def test_a_dual_stack_listener_names_clients_of_both_families(start):
    server = start(kind=DualStack)
    assert answer_to(server, proxy_v1(("203.0.113.9", 555))) == "203.0.113.9:555 hello\n"
    assert answer_to(server, proxy_v2(("2001:db8::9", 555))) == "[2001:db8::9]:555 hello\n"


class TLS(RawDynamic):
    mode = "tls"


def test_a_header_stands_before_the_handshake(start):
    server = start(kind=TLS, TRUST="127.0.0.1")
    said = run(TOOL, "connect", "--from", "203.0.113.7:4711", "--", tool("openssl"), "s_client", "-quiet", "-connect",
               f"127.0.0.1:{server.port}", input="hello\n", check=False).stdout
    assert said == "203.0.113.7:4711 hello\n"


# --- succession -------------------------------------------------------------------------------------------------------

def successor(server, mark):
    server.log.wait(r"^ready \S+ \d+$", mark)
    return int(server.log.find(r"^ready \S+ (\d+)$", mark)[0])


@pytest.mark.parametrize("kind, next_kind", [(RawDynamic, RawDynamic), (RawStatic, RawStatic), (RawDynamic, RawStatic)],
                         ids=lambda kind: kind.way)
def test_a_successor_that_is_given_the_listener_is_served_too(start, kind, next_kind):
    program = build("server", next_kind.way)
    if not (SHIM.parent / TOOL.name).exists():
        shutil.copy(TOOL, SHIM.parent) # where the library looks for it first
    server = start(kind=type("Restarted", (kind,), {"options": ("-child", str(program))}))
    assert answer_to(server, proxy_v2()) == "203.0.113.7:4711 hello\n"
    mark = server.log.mark()
    server.process.send_signal(signal.SIGHUP)
    pid = successor(server, mark)
    try:
        server.process.wait(DEADLINE)
        assert os.readlink(f"/proc/{pid}/exe") == str(program)
        assert Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:3] == [bytes(program), b"-given", b"-mode"]
        assert answer_to(server, proxy_v1()) == "203.0.113.7:4711 hello\n"
        assert [event.pid for event in server.log.events("active", mark)] == [pid]
    finally:
        os.kill(pid, signal.SIGTERM)
        until(lambda: not Path(f"/proc/{pid}").exists(), "the successor has ended")


def test_pending_clients_are_ended_when_the_server_ends(start):
    server = start(kind=RawStatic)
    with dial(server.endpoint, BALANCER) as peer:
        peer.sendall(proxy_v2()[:20])
        until(lambda: server.holds_back(peer.getsockname()), "the shim waits for the rest")
        server.stop()
        assert read_to_end(peer) == b""
    assert server.log.find(r"^ended$")


# --- how a static program is started ----------------------------------------------------------------------------------

class Started(Process):
    """A static server started by `ppshim run` behind another program."""
    name = "go"
    ready_line = r"^ready \S+ \d+$"

    def __init__(self, directory, *before):
        super().__init__(directory, {})
        self.port, self.before = reserve_port(), before

    @property
    def endpoint(self):
        return "127.0.0.1", self.port

    def argv(self):
        return [*self.before, TOOL, "run", "--trust", BALANCER, "--ports", self.port, "--log", "stderr", "--",
                build("server"), "-listen", f"127.0.0.1:{self.port}"]


def test_the_process_is_the_one_that_was_started_and_nothing_stays_beside_it(tmp_path):
    before = build("server").read_bytes()
    with Started(tmp_path) as server:
        assert answer_to(server, proxy_v2()) == "203.0.113.7:4711 hello\n"
        server.log.wait(r"^ready ")
        assert server.log.find(r"^ready \S+ (\d+)$") == [str(server.pid)]
        assert os.readlink(f"/proc/{server.pid}/exe") == str(build("server"))
        assert Path(f"/proc/{server.pid}/cmdline").read_bytes().startswith(bytes(build("server")) + b"\0-listen\0")
        status = Path(f"/proc/{server.pid}/status").read_text()
        assert "\nTracerPid:\t0\n" in status and "\nNoNewPrivs:\t0\n" in status and "\nSeccomp:\t0\n" in status
        assert not descendants(server.pid)
        maps = Path(f"/proc/{server.pid}/maps").read_text()
        assert not re.search(r" .?wx", maps)
    assert build("server").read_bytes() == before


class AsNobody(Started):
    """From a directory that everybody can read."""
    def argv(self):
        for file in (TOOL, SHIM, build("server")):
            shutil.copy(file, self.directory)
        return [self.directory / word.name if word in (TOOL, build("server")) else word for word in super().argv()]


def test_nobody_without_any_privilege_can_start_one():
    needs("root")
    drop = [tool("setpriv"), "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--no-new-privs",
            "--bounding-set=-all"]
    with scratch("go") as copies, AsNobody(copies, *drop) as server:
        assert answer_to(server, proxy_v2()) == "203.0.113.7:4711 hello\n"
        assert "\nNoNewPrivs:\t1\n" in Path(f"/proc/{server.pid}/status").read_text()


def test_a_wrong_list_stops_it_before_it_is_started(tmp_path):
    done = run(TOOL, "run", "--trust", "@/no/such/file", "--ports", "all", "--", build("server"), check=False)
    assert done.returncode == 78 and done.stdout == "" and "@/no/such/file: cannot be opened" in done.stderr


def _refuse_ptrace():
    """As a unit's SystemCallFilter=@system-service with SystemCallErrorNumber=EPERM does."""
    load, jump, answer, ptrace = 0x20, 0x15, 0x06, 101
    code = [(load, 0, 0, 0), (jump, 0, 1, ptrace), (answer, 0, 0, 0x00050001), (answer, 0, 0, 0x7fff0000)]
    steps = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in code))
    program = struct.pack("HxxxxxxQ", len(code), ctypes.addressof(steps))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def test_where_ptrace_is_refused_the_program_is_not_started_and_the_reason_is_said():
    done = run(TOOL, "run", "--trust", BALANCER, "--ports", "all", "--", build("server"), check=False,
               preexec_fn=_refuse_ptrace)
    assert done.returncode == 126 and done.stdout == ""
    assert "the shim cannot be put into it: Operation not permitted (it needs ptrace: a SystemCallFilter=" in done.stderr


def test_no_memory_need_be_writable_and_executable(tmp_path):
    """PR_SET_MDWE, which is what systemd's MemoryDenyWriteExecute= uses where the kernel has it."""
    class Denied(Started):
        def argv(self):
            return [tool("python3"), "-c", "import ctypes, os, sys\n"
                    "ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)\nos.execv(sys.argv[1], sys.argv[1:])", *super().argv()]
    with Denied(tmp_path) as server:
        assert answer_to(server, proxy_v2()) == "203.0.113.7:4711 hello\n"


def altered(tmp_path, what, by, name="server", way="static"):
    """A copy of a program in which these bytes, each time they stand there, are others."""
    program = tmp_path / "altered"
    text = build(name, way).read_bytes()
    assert what in text
    program.write_bytes(text.replace(what, by))
    program.chmod(0o755)
    return program


ANOTHER_BODY = bytes.fromhex("0f05483d01f0ffff7615"), bytes.fromhex("0f05483d01f0ffff7614")


@pytest.mark.parametrize("what, by, why", [
    (*ANOTHER_BODY, "it makes its system calls in a way that this version does not know"),
    (b"syscall.Syscall6\0", b"syscall.Syscall7\0",
     "its table of functions does not confirm where it makes its system calls"),
    (bytes.fromhex("b8e90000000f0589442420c3"), bytes.fromhex("b8e90000000f0589442420cb"),
     "its epoll_ctl is none that this version knows"),
], ids=["body", "name", "epoll_ctl"])
def test_a_program_that_cannot_be_served_is_not_started(tmp_path, what, by, why):
    program = altered(tmp_path, what, by)
    done = run(TOOL, "run", "--trust", BALANCER, "--ports", "all", "--", program, check=False)
    assert done.returncode == 126 and done.stdout == ""
    assert done.stderr.startswith(f"ppshim run: {program} is a Go program that cannot be served: {why}")


def test_a_preloaded_program_that_cannot_be_served_says_so_and_may_not_listen(tmp_path):
    program = altered(tmp_path, b"syscall.Syscall6\0", b"syscall.Syscall7\0", way="dynamic")
    env = clean_env(**shim_env(TRUST=BALANCER, LOG="stderr"))
    done = run(program, check=False, env=env)
    assert done.returncode == 1 and "listen: operation not permitted" in done.stderr
    assert re.search(r"^ppshim\[\d+\]: error: this Go program cannot be served, and so may not listen: its table of "
                     rf"functions does not confirm where it makes its system calls exe={program}$", done.stderr, re.M)


def test_a_preloaded_program_that_cannot_be_served_does_what_else_it_is_for(tmp_path):
    program = altered(tmp_path, b"syscall.Syscall6\0", b"syscall.Syscall7\0", "client", "dynamic")
    done = run(program, "-count", "0", env=clean_env(**shim_env(TRUST=BALANCER, LOG="stderr")))
    assert done.stdout == "0 0\n"


def test_a_backtrace_goes_through_the_gate(start):
    server = start(kind=RawDynamic)
    gdb = subprocess.Popen(
        [tool("gdb"), "-batch", "-nx", "-p", str(server.pid), "-ex", "break pps_go_answer", "-ex", "echo waiting\\n",
         "-ex", "continue", "-ex", "bt"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=clean_env(), text=True)
    before = "".join(iter(gdb.stdout.readline, "waiting\n"))
    if "ptrace" in before:
        gdb.wait()
        pytest.skip(f"gdb may not attach here: {before.splitlines()[-1]}")
    with dial(server.endpoint, BALANCER) as sock:
        sock.sendall(proxy_v2() + b"x\n")
        said = gdb.communicate(timeout=DEADLINE)[0]
    assert re.search(r"#0 .*pps_go_answer.*#\d+ .*syscall\.Syscall6.*#\d+ .*net\.\(\*TCPListener\)\.Accept.*"
                     r"#\d+ .*main\.serveRaw", said, re.DOTALL), said
