# SPDX-License-Identifier: MIT
"""balancer.py: HAProxy before a server, and the certificates of those who come through it."""
import contextlib
import re
import socket
import time
from typing import NamedTuple

from place import tool
from process import Process, run
from sockets import read_to_end, reserve_port
from waiting import DEADLINE
from wire import CLIENT, CLIENT6

BALANCER = "127.0.0.2"          # HAProxy's address on the server's side; 127.0.0.1 stays a direct client
OTHER_BALANCER = "127.0.0.3"
COMMON_NAME = "ppshim test client"

MODES = ("send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn")


class Route(NamedTuple):
    """One way through the balancer: what it sends, who it says the client is, and the address it comes from."""
    mode: str = "send-proxy-v2"
    client: tuple = CLIENT
    source: str = BALANCER

    @property
    def tls(self):
        return "ssl" in self.mode

    @property
    def loopback(self):
        """Where clients reach it: of the client's family, so that both ends in the header are."""
        return "::1" if ":" in self.client[0] else "127.0.0.1"


ROUTES = {
    **{mode: Route(mode) for mode in MODES},
    "send-proxy-v2-crc32c": Route("send-proxy-v2 proxy-v2-options crc32c"),
    "ipv6-v1": Route("send-proxy", client=CLIENT6),
    "ipv6-v2": Route("send-proxy-v2", client=CLIENT6),
    "stranger": Route(client=("203.0.113.8", 4711)),
    "other-balancer": Route("send-proxy", source=OTHER_BALANCER),
}


def haproxy_version():
    return tuple(map(int, re.search(r"version (\d+)\.(\d+)", run(tool("haproxy"), "-v").stdout).groups()))


class Certificates:
    """A certificate authority, a server's and a client's certificate by it, each with its key in one PEM file."""

    def __init__(self, directory):
        self.directory = directory
        self.openssl = tool("openssl")
        self.ca = self._make("ca", "ppshim test CA")
        self.server = self._make("server", "localhost", issuer=self.ca)
        self.client = self._make("client", COMMON_NAME, issuer=self.ca)

    def _make(self, name, common_name, issuer=None):
        pem, key, cert = (self.directory / f"{name}.{kind}" for kind in ("pem", "key", "crt"))
        request = [self.openssl, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                   "-keyout", key, "-subj", f"/CN={common_name}"]
        if issuer is None:
            run(*request, "-x509", "-days", "2", "-out", cert)
        else:
            csr = run(*request).stdout
            run(self.openssl, "x509", "-req", "-CA", issuer, "-CAkey", issuer, "-set_serial", str(time.time_ns()),
                "-days", "2", "-out", cert, input=csr)
        pem.write_text(cert.read_text() + key.read_text())
        return pem


class HAProxy(Process):
    """With the sections that subclasses write."""
    name = "haproxy"

    def __init__(self, directory):
        super().__init__(directory)
        self.control = self.directory / "haproxy.sock"
        self.config = self.directory / "haproxy.cfg"

    def sections(self):
        raise NotImplementedError

    def argv(self):
        self.config.write_text("\n".join([self._preamble(), *self.sections()]))
        return [tool("haproxy"), "-db", "-f", self.config]

    def is_ready(self, mark):
        """It answers on its control socket: every listener is up. (To connect to one would connect to the server.)"""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as control:
            control.settimeout(DEADLINE)
            control.connect(str(self.control))
            control.sendall(b"show info\n")
            return b"Uptime" in read_to_end(control)

    def _preamble(self):
        return (f"global\n  stats socket {self.control} mode 600\n"
                "defaults\n  mode tcp\n  timeout connect 20s\n  timeout client 120s\n  timeout server 120s\n")


class Balancer(HAProxy):
    """HAProxy in front of one server: balancer["send-proxy"] is the (host, port) at which a client reaches the server
    by that route. Routes with TLS are plain too where the client stands: a hop of its own inside HAProxy does the
    handshake, with the client's certificate."""

    def __init__(self, directory, target, certificates, routes=None):
        super().__init__(directory)
        self.target = target
        self.certificates = certificates
        self.routes = routes or ROUTES
        self.endpoints = {name: (route.loopback, reserve_port()) for name, route in self.routes.items()}
        self.inner = {name: (route.loopback, reserve_port()) for name, route in self.routes.items() if route.tls}

    def __getitem__(self, route):
        return self.endpoints[route]

    def outside(self, route):
        """The address that the header on this route says the client connected to."""
        return self.inner.get(route) or self.endpoints[route]

    def sections(self):
        return map(self._section, self.routes)

    def _section(self, name):
        route, (host, port) = self.routes[name], self.endpoints[name]
        bind, before = f"{host}:{port}", ""
        if route.tls:
            inner = "{}:{}".format(*self.inner[name])
            certs = self.certificates
            before = (f"listen {name}-client\n  bind {bind}\n  server tls {inner} ssl sni str(localhost) "
                      f"crt {certs.client} ca-file {certs.ca} verify required\n")
            bind = f"{inner} ssl crt {certs.server} ca-file {certs.ca} verify required"
        if isinstance(self.target, str):  # "unix@/path"; one connection for each client, though it is closed at once
            target, source, retries = self.target, "", "  retries 0\n"
        else:
            target = "{}:{}".format(*self.target)
            source = f"source {route.source}" if ":" not in self.target[0] else ""
            retries = ""
        unique = "  unique-id-format %ci-%cp\n" if "unique-id" in route.mode else ""
        return (f"{before}listen {name}\n  bind {bind}\n{retries}{unique}"
                f"  tcp-request connection set-src str({route.client[0]})\n"
                f"  tcp-request connection set-src-port int({route.client[1]})\n"
                f"  server target {target} {source} {route.mode}\n")
