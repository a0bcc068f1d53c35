# SPDX-License-Identifier: MIT
"""conftest.py: the fixtures that run small servers: see program.py in tests/lib."""
import time

import pytest
import wire
from harness import environment
from program import Program, helper


@pytest.fixture
def start():
    """start(argv, env, ...) runs a Program until the test ends."""
    programs = []

    def starter(argv, env, **options):
        program = Program(argv, env, **options)
        programs.append(program)
        return program

    yield starter
    for program in programs:
        program.stop()


@pytest.fixture
def serve(start):
    """serve("--accept=poll", ..., timeout="300ms") runs tests/behaviour/server.c; 127.0.0.2 is trusted unless told."""
    servers = []

    def starter(*arguments, nofile=None, stderr=None, **settings):
        settings = {"trust": wire.TRUSTED, "timeout": "60s", **settings}
        servers.append(start([helper("server"), *arguments], environment(**settings), nofile=nofile, stderr=stderr))
        return servers[-1]

    yield starter
    for server in servers:
        assert server.stop() == 0, f"server's exit status {server.status}: {server.out.lines[-3:]}"


@pytest.fixture
def now():
    return time.monotonic
