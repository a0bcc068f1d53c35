# SPDX-License-Identifier: MIT
"""Where telling the truth is hard, and what servers do to the shim meanwhile: the cases are in cases/,
each run in a process of its own."""
import subprocess

import pytest
import wire
from conftest import environment, helper
from place import lacks

# Headers are waited for longer than any case takes, but for the cases that are about that time.
SETTINGS = {
    "accept_after_an_unseen_wait_ends_in_time": {"timeout": "300ms"},
    "private_epoll_goes_after_ten_idle_timeouts_of_poll": {"timeout": "100ms"},
    "private_epoll_goes_after_ten_idle_timeouts_of_select": {"timeout": "100ms"},
    "private_epoll_goes_after_ten_idle_timeouts_of_epoll_wait": {"timeout": "100ms"},
    "private_epoll_stays_while_peers_come": {"timeout": "100ms"},
    "server_that_nobody_called_yet_sleeps": {"timeout": "100ms"},
    "deferred_listener_leaves_silent_peers_to_the_kernel": {"defer_accept": "on"},
}


def case(program, name, **settings):
    return subprocess.run([helper(program), name], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=320,  # more than HANGS_AFTER
                          env=environment(**{"trust": wire.TRUSTED, "timeout": "60s", "log": "stderr:error", **settings}))


def cases(program):
    listed = case(program, "--list")
    assert listed.returncode == 0 and listed.stdout, listed
    return pytest.mark.parametrize("name", [name for name in listed.stdout.split()])


def passes(program, name, **settings):
    answer = case(program, name, **settings, **SETTINGS.get(name, {}))
    if answer.returncode == 77:
        lacks(answer.stdout.strip())
    assert answer.stdout == f"ok {name}\n", answer.stdout + answer.stderr
    assert answer.returncode == 0


@cases("cases/registrations")
def test_wait(name):
    passes("cases/registrations", name)


@cases("cases/fd_reuse")
def test_life(name):
    passes("cases/fd_reuse", name)


@cases("cases/close_under_a_look")
def test_reuse(name):
    passes("cases/close_under_a_look", name)


@cases("cases/shared_data")
def test_data(name):
    passes("cases/shared_data", name)


@cases("cases/own_descriptors")
def test_turns(name):
    passes("cases/own_descriptors", name)


@cases("cases/peer_timeouts")
def test_timeouts(name):
    passes("cases/peer_timeouts", name, timeout="300ms")


def test_cases_with_settings_of_their_own_exist():
    listed = {name for program in ("cases/registrations", "cases/fd_reuse") for name in case(program, "--list").stdout.split()}
    assert set(SETTINGS) <= listed


def test_peers_that_go_with_their_listener_are_named_in_the_log():
    """Two of them wait for each of poll, select and epoll."""
    answer = case("cases/fd_reuse", "closed_listener_takes_its_waiting_and_held_peers_along", log="stderr:notice")
    lost = [wire.fields(line) for line in answer.stderr.splitlines() if "reason=listener-closed" in line]
    assert len({(fields["peer"], fields["local"]) for fields in lost}) == len(lost) == 6
