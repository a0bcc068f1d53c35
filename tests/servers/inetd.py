# SPDX-License-Identifier: MIT
"""inetd.py: sshd -i, started anew for each connection by somebody who accepted it: what must then be true.

A test file brings the super-server. Its own output is apart from what sshd and the shim say: it may name the balancer.
"""
import contextlib

from answers import ppshim
from contract import BAD, Asked, BadHeaders, TheClient, Waiting, text
from harness import CLIENT, Log, descendants, in_an_epoll, shim_env
from place import needs
from test_sshd import Sshd, sshd


class Inetd(Sshd):
    """A super-server without the shim, that starts sshd -i with it."""
    inherited = {"INHERITED": "on"}
    own_ready_line = None

    def __init__(self, directory, template, settings, host="127.0.0.1"):
        super().__init__(directory, template, None, host)
        self.own_log = Log(self.directory / "own.log")
        self.service_env = {}
        if settings is not None:
            level = settings["LOG"].partition(":")[2]  # stderr is the client's connection
            self.service_env = shim_env(**settings, **self.inherited, PORTS=str(self.port))
            self.service_env["PPSHIM_LOG"] = f"{self.log.path}:{level}"

    def service(self):
        """The program to start for each connection."""
        super().argv()  # writes its configuration
        return [sshd(), "-i", "-f", str(self.directory / "sshd_config"), "-E", str(self.log.path)]

    def super_server(self):
        raise NotImplementedError

    def argv(self):
        return ["/bin/sh", "-c", 'exec "$@" >>"$0" 2>&1', self.own_log.path, *self.super_server()]

    def is_ready(self, mark):
        return self.own_log.find(self.own_ready_line)

    def holds_back(self, peer):
        for pid, _ in descendants(self.pid):
            with contextlib.suppress(FileNotFoundError):
                if in_an_epoll(pid, peer):
                    return True
        return False


class Preloaded:
    """Mixed into an Inetd: the shim is in the super-server, and from there in what it starts."""
    inherited = {}

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.env, self.service_env = self.service_env, {}


class InetdContract(TheClient, BadHeaders, Asked):
    """Every connection that accept would let in is served, and no other, in the same words."""
    test_the_shim_says_once_that_it_is_active = None
    test_check_says_ok_and_the_probe_agrees = None
    test_a_header_that_comes_in_pieces_is_a_header = Waiting.test_a_header_that_comes_in_pieces_is_a_header

    def test_a_service_says_which_client_it_serves_and_no_more(self, server, balancer):
        mark = server.log.mark()
        server.start_children(balancer["send-proxy-v2"])
        accepted = server.log.wait_event("accept", mark, client=text(CLIENT))
        assert [event.pid for event in server.log.events(since=mark)] == [accepted.pid]
        assert server.log.events("active") == []

    def test_a_refused_connection_names_the_service_that_was_not_started(self, server):
        event = self.assert_ends_with_one_line(server, BAD[0])
        assert event.fields["not-started"] == sshd()

    def test_check_says_no_of_the_super_server_and_the_probe_finds_it_served(self, start, variant):
        """It is itself without the shim; those that it starts for each connection are not there yet."""
        needs("root", "descriptors")
        server = start(kind=variant, TIMEOUT="3s")
        assert ppshim("check", server.pid).verdict == "no"
        self.assert_probe_finds_it_served(server)
