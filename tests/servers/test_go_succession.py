# SPDX-License-Identifier: MIT
"""Go: a server starts its successor, gives it the listener and ends; clients come all the while."""
import os
import shutil
import signal
import subprocess
from pathlib import Path

import counters
import pytest
from go_programs import build
from go_server import HERE, TOOL, Raw, RawStatic, Static, answer_to, by_run, having
from harness import BALANCER, DEADLINE, clean_env, dial, proxy_v1, proxy_v2, read_to_end, until
from place import SHIM

SERVER = Raw


def successor(server, mark):
    server.log.wait(r"^ready \S+ \d+$", mark)
    return int(server.log.find(r"^ready \S+ (\d+)$", mark)[0])


@pytest.mark.parametrize("kind, next_kind", [(Raw, Raw), (RawStatic, RawStatic), (Raw, RawStatic)],
                         ids=lambda kind: kind.way)
def test_a_successor_that_is_given_the_listener_is_served_too(start, kind, next_kind):
    program = build("server", next_kind.way)
    if not (SHIM.parent / TOOL.name).exists():
        shutil.copy(TOOL, SHIM.parent) # where the library looks for it first
    server = start(kind=having(kind, options=("-child", program)))
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


GIVES_A_LISTENER = """
import os, socket, sys
l = socket.create_server(("127.0.0.1", int(sys.argv[1])))
l.setblocking(False)
l.set_inheritable(True)
os.dup2(l.fileno(), 3)
os.execv(sys.argv[2], sys.argv[2:])
"""


class Given(Raw):
    """Started with a listener that does not block."""
    def argv(self):
        command = [self.program(), "-given", "-mode", self.mode]
        command = by_run(command, self.env) if self.way == "static" else command
        return ["/usr/bin/python3", "-c", GIVES_A_LISTENER, self.port, *command]


class GivenStatic(Static, Given):
    pass


@pytest.mark.parametrize("kind", [Given, GivenStatic], ids=lambda kind: kind.way)
def test_one_that_waits_alone_is_served_though_the_listener_stands_twice_in_the_epoll(start, kind):
    server = start(kind=kind)
    for header in proxy_v1(), proxy_v2():
        with dial(server.endpoint, BALANCER) as peer:
            peer.sendall(header[:10])
            until(lambda: server.holds_back(peer.getsockname()), "the shim waits for the rest")
            peer.sendall(header[10:] + b"hello\n")
            assert read_to_end(peer) == b"203.0.113.7:4711 hello\n"


class Upgraded(Raw):
    """Its successor is given the listener by tableflip, and it ends when it has answered whom it accepted."""
    options = ()

    def program(self):
        return build("upgraded", self.way, "github.com/cloudflare/tableflip")

    def argv(self):
        command = [self.program(), "-listen", f"127.0.0.1:{self.port}"]
        return by_run(command, self.env) if self.way == "static" else command


class UpgradedStatic(Static, Upgraded):
    pass


UPGRADED = pytest.mark.parametrize("kind", [Upgraded, UpgradedStatic], ids=lambda kind: kind.way)


REPLACED = 10


def lost_while_it_is_replaced(server, *options):
    """How many clients had no right answer while one successor after the other took the listener over. They come all the
    while: a Go program that starts another with its listener makes that one blocking for a moment (os.File.Fd), and may
    sleep in accept until the next one comes, without the shim too."""
    pid = server.pid
    clients = subprocess.Popen([server.client(), "-to", f"127.0.0.1:{server.port}", "-count", "1000000", "-beside", "32",
                                *options], stdout=subprocess.PIPE, env=clean_env(), text=True)
    try:
        for _ in range(REPLACED):
            mark = server.log.mark()
            os.kill(pid, signal.SIGHUP)
            pid = successor(server, mark)  # and its predecessor has ended
    finally:
        clients.terminate()
        asked, lost = map(int, clients.communicate()[0].split())
    os.kill(pid, signal.SIGTERM)
    assert asked > REPLACED
    return lost


@UPGRADED
def test_nobody_is_lost_to_a_successor_without_the_shim(start, kind):
    assert lost_while_it_is_replaced(start(bare=True, kind=kind), "-headers=false") == 0


@UPGRADED
def test_nobody_is_lost_to_a_successor_where_the_kernel_waits_for_the_header(start, kind):
    server = start(kind=kind, DEFER_ACCEPT="on", LOG="stderr:notice", **HERE)
    assert lost_while_it_is_replaced(server, "-late", "0") == 0


@UPGRADED
def test_only_those_whose_header_had_not_come_are_lost_to_a_successor_and_are_counted(start, kind):
    """The program that gives up its listener accepts no more from it: whom the shim waits for there cannot be given to
    anybody."""
    with counters.directory() as stats:
        lost = lost_while_it_is_replaced(start(kind=kind, STATS=stats, LOG="stderr:notice", **HERE))
        assert lost == counters.counted(stats).get("rejected.listener-closed", 0)


def test_pending_clients_are_ended_when_the_server_ends(start):
    server = start(kind=RawStatic)
    with dial(server.endpoint, BALANCER) as peer:
        peer.sendall(proxy_v2()[:20])
        until(lambda: server.holds_back(peer.getsockname()), "the shim waits for the rest")
        server.stop()
        assert read_to_end(peer) == b""
    assert server.log.find(r"^ended$")
