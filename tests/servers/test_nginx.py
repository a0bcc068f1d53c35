# SPDX-License-Identifier: MIT
"""nginx: workers with an epoll each, the listener in all of them (EPOLLEXCLUSIVE), or in one after the other, or one
each; accept4() until EAGAIN, and the address is accept's. Its own support for PROXY headers stays off."""
import functools
import os
import signal

import pytest
from contract import Contract, Peer, Refused, Server, refused
from harness import CLIENT, CLIENT6, Log, descendants, tool, until
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
daemon off;
worker_processes {self.workers};
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
