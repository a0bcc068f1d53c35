# SPDX-License-Identifier: MIT
"""xinetd: select(), accept(), fork and exec of a service that has its connection as 0, 1 and 2. Without the shim, which
its service then has; or with it, and then what it starts needs nothing."""
import ast
import functools
import sys

import pytest
from contract import Refused
from harness import BALANCER, CLIENT, CLIENT6, MODES, dial, example, read_to_end, tool
from inetd import Inetd, InetdContract, Preloaded


@functools.cache
def program():
    return tool("xinetd")


class Xinetd(Inetd):
    name = "xinetd"
    address = "    bind = 127.0.0.1\n"
    rules = ""
    own_ready_line = r"Started working: 1 available service"

    def super_server(self):
        config = self.directory / "xinetd.conf"
        env = " ".join(f"{name}={value}" for name, value in self.service_env.items())
        server, *arguments = self.service()
        config.write_text(f"""\
service sshd-i
{{
    type = UNLISTED
    socket_type = stream
    protocol = tcp
    wait = no
    user = {self.account}
{self.address}    port = {self.port}
    instances = UNLIMITED
    per_source = UNLIMITED
    cps = 10000 1
    log_type = FILE {self.own_log.path}
{self.rules}    server = {server}
    server_args = {" ".join(arguments)}
{f"    env += {env}" if env else ""}
}}
""")
        return [program(), "-dontfork", "-f", config, "-filelog", self.own_log.path, "-pidfile", self.directory / "pid"]


SERVER = Xinetd


class TestContract(InetdContract):
    pass


class ByTheExample(Xinetd):
    """As operators are told, on this host."""

    def super_server(self):
        words = super().super_server()
        server, *arguments = self.service()
        (self.directory / "xinetd.conf").write_text(example(
            "xinetd.conf", ("2222", str(self.port)), ("wait ", "bind = 127.0.0.1\n    wait "), ("/usr/sbin/sshd", server),
            ("server_args = -i", f"server_args = {' '.join(arguments)}"), ("libppshim.so", self.service_env["LD_PRELOAD"]),
            ("= root", f"= {self.account}"),
            ("10.108.0.0/24", BALANCER), ("/var/log/ppshim.log", str(self.log.path))))
        return words


def test_the_service_of_the_example_sees_the_client(start, balance):
    server = start(kind=ByTheExample)
    balancer = balance(server)
    for mode in MODES:
        mark = server.log.mark()
        assert server.login(balancer[mode]) == CLIENT
        assert len(server.log.events("accept", mark)) == 1
    assert server.direct_login().address == "127.0.0.1"


class PreloadedXinetd(Preloaded, Xinetd):
    rules = f"    only_from = {CLIENT[0]}\n    log_on_success = HOST PID\n    log_on_failure = HOST\n"


class PreloadedTwice(PreloadedXinetd):
    inherited = {"INHERITED": "on"}


@pytest.mark.parametrize("kind", [PreloadedXinetd, PreloadedTwice])
def test_xinetd_under_the_shim_judges_the_client_and_what_it_starts_sees_it(start, balance, kind):
    server = start(kind=kind)
    balancer = balance(server)
    for mode in MODES:
        mark = server.log.mark()
        assert server.login(balancer[mode]) == CLIENT
        accepted, = server.log.events("accept", mark)
        assert accepted.pid == server.pid
        assert server.log_names(CLIENT, mark)
    for endpoint in server.endpoint, balancer["stranger"]:
        with pytest.raises(Refused):
            server.login(endpoint)
    assert len(server.own_log.find(rf"START: sshd-i .* from={CLIENT[0]}$")) == len(MODES)
    assert server.own_log.find(r"FAIL: sshd-i address from=203\.0\.113\.8$")
    assert not server.own_log.find(BALANCER)
    assert server.log.events("reject") == []


# CPython asks with room for an address of the family that the socket has.
TELL = """
import os, socket
connection = socket.socket(fileno=0)
os.write(1, repr((connection.family == socket.AF_INET, connection.getpeername())).encode())
"""


class DualStack(PreloadedXinetd):
    """Not told to be IPv4's, xinetd listens for both, and makes an IPv4 client's socket AF_INET before the service starts
    (IPV6_ADDRFORM)."""
    address = rules = ""

    def service(self):
        script = self.directory / "tell.py"
        script.write_text(TELL)
        return [sys.executable, str(script)]

    def login(self, endpoint):
        with dial(endpoint) as connection:
            return ast.literal_eval(read_to_end(connection).decode())


def test_client_has_the_form_of_the_socket_that_xinetd_made_of_a_dual_stack_one(start, balance):
    server = start(kind=DualStack)
    balancer = balance(server)
    for mode in MODES:
        assert server.login(balancer[mode]) == (True, CLIENT)
    for mode in "ipv6-v1", "ipv6-v2":
        assert server.login(balancer[mode]) == (False, (*CLIENT6, 0, 0))
