# SPDX-License-Identifier: MIT
"""The library for other machines: what it is to a program there. `make check-cross` builds it, and runs the tests of
behaviour/ with it under qemu-user; here is what only another machine can show."""
import contextlib
import os
import re
import subprocess

import pytest
import wire
from harness import DEADLINE, ROOT, tool
from program import STYLES, Program
from process import clean_env

MACHINES = os.environ.get("MACHINES", "").split() or ["aarch64-linux-gnu", "arm-linux-gnueabihf"]
ARMHF = "arm-linux-gnueabihf"
QEMU = {"aarch64-linux-gnu": "qemu-aarch64-static", ARMHF: "qemu-arm-static"}
TIME64 = ["-D_TIME_BITS=64", "-D_FILE_OFFSET_BITS=64"]

CALLS = r"""
#define _GNU_SOURCE
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>
int main(void)
{
    return accept(0, 0, 0) + accept4(0, 0, 0, 0) + getpeername(0, 0, 0) + getsockname(0, 0, 0) + listen(0, 0) + close(0) +
           close_range(0, 0, 0) + dup2(0, 0) + dup3(0, 0, 0) + poll(0, 0, 0) + ppoll(0, 0, 0, 0) +
           select(0, 0, 0, 0, 0) + pselect(0, 0, 0, 0, 0, 0) + epoll_ctl(0, 0, 0, 0) + epoll_wait(0, 0, 0, 0) +
           epoll_pwait(0, 0, 0, 0, 0) + epoll_pwait2(0, 0, 0, 0, 0) + (closefrom(3), 0);
}
"""
CALLED = set(re.findall(r"\b(\w+)\([03]", CALLS))


def built(machine):
    return ROOT / "build" / "cross" / machine


def output(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=DEADLINE).stdout


def exported(library):
    table = output(tool("nm"), "-D", "--defined-only", library)
    return {line.split()[-1].partition("@")[0] for line in table.splitlines()}


def imported(program):
    return {line.split()[-1].partition("@")[0] for line in output(tool("nm"), "-D", "--undefined-only", program).splitlines()}


def compiled(machine, source, program, *options):
    subprocess.run([tool(f"{machine}-gcc"), "-std=gnu11", "-D_GNU_SOURCE", "-pthread", *options, "-o", program, source], check=True)
    return program


@pytest.fixture(params=MACHINES)
def machine(request):
    return request.param


@pytest.mark.parametrize("options", [[], TIME64], ids=["time32", "time64"])
def test_program_finds_every_call_it_imports_in_the_library(machine, options, tmp_path):
    (tmp_path / "calls.c").write_text(CALLS)
    program = compiled(machine, tmp_path / "calls.c", tmp_path / "calls", *options)
    ours = {name for name in imported(program) if re.sub(r"^__|(64|_time64)$", "", name) in CALLED}
    assert len(ours) == len(CALLED) == 18
    assert ours <= exported(built(machine) / "libppshim.so")
    renamed = {"__ppoll64", "__select64", "__pselect64", "__epoll_pwait2_time64"}
    assert ours - CALLED == (renamed if machine == ARMHF and options else set())


def functions(machine):
    """(name, address) of what programs may import from libc there."""
    table = output(tool("readelf"), "--dyn-syms", "-W", f"/usr/{machine}/lib/libc.so.6")
    found = re.findall(r"^ *\d+: ([0-9a-f]+) +\d+ (?:FUNC|IFUNC) .* (\w+)@@?(\S+)", table, re.M)
    return {(name, address) for address, name, version in found if version != "GLIBC_PRIVATE"}


def test_library_takes_every_name_by_which_libc_exports_an_interposed_call(machine):
    ours = exported(built(machine) / "libppshim.so")
    taken = {address for name, address in functions(machine) if name in ours}
    assert len(taken) >= 20
    assert {name for name, address in functions(machine) if address in taken} <= ours


def test_unmodified_client_finds_every_call_that_opens_a_connection(machine):
    names = {name for name, _ in functions(machine)}
    assert exported(built(machine) / "libppconnect.so") == {"connect", "sendto", "sendmsg", "__sendmsg64"} & (
        names | {"connect", "sendto", "sendmsg"})


def emulated(machine, program, *arguments):
    return [tool(QEMU[machine]), "-L", f"/usr/{machine}", program, *arguments]


def test_run_as_a_program_it_prints_its_version(machine):
    version = re.search(r"^VERSION = (\S+)$", (ROOT / "Makefile").read_text(), re.M).group(1)
    assert output(*emulated(machine, built(machine) / "libppshim.so")).strip() == f"libppshim {version}"
    assert output(*emulated(machine, built(machine) / "ppshim", "--version")).strip().endswith(version)


@pytest.mark.parametrize("options", [[], TIME64], ids=["time32", "time64"])
@pytest.mark.parametrize("style", ["ppoll", "select", "pselect", "poll", "epoll-lt", "blocking"])
def test_server_is_told_of_a_late_header_whatever_its_time_is(machine, style, options, tmp_path):
    program = compiled(machine, ROOT / "tests/behaviour/server.c", tmp_path / "server", *options)
    settings = {"LD_PRELOAD": str(built(machine) / "libppshim.so"), "PPSHIM_TRUST": wire.TRUSTED, "PPSHIM_TIMEOUT": "60s"}
    with contextlib.ExitStack() as stack:
        server = Program(emulated(machine, program, *STYLES[style]), clean_env(**settings))
        stack.callback(server.stop)
        server.serves()
        silent, late = (stack.enter_context(server.peer()) for _ in range(2))
        late.send(wire.v2()[:20])
        server.settled(silent, late)
        server.serves(wire.TRUSTED, wire.v2(), wire.CLIENT_TEXT)
        assert late.send(wire.v2()[20:] + b"late").report()["peer"] == wire.CLIENT_TEXT
        late.echo(b"late")
