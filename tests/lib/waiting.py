# SPDX-License-Identifier: MIT
"""waiting.py: waits for what no event tells of: the state of another process, a line in its log. Nothing in the tests
sleeps to let something happen; every wait fails at a deadline, with what it waited for in the message."""
import time

DEADLINE = 50.0  # seconds until a wait is a failure; long, because a loaded machine is no bug, but less than the minute of
               # PPSHIM_TIMEOUT that servers have here: what was kept waiting for that is one


def until(happened, what, deadline=DEADLINE):
    """Polls until happened() is truthy and returns that; past the deadline the test fails. `what` may be a call that says
    how things stand then."""
    end, pause = time.monotonic() + deadline, 0.001
    while True:
        answer = happened()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline:g} s: {what() if callable(what) else what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.004)
