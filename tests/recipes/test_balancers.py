# SPDX-License-Identifier: MIT
"""nginx as the balancer; what HAProxy adds to its header; and its health checks: those of its example file, the other
kinds, and those that come without a header."""
import re

import harness
import pytest
from conftest import PostgresSession, RedisSession, Sidecar
from contract import text
from harness import (BALANCER, COMMON_NAME, Balancer, Certificates, Process, Route, dial, example, haproxy_version,
                     listens, reserve_port, scratch, shim_env, tool, until)
from place import lacks
from test_mariadb import MariaDB
from test_nginx import Nginx
from test_postfix import Postfix
from test_postgresql import PostgreSQL
from test_redis import Redis

CLIENT = "127.0.0.7"


class NginxStream(Process):
    """scripts/examples/nginx.conf, on this host: other addresses, and one of its own towards the server."""
    name = "nginx"

    def __init__(self, directory, server):
        super().__init__(directory)
        self.endpoint = ("127.0.0.1", reserve_port())
        self.config = self.directory / "nginx.conf"
        snippet = example("nginx.conf", ("listen 5432;", f"listen {self.endpoint[0]}:{self.endpoint[1]};"),
                          ("proxy_pass 10.108.0.7:5432;",
                           f"proxy_pass 127.0.0.1:{server.port}; proxy_bind {BALANCER};"))
        module = tool("ngx_stream_module.so", "/usr/lib/nginx/modules/ngx_stream_module.so")
        self.config.write_text(f"load_module {module};\npid {self.directory}/pid;\nerror_log stderr;\ndaemon off;\n"
                               f"events {{}}\n{snippet}")

    def argv(self):
        return [tool("nginx"), "-c", self.config]

    def is_ready(self, mark):
        return listens(self.endpoint)


def test_nginx_names_the_client(make):
    server = make(Redis, {"TRUST": BALANCER, "TIMEOUT": "30s", "LOG": "stderr:info"})
    with server, scratch("nginx") as directory, NginxStream(directory, server) as balancer:
        with RedisSession(balancer.endpoint, CLIENT) as session:
            assert session.who() == CLIENT
        assert {event.v for event in server.log.events("accept")} == {"1"}
        assert server.log.events("reject") == []


# --- what HAProxy adds ------------------------------------------------------------------------------------------------

def test_all_that_haproxy_knows_of_a_client_is_logged(make):
    """With a checksum over all of it."""
    added = "ssl,cert-cn,ssl-cipher,cert-sig,cert-key,authority,unique-id,crc32c"
    routes = {"all": Route(f"send-proxy-v2 proxy-v2-options {added}")}
    server = make(Redis, {"TRUST": BALANCER, "TIMEOUT": "30s", "LOG": "stderr:info", "LOG_TLVS": "0x03,0x20"})
    with server, scratch("certificates") as made, scratch("haproxy") as directory, \
            Balancer(directory, server.endpoint, Certificates(made), routes) as balancer:
        assert server.login(balancer["all"]) == harness.CLIENT
        told = server.log.wait_event("accept", client=text(harness.CLIENT))
    assert (told.v, told.ssl, told.sni, told.cn) == ("2", "TLSv1.3", "localhost", COMMON_NAME.replace(" ", r"\x20"))
    assert re.fullmatch(r"TLS_[A-Z0-9_]+", told.cipher)
    assert told.fields["unique-id"] == "{}-{}".format(*harness.CLIENT)
    assert re.fullmatch(r"[0-9a-f]{8}", told.fields["tlv.0x03"])
    for name in (b"EC256", b"ecdsa-with-SHA256"):  # the key's and the signature's algorithm, of HAProxy's certificate
        assert name.hex() in told.fields["tlv.0x20"]


def test_a_tlv_that_haproxy_was_told_to_add_is_logged(make):
    if haproxy_version() < (2, 9):
        lacks("set-proxy-v2-tlv-fmt (HAProxy 2.9)")
    routes = {"own": Route("send-proxy-v2 set-proxy-v2-tlv-fmt(0xE7) of-%ci set-proxy-v2-tlv-fmt(0x30) blue")}
    server = make(Redis, {"TRUST": BALANCER, "TIMEOUT": "30s", "LOG": "stderr:info", "LOG_TLVS": "0xE7"})
    with server, scratch("haproxy") as directory, Balancer(directory, server.endpoint, None, routes) as balancer:
        assert server.login(balancer["own"]) == harness.CLIENT
        told = server.log.wait_event("accept", client=text(harness.CLIENT))
    assert bytes.fromhex(told.fields["tlv.0xE7"]).decode() == f"of-{harness.CLIENT[0]}"
    assert told.netns == "blue"


