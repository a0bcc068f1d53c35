# SPDX-License-Identifier: MIT
"""Threads that block in accept on one listener share the work of waiting: none may be forgotten."""
import wire
from program import STYLES
from wire import CLIENT_TEXT, DIRECT, TRUSTED


def test_every_thread_accepts_again_when_nothing_waits_any_more(serve):
    """All threads have come to wait behind the one that watches a silent peer. Once that has spoken, each must be back
    in accept by itself: with two of three busy, the third serves."""
    for _ in range(10):
        server = serve(*STYLES["threads"], timeout="30s")
        silent = server.peer()
        server.settled(silent)
        for _ in range(9):
            server.serves()
        server.settled()
        busy = [silent.send(wire.v2())]
        assert silent.report()["peer"] == CLIENT_TEXT
        for source, header, expected in (DIRECT, b"", None), (TRUSTED, wire.v1(), CLIENT_TEXT):
            peer = server.peer(source)
            peer.send(header + b"x")
            assert peer.report()["peer"] == (expected or peer.text)
            busy.append(peer)
        for peer in busy:
            peer.close()
        server.stop()
