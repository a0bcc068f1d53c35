# SPDX-License-Identifier: MIT
"""nginx as the balancer, and the health checks of HAProxy that come with a header and those that do not."""
import pytest
from conftest import RedisSession, Sidecar, blocks
from harness import BALANCER, Process, dial, reserve_port, scratch, tool, until
from test_redis import Redis

CLIENT = "127.0.0.7"


class NginxStream(Process):
    """README.md's snippet, on this host: other addresses, and one of its own towards the server."""
    name = "nginx"

    def __init__(self, directory, server):
        super().__init__(directory)
        self.endpoint = ("127.0.0.1", reserve_port())
        self.config = self.directory / "nginx.conf"
        [snippet] = blocks("nginx")
        for written, here in (("listen 5432;", f"listen {self.endpoint[0]}:{self.endpoint[1]};"),
                              ("proxy_pass 10.108.0.7:5432;",
                               f"proxy_pass 127.0.0.1:{server.port}; proxy_bind {BALANCER};")):
            assert written in snippet
            snippet = snippet.replace(written, here)
        module = tool("ngx_stream_module.so", "/usr/lib/nginx/modules/ngx_stream_module.so")
        self.config.write_text(f"load_module {module};\npid {self.directory}/pid;\nerror_log stderr;\ndaemon off;\n"
                               f"events {{}}\n{snippet}")

    def argv(self):
        return [tool("nginx"), "-c", self.config]

    def is_ready(self, mark):
        try:
            dial(self.endpoint).close()
        except ConnectionRefusedError:
            return False
        return True


def test_nginx_names_the_client(make):
    server = make(Redis, {"TRUST": BALANCER, "TIMEOUT": "30s", "LOG": "stderr:info"})
    with server, scratch("nginx") as directory, NginxStream(directory, server) as balancer:
        with RedisSession(balancer.endpoint, CLIENT) as session:
            assert session.who() == CLIENT
        assert {event.v for event in server.log.events("accept")} == {"1"}
        assert server.log.events("reject") == []


CHECKS = {"on_the_servers_port": ("check", True), "on_a_named_port": ("check port {port}", False),
          "on_a_named_port_with_a_header": ("check port {port} check-send-proxy", True)}
TALKING = r"""option tcp-check
    tcp-check send PING\r\n
    tcp-check expect string +PONG
    """


def checked(server, check):
    return (f"server db 127.0.0.1:{server.port} source {BALANCER} send-proxy-v2 inter 200ms fall 2 "
            + check.format(port=server.port))


@pytest.mark.parametrize("check, has_header", CHECKS.values(), ids=CHECKS)
def test_health_checks_of_haproxy_are_fine_if_they_come_with_a_header(make, check, has_header):
    server = make(Redis, {"TRUST": BALANCER, "TIMEOUT": "500ms", "LOG": "stderr:info"})
    line = TALKING + checked(server, check)
    with server, scratch("haproxy") as directory, Sidecar(directory, line) as sidecar:
        if has_header:
            until(lambda: len(server.log.find(f" Accepted {BALANCER}:")) > 4, "some checks, by the balancer itself")
            with RedisSession(sidecar.endpoint, CLIENT) as session:
                assert session.who() == CLIENT
            assert server.log.events("reject") == [] and not sidecar.log.find("is DOWN")
        else:
            sidecar.log.wait(r"Server sidecar/db is DOWN")
            assert {event.reason for event in server.log.events("reject")} == {"not-a-header"}


def test_a_check_that_only_connects_needs_no_header_and_leaves_no_line(make):
    """HAProxy does not even end the handshake: the kernel knows of it, the server does not."""
    server = make(Redis, {"TRUST": BALANCER, "TIMEOUT": "30s", "LOG": "stderr:debug"})
    with server, scratch("haproxy") as directory, Sidecar(directory, checked(server, "check port {port}")) as sidecar:
        until(lambda: ",L4OK," in sidecar.ask("@1 show stat"), "a check has succeeded")
        with RedisSession(sidecar.endpoint, CLIENT) as session:
            assert session.who() == CLIENT
        assert {event.name for event in server.log.events()} == {"active", "accept"}