# --- its health checks ------------------------------------------------------------------------------------------------

def section(name, server):
    """The lines of scripts/examples/haproxy.cfg for such a server, on this host and with checks that do not take long."""
    lines = re.search(rf"^listen {name}\n    bind \S+\n(.*?)(?=\n\n)", example("haproxy.cfg"), re.M | re.S)[1]
    address = re.search(r"10\.108\.0\.7:\d+", lines)[0]
    return lines.replace(address, f"127.0.0.1:{server.port} source {BALANCER} inter 200ms fall 2")


def prepared(pattern):
    """The line that haproxy.cfg tells to give to the server."""
    [line] = re.findall(rf"^# (?:.*:  )?({pattern})", example("haproxy.cfg"), re.M)
    assert "10.108.0.9" in line
    return line.replace("10.108.0.9", BALANCER)


class CheckedPostgreSQL(PostgreSQL):
    """Lets in the balancer, by the rule that is told, and a client."""
    def __init__(self, *args):
        super().__init__(*args)
        (self.data / "pg_hba.conf").write_text(f"local all all trust\nhost all app {CLIENT}/32 trust\n"
                                               + prepared("host all haproxy .*") + "\n")

    def names(self, endpoint):
        with PostgresSession(endpoint, CLIENT) as session:
            return session.who() == CLIENT

    def is_content(self):
        return not self.log.find(r"FATAL|ERROR|incomplete|could not")


class CheckedMariaDB(MariaDB):
    def __init__(self, *args):
        super().__init__(*args)
        with (self.directory / "users.sql").open("a") as users:
            users.write(prepared("create user haproxy.*;") + f"\ncreate user who@'{CLIENT}';\n")

    def names(self, endpoint):
        """The server greets nobody that it does not know: whom it refuses, it names."""
        with dial(endpoint, CLIENT) as sock:
            return sock.recv(5)[4:] == b"\n"  # a greeting, of protocol 10

    def is_content(self):
        return self.on_unix_socket("show global status like 'Aborted_connects'").split() == ["Aborted_connects", "0"]


class CheckedRedis(Redis):
    def names(self, endpoint):
        with RedisSession(endpoint, CLIENT) as session:
            return session.who() == CLIENT

    def is_content(self):
        return True


CHECKED = {"postgresql": CheckedPostgreSQL, "mysql": CheckedMariaDB, "redis": CheckedRedis}


@pytest.mark.parametrize("name", CHECKED)
def test_the_checks_of_the_example_ask_the_server_and_leave_no_complaint(make, name):
    server = make(CHECKED[name], {"TRUST": BALANCER, "TIMEOUT": "30s", "LOG": "stderr:info"})
    with server, scratch("haproxy") as directory, Sidecar(directory, section(name, server)) as sidecar:
        until(lambda: ",L7OK," in sidecar.ask("@1 show stat"), "a check has succeeded")
        until(lambda: len(server.log.events("accept")) > 4, "some more")
        assert server.is_content()
        assert server.names(sidecar.endpoint)
        assert server.log.events("reject") == [] and not sidecar.log.find("is DOWN")


def checked(server, check, *before):
    """A section's lines that do not come from the example."""
    line = (f"server db 127.0.0.1:{server.port} source {BALANCER} send-proxy-v2 inter 200ms fall 2 "
            + check.format(port=server.port))
    return "\n    ".join(("timeout check 20s", *before, line))


CHECKS = {"on_the_servers_port": ("send-proxy-v2 check", True), "in_version_1": ("send-proxy check", True),
          "on_a_named_port": ("send-proxy-v2 check port {port}", False),
          "on_a_named_port_with_a_header": ("send-proxy-v2 check port {port} check-send-proxy", True)}


