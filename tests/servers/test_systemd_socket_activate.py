# SPDX-License-Identifier: MIT
"""systemd-socket-activate: accepts, and starts a program for each connection as a unit with Accept=yes does. (How it
hands its listener to a server: test_mariadb.py.)"""
import functools

from contract import text
from harness import CLIENT, MODES, tool
from inetd import Inetd, InetdContract


@functools.cache
def program():
    return tool("systemd-socket-activate")


class SocketActivate(Inetd):
    name = "socket-activate"
    own_ready_line = r"^Listening on .* as 3\."

    def super_server(self):
        env = [f"--setenv={name}={value}" for name, value in self.service_env.items()]
        return [program(), "--accept", "--inetd", f"--listen={text(self.endpoint)}", *env, *self.service()]


SERVER = SocketActivate


class TestContract(InetdContract):
    pass


class InListenFds(SocketActivate):
    """Without --inetd the connection is number 3; a shell makes it what sshd wants."""

    def super_server(self):
        words = super().super_server()
        words.remove("--inetd")
        at = len(words) - len(self.service())
        return [*words[:at], "/bin/sh", "-c", 'exec "$0" "$@" <&3 >&3', *words[at:]]


def test_a_connection_in_listen_fds_loses_its_header_too(start, balance):
    server = start(kind=InListenFds)
    balancer = balance(server)
    for mode in MODES:
        mark = server.log.mark()
        assert server.login(balancer[mode]) == CLIENT
        assert len(server.log.events("accept", mark)) == 1
    assert server.direct_login().address == "127.0.0.1"
