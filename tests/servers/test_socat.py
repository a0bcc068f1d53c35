# SPDX-License-Identifier: MIT
"""socat: accepts, forks, and becomes (nofork) a program that has the connection as 0 and 1."""
import functools
import shlex

from harness import CLIENT, CLIENT6, dial, read_to_end, tool
from inetd import Inetd, InetdContract, Preloaded


@functools.cache
def program():
    return tool("socat")


class Socat(Inetd):
    name = "socat"
    own_ready_line = r" listening on "

    def super_server(self):
        env = [f"{name}={value}" for name, value in self.service_env.items()]
        command = shlex.join(["env", *env, *self.service()]).replace(":", r"\:").replace(",", r"\,")
        host, port = self.endpoint
        return [program(), "-d", "-d", f"TCP-LISTEN:{port},bind={host},reuseaddr,fork", f"EXEC:{command},nofork"]


SERVER = Socat


class TestContract(InetdContract):
    pass


class Relay(Preloaded, Socat):
    """socat's usual way: a process of its own between the connection and the program, which it tells whom it serves."""

    def super_server(self):
        host, port = self.endpoint
        return [program(), "-d", "-d", f"TCP-LISTEN:{port},bind={host},reuseaddr,fork",
                r"SYSTEM:echo $SOCAT_PEERADDR $SOCAT_PEERPORT"]


def told(endpoint):
    """Without closing this side first: HAProxy gives such a client up, if it has not reached the server yet."""
    with dial(endpoint) as sock:
        return read_to_end(sock).decode()


def test_socat_under_the_shim_tells_its_program_who_the_client_is(start, balance):
    server = start(kind=Relay)
    balancer = balance(server)
    for route in "send-proxy", "send-proxy-v2":
        assert told(balancer[route]).split() == [CLIENT[0], str(CLIENT[1])]
    assert told(server.endpoint).startswith("127.0.0.1 ")
