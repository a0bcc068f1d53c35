# SPDX-License-Identifier: MIT
"""What accept, accept4 and getpeername promise their caller; the cases themselves are in libc/*.c.

The same code runs on the bare kernel, under a preload that is off, for a peer that is not trusted, and with headers:
what is expected of the shim is what the kernel does.
"""
import subprocess
from pathlib import Path

import pytest
import wire
from program import environment, helper

WORLDS = {
    "kernel": (["--bare"], {"LD_PRELOAD": ""}),
    "off": (["--bare"], environment()),
    "untrusted": (["--bare"], environment(trust=wire.TRUSTED)),
    "headers": ([], environment(trust=f"{wire.TRUSTED},::1", timeout="30s")),
}


def semantics(program, arguments, env):
    return subprocess.run([helper(f"libc/{program}"), *arguments], env=env, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=320)  # more than HANGS_AFTER


def cases():
    for world, (options, env) in WORLDS.items():
        for source in sorted((Path(__file__).parent / "libc").glob("*.c")):
            listed = semantics(source.stem, [*options, "--list"], env)
            assert listed.returncode == 0 and listed.stdout, listed
            for name in listed.stdout.split():
                yield pytest.param(world, source.stem, name, id=f"{world}-{source.stem}-{name}")


@pytest.mark.parametrize("world, program, name", cases())
def test_libc(world, program, name):
    options, env = WORLDS[world]
    answer = semantics(program, [*options, name], env)
    assert answer.stdout == f"ok {name}\n", answer
    assert answer.returncode == 0, answer
