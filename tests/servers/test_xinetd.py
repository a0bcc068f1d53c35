# SPDX-License-Identifier: MIT
"""xinetd: select(), accept(), fork and exec of a service that has its connection as 0, 1 and 2. Without the shim, which
its service then has; or with it, and then what it starts needs nothing."""
import functools

import pytest
from contract import Refused
from harness import BALANCER, CLIENT, MODES, tool
from inetd import Inetd, InetdContract, Preloaded


@functools.cache
def program():
    return tool("xinetd")


class Xinetd(Inetd):
    name = "xinetd"
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
    user = root
    bind = {self.endpoint[0]}
    port = {self.port}
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
