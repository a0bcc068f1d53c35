# SPDX-License-Identifier: MIT
"""Postfix: a master watches the listener (epoll_wait) and executes an smtpd for each client, which waits in an epoll of its
own, accepts, and asks getpeername(). The master hands its children no more of its environment than it is told to."""
import contextlib
import functools
import os
import re
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from contract import Contract, Peer, Refused, Server, TrustFile
from harness import BALANCER, CLIENT, CLIENT6, descendants, dial, tool
from place import needs


@functools.cache
def program():
    return tool("master", "/usr/lib/postfix/sbin/master")


class Postfix(Server):
    """Relays for its clients' own networks, and rejects ETRN in words that name the client."""
    name = "postfix"
    ready_line = r"daemon started -- version"
    reload_signal = signal.SIGHUP
    reloaded = r"reload -- version"
    accept_error = r".*(?:accept connection|fatal|panic|bad command startup).*"
    shares_accounts = False  # each smtpd is executed
    keeps_waiting = False  # an smtpd that serves a client waits for nobody's header; PPSHIM_DEFER_ACCEPT mends it

    SERVICES = """\
smtp      inet  n - n - - smtpd
rewrite   unix  - - n - - trivial-rewrite
cleanup   unix  n - n - 0 cleanup
proxymap  unix  - - n - - proxymap
postlog   unix-dgram n - n - 1 postlogd
"""

    @classmethod
    def make_template(cls, directory):
        needs("root")
        program()

    def __init__(self, directory, template, settings, host="127.0.0.1"):
        super().__init__(directory, template, settings, host)
        self.client_log = self.log
        self.config = self.directory / "config"
        for made in ("config", *(f"queue/{name}" for name in ("pid", "public", "private", "incoming", "maildrop"))):
            (self.directory / made).mkdir(parents=True)
        for owned in ("data", *(f"queue/{name}" for name in ("public", "private", "incoming", "maildrop"))):
            (self.directory / owned).mkdir(exist_ok=True)
            shutil.chown(self.directory / owned, "postfix")

    def argv(self):
        host, port = self.endpoint
        d = self.directory
        (self.config / "master.cf").write_text(self.SERVICES.replace("smtp ", f"{host}:{port} ", 1))
        (self.config / "main.cf").write_text(f"""\
compatibility_level = 3.6
queue_directory = {d}/queue
data_directory = {d}/data
maillog_file = {self.log.path}
maillog_file_prefixes = {d}
myhostname = mail.example.org
mydestination =
mynetworks = {CLIENT[0]}, [{CLIENT6[0]}], 127.0.0.1
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_etrn_restrictions = check_client_access static:REJECT
smtpd_client_port_logging = yes
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
in_flow_delay = 0
max_use = 100000
alias_maps =
smtpd_hard_error_limit = 5
{self.example_with_names("postfix.cf")}
""")
        return [program(), "-d", "-c", self.config]

    def acceptors(self):
        return [pid for pid, _ in descendants(self.pid) if self.is_smtpd(pid)]

    @staticmethod
    def is_smtpd(pid):
        with contextlib.suppress(OSError):
            return os.readlink(f"/proc/{pid}/exe").endswith("/smtpd")

    def speakers(self):
        return [self.pid, *self.acceptors()]

    def login(self, endpoint):
        with dial(endpoint) as sock, sock.makefile("rwb") as smtp:
            def ask(*words):
                """The last line of the answer."""
                try:
                    smtp.write(b" ".join(words) + b"\r\n" if words else b"")
                    smtp.flush()
                    for line in smtp:
                        if line[3:4] == b" ":
                            return line.decode()
                except ConnectionError as error:
                    raise Refused(error) from None
                raise Refused("the connection ended")

            def expect(code, answer):
                if not answer.startswith(code):
                    raise Refused(answer)
                return answer
            expect("220", ask())
            expect("250", ask(b"EHLO client.example.org"))  # before it stands what became of a header in front of it
            told = expect("554", ask(b"ETRN example.com"))
            expect("250", ask(b"MAIL FROM:<>"))
            expect("250", ask(b"RCPT TO:<somebody@example.com>"))
            expect("221", ask(b"QUIT"))
        address, port = re.search(r"<unknown\[(?:IPv6:)?(\S+)\]:(\d+)>", told).groups()
        return Peer(address, int(port))

    def direct_login(self):
        return self.login(self.endpoint)

    def log_names(self, peer, since):
        return self.log.find(rf"smtpd\[\d+\]: connect from unknown\[{peer[0]}\]:{peer[1]}$", since)

    def log_names_refused(self, peer, since):
        return self.log.find(rf"smtpd\[\d+\]: (?:lost connection|disconnect|too many errors).*\[{peer[0]}\]:{peer[1]}", since)


class PostfixOfOne(Postfix):
    """With one smtpd for all. (Those that start while a list file is broken have no old list to keep.)"""
    SERVICES = Postfix.SERVICES.replace("n - - smtpd", "n - 1 smtpd")


SERVER = Postfix


class TestContract(Contract):
    list_server = PostfixOfOne

    def test_clients_at_the_same_time_are_not_mixed_up(self, start, balance):
        """As the example says, with the kernel waiting for headers: an smtpd waits for its turn at the listener, and for
        that time nobody looks after those it has taken."""
        server = start(DEFER_ACCEPT="on", LOG="stderr:notice")
        balancer = balance(server)
        expected = {"send-proxy": CLIENT, "send-proxy-v2-ssl-cn": CLIENT,
                    **dict.fromkeys(server.ipv6_routes, CLIENT6)}
        with ThreadPoolExecutor(8) as pool:
            told = [(route, pool.submit(server.login, balancer[route])) for route in list(expected) * 8]
        assert [(route, peer.result()) for route, peer in told] == [(route, expected[route]) for route, _ in told]


def test_an_smtpd_that_starts_while_the_list_is_broken_says_so_and_serves_nobody(start, balance, trust_directory):
    trust = TrustFile(trust_directory, BALANCER)
    server = start(TRUST=f"@{trust.path}")
    balancer = balance(server)
    trust.write("127.0.0.3/99")
    with dial(balancer["send-proxy"]):  # the first that is started
        server.log.wait(rf"ppshim\[\d+\]: error: PPSHIM_TRUST=@{trust.path}: line 1: ")
        server.log.wait(r"warning: process \S+/smtpd pid \d+ exit status 78")


def test_mynetworks_judges_the_client_and_not_the_balancer(server, balancer):
    assert server.login(balancer["send-proxy-v2"]) == CLIENT
    with pytest.raises(Refused, match="Relay access denied"):
        server.login(balancer["stranger"])
