# SPDX-License-Identifier: MIT
"""Servers and clients in any order, against a model: model.c. MODEL_SECONDS (10) is how long, MODEL_SEED (1) the first
seed; the message of a failure names the one that shows it again: MODEL_SEED=17 MODEL_SECONDS=0."""
import itertools
import os
import time

import pytest
from harness import DEADLINE, environment, run
from program import helper
from wire import TRUSTED

STEPS = 400
SECONDS = float(os.environ.get("MODEL_SECONDS", "10"))
FIRST = int(os.environ.get("MODEL_SEED", "1"))


@pytest.mark.parametrize("store", ["socket", "table"])
def test_whatever_the_order_each_client_is_given_once_by_its_name(store):
    env = environment(trust=TRUSTED, timeout="60s", log="stderr:error", store=store)
    end = time.monotonic() + SECONDS
    for seed in itertools.count(FIRST):
        answer = run(helper("model/model"), seed, STEPS, env=env, check=False, timeout=10 * DEADLINE)
        assert (answer.returncode, answer.stdout) == (0, f"ok {seed}\n"), f"{answer.stdout}{answer.stderr}"
        if time.monotonic() > end:
            break
