# SPDX-License-Identifier: MIT
"""What the other tests here take for granted: that the balancer sends what its routes say, in the bytes that our own
builder makes; and what no server's file may leave out of the contract."""
import socket
from importlib import import_module
from pathlib import Path

import pytest
from contract import Asked
from harness import (BALANCER, CLIENT, CLIENT6, COMMON_NAME, CRC32C, OTHER_BALANCER, ROUTES, SIGNATURE, SSL, SSL_CN,
                     Balancer, crc32c, dial, proxy_v1, proxy_v2, scratch, tlv)


@pytest.fixture(scope="module")
def sent(certificates):
    """sent(route): the first bytes HAProxy sends on that route, the address it came from, the one it was reached at."""
    with scratch("haproxy") as directory, socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        with Balancer(directory, listener.getsockname(), certificates) as balancer:
            def sent(route):
                with dial(balancer[route]) as client:
                    client.sendall(b"<end>")
                    connection, source = listener.accept()
                    with connection:
                        connection.settimeout(10)
                        got = b""
                        while not got.endswith(b"<end>"):
                            got += connection.recv(4096)
                return got[:-5], source[0], balancer.outside(route)
            yield sent


def test_v1_is_the_line_of_our_builder(sent):
    header, source, reached = sent("send-proxy")
    assert (header, source) == (proxy_v1(CLIENT, reached), BALANCER)


def test_v2_is_the_header_of_our_builder(sent):
    header, source, reached = sent("send-proxy-v2")
    assert (header, source) == (proxy_v2(CLIENT, reached), BALANCER)


def test_v2_with_crc_is_the_header_of_our_builder(sent):
    header, _, reached = sent("send-proxy-v2-crc32c")
    assert header == proxy_v2(CLIENT, reached, crc=True)
    assert header[28] == CRC32C


def test_v2_ssl_cn_carries_the_name_in_the_clients_certificate(sent):
    header, _, reached = sent("send-proxy-v2-ssl-cn")
    plain = proxy_v2(CLIENT, reached)
    assert header[:12] == SIGNATURE and header[16:28] == plain[16:]
    assert header[28] == SSL
    assert tlv(SSL_CN, COMMON_NAME.encode()) in header


def test_ipv6_routes_name_an_ipv6_client(sent):
    header, _, reached = sent("ipv6-v1")
    assert header == proxy_v1(CLIENT6, reached)
    header, _, reached = sent("ipv6-v2")
    assert header == proxy_v2(CLIENT6, reached)


def test_the_other_routes_differ_in_client_and_source(sent):
    header, _, reached = sent("stranger")
    assert header == proxy_v2(ROUTES["stranger"].client, reached)
    assert sent("other-balancer")[1] == OTHER_BALANCER


def test_crc32c_is_castagnolis():
    assert crc32c(b"123456789") == 0xE3069283


def test_each_server_is_asked_whether_it_is_served():
    modules = [import_module(path.stem) for path in Path(__file__).parent.glob("test_*.py")]
    contracts = {module.__name__: module.TestContract for module in modules if hasattr(module, "TestContract")}
    assert contracts
    assert [name for name, contract in contracts.items() if not issubclass(contract, Asked)] == []
