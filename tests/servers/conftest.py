# SPDX-License-Identifier: MIT
"""Fixtures for tests that run real servers. A test file names its server class as SERVER (see contract.Server)."""
from contextlib import ExitStack

import pytest

pytest.register_assert_rewrite("contract", "inetd")

from harness import BALANCER, Balancer, Certificates, room_in_the_log, scratch  # noqa: E402

# What a file's servers run with where a test does not say otherwise. No test that is about something else should run
# into the timeout, however slow the machine.
SHARED = {"TRUST": BALANCER, "TIMEOUT": "30s", "LOG": "stderr:info"}


def pytest_generate_tests(metafunc):
    """`variant`: each kind of server that a file's VARIANTS names."""
    if "variant" in metafunc.fixturenames:
        variants = getattr(metafunc.module, "VARIANTS", [metafunc.module.SERVER])
        metafunc.parametrize("variant", variants, ids=lambda variant: variant.__name__)


@pytest.fixture(autouse=True)
def _room_in_the_log():
    room_in_the_log(3)


@pytest.fixture(scope="session")
def certificates():
    with scratch("certificates") as directory:
        yield Certificates(directory)


@pytest.fixture(scope="module")
def template(request):
    """What is made once for all servers of a file: a data directory, host keys."""
    with scratch("template") as directory:
        request.module.SERVER.make_template(directory)
        yield directory


@pytest.fixture(scope="module")
def _launcher(request, template, certificates):
    """Starts servers, and balancers before them, that live until a scope (an ExitStack) closes."""
    class Launcher:
        def server(self, scope, settings, kind=request.module.SERVER, **options):
            return scope.enter_context(kind(scope.enter_context(scratch(kind.name)), template, settings, **options))

        def balancer(self, scope, server):
            return scope.enter_context(
                Balancer(scope.enter_context(scratch("haproxy")), server.endpoint, certificates))
    return Launcher()


@pytest.fixture(scope="module")
def server(_launcher):
    """The server that the tests of a file share."""
    with ExitStack() as scope:
        yield _launcher.server(scope, SHARED)


@pytest.fixture(scope="module")
def hasty_server(_launcher):
    """Another one, that does not wait long for a header."""
    with ExitStack() as scope:
        yield _launcher.server(scope, {**SHARED, "TIMEOUT": "500ms"})


@pytest.fixture(scope="module")
def balancer(_launcher, server):
    with ExitStack() as scope:
        yield _launcher.balancer(scope, server)


@pytest.fixture
def start(request, _launcher):
    """start(TIMEOUT="500ms") is a server of this test's own, start(bare=True) one without the shim."""
    with ExitStack() as scope:
        def start(bare=False, host="127.0.0.1", kind=request.module.SERVER, **settings):
            return _launcher.server(scope, None if bare else {**SHARED, **settings}, kind=kind, host=host)
        yield start


@pytest.fixture
def balance(_launcher):
    """balance(server) is a balancer of this test's own."""
    with ExitStack() as scope:
        yield lambda server: _launcher.balancer(scope, server)


@pytest.fixture
def trust_directory():
    with scratch("lists") as directory:
        yield directory
