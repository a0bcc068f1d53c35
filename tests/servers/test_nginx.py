# SPDX-License-Identifier: MIT
"""nginx: workers with an epoll each, the listener in all of them (EPOLLEXCLUSIVE), or in one after the other, or one
each; accept4() until EAGAIN, and the address is accept's. Its own support for PROXY headers stays off."""
import collections
import contextlib
import functools
import itertools
import os
import signal
import threading
from pathlib import Path

import pytest
from contract import Contract, Peer, Refused, Server, refused
from harness import BALANCER, CLIENT, CLIENT6, Log, descendants, dial, proxy_v2, read_to_end, tool, until, waits_in
from web import get


@functools.cache
def program():
    return tool("nginx")


class Nginx(Server):
    name = "nginx"
    stop_signal = signal.SIGTERM  # "fast": does not wait for clients
    accept_error = r"accept4?\(\) failed.*|.*\[(?:alert|emerg|crit)\].*"
    nonsense = b"\0\r\n\r\n"
    ipv6_routes = ()
    workers = 2
    listen = "127.0.0.1:{}"
    events = "accept_mutex off;"
    reload_signal = signal.SIGHUP
    reloaded = r" start worker process \d+$"
    daemon = "off"

    @classmethod
    def make_template(cls, directory):
        program()

    def __init__(self, directory, template, settings, host="127.0.0.1"):
        super().__init__(directory, template, settings, host)
        self.client_log = Log(self.directory / "access.log")
        (self.directory / "fenced").write_text("in\n")

    def argv(self):
        config, d = self.directory / "nginx.conf", self.directory
        temporary = "".join(f"  {kind}_temp_path {d}/{kind};\n"
                            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        config.write_text(f"""\
daemon {self.daemon};
{self.environment()}worker_processes {self.workers};
pid {d}/pid;
error_log stderr info;
events {{
  worker_connections 1024;
  {self.events}
}}
http {{
{temporary}
  log_format peers '$remote_addr:$remote_port $status';
  access_log {self.client_log.path} peers;
  server {{
    listen {self.listen.format(self.port)};
    location / {{ return 200 "$remote_addr $remote_port $pid\\n"; }}
    location = /fenced {{ root {d}; allow {CLIENT[0]}; deny all; }}
  }}
}}
""")
        return [program(), "-e", "stderr", "-c", config]

    def environment(self):
        """It gives what it executes nothing of its environment but what it is told to."""
        return "".join(f"env {name};\n" for name in self.env)

    def is_ready(self, mark):
        return len(self.log.find(r" start worker process \d+$", mark)) == self.workers

    def acceptors(self):
        return [pid for pid, _ in descendants(self.pid)]

    def login(self, endpoint):
        address, port, _ = get(endpoint).split()
        return Peer(address, int(port))

    def direct_login(self):
        return self.login(self.endpoint)

    def log_names(self, peer, since):
        return self.client_log.find(rf"^{peer[0]}:{peer[1]} 200$", since)

    def log_names_refused(self, peer, since):
        return self.client_log.find(rf"^{peer[0]}:{peer[1]} 400$")


class NginxReuseport(Nginx):
    """A listener for each worker."""
    listen = "127.0.0.1:{} reuseport"


class NginxMutex(Nginx):
    """The listener is in one worker's epoll at a time. PPSHIM_DEFER_ACCEPT is for these: a worker that waits for a
    header and then loses its turn hears of nothing until the next."""
    events = "accept_mutex on; accept_mutex_delay 20ms;"
    keeps_waiting = False


class NginxDualStack(Nginx):
    listen = "[::]:{} ipv6only=off"


class NginxMultiAccept(Nginx):
    """Whoever is woken takes all there is."""
    events = "multi_accept on;"


# The parent of daemons, as init is: nginx upgrades itself only when it is not its first parent's child any more. Asked
# to stop, it stops them all.
INIT = """
import ctypes, os, signal, subprocess, sys
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
subprocess.run(sys.argv[1:], check=True)
stopping = False
def stop(*_):
    global stopping
    stopping = True
    for child in open(f"/proc/self/task/{os.getpid()}/children").read().split():
        os.kill(int(child), signal.SIGTERM)
signal.signal(signal.SIGTERM, stop)
while True:
    try:
        os.wait()
    except ChildProcessError:
        sys.exit(0)
    if stopping:
        stop()
"""


class NginxDaemon(Nginx):
    """One that goes to the background, and can so be replaced by a new binary while it runs."""
    daemon = "on"

    def argv(self):
        return ["/usr/bin/python3", "-c", INIT, *super().argv()]

    def master(self, suffix=""):
        with contextlib.suppress(OSError, ValueError):
            return int((self.directory / f"pid{suffix}").read_text())

    def workers_of(self, master):
        return [pid for pid, _ in descendants(master) if parent_of(pid) == master and not is_master(pid)]

    def all_workers_of(self, master):
        found = self.workers_of(master)
        return len(found) == self.workers and found

    def wait_for_workers(self, master):
        """Each calls itself one when it is ready."""
        def state():
            children = {}
            for pid, _ in descendants(master):
                with contextlib.suppress(OSError):
                    children[pid] = Path(f"/proc/{pid}/cmdline").read_text().strip("\0"), waits_in(pid)
            return f"{self.workers} workers of {master}; its children: {children}; its pid file: {self.master()}"
        return until(lambda: self.all_workers_of(master), state)

    def acceptors(self):
        return [pid for master in filter(None, (self.master(".oldbin"), self.master()))
                for pid in self.workers_of(master)]


def parent_of(pid):
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def is_master(pid):
    with contextlib.suppress(OSError):
        return "master process" in Path(f"/proc/{pid}/cmdline").read_text()


SERVER = Nginx
VARIANTS = [Nginx, NginxReuseport, NginxMutex, NginxMultiAccept]


class TestContract(Contract):
    test_an_ipv6_client_is_seen_on_an_ipv4_listener = None  # see below


def test_an_ipv6_client_needs_a_listener_of_its_family(server, balancer, start, balance):
    """On an IPv4 one nginx keeps no room for the text of its address and drops it without a word."""
    dual = balance(start(kind=NginxDualStack))
    for route in ("ipv6-v1", "ipv6-v2"):
        assert get(dual[route]).split()[:2] == [CLIENT6[0], str(CLIENT6[1])]
        assert refused(server.login, balancer[route])
    assert get(dual["send-proxy"]).split()[0] == f"::ffff:{CLIENT[0]}"


def test_allow_and_deny_judge_the_client_and_not_the_balancer(server, balancer):
    assert get(balancer["send-proxy-v2"], "/fenced") == "in\n"
    for endpoint in (balancer["stranger"], server.endpoint):
        with pytest.raises(Refused, match="403 Forbidden"):
            get(endpoint, "/fenced")


def test_workers_of_a_new_configuration_go_on_where_the_old_ones_end(start, balance):
    server = start()
    balancer = balance(server)
    assert server.login(balancer["send-proxy"]) == CLIENT
    old, mark = set(server.acceptors()), server.log.mark()
    os.kill(server.pid, signal.SIGHUP)
    until(lambda: server.is_ready(mark) and not old & set(server.acceptors()), "new workers and none of the old")
    assert server.login(balancer["send-proxy-v2"]) == CLIENT
    assert server.accept_errors(mark) == []


# --- a new binary -----------------------------------------------------------------------------------------------------

class Load:
    """Clients without end, each another one, and every fourth a direct one, until told to stop."""

    def __init__(self, server):
        self.server, self.over = server, threading.Event()
        self.answers, self.wrong = collections.Counter(), []
        self.threads = [threading.Thread(target=self.come, args=(1 + number,)) for number in range(4)]

    def come(self, number):
        for turn in itertools.count(1):
            if self.over.is_set():
                return
            client = (f"198.51.{number}.{1 + turn % 250}", 1024 + turn % 60000) if turn % 4 else None
            try:
                self.ask(client)
            except (OSError, AssertionError, ValueError) as error:
                self.wrong.append((client, repr(error)))

    def ask(self, client):
        with dial(self.server.endpoint, BALANCER if client else None) as sock:
            name = client or sock.getsockname()
            sock.sendall((proxy_v2(client) if client else b"") + b"GET / HTTP/1.0\r\n\r\n")
            address, port, pid = read_to_end(sock).partition(b"\r\n\r\n")[2].decode().split()
        assert (address, int(port)) == name, (address, port)
        self.answers[int(pid)] += 1

    def is_answered_by(self, workers):
        """Which of them is the kernel's choice."""
        before = self.answers.copy()
        until(lambda: sum((self.answers - before)[pid] for pid in workers) >= 100, f"a hundred answers by {workers}")

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()


def test_a_new_binary_takes_over_under_load_without_a_wrong_address_or_a_failed_request(start):
    """USR2: the master executes the new one, which finds the listeners by their numbers. WINCH: the old workers end.
    QUIT: the old master does. With PPSHIM_DEFER_ACCEPT no worker has a connection whose header is yet to come."""
    server = start(kind=NginxDaemon, DEFER_ACCEPT="on", LOG="stderr:notice")
    old = server.master()
    old_workers = server.wait_for_workers(old)
    with Load(server) as load:
        load.is_answered_by(old_workers)
        mark = server.log.mark()
        os.kill(old, signal.SIGUSR2)
        until(lambda: server.is_ready(mark) and server.master() not in (None, old), "the new master's workers")
        new = server.master()
        assert parent_of(new) == old
        new_workers = server.wait_for_workers(new)
        load.is_answered_by(new_workers)
        os.kill(old, signal.SIGWINCH)
        until(lambda: not server.workers_of(old), "the old workers are gone")
        load.is_answered_by(new_workers)
        os.kill(old, signal.SIGQUIT)
        until(lambda: parent_of(old) is None, "the old master is gone")
        load.is_answered_by(new_workers)
    assert load.wrong == []
    assert {active.pid for active in server.log.events("active", mark)} == set(new_workers)
    assert server.accept_errors() == []
    assert server.log.events("reject") == []
