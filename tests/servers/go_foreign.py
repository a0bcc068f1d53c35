# SPDX-License-Identifier: MIT
"""go_foreign.py: what must be true of Go programs that others built: HTTP servers whose own log, or answers, name whom
they serve."""
import contextlib
import ctypes
import os
import signal
import threading
from itertools import count
from pathlib import Path

import pytest
from contract import Rejected, Server, TheClient, Waiting
from go_programs import build
from go_server import HERE
from harness import BALANCER, dial, proxy_v1, proxy_v2, read_to_end, run, until

_libc = ctypes.CDLL(None, use_errno=True)
SYS_tgkill = 234


class Foreign(Server):
    path = "/?%d"  # where a request says its number
    refusal = b"HTTP/1.1 400"  # what it answers to what is no request
    _numbers = count(1000000)  # of requests, behind those of `wrong_clients`

    def number(self):
        return next(self._numbers)

    def wrong_clients(self, *options):
        """(how many were answered, how many of them were not named rightly)"""
        raise NotImplementedError


class Answering:
    """Its answer to a request begins with who asked."""

    def wrong_clients(self, *options):
        told = run(build("client"), "-to", f"127.0.0.1:{self.port}", "-ask", "http", "-path", self.path, *options,
                   timeout=1800)
        return tuple(map(int, told.stdout.split()))


class Logging:
    """Its log names who asked: `logged` has (number of the request, client) of each since a mark."""
    logs_all = True  # False: what comes often is left out

    def logged(self, since):
        raise NotImplementedError

    def wrong_clients(self, *options):
        mark = self.client_log.mark()
        told = run(build("client"), "-to", f"127.0.0.1:{self.port}", "-ask", "http", "-path", self.path, "-logged",
                   *options, timeout=1800).stdout
        expected = dict(line.split() for line in told.splitlines())
        if self.logs_all:
            until(lambda: len(self.logged(mark)) >= len(expected), "all are in the log")
        named = dict(self.logged(mark))
        assert len(named) >= 100
        return len(expected), sum(expected.get(number) != client for number, client in named.items())


@contextlib.contextmanager
def signals(pid, each_second=500):
    """SIGPROF and SIGURG, to each of its threads, that often."""
    done = threading.Event()

    def send():
        while not done.wait(1 / each_second):
            with contextlib.suppress(OSError):
                for thread in os.listdir(f"/proc/{pid}/task"):
                    for number in signal.SIGPROF, signal.SIGURG:
                        _libc.syscall(SYS_tgkill, pid, int(thread), int(number))
    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        done.set()
        sender.join()


def caught(pid):
    """What it does with signals: the kernel's masks of those ignored and caught."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return [line for line in lines if line.split(":")[0] in ("SigIgn", "SigCgt")]


class ForeignContract(TheClient, Rejected, Waiting):
    """The parts of the contract that ask no more of a log, and the rest that is asked of Go programs."""

    @pytest.mark.parametrize("header", [proxy_v1(), proxy_v2()], ids=["v1", "v2"])
    def test_a_header_from_an_untrusted_peer_is_the_servers_to_refuse(self, server, header):
        with dial(server.endpoint) as sock:
            sock.sendall(header + server.nonsense)
            assert read_to_end(sock)[:12] == server.refusal

    def test_three_thousand_clients_at_once_with_half_a_header_each(self, start):
        server = start(**HERE)
        assert server.wrong_clients("-count", "3000", "-beside", "3000", "-hold") == (3000, 0)

    @pytest.mark.parametrize("threads", [1, 8])
    def test_no_client_is_mistaken_while_memory_is_collected_and_signals_strike(self, start, request, threads):
        class Pressed(request.module.SERVER):
            def __init__(self, *args, **options):
                super().__init__(*args, **options)
                self.env |= {"GOMAXPROCS": str(threads), "GOGC": "1"}
        server = start(kind=Pressed, **HERE)
        with signals(server.pid):
            assert server.wrong_clients("-count", "2000", "-beside", "32") == (2000, 0)

    def test_it_does_with_signals_what_it_does_without_the_shim(self, start):
        bare, served = start(bare=True), start()
        with dial(served.endpoint, BALANCER) as peer:
            peer.sendall(proxy_v2()[:20])
            until(lambda: served.holds_back(peer.getsockname()), "the shim waits for the rest")
            assert caught(served.pid) == caught(bare.pid)
            assert served.stop() == bare.stop()
            assert read_to_end(peer) == b""
