# SPDX-License-Identifier: MIT
"""conftest.py: what holds for all tests: where their library is, and that a failure shows what programs said."""
import pytest

pytest.register_assert_rewrite("harness", "log", "process", "program", "sockets", "small_server", "trees", "wire")

from process import ended, running, said_by  # noqa: E402


def pytest_runtest_setup():
    ended.clear()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        report.sections += [*ended, *map(said_by, running)]
