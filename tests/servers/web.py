# SPDX-License-Identifier: MIT
"""web.py: asks an HTTP server."""
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

from contract import Refused, as_client
from harness import exchange, read_to_end


def get(endpoint, path="/"):
    """The body of its answer; Refused if that is not 200, or none."""
    request = f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
    answer = exchange(endpoint, request.encode()).decode()
    head, _, body = answer.partition("\r\n\r\n")
    if not head.startswith("HTTP/1.1 200 "):
        raise Refused(answer)
    return body


def unmapped(address):
    """Every IPv4 client of a dual-stack socket is ::ffff:a.b.c.d."""
    return str(ip_address(address).ipv4_mapped or address)


def served_at_once(server, clients):
    """Asks as each of these clients, many at a time: the words of the answers, in their order."""
    def ask(client):
        with as_client(server, client) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return read_to_end(sock).partition(b"\r\n\r\n")[2].decode().split()

    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(ask, clients))
