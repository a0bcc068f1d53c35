# SPDX-License-Identifier: MIT
"""Redis: epoll_wait(), accept4() on a non-blocking listener until it says EAGAIN, getpeername() for CLIENT INFO."""
import functools
import re
import signal

import pytest
from contract import Contract, Peer, Refused, Server, as_client, strangers, text
from harness import CLIENT, MODES, exchange, read_to_end, tool, until


@functools.cache
def program():
    return tool("redis-server")


class Redis(Server):
    name = "redis"
    ready_line = r"Ready to accept connections"
    stop_signal = signal.SIGTERM
    accept_error = r"Accepting client connection:.*|Error (?:accepting|registering|adding).*"
    nonsense = b"x" * (64 * 1024 + 1)  # too long for a command
    protected = "no"
    more = ()

    @classmethod
    def make_template(cls, directory):
        program()

    def __init__(self, directory, template, settings, host="127.0.0.1"):
        super().__init__(directory, template, settings, host)
        self.client_log = self.log

    def argv(self):
        host, port = self.endpoint
        return [program(), "--bind", host, "--port", port, "--dir", self.directory, "--save", "",
                "--loglevel", "verbose", "--protected-mode", self.protected, *self.more]

    def command(self, endpoint, *commands):
        """The answer to the first of these commands, the only one that is a string."""
        answer = exchange(endpoint, "".join(f"{one}\r\n" for one in (*commands, "QUIT")).encode()).decode()
        if not answer.startswith("$"):
            raise Refused(answer)
        return answer

    def login(self, endpoint):
        [(address, port)] = re.findall(r" addr=\[?(.+?)\]?:(\d+) ", self.command(endpoint, "CLIENT INFO"))
        return Peer(address, int(port))

    def direct_login(self):
        return self.login(self.endpoint)

    def log_names(self, peer, since):
        return self.log.find(rf" Accepted {peer[0]}:{peer[1]}$", since)

    def log_names_refused(self, peer, since):
        return (self.log_names(peer, since)
                and self.log.find(rf"Protocol error \(too big inline request\) .* addr={peer[0]}:{peer[1]} ", since))

    def start_children(self, endpoint):
        """A fork that saves the data."""
        mark = self.log.mark()
        self.command(endpoint, "CLIENT INFO", "BGSAVE")
        self.log.wait(r"Background saving terminated with success", mark)


class RedisForFifty(Redis):
    """Its tables end at some 180 descriptors: a client with a higher number is refused."""
    more = ("--maxclients", "50")


class ProtectedRedis(Redis):
    protected = "yes"


SERVER = Redis
VARIANTS = [Redis, RedisForFifty]


class TestContract(Contract):
    pass


def test_client_list_names_every_client(server, balancer):
    listed = server.command(balancer["send-proxy-v2"], "CLIENT LIST")
    assert f" addr={CLIENT[0]}:{CLIENT[1]} " in listed


def open_clients(server, clients):
    """A connection of each, of which the server has heard."""
    socks = [as_client(server, client) for client in clients]
    for sock in socks:
        sock.sendall(b"PING\r\n")
        assert sock.recv(64) == b"+PONG\r\n"
    return socks


def listed(server):
    return sorted(re.findall(r" addr=(\S+) ", server.command(server.endpoint, "CLIENT LIST")))


def test_client_list_names_each_of_many_open_connections(start):
    server, clients = start(TIMEOUT="60s"), strangers(200)
    socks = open_clients(server, clients)
    everybody = sorted(text(client) for client in clients)
    assert [one for one in listed(server) if not one.startswith("127.")] == everybody
    assert len(listed(server)) == len(clients) + 1  # who asks
    for sock in socks[::2]:
        sock.close()
    left = sorted(text(client) for client in clients[1::2])
    until(lambda: [one for one in listed(server) if not one.startswith("127.")] == left, "half of them are gone")
    more = [(f"198.51.100.{number}", 7) for number in range(1, 101)]
    socks += open_clients(server, more)
    assert [one for one in listed(server) if not one.startswith("127.")] == sorted(left + [text(one) for one in more])
    for sock in socks:
        sock.close()


def test_client_kill_ends_the_client_of_that_address_and_no_other(start):
    server, clients = start(), strangers(5)
    socks = open_clients(server, clients)
    assert exchange(server.endpoint, f"CLIENT KILL ADDR {text(clients[2])}\r\nQUIT\r\n".encode()) == b":1\r\n+OK\r\n"
    assert read_to_end(socks.pop(2)) == b""
    for sock in socks:
        sock.sendall(b"PING\r\n")
        assert sock.recv(64) == b"+PONG\r\n"
        sock.close()


@pytest.mark.parametrize("mode", MODES)
def test_protected_mode_is_for_whoever_is_not_on_this_host(start, balance, mode):
    server = start(kind=ProtectedRedis)
    balancer = balance(server)
    with pytest.raises(Refused, match="-DENIED Redis is running in protected mode"):
        server.login(balancer[mode])
    assert server.direct_login().address == "127.0.0.1"
