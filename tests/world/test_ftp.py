# SPDX-License-Identifier: MIT
"""FTP's passive mode behind a balancer that forwards the data ports too, with headers of their own, under
PPSHIM_LOCAL_ADDR=header: the server names the address that its client connected to, and takes the data connection for the
same client's."""
import re
from contextlib import contextmanager

from daemons import ProFtpd, Vsftpd
from harness import BALANCER, CLIENT, dial, proxy_v2, read_to_end

OUTSIDE = "198.51.100.10"


class Session:
    """A logged-in client's control connection."""

    def __init__(self, sock):
        self.lines = sock.makefile("rwb")
        self.expect("220")

    def expect(self, *codes):
        answer = self.lines.readline().decode()
        while answer[3:4] == "-":
            answer = self.lines.readline().decode()
        assert answer[:3] in codes, answer
        return answer

    def ask(self, command, *codes):
        self.lines.write(command.encode() + b"\r\n")
        self.lines.flush()
        return self.expect(*codes)

    def passive(self):
        """Where the server listens for the data connection."""
        *address, high, low = re.findall(r"\d+", self.ask("PASV", "227").partition("(")[2])
        return ".".join(address), 256 * int(high) + int(low)


@contextmanager
def session(server, outside=OUTSIDE):
    with dial(server.endpoint, BALANCER) as sock:
        sock.sendall(proxy_v2(CLIENT, (outside, 21)))
        ftp = Session(sock)
        ftp.ask("USER ftp", "331")
        ftp.ask("PASS who@test", "230")
        yield ftp


def data(port, client, outside=OUTSIDE):
    sock = dial(("127.0.0.1", port), BALANCER)
    sock.sendall(proxy_v2((client, 5000), (outside, port)))
    return sock


class Passive:
    SERVER = None

    def test_a_listing_comes_to_the_client_by_the_address_that_it_knows(self, start):
        server = start(LOCAL_ADDR="header")
        with session(server) as ftp:
            address, port = ftp.passive()
            assert address == OUTSIDE
            with data(port, CLIENT[0]) as connection:
                ftp.ask("LIST", "150", "125")
                read_to_end(connection)
                ftp.expect("226")

    def test_a_data_connection_of_another_client_is_refused(self, start):
        server = start(LOCAL_ADDR="header")
        with session(server) as ftp:
            _, port = ftp.passive()
            with data(port, "203.0.113.8") as connection:
                answer = ftp.ask("LIST", "425", "150", "125")
                assert read_to_end(connection) == b""
                assert answer.startswith("425") or ftp.expect("425")

    def test_by_its_own_address_the_server_names_one_that_clients_do_not_know(self, start):
        with session(start(LOCAL_ADDR="socket")) as ftp:
            assert ftp.passive()[0] == "127.0.0.1"


class TestVsftpdPassive(Passive):
    SERVER = Vsftpd


class TestProFtpdPassive(Passive):
    SERVER = ProFtpd
