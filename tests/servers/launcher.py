# SPDX-License-Identifier: MIT
"""launcher.py: servers, and balancers before them, for the fixtures of tests/servers and tests/world, and those fixtures
that are the same in both."""
from contextlib import ExitStack, contextmanager

import pytest
from harness import BALANCER, Balancer, Certificates, room_in_the_log, scratch

# What servers run with where a test does not say otherwise. No test that is about something else should run into the
# timeout, however slow the machine.
SHARED = {"TRUST": BALANCER, "TIMEOUT": "30s", "LOG": "stderr:info"}


@contextmanager
def template_of(kind):
    """What is made once for all servers of a kind: a data directory, host keys."""
    with scratch("template") as directory:
        kind.make_template(directory)
        yield directory


class Launcher:
    """Starts what lives until a scope (an ExitStack) closes."""

    def __init__(self, kind, template, certificates):
        self.kind, self.template, self.certificates = kind, template, certificates

    def server(self, scope, settings, kind=None, **options):
        kind = kind or self.kind
        return scope.enter_context(kind(scope.enter_context(scratch(kind.name)), self.template, settings, **options))

    def balancer(self, scope, server):
        return scope.enter_context(Balancer(scope.enter_context(scratch("haproxy")), server.endpoint, self.certificates))

    def starter(self, scope):
        """start(TIMEOUT="500ms") is a server of a test's own, start(bare=True) one without the shim."""
        def start(bare=False, host="127.0.0.1", kind=None, **settings):
            return self.server(scope, None if bare else {**SHARED, **settings}, kind=kind, host=host)
        return start


@pytest.fixture(autouse=True)
def _room_in_the_log():
    room_in_the_log(3)


@pytest.fixture(scope="session")
def certificates():
    with scratch("certificates") as directory:
        yield Certificates(directory)


@pytest.fixture
def start(_launcher):
    with ExitStack() as scope:
        yield _launcher.starter(scope)


@pytest.fixture
def balance(_launcher):
    """balance(server) is a balancer of this test's own."""
    with ExitStack() as scope:
        yield lambda server: _launcher.balancer(scope, server)
