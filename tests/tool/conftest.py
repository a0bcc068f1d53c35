# SPDX-License-Identifier: MIT
"""conftest.py: runs the operator's tool, and listens to what its clients say."""
import ctypes
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "servers"))

pytest.register_assert_rewrite("contract")

from harness import DEADLINE, ROOT, Certificates, clean_env, run, scratch, tool  # noqa: E402
from place import needs  # noqa: E402

TOOL = Path(os.environ.get("PPSHIM_TOOL") or ROOT / "build" / "ppshim")
CONNECT = ROOT / "build" / "libppconnect.so"


def ppshim(*argv, given=b"", env=None, **options):
    """The tool to its end: exit status, and what it wrote, as bytes and as text."""
    done = subprocess.run([str(a) for a in (TOOL, *argv)], input=given, capture_output=True, timeout=DEADLINE,
                          env=env or clean_env(), **options)
    return done.returncode, done.stdout, done.stderr.decode()


def header(*argv):
    """The bytes of `ppshim header`."""
    status, out, said = ppshim("header", *argv)
    assert (status, said) == (0, "")
    return out


def refused(verb, *argv, status=2, **options):
    """The one line with which the tool refuses a command line, without its own name."""
    got, out, said = ppshim(verb, *argv, **options)
    assert (got, out) == (status, b""), said
    assert said.startswith(f"ppshim {verb}: ") and said.count("\n") == 1 and said.endswith("\n")
    return said[len(f"ppshim {verb}: "):-1]


def through(*argv, options=("--from", "203.0.113.7:4711"), **more):
    """A client of the real world, started by `ppshim connect`: what it prints."""
    return run(TOOL, "connect", *options, "--", *argv, **more).stdout


def helper(name):
    path = ROOT / "build" / "tests" / "tool" / name
    assert path.exists(), f"{path} is not built: make check-tool"
    return path


def receive(connection, length):
    got = b""
    while len(got) < length:
        piece = connection.recv(length - len(got))
        assert piece, f"the connection ended after {got!r}"
        got += piece
    return got


def listener(host="127.0.0.1", backlog=64):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, 0), family=family, backlog=backlog)
    listening.settimeout(DEADLINE)
    return listening


def accept(listening):
    connection, _ = listening.accept()
    connection.settimeout(DEADLINE)
    return connection


def in_network(body, **sysctls):
    """Runs body() in a network namespace of its own, with loopback and these net.ipv4 settings."""
    needs("root", "network")

    def inside():
        assert ctypes.CDLL(None).unshare(0x40000000) == 0
        run(tool("ip"), "link", "set", "lo", "up")
        for name, value in sysctls.items():
            Path(f"/proc/sys/net/ipv4/{name}").write_text(str(value))
        return body()

    with ThreadPoolExecutor(1) as thread:  # the namespace is the thread's, and of the programs it starts
        return thread.submit(inside).result()


@pytest.fixture(scope="session")
def certificates():
    with scratch("certificates") as directory:
        yield Certificates(directory)
