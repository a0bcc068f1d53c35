# SPDX-License-Identifier: MIT
"""Where telling the truth is hard, and what servers do to the shim meanwhile: the cases are in cases/*.c, each run in a
process of its own."""
import os
import subprocess
from pathlib import Path

import pytest
import wire
from place import lacks
from program import environment, helper

# The library and the case are one image under ThreadSanitizer: make check-tsan.
TSAN = os.environ.get("SANITIZER") == "thread"

# Headers are waited for longer than any case takes, but for the cases, or whole programs, that are about that time.
SETTINGS = {
    "accept_after_an_unseen_wait_ends_in_time": {"timeout": "300ms"},
    "idle_epoll": {"timeout": "100ms"},
    "peer_timeouts": {"timeout": "300ms"},
    "select_writes_back_the_time_that_is_left_also_without_a_descriptor_to_spare": {"timeout": "300ms"},
    "journal": {"journal": f"/tmp/ppshim-cases-{os.getpid()}.sock"},
    "deferred_listener_leaves_silent_peers_to_the_kernel": {"defer_accept": "on"},
}

NOT_UNDER_TSAN = {
    "child_that_only_watches_takes_nothing": "its own thread makes a process one of several threads",
    "handler_that_closes_the_listener_ends_accept": "it keeps signals from a thread that sleeps in accept",
    "fork_in_a_handler_whatever_it_interrupted_neither_hangs_nor_harms": "it locks what a handler may have interrupted",
    "listeners_whose_close_was_not_seen_make_room_for_others": "it takes minutes for 4,096 listeners",
}


def settings_of(program, name):
    return {"trust": wire.TRUSTED, "timeout": "60s", "log": "stderr:error", **SETTINGS.get(program, {}),
            **SETTINGS.get(name, {})}


def case(program, name, **settings):
    env = environment(**{**settings_of(program, name), **settings})
    if TSAN:
        del env["LD_PRELOAD"]
    return subprocess.run([helper(f"{'tsan/' if TSAN else ''}cases/{program}"), name], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, env=env, timeout=320)  # more than HANGS_AFTER


def cases():
    for source in sorted((Path(__file__).parent / "cases").glob("*.c")):
        listed = case(source.stem, "--list")
        assert listed.returncode == 0 and listed.stdout, listed
        yield from ((source.stem, name) for name in listed.stdout.split())


CASES = list(cases())


@pytest.mark.parametrize("program, name", [pytest.param(*case, id="-".join(case)) for case in CASES])
def test_case(program, name):
    if TSAN and name in NOT_UNDER_TSAN:
        pytest.skip(f"ThreadSanitizer: {NOT_UNDER_TSAN[name]}")
    answer = case(program, name)
    if answer.returncode == 77:
        lacks(answer.stdout.strip())
    assert answer.stdout == f"ok {name}\n", answer.stdout + answer.stderr
    assert "WARNING: ThreadSanitizer" not in answer.stderr, answer.stderr
    assert answer.returncode == 0


def test_cases_with_settings_of_their_own_exist():
    assert {*SETTINGS, *NOT_UNDER_TSAN} <= {word for case in CASES for word in case}


def test_peers_that_go_with_their_listener_are_named_in_the_log():
    """Two of them wait for each of poll, select and epoll."""
    answer = case("fd_reuse", "closed_listener_takes_its_waiting_and_held_peers_along", log="stderr:notice")
    lost = [wire.fields(line) for line in answer.stderr.splitlines() if "reason=listener-closed" in line]
    assert len({(fields["peer"], fields["local"]) for fields in lost}) == len(lost) == 6
