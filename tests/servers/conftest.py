# SPDX-License-Identifier: MIT
"""Fixtures for tests that run real servers. A test file names its server class as SERVER (see contract.Server)."""
from contextlib import ExitStack

import pytest

pytest.register_assert_rewrite("contract", "go_foreign", "inetd")

from harness import scratch  # noqa: E402
from launcher import (SHARED, Launcher, _room_in_the_log, balance, certificates, start,  # noqa: E402,F401
                      template_of)


def pytest_generate_tests(metafunc):
    """`variant`: each kind of server that a file's VARIANTS names."""
    if "variant" in metafunc.fixturenames:
        variants = getattr(metafunc.module, "VARIANTS", [metafunc.module.SERVER])
        metafunc.parametrize("variant", variants, ids=lambda variant: variant.__name__)


@pytest.fixture(scope="module")
def template(request):
    with template_of(request.module.SERVER) as directory:
        yield directory


@pytest.fixture(scope="module")
def _launcher(request, template, certificates):
    return Launcher(request.module.SERVER, template, certificates)


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
def trust_directory():
    with scratch("lists") as directory:
        yield directory
