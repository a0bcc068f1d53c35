# SPDX-License-Identifier: MIT
"""client -- balancer -- server -- stranger, each a host with addresses of its own. Whatever the cable between balancer and
server does to a header, each client is told right; a stranger is who he is, whatever he says."""
import contextlib
import socket
from typing import NamedTuple

import pytest
import wire
from balancer import HAProxy
from counters import directory, waits
from network import BadCable, Host, plug
from place import needs
from process import environment, scratch
from program import STYLES, Program, helper

FRONT = "192.0.2.{}", "2001:db8:1::{}"    # client 1, balancer 2
BACK = "198.51.100.{}", "2001:db8:2::{}"  # balancer 1, server 2
SIDE = "10.9.0.{}", "fd00:9::{}"          # stranger 1, server 2
TRUST = " ".join(net.format(1) for net in BACK)
DATA = b"data\0\r\nPROXY \xff"
CLIENTS = 6  # at a time, of each route and family
NARROW = 60  # bytes of a segment, TCP's options among them: a header is several


class Server(NamedTuple):
    style: list
    family: str  # of its listener
    reached: int  # by the balancer: BACK's index

    def knows(self, host, port):
        """As what it must know that client."""
        if ":" in host:
            return f"[{host}]:{port}"
        return f"[::ffff:{host}]:{port}" if self.family == "inet6" else f"{host}:{port}"


SERVERS = {
    "fork-inet": Server(STYLES["blocking-then-fork"], "inet", 0),
    "threads-dual-stack": Server(STYLES["threads"], "inet6", 0),
    "poll-dual-stack": Server(STYLES["poll"], "inet6", 1),
    "epoll-v6only": Server(STYLES["epoll-lt-nonblock"], "v6only", 1),
}

MODES = {
    "v1": "send-proxy",
    "v2": "send-proxy-v2",
    "v2-long": "send-proxy-v2 proxy-v2-options crc32c,unique-id",
}


class Front(HAProxy):
    """For each server and mode a port where both families come in."""

    def __init__(self, directory, servers):
        super().__init__(directory)
        pairs = [(server, mode) for server in servers for mode in MODES]
        self.ports = {pair: 7000 + i for i, pair in enumerate(pairs)}
        self.servers = servers

    def sections(self):
        for (name, mode), port in self.ports.items():
            target = BACK[SERVERS[name].reached].format(2), self.servers[name].port
            # One socket for both families in one mode: there the balancer itself knows IPv4 clients as v4-mapped.
            binds = [f":::{port} v4v6"] if mode == "v2" else [f"0.0.0.0:{port}", f":::{port} v6only"]
            yield "\n  ".join([f"listen {name}-{mode}", *(f"bind {bind}" for bind in binds),
                               "unique-id-format %[uuid()]-%[uuid()]-%[uuid()]",
                               "server target {}:{} {}".format(*target, MODES[mode])]) + "\n"


class World:
    def __init__(self, stack, cable):
        self.client, self.balancer, self.server, self.stranger = hosts = [Host() for _ in range(4)]
        for host in hosts:
            stack.callback(host.close)
        room = stack.enter_context(scratch("network"))
        self.cable, self.narrow = None, cable != "good"
        if cable == "bad":
            self.cable = BadCable(room, self.balancer, self.server, delay=2, jitter=8, loss=30)
            stack.enter_context(self.cable)
        self._wire(FRONT, self.client, self.balancer)
        back = self._wire(BACK, self.balancer, self.server, self.cable.ends if self.cable else None)
        self._wire(SIDE, self.stranger, self.server)
        if self.narrow:
            self.balancer.sysctl("ipv4/tcp_min_snd_mss", 48)
            for net in BACK:
                self.server.ip("route", "replace", net.format(1), "dev", back, "advmss", str(NARROW))
        self.stats = stack.enter_context(directory())
        self.programs = {}
        with self.server:
            for name, server in SERVERS.items():
                self.programs[name] = Program([helper("server"), *server.style, f"--family={server.family}"],
                                              environment(trust=TRUST, timeout="60s", stats=self.stats))
                stack.callback(self.programs[name].kill)
        self.front = Front(room, self.programs)
        with self.balancer:
            stack.enter_context(self.front)

    @staticmethod
    def _wire(nets, one, other, ends=None):
        """The name of the second end."""
        ends = ends or plug(one, other)
        for number, (host, end) in enumerate(zip((one, other), ends), 1):
            host.address(end, nets[0].format(number) + "/24", nets[1].format(number) + "/64")
        return ends[1]

    def clients(self, name):
        """Of that server, through the balancer, in each mode and family: (peer, as what it must be known)."""
        for mode in MODES:
            for net in FRONT:
                for _ in range(CLIENTS):
                    with self.client:
                        peer = wire.Peer(self.front.ports[name, mode], net.format(1), host=net.format(2))
                    yield peer, SERVERS[name].knows(*peer.name)

    def directly(self, name, net, host):
        """From the host at the other end of that net."""
        with host:
            return wire.Peer(self.programs[name].port, net.format(1), host=net.format(2))


@pytest.fixture(scope="module", params=["good", "narrow", "bad"])
def world(request):
    needs("root", "network", "cables")
    with contextlib.ExitStack() as stack:
        world = World(stack, request.param)
        yield world
        for program in world.programs.values():
            assert program.stop() == 0
            assert program.log.matching("reject") == []
        if world.cable:
            assert world.cable.told()["lost"] > 0
            assert sum(n for bound, n in waits(world.stats).items() if bound != "0.0") > 0


def are_told_right(world, name):
    peers = [(peer.send(DATA), who) for peer, who in world.clients(name)]
    for peer, who in peers:
        report = peer.report()
        assert (report["accept"], report["peer"]) == (who, who)
    for peer, _ in peers:
        peer.echo(DATA)
        peer.close()


@pytest.mark.parametrize("name", SERVERS)
def test_client_of_the_balancer_is_told_right(world, name):
    are_told_right(world, name)


@pytest.mark.parametrize("name", SERVERS)
def test_header_of_many_segments_is_taken_whole(world, name):
    server = SERVERS[name]
    with world.directly(name, BACK[server.reached], world.balancer) as peer:
        segment = peer.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        assert (segment <= NARROW) == world.narrow
        header = wire.v2_of_length(30 * segment)
        report = peer.send(header + DATA).report()
        assert report["accept"] == report["peer"] == server.knows(*wire.CLIENT)
        peer.echo(DATA)


@pytest.mark.parametrize("header", [wire.v1(), wire.v2(), wire.v2(wire.CLIENT6)], ids=["v1", "v2", "v2-inet6"])
@pytest.mark.parametrize("name", SERVERS)
def test_stranger_is_who_he_is(world, name, header):
    server = SERVERS[name]
    for net in SIDE:
        if server.family != {False: "v6only", True: "inet"}[":" in net]:
            with world.directly(name, net, world.stranger) as peer:
                report = peer.send(header + DATA).report()
                assert report["accept"] == report["peer"] == server.knows(*peer.name)
                peer.echo(header + DATA)