@pytest.mark.parametrize("check, has_header", CHECKS.values(), ids=CHECKS)
def test_health_checks_of_haproxy_are_fine_if_they_come_with_a_header(make, check, has_header):
    server = make(Redis, {"TRUST": BALANCER, "TIMEOUT": "500ms", "LOG": "stderr:info"})
    line = section("redis", server).replace("check send-proxy-v2", check.format(port=server.port))
    with server, scratch("haproxy") as directory, Sidecar(directory, line) as sidecar:
        if has_header:
            until(lambda: len(server.log.find(f" Accepted {BALANCER}:")) > 4, "some checks, by the balancer itself")
            with RedisSession(sidecar.endpoint, CLIENT) as session:
                assert session.who() == CLIENT
            assert server.log.events("reject") == [] and not sidecar.log.find("is DOWN")
        else:
            sidecar.log.wait(r"Server sidecar/\w+ is DOWN")
            assert {event.reason for event in server.log.events("reject")} == {"not-a-header"}


def test_a_check_that_only_connects_needs_no_header_and_leaves_no_line(make):
    """HAProxy does not even end the handshake: the kernel knows of it, the server does not."""
    server = make(Redis, {"TRUST": BALANCER, "TIMEOUT": "30s", "LOG": "stderr:debug"})
    with server, scratch("haproxy") as directory, Sidecar(directory, checked(server, "check port {port}")) as sidecar:
        until(lambda: ",L4OK," in sidecar.ask("@1 show stat"), "a check has succeeded")
        with RedisSession(sidecar.endpoint, CLIENT) as session:
            assert session.who() == CLIENT
        assert {event.name for event in server.log.events()} == {"active", "accept"}


class TlsServer(Process):
    """openssl's, one client after the other."""
    name = "s_server"
    ready_line = "^ACCEPT"

    @classmethod
    def make_template(cls, directory):
        Certificates(directory)

    def __init__(self, directory, template, settings):
        super().__init__(directory, shim_env(**settings))
        self.template = template
        self.port = reserve_port()

    def argv(self):
        return [tool("openssl"), "s_server", "-accept", f"127.0.0.1:{self.port}", "-cert", self.template / "server.pem",
                "-www"]


# What asks a server of each kind, and HAProxy's word for a right answer.
ASKED = {"httpchk": (Nginx, ["option httpchk GET /"], "L7OK"),
         "smtpchk": (Postfix, ["option smtpchk EHLO balancer.example"], "L7OK"),
         "ssl-hello-chk": (TlsServer, ["option ssl-hello-chk"], "L6OK"),
         "tcp-check connect": (Redis, ["option tcp-check", "tcp-check connect port {port} send-proxy",
                                       r"tcp-check send PING\r\n", "tcp-check expect string +PONG"], "L7OK")}


@pytest.mark.parametrize("kind, lines, right", ASKED.values(), ids=ASKED)
def test_a_check_that_asks_the_server_comes_as_the_balancer_itself(make, kind, lines, right):
    server = make(kind, {"TRUST": BALANCER, "TIMEOUT": "30s", "LOG": "stderr:info"})
    lines = checked(server, "check", *(line.format(port=server.port) for line in lines))
    with server, scratch("haproxy") as directory, Sidecar(directory, lines) as sidecar:
        until(lambda: f",{right}," in sidecar.ask("@1 show stat"), "a check has succeeded")
        until(lambda: len(server.log.events("accept")) > 4, "some more")
        assert {(event.v, event.client) for event in server.log.events("accept")} == {("2", "local")}
        assert server.log.events("reject") == [] and not sidecar.log.find("is DOWN")


def test_a_check_by_an_agent_has_no_header(make):
    """Its port is for an agent of its own, not for the server."""
    server = make(Redis, {"TRUST": BALANCER, "TIMEOUT": "500ms", "LOG": "stderr:info"})
    line = checked(server, r"check agent-check agent-port {port} agent-inter 1s agent-send PING\n")
    with server, scratch("haproxy") as directory, Sidecar(directory, line) as sidecar:
        assert server.log.wait_event("reject", reason="not-a-header").peer.startswith(f"{BALANCER}:")
        until(lambda: ",L4OK," in sidecar.ask("@1 show stat"), "the check of the server itself has succeeded")
        with RedisSession(sidecar.endpoint, CLIENT) as session:
            assert session.who() == CLIENT
