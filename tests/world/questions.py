# SPDX-License-Identifier: MIT
"""questions.py: what every server of the world is asked: the contract's own questions (tests/servers/contract.py), and
what needs a server without the shim beside it. Each is a column of the table, or a part of one."""
import itertools
import threading
from collections import Counter

import pytest
import table
from contract import (BadHeaders, Refused, TheClient, Waiting, assert_lets_nobody_through, refused)
from harness import BALANCER, CLIENT, CLIENT6, dial, ended_among, until
from waits import ways_to_wait


class Load:
    """Clients without end, through the balancer and directly, until told to stop."""
    EXPECTED = {"send-proxy": CLIENT, "send-proxy-v2": CLIENT}

    def __init__(self, server, balancer):
        self.over = threading.Event()
        self.served, self.wrong, self.failed = Counter(), [], []
        calls = [(route, client[0], lambda route=route: server.login(balancer[route]))
                 for route, client in self.EXPECTED.items()]
        calls.append(("direct", "127.0.0.1", server.direct_login))
        self.threads = [threading.Thread(target=self.come, args=one) for one in calls]

    def come(self, route, address, login):
        for turn in itertools.count():
            if self.over.is_set():
                return
            try:
                peer = login()
                if peer.address != address:
                    self.wrong.append((route, turn, peer))
                self.served[route] += 1
            except (Refused, OSError, ValueError) as error:
                self.failed.append((route, repr(error)))

    def goes_on(self):
        """Each of them was served twice more: the second came after now."""
        before = self.served.copy()
        until(lambda: all(self.served[route] >= before[route] + 2 for route in (*self.EXPECTED, "direct")),
              lambda: f"clients are served; failed: {self.failed[-3:]}")

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()


class World:
    """A test class is one server of the world; it says as SERVER which."""
    SERVER = None
    LABEL = PACKAGE = WORD = None  # its name in the table, whose version stands there, where it says who its client was
    NOT_ASKED = {}  # a column, and what stands there instead

    def test_it_waits_for_clients_in_a_known_way(self, bare):
        """Told by two looks that see the same: a thread may be on its way."""
        def seen():
            looks = [sorted(ways_to_wait(bare.pid, bare.port)) for _ in range(2)]
            return looks[0] == looks[1] and looks[0]
        type(self).waits = told(until(seen, "its threads wait for clients"))

    def test_without_the_shim_no_client_gets_through_the_balancer(self, bare, balance):
        assert_lets_nobody_through(bare, balance(bare))

    test_a_session_serves_the_client_behind_the_balancer = (
        TheClient.test_a_session_serves_the_client_behind_the_balancer)
    test_the_servers_log_names_the_client_behind_the_balancer = (
        TheClient.test_the_servers_log_names_the_client_behind_the_balancer)

    @pytest.mark.parametrize("route", ["ipv6-v1", "ipv6-v2"])
    def test_an_ipv6_client_is_seen_on_an_ipv4_listener_or_refused(self, server, balancer, route):
        """Some keep no room for its address, and then it must not be named by a part of it. Which, the table says."""
        if server.ipv6_routes:
            assert server.login(balancer[route]) == CLIENT6
        else:
            assert refused(server.login, balancer[route])

    test_a_direct_client_keeps_its_own_address = TheClient.test_a_direct_client_keeps_its_own_address
    test_clients_at_the_same_time_are_not_mixed_up = TheClient.test_clients_at_the_same_time_are_not_mixed_up
    test_a_header_from_an_untrusted_peer_is_the_servers_to_refuse = (
        BadHeaders.test_a_header_from_an_untrusted_peer_is_the_servers_to_refuse)
    test_a_header_that_comes_in_pieces_is_a_header = Waiting.test_a_header_that_comes_in_pieces_is_a_header
    test_a_header_may_come_late_while_others_are_served = Waiting.test_a_header_may_come_late_while_others_are_served
    test_three_hundred_silent_peers_delay_nobody = Waiting.test_three_hundred_silent_peers_delay_nobody
    test_a_probe_as_the_first_peer_leaves_the_server_able_to_stop = (
        Waiting.test_a_probe_as_the_first_peer_leaves_the_server_able_to_stop)

    def test_a_new_configuration_or_start_under_load_costs_no_client_its_address(self, start, balance):
        """Who is refused while it starts anew is refused by the kernel; one that takes a configuration in refuses nobody."""
        server = start(LOG="stderr:notice", TIMEOUT="60s")
        with Load(server, balance(server)) as load:
            load.goes_on()
            server.renew()
            load.goes_on()
        assert load.wrong == []
        assert load.failed == [] or server.reload_signal is None or server.reload_refuses

    def test_it_stops_as_without_the_shim_while_a_header_is_waited_for(self, server, bare):
        with dial(server.endpoint, BALANCER) as silent:
            server.direct_login()
            assert server.stop() == bare.stop()
            until(lambda: ended_among([silent]), "the end of who still waited")

    def test_the_table_says_what_was_answered(self, record_property):
        """The last of them. Of what was not asked in this run it says nothing."""
        answered = table.row(type(self))
        if table.WRITES:
            assert None not in answered, answered
            record_property("row", answered)
        else:
            assert table.differences(answered, table.rows().get(self.LABEL, [])) == {}


def world(kind, label, package, word, not_asked=None, **questions):
    """The class of tests for one server. A column that it is not asked has these words instead; a question that it is
    asked in another way, or not at all, is given by its name."""
    not_asked = not_asked or {}
    left_out = {f"test_{question}": None for column in not_asked for question in table.COLUMNS[column]}
    return type(f"Test{kind.__name__}", (World,), {
        "SERVER": kind, "LABEL": label, "PACKAGE": package, "WORD": word, "NOT_ASKED": not_asked, **left_out,
        **{f"test_{question}": asked for question, asked in questions.items()}})


def told(ways):
    """The table's words for what ways_to_wait found."""
    processes = {process for process, _ in ways}
    kinds = "+".join(sorted({way for _, way in ways}))
    if len(processes) > 1:
        return f"{kinds}, several processes"
    return f"{kinds}, several threads" if len(ways) > 1 else kinds
