# SPDX-License-Identifier: MIT
"""Go: system calls of its own, an edge-triggered epoll that tolerates EAGAIN, accept4() and the address it tells. The
preload rewrites where a dynamic program makes them; into a static one `ppshim run` puts the same."""
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from contract import Contract
from go_programs import altered, build
from go_server import TLS, TOOL, Go, GoStatic, Raw, RawStatic, answer_to, gate_of, having
from harness import (BALANCER, ROOT, Process, descendants, proxy_v1, proxy_v2, reserve_port, run, scratch,
                     tool, until, waits_in)
from place import SHIM, lacks, needs
from seccomp import refusing


IMAGE = ROOT / "build/go-image"  # what is put into a static program, with its symbols
WAYS = pytest.mark.parametrize("kind", [Raw, RawStatic], ids=lambda kind: kind.way)


class RawPie(Raw):
    way = "pie"


class GoEightThreads(Go):
    threads = 8


class GoOneThread(GoStatic):
    threads = 1


SERVER = Go
VARIANTS = [Go, RawPie, GoStatic, GoEightThreads, GoOneThread]


class TestContract(Contract):
    pass


# --- other listeners --------------------------------------------------------------------------------------------------

class DualStack(Raw):
    @property
    def listens_on(self):
        return f"[::]:{self.port}"

    def argv(self):
        return [self.program(), "-listen", f":{self.port}", "-mode", "raw"]


def test_a_dual_stack_listener_names_clients_of_both_families(start):
    server = start(kind=DualStack)
    assert answer_to(server, proxy_v1(("203.0.113.9", 555))) == "203.0.113.9:555 hello\n"
    assert answer_to(server, proxy_v2(("2001:db8::9", 555))) == "[2001:db8::9]:555 hello\n"


def test_a_header_stands_before_the_handshake(start):
    server = start(kind=TLS, TRUST="127.0.0.1")
    said = run(TOOL, "connect", "--from", "203.0.113.7:4711", "--", tool("openssl"), "s_client", "-quiet", "-connect",
               f"127.0.0.1:{server.port}", input="hello\n", check=False).stdout
    assert said == "203.0.113.7:4711 hello\n"


# --- how a static program is started ----------------------------------------------------------------------------------

class Started(Process):
    """A server started by `ppshim run` behind another program."""
    name = "go"
    ready_line = r"^ready \S+ \d+$"

    def __init__(self, directory, way, *before):
        super().__init__(directory, {})
        self.port, self.way, self.before = reserve_port(), way, before

    @property
    def endpoint(self):
        return "127.0.0.1", self.port

    def program(self):
        return build("server", self.way)

    def argv(self):
        return [*self.before, TOOL, "run", "--trust", BALANCER, "--ports", self.port, "--log", "stderr", "--",
                self.program(), "-listen", f"127.0.0.1:{self.port}"]


EITHER_WAY = pytest.mark.parametrize("way", ["dynamic", "static"])


@EITHER_WAY
def test_the_process_is_the_one_that_was_started_and_nothing_stays_beside_it(tmp_path, way):
    before = build("server", way).read_bytes()
    with Started(tmp_path, way) as server:
        assert answer_to(server, proxy_v2()) == "203.0.113.7:4711 hello\n"
        server.log.wait(r"^ready ")
        assert server.log.find(r"^ready \S+ (\d+)$") == [str(server.pid)]
        assert os.readlink(f"/proc/{server.pid}/exe") == str(server.program())
        assert Path(f"/proc/{server.pid}/cmdline").read_bytes().startswith(bytes(server.program()) + b"\0-listen\0")
        status = Path(f"/proc/{server.pid}/status").read_text()
        own = Path("/proc/self/status").read_text()
        assert "\nTracerPid:\t0\n" in status
        for name in ("NoNewPrivs", "Seccomp"):  # as whoever started it
            assert re.findall(rf"^{name}:.*", status, re.M) == re.findall(rf"^{name}:.*", own, re.M) != []
        assert not descendants(server.pid)
        maps = Path(f"/proc/{server.pid}/maps").read_text()
        assert not re.search(r" .?wx", maps)
    assert build("server", way).read_bytes() == before


class ByAnyone(Started):
    """From a directory that everybody can read."""
    def argv(self):
        for file in (TOOL, SHIM, self.program()):
            shutil.copy(file, self.directory)
        return [self.directory / word.name if word in (TOOL, self.program()) else word for word in super().argv()]


@EITHER_WAY
def test_nobody_without_any_privilege_can_start_one(way):
    needs("root")
    drop = [tool("setpriv"), "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--no-new-privs",
            "--bounding-set=-all"]
    with scratch("go") as copies, ByAnyone(copies, way, *drop) as server:
        assert answer_to(server, proxy_v2()) == "203.0.113.7:4711 hello\n"
        assert "\nNoNewPrivs:\t1\n" in Path(f"/proc/{server.pid}/status").read_text()


@EITHER_WAY
def test_it_can_be_started_in_user_and_mount_namespaces_of_its_own(way):
    needs("users")
    with scratch("go") as copies, ByAnyone(copies, way, tool("unshare"), "--user", "--mount") as server:
        assert answer_to(server, proxy_v2()) == "203.0.113.7:4711 hello\n"
        for namespace in "user", "mnt":
            assert os.readlink(f"/proc/{server.pid}/ns/{namespace}") != os.readlink(f"/proc/self/ns/{namespace}")


def test_a_wrong_list_stops_it_before_it_is_started(tmp_path):
    done = run(TOOL, "run", "--trust", "@/no/such/file", "--ports", "all", "--", build("server"), check=False)
    assert done.returncode == 78 and done.stdout == "" and "@/no/such/file: cannot be opened" in done.stderr


