# SPDX-License-Identifier: MIT
"""Programs that end TLS before a server and tell it who came: hitch (version 2) and stunnel (version 1)."""
import pwd
import re
import ssl

import pytest
from harness import BALANCER, Certificates, Process, dial, listens, read_to_end, reserve_port, scratch, tool
from test_redis import Redis

CLIENT = "127.0.0.7"


@pytest.fixture(scope="module")
def certificates():
    with scratch("certificates") as directory:
        yield Certificates(directory)


class Terminator(Process):
    """With a listener of its own, for clients with TLS."""
    source = None  # its address on the server's side

    def __init__(self, directory, server, certificates):
        super().__init__(directory)
        self.server = server
        self.certificates = certificates
        self.endpoint = ("127.0.0.1", reserve_port())
        self.config = self.directory / f"{self.name}.conf"

    def is_ready(self, mark):
        return listens(self.endpoint)

    def client(self):
        """A client that comes and asks: its own name, and the one that the server has for it."""
        context = ssl.create_default_context(cafile=self.certificates.ca)
        context.check_hostname = False
        with dial(self.endpoint, CLIENT) as sock, context.wrap_socket(sock) as tls:
            tls.sendall(b"CLIENT INFO\r\nQUIT\r\n")
            answer = read_to_end(tls).decode()
            return "{}:{}".format(*tls.getsockname()), re.search(r" addr=(\S+) ", answer)[1]


class Hitch(Terminator):
    """It cannot choose its address: the server trusts all of this host's, and 127.0.0.1 is no direct client."""
    name = "hitch"
    source = "127.0.0.1"
    version = "2"

    def argv(self):
        self.config.write_text(f"""\
frontend = "[{self.endpoint[0]}]:{self.endpoint[1]}"
backend = "[127.0.0.1]:{self.server.port}"
pem-file = "{self.certificates.server}"
user = "nobody"
group = "{'nogroup' if pwd.getpwnam('nobody').pw_gid == 65534 else 'nobody'}"
workers = 1
daemon = off
write-proxy-v2 = on
proxy-tlv = on
""")
        return [tool("hitch"), f"--config={self.config}"]


class Stunnel(Terminator):
    name = "stunnel"
    source = BALANCER
    version = "1"

    def argv(self):
        self.config.write_text(f"""\
foreground = yes
pid =
[redis]
accept = {self.endpoint[0]}:{self.endpoint[1]}
connect = 127.0.0.1:{self.server.port}
cert = {self.certificates.server}
local = {BALANCER}
protocol = proxy
""")
        return [tool("stunnel"), self.config]


@pytest.mark.parametrize("kind", [Hitch, Stunnel])
def test_the_server_knows_who_came_with_tls(make, certificates, kind):
    server = make(Redis, {"TRUST": kind.source, "TIMEOUT": "30s", "LOG": "stderr:info"})
    with server, scratch(kind.name) as directory, kind(directory, server, certificates) as terminator:
        for _ in range(3):
            name, told = terminator.client()
            assert told == name
        assert {event.v for event in server.log.events("accept")} == {kind.version}
        assert server.log.events("reject") == []


def test_what_hitch_knows_of_a_clients_tls_is_logged(make, certificates):
    server = make(Redis, {"TRUST": Hitch.source, "TIMEOUT": "30s", "LOG": "stderr:info"})
    with server, scratch("hitch") as directory, Hitch(directory, server, certificates) as hitch:
        name, _ = hitch.client()
        told = server.log.wait_event("accept", client=name)
    assert told.ssl == "TLSv1.3"
    assert re.fullmatch(r"TLS_[A-Z0-9_]+", told.cipher)
