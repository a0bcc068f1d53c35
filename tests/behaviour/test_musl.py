# SPDX-License-Identifier: MIT
"""The shim built for musl, under a server built for musl."""
import subprocess

import pytest
import wire
from conftest import ROOT, STYLES, environment, tool
from wire import CLIENT_TEXT, TRUSTED


@pytest.fixture(scope="module")
def musl(tmp_path_factory):
    """(server, library)"""
    directory = tmp_path_factory.mktemp("musl")
    compiler = tool("musl-gcc")
    subprocess.run(["make", "-s", "-C", ROOT, "all", f"CC={compiler}", f"B={directory}"], check=True)
    server = directory / "server"
    subprocess.run([compiler, "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-pthread", "-o", server,
                    ROOT / "tests" / "behaviour" / "server.c"], check=True)
    return server, directory / "libppshim.so"


@pytest.mark.parametrize("style", STYLES)
def test_client_behind_silent_peers_is_served_under_musl(start, musl, style):
    server, library = musl
    env = environment(trust=TRUSTED, timeout="30s") | {"LD_PRELOAD": str(library)}
    program = start([str(server), *STYLES[style]], env)
    for _ in range(6):
        program.serves()
    silent = [program.peer() for _ in range(5)] + [program.peer().send(wire.v2()[:9]) for _ in range(5)]
    program.settled(*silent)
    program.serves(TRUSTED, wire.v2(), CLIENT_TEXT)
    program.serves()
    late = silent[5].send(wire.v2()[9:] + b"late")
    assert late.report()["peer"] == CLIENT_TEXT
    late.echo(b"late")
    for peer in silent:
        peer.close()
