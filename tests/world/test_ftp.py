# SPDX-License-Identifier: MIT
"""FTP's passive mode behind a balancer that forwards the data ports too, with headers of their own: the server takes the
data connection for the same client's. It must be told by its own setting which address clients know."""
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
        assert answer.startswith(codes), answer
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


class VsftpdOutside(Vsftpd):
    more = f"pasv_address={OUTSIDE}\n"


class ProFtpdOutside(ProFtpd):
    more = f"MasqueradeAddress {OUTSIDE}\n"


class Passive:
    """With the server told by its own setting what its address is outside."""
    SERVER = None

    def test_a_listing_comes_to_the_client_by_the_address_that_it_knows(self, start):
        with session(start()) as ftp:
            address, port = ftp.passive()
            assert address == OUTSIDE
            with data(port, CLIENT[0]) as connection:
                ftp.ask("LIST", "150")
                read_to_end(connection)
                ftp.expect("226")

    def test_a_data_connection_of_another_client_is_refused(self, start):
        with session(start()) as ftp:
            _, port = ftp.passive()
            with data(port, "203.0.113.8") as connection:
                ftp.ask("LIST", "425")
                assert read_to_end(connection) == b""


class TestVsftpdPassive(Passive):
    SERVER = VsftpdOutside


class TestProFtpdPassive(Passive):
    SERVER = ProFtpdOutside
    test_a_data_connection_of_another_client_is_refused = None  # it says 150 to it; what its own check does is not known


class TestVsftpd:
    SERVER = Vsftpd

    def test_without_that_setting_it_names_an_address_that_clients_do_not_know(self, start):
        with session(start()) as ftp:
            assert ftp.passive()[0] == "127.0.0.1"

    def test_with_the_headers_address_for_its_own_it_cannot_listen_for_data(self, start):
        """It binds to what getsockname says, and this host has no such address. What its operator sees is this."""
        with session(start(LOCAL_ADDR="header")) as ftp:
            ftp.ask("PASV", "500 OOPS: vsf_sysutil_bind")


class TestProFtpd:
    SERVER = ProFtpd

    def test_with_the_headers_address_for_its_own_it_finds_no_server_for_that(self, start):
        with dial(start(LOCAL_ADDR="header").endpoint, BALANCER) as sock:
            sock.sendall(proxy_v2(CLIENT, (OUTSIDE, 21)))
            assert sock.recv(4096).startswith(b"500 Sorry, no server available to handle request on 198.51.100.10")
