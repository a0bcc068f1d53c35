# SPDX-License-Identifier: MIT
"""crowd.py: many clients of every kind, each of whom must be told right: tests/network/crowd.c."""
import os
from collections import Counter

from process import run
from program import helper

FOUND = {"there", "late", "split", "syn", "local"}  # whose header is taken, if they are trusted
THREADS = 48


def spelled(weights):
    """{"there": 4, "late": 1} as the program takes it."""
    return ",".join(f"{kind}*{weight}" for kind, weight in weights.items())


def crowd(timeout, **options):
    """How many there were of each kind; a client that was told wrong fails the test. Options: crowd.c."""
    options = {"threads": THREADS, "seed": os.getpid(), **options}
    done = run(helper("network/crowd"), *(f"{name.replace('_', '-')}={value}" for name, value in options.items()),
               timeout=timeout)
    return Counter({kind: int(n) for kind, _, n in (word.partition("=") for word in done.stdout.split()) if int(n)})