PTRACE = 101


def test_where_ptrace_is_refused_the_program_is_not_started_and_the_reason_is_said():
    done = run(TOOL, "run", "--trust", BALANCER, "--ports", "all", "--", build("server"), check=False,
               preexec_fn=refusing(PTRACE))
    assert done.returncode == 126 and done.stdout == ""
    assert "the shim cannot be put into it: Operation not permitted (it needs ptrace: a SystemCallFilter=" in done.stderr


@EITHER_WAY
def test_no_memory_need_be_writable_and_executable(tmp_path, way):
    """PR_SET_MDWE, which is what systemd's MemoryDenyWriteExecute= uses where the kernel has it."""
    class Denied(Started):
        def argv(self):
            return [tool("python3"), "-c", "import ctypes, os, sys\n"
                    "ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)\nos.execv(sys.argv[1], sys.argv[1:])", *super().argv()]
    with Denied(tmp_path, way) as server:
        assert answer_to(server, proxy_v2()) == "203.0.113.7:4711 hello\n"


SCHEDULING = {"futex", "nanosleep", "epoll_pwait", "sched_yield", "tgkill", "rt_sigreturn", "madvise"}


def calls_for(server, connections):
    """How often it makes which system call, those of its scheduler aside, for so many connections one after the other."""
    with tempfile.NamedTemporaryFile() as counts, subprocess.Popen(
            [tool("strace"), "-f", "-c", "-U", "name,calls", "-o", counts.name, "-p", str(server.pid)],
            stderr=subprocess.PIPE, text=True) as tracer:
        said = tracer.stderr.readline()
        if "Operation not permitted" in said:
            lacks("leave for strace to attach")
        assert "attached" in said, said
        for _ in range(connections):
            assert answer_to(server, proxy_v2() if server.env else b"") != ""
        tracer.send_signal(signal.SIGINT)
        tracer.stderr.read()
        lines = re.findall(r"^(\w+) +(\d+)$", counts.read().decode(), re.M)
    calls = Counter({name: int(count) for name, count in lines if name != "total"})
    calls["getpid"] -= calls["tgkill"]  # by which it interrupts a thread of its own
    return Counter({name: count for name, count in calls.items() if name not in SCHEDULING})


@WAYS
def test_a_header_that_is_there_costs_three_system_calls_and_its_name_one(start, kind):
    bare = calls_for(start(kind=kind, bare=True), 50)
    served = calls_for(start(kind=kind, DEFER_ACCEPT="on", LOG="stderr:error"), 50)
    more = {name: round((served[name] - bare[name]) / 50) for name in served}
    assert {name: count for name, count in more.items() if count} == {"recvfrom": 2, "setsockopt": 1, "getsockopt": 1}


ANOTHER_BODY = bytes.fromhex("0f05483d01f0ffff7615"), bytes.fromhex("0f05483d01f0ffff7614")


@pytest.mark.parametrize("what, by, why", [
    (*ANOTHER_BODY, "it makes its system calls in a way that this version does not know"),
    (b"syscall.Syscall6\0", b"syscall.Syscall7\0",
     "its table of functions does not confirm where it makes its system calls"),
    (bytes.fromhex("b8e90000000f0589442420c3"), bytes.fromhex("b8e90000000f0589442420cb"),
     "its epoll_ctl is none that this version knows"),
], ids=["body", "name", "epoll_ctl"])
def test_a_program_that_cannot_be_served_is_not_started(tmp_path, what, by, why):
    program = altered(tmp_path, build("server"), what, by)
    done = run(TOOL, "run", "--trust", BALANCER, "--ports", "all", "--", program, check=False)
    assert done.returncode == 126 and done.stdout == ""
    assert done.stderr.startswith(f"ppshim run: {program} is a Go program that cannot be served: {why}")


# --- what a debugger sees ---------------------------------------------------------------------------------------------

def debug(*commands):
    """What gdb says of these; a loud skip where it may not attach."""
    words = [word for command in commands for word in ("-ex", command)]
    said = run(tool("gdb"), "-batch", "-nx", *words).stdout
    if "ptrace: Operation not permitted" in said:
        lacks("leave for gdb to attach")
    return said


def symbols(server):
    """gdb's command by which it knows what is in a static program: it knows libraries by itself."""
    if server.way == "dynamic":
        return "echo"
    lines = run("nm", IMAGE).stdout.splitlines()
    gate = next(int(line.split()[0], 16) for line in lines if line.endswith(" pps_go_gate"))
    return f"add-symbol-file {IMAGE} -o {gate_of(server.pid, server.program()) - gate:#x}"


THROUGH_THE_GATE = r"#0 .* pps_call6 .*#\d+ .* __morestack .*#\d+ .* syscall\.Syscall6 .*#\d+ .* main\.serveBlocking "


def asleep_in_accept(kind, start):
    server = start(kind=having(kind, mode="blocking"))
    until(lambda: any("accept" in where for where in waits_in(server.pid)), "a thread sleeps in accept")
    return server


@WAYS
def test_a_backtrace_goes_through_the_gate(start, kind):
    server = asleep_in_accept(kind, start)
    said = debug(f"attach {server.pid}", symbols(server), "thread apply all bt")
    assert re.search(THROUGH_THE_GATE, said, re.DOTALL), said


@WAYS
def test_a_core_dump_is_readable_through_the_gate(start, kind, tmp_path):
    server = asleep_in_accept(kind, start)
    commands = symbols(server), "thread apply all bt"
    debug(f"attach {server.pid}", f"generate-core-file {tmp_path}/core")
    server.stop()
    said = debug(f"file {server.program()}", f"core-file {tmp_path}/core", *commands)
    assert re.search(THROUGH_THE_GATE, said, re.DOTALL), said
