# SPDX-License-Identifier: MIT
"""startup.py: what the preload costs a program that it does not concern: the time until `true` is done, and memory."""
import os
import re
import subprocess
import time
from pathlib import Path

from harness import clean_env, tool, until, waits_in
from measure import Figure, interleaved, settings

PROGRAMS = 100  # started for one figure
WAYS = {"bare": {},
        "preload, nothing set": {"LD_PRELOAD": settings()["LD_PRELOAD"]},
        "preload, PPSHIM_TRUST set": settings()}


def microseconds(env):
    """Of one start of `true`, from before the fork until it is gone."""
    argv, env = [tool("true")], clean_env(**env)
    before = time.perf_counter()
    for _ in range(PROGRAMS):
        os.waitpid(os.posix_spawn(argv[0], argv, env), 0)
    return (time.perf_counter() - before) / PROGRAMS * 1e6


def private_kilobytes(env):
    """What a program (cat, which waits) has of memory for itself alone."""
    with subprocess.Popen([tool("cat")], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=clean_env(**env)) as cat:
        until(lambda: "pipe" in "".join(waits_in(cat.pid)), "cat waits for its input")
        text = Path(f"/proc/{cat.pid}/smaps_rollup").read_text()
        cat.stdin.close()
    return sum(map(int, re.findall(r"^Private_(?:Clean|Dirty): +(\d+)", text, re.M)))


def measure(rounds):
    """Rows of a table: the way, microseconds, the ratio to bare, kilobytes."""
    times = interleaved(list(WAYS), range(rounds), lambda name: microseconds(WAYS[name]))
    rows = []
    for name, those in times.items():
        ratio = Figure.of_rounds(those, times["bare"], lambda value: value)
        rows.append((name, Figure.of(those).median, ratio, private_kilobytes(WAYS[name])))
    return rows
