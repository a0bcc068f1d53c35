# SPDX-License-Identifier: MIT
"""Node: libuv's epoll_pwait(), accept4() and getpeername(), on a dual-stack [::] unless told otherwise; in a cluster
the primary process hands accepted sockets to its workers, or shares the listener with them."""
import functools
import os
import signal
from pathlib import Path

import pytest
from contract import Contract, Peer, Server, strangers
from harness import (BALANCER, CLIENT, CLIENT6, MODES, Process, descendants, dial, in_an_epoll, open_files, proxy_v1,
                     read_to_end, reserve_port, shim_env, tool, until)
from web import get, served_at_once, unmapped

SCRIPT = Path(__file__).with_name("node_server.js")


@functools.cache
def program():
    return tool("node", "/usr/bin/nodejs")


class Node(Server):
    name = "node"
    stop_signal = signal.SIGTERM
    accept_error = r"^error .*"
    nonsense = b"\0\r\n\r\n"
    how = "alone"
    listeners = 1

    @classmethod
    def make_template(cls, directory):
        program()

    def __init__(self, directory, template, settings, host="127.0.0.1"):
        super().__init__(directory, template, settings, host)
        self.client_log = self.log

    @property
    def listens_on(self):
        return f"[::]:{self.port}"

    def argv(self):
        return [program(), SCRIPT, self.port, self.how]

    def is_ready(self, mark):
        return len(self.log.find(r"^listening$", mark)) == self.listeners

    def login(self, endpoint):
        address, port, _ = get(endpoint).split()
        return Peer(unmapped(address), int(port))

    def direct_login(self):
        return self.login(self.endpoint)

    def log_names(self, peer, since):
        return self.log.find(rf"^served (?:::ffff:)?{peer[0]} {peer[1]}$", since)

    def log_names_refused(self, peer, since):
        return self.log.find(rf"^refused (?:::ffff:)?{peer[0]} {peer[1]} HPE_INVALID", since)


class ClusterHanded(Node):
    how = "handed"
    listeners = 2


class ClusterShared(ClusterHanded):
    how = "shared"
    shares_accounts = False

    def acceptors(self):
        return [pid for pid, _ in descendants(self.pid)]


SERVER = Node
VARIANTS = [Node, ClusterHanded, ClusterShared]


class TestContract(Contract):
    pass


@pytest.mark.parametrize("mode", MODES)
def test_an_ipv4_client_of_a_dual_stack_socket_is_mapped(server, balancer, mode):
    assert get(balancer[mode]).split()[0] == f"::ffff:{CLIENT[0]}"
    assert get(server.endpoint).split()[0] == "::ffff:127.0.0.1"


@pytest.mark.parametrize("kind", [ClusterHanded, ClusterShared])
def test_every_worker_of_a_cluster_knows_its_clients(start, balance, kind):
    server = start(kind=kind)
    balancer = balance(server)
    served = [get(balancer[route]).split() for route in [*MODES, "ipv6-v1", "ipv6-v2"] * 4]
    assert [unmapped(address) for address, _, _ in served] == ([CLIENT[0]] * 3 + [CLIENT6[0]] * 2) * 4
    assert {int(pid) for _, _, pid in served} <= {pid for pid, _ in descendants(server.pid)}


def test_each_of_many_clients_at_once_is_served_as_itself(start, variant):
    server, clients = start(kind=variant, LOG="stderr:notice", TIMEOUT="60s"), strangers(300)
    answers = served_at_once(server, clients)
    assert [(unmapped(address), int(port)) for address, port, _ in answers] == clients
    assert {int(pid) for _, _, pid in answers} <= {server.pid, *(pid for pid, _ in descendants(server.pid))}
    assert server.accept_errors() == []


# --- a listener that comes and goes -----------------------------------------------------------------------------------

COMES_AND_GOES = """
const net = require('net')
const serve = (port, ready) => net.createServer(c => {
  c.on('error', () => {})
  c.end(`${c.remoteAddress}\\n`)
}).listen(port, '127.0.0.1', ready)
let second
const open = () => { second = serve(process.argv[2], () => console.log('open')) }
serve(process.argv[1], open)
process.on('SIGUSR2', () => second.close(() => console.log('closed')))
process.on('SIGHUP', open)
"""


class ComesAndGoes(Process):
    name = "node"
    ready_line = r"^open$"

    def __init__(self, directory):
        super().__init__(directory, shim_env(TRUST=BALANCER, TIMEOUT="60s"))
        self.stays, self.goes = (("127.0.0.1", reserve_port()) for _ in range(2))

    def argv(self):
        return [program(), "-e", COMES_AND_GOES, self.stays[1], self.goes[1]]

    def signal(self, number, answer):
        mark = self.log.mark()
        os.kill(self.pid, number)
        self.log.wait(answer, mark)

    def waits_for(self, peer):
        until(lambda: in_an_epoll(self.pid, peer.getsockname()), "it waits for the header")

    def parks(self, endpoint, count):
        """Connections that say nothing, and are waited for."""
        peers = [dial(endpoint, BALANCER) for _ in range(count)]
        for peer in peers:
            self.waits_for(peer)
        return peers

    def serves_late(self, endpoint):
        [late] = self.parks(endpoint, 1)
        with late:
            late.sendall(proxy_v1())
            assert read_to_end(late) == CLIENT[0].encode() + b"\n"


def test_a_listener_that_libuv_closed_by_a_system_call_keeps_no_descriptor_of_those_that_were_silent(tmp_path):
    """Its number is the next listener's at once; PPSHIM_TIMEOUT is a minute."""
    with ComesAndGoes(tmp_path) as server:
        server.serves_late(server.stays)
        server.serves_late(server.goes)
        before = open_files(server.pid)
        for _ in range(3):
            silent = server.parks(server.goes, 20)
            server.signal(signal.SIGUSR2, r"^closed$")
            for peer in silent:
                peer.close()
            server.signal(signal.SIGHUP, r"^open$")
            server.serves_late(server.goes)
        until(lambda: open_files(server.pid) <= before, lambda: f"{open_files(server.pid)} descriptors, of {before}")
