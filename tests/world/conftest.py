# SPDX-License-Identifier: MIT
"""Fixtures for the tests of the world: as those of tests/servers, but a class of tests has its servers, not a file. And
the table of what they answered (table.py)."""
from contextlib import ExitStack

import pytest

pytest.register_assert_rewrite("contract", "questions")

import table  # noqa: E402
from launcher import (SHARED, Launcher, _room_in_the_log, balance, certificates, start,  # noqa: E402,F401
                      template_of)


def pytest_generate_tests(metafunc):
    if "variant" in metafunc.fixturenames:
        metafunc.parametrize("variant", [metafunc.cls.SERVER], ids=[""])


def pytest_collection_modifyitems(items):
    """A server's row comes last, also behind what it alone is asked."""
    classes = {}
    for item in items:
        classes.setdefault(item.parent.nodeid, len(classes))
    items.sort(key=lambda item: (classes[item.parent.nodeid], item.name == "test_the_table_says_what_was_answered"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    table.take(item, report)


def pytest_runtest_logreport(report):
    table.collect(report)


def pytest_sessionfinish(session):
    if not hasattr(session.config, "workerinput"):
        table.finish()


@pytest.fixture(scope="class")
def template(request):
    with template_of(request.cls.SERVER) as directory:
        yield directory


@pytest.fixture(scope="class")
def _launcher(request, template, certificates):
    return Launcher(request.cls.SERVER, template, certificates)


@pytest.fixture(scope="class")
def server(_launcher):
    with ExitStack() as scope:
        yield _launcher.server(scope, SHARED)


@pytest.fixture(scope="class")
def bare(_launcher):
    """The same server without the shim."""
    with ExitStack() as scope:
        yield _launcher.server(scope, None)


@pytest.fixture(scope="class")
def balancer(_launcher, server):
    with ExitStack() as scope:
        yield _launcher.balancer(scope, server)
