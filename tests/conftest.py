# SPDX-License-Identifier: MIT
"""conftest.py: what holds for all tests: where their library is, and that a failure shows what programs said."""
import pytest

pytest.register_assert_rewrite("harness", "log", "process", "program", "sockets", "small_server", "trees", "wire")

from process import running  # noqa: E402


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for process in running:
            report.sections.append((f"log of {process.name} {process.pid}", process.log.tail()))
