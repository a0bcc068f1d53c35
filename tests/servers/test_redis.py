# SPDX-License-Identifier: MIT
"""Redis: epoll_wait(), accept4() on a non-blocking listener until it says EAGAIN, getpeername() for CLIENT INFO."""
import functools
import re
import signal

import pytest
from contract import Contract, Peer, Refused, Server
from harness import CLIENT, MODES, exchange, tool


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


@pytest.mark.parametrize("mode", MODES)
def test_protected_mode_is_for_whoever_is_not_on_this_host(start, balance, mode):
    server = start(kind=ProtectedRedis)
    balancer = balance(server)
    with pytest.raises(Refused, match="-DENIED Redis is running in protected mode"):
        server.login(balancer[mode])
    assert server.direct_login().address == "127.0.0.1"
