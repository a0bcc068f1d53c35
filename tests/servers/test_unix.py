# SPDX-License-Identifier: MIT
"""Redis on a Unix socket behind HAProxy's `server s unix@/path send-proxy-v2`: it serves as without a header, and the
shim's log knows the clients."""
import socket
from contextlib import ExitStack

import pytest
from answers import ppshim
from harness import (CLIENT, CLIENT6, COMMON_NAME, ROUTES, Balancer, Process, exchange, proxy_v2,
                     read_to_end, scratch, shim_env, tool)
from place import needs

NAMES = ("send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn", "send-proxy-v2-crc32c", "ipv6-v2", "stranger")


class Redis(Process):
    name = "redis"
    ready_line = r"now ready to accept connections at"

    def __init__(self, directory, **settings):
        self.path = f"{directory}/s"
        super().__init__(directory, shim_env(**{"TRUST": f"unix:{self.path}", "TIMEOUT": "30s", "LOG": "stderr:info",
                                                "UNTRUSTED": "reject", **settings}))

    def argv(self):
        return [tool("redis-server"), "--port", "0", "--unixsocket", self.path, "--dir", self.directory, "--save", ""]


@pytest.fixture
def behind(certificates):
    """behind(SETTING=...): the server and the balancer before it."""
    with ExitStack() as scope:
        def start(**settings):
            server = scope.enter_context(Redis(scope.enter_context(scratch("redis")), **settings))
            return server, scope.enter_context(
                Balancer(scope.enter_context(scratch("haproxy")), f"unix@{server.path}", certificates,
                         {name: ROUTES[name] for name in NAMES}))
        yield start


def dial(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(path)
    return sock


def is_served(endpoint):
    return exchange(endpoint, b"PING\r\nQUIT\r\n") == b"+PONG\r\n+OK\r\n"


@pytest.mark.parametrize("route", NAMES)
def test_client_is_served_and_logged(behind, route):
    server, balancer = behind()
    mark = server.log.mark()
    assert is_served(balancer[route])
    event = server.log.wait_event("accept", mark, peer=f"unix:{server.path}")
    client = ROUTES[route].client
    assert event.client == (f"[{client[0]}]:{client[1]}" if ":" in client[0] else f"{client[0]}:{client[1]}")
    assert event.fields.get("cn") == (COMMON_NAME.replace(" ", r"\x20") if "ssl" in route else None)


def test_denied_client_is_closed(behind):
    server, balancer = behind(CLIENT_DENY=ROUTES["stranger"].client[0])
    assert exchange(balancer["stranger"], b"PING\r\n") == b""
    server.log.wait_event("reject", reason="client-denied", peer=f"unix:{server.path}")
    assert is_served(balancer["send-proxy-v2"])


def test_silent_peers_delay_nobody(behind):
    server, balancer = behind()
    assert is_served(balancer["send-proxy"])
    silent = [dial(server.path) for _ in range(100)]
    for _ in range(20):
        assert is_served(balancer["send-proxy-v2"])
    for sock in silent:
        sock.sendall(proxy_v2(CLIENT) + b"QUIT\r\n")
        assert sock.recv(100) == b"+OK\r\n"
        sock.close()


def test_headerless_client_is_closed_after_the_timeout_and_the_server_lives(behind):
    server, balancer = behind(TIMEOUT="300ms")
    with dial(server.path) as sock:
        assert read_to_end(sock) == b""
    server.log.wait_event("reject", reason="timeout", peer=f"unix:{server.path}", hint="peer-sent-nothing")
    with dial(server.path) as sock:
        sock.sendall(b"PING\r\n")
        assert read_to_end(sock) == b""
    server.log.wait_event("reject", reason="not-a-header")
    assert is_served(balancer["ipv6-v2"])
    server.log.wait_event("accept", client=f"[{CLIENT6[0]}]:{CLIENT6[1]}")


def test_check_says_ok_and_the_probe_agrees(behind):
    needs("root")
    server, balancer = behind(TIMEOUT="1s")
    assert is_served(balancer["send-proxy-v2"])
    checked = ppshim("check", server.pid)
    assert (checked.status, checked.verdict) == (0, "ok"), checked
    probed = ppshim("check", "--probe", server.pid)
    assert (probed.status, probed.probes()) == (0, ["right"] * 2), probed
    assert [event.reason for event in server.log.events("reject")] == ["timeout"]
