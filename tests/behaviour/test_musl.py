# SPDX-License-Identifier: MIT
"""The shim built for musl, under a server built for musl; and either build in a program of the other libc."""
import os
import re
import subprocess
from pathlib import Path

import pytest
import wire
from harness import DEADLINE, ROOT, SHIM, tool, until
from program import STYLES, environment, helper
from wire import CLIENT_TEXT, TRUSTED


@pytest.fixture(scope="module")
def musl(tmp_path_factory):
    """(server, library)"""
    compiler = tool("musl-gcc")
    server = tmp_path_factory.mktemp("musl") / "server"
    subprocess.run([compiler, "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-pthread", "-o", server,
                    ROOT / "tests" / "behaviour" / "server.c"], check=True)
    return server, ROOT / "build" / "check" / "libppshim-musl.so"


@pytest.mark.parametrize("style", STYLES)
def test_client_behind_silent_peers_is_served_under_musl(start, musl, style):
    server, library = musl
    env = environment(trust=TRUSTED, timeout="30s") | {"LD_PRELOAD": str(library)}
    program = start([str(server), *STYLES[style]], env)
    for _ in range(6):
        program.serves()
    silent = [program.peer() for _ in range(5)] + [program.peer().send(wire.v2()[:9]) for _ in range(5)]
    program.settled(*silent)
    program.serves(TRUSTED, wire.v2(), CLIENT_TEXT)
    program.serves()
    late = silent[5].send(wire.v2()[9:] + b"late")
    assert late.report()["peer"] == CLIENT_TEXT
    late.echo(b"late")
    for peer in silent:
        peer.close()


CLOSER = r"""
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (void *)&in, len) || listen(listener, 9) || getsockname(listener, (void *)&in, &len))
        return 1;
    printf("listening %d\n", ntohs(in.sin_port));
    fflush(stdout);
    if (write(accept(listener, 0, 0), "\n", 1) != 1)
        return 1;
    while (access(argv[argc - 1], F_OK))
        poll(&(struct pollfd){.fd = listener, .events = POLLIN}, 1, 10);
    posix_close(listener, 0);
    pause();
}
"""


def test_listener_that_is_closed_by_posix_close_ends_its_silent_peers(start, musl, tmp_path):
    (tmp_path / "closer.c").write_text(CLOSER)
    subprocess.run([tool("musl-gcc"), "-D_GNU_SOURCE", "-o", tmp_path / "closer", tmp_path / "closer.c"], check=True)
    env = environment(trust=TRUSTED, timeout="60s") | {"LD_PRELOAD": str(musl[1])}
    server = start([tmp_path / "closer", tmp_path / "close"], env)
    with server.peer() as first, server.peer() as silent:
        first.send(wire.v2()).report()
        until(silent.inode, "the server took the connection")
        (tmp_path / "close").touch()
        silent.rejected()


# --- the wrong one ----------------------------------------------------------------------------------------------------

MISMATCHES = ["glibc's in musl", "musl's in glibc"]


@pytest.fixture(params=MISMATCHES)
def mismatch(request, musl):
    """(a program, the library that is not for it, its libc, the program's, the library it names)"""
    server, library = musl
    assert re.search(r"musl", subprocess.run([tool("readelf"), "-lW", server], capture_output=True, text=True,
                                             check=True).stdout), "the server is not musl's"
    if request.param == MISMATCHES[0]:
        return str(server), SHIM, "glibc", "musl", "libppshim-musl.so"
    return helper("server"), library, "musl", "glibc", "libppshim.so"


def under(library, program, stderr=subprocess.PIPE, **settings):
    return subprocess.run([program, "--no-such-option"], env=environment(**settings) | {"LD_PRELOAD": str(library)},
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True,
                          timeout=DEADLINE)


@pytest.mark.parametrize("setting", ["trust", "header_optional"])
def test_library_of_the_other_libc_stops_a_program_it_would_govern(mismatch, setting):
    program, library, built_for, runs_on, right = mismatch
    answer = under(library, program, **{setting: TRUSTED})
    assert (answer.returncode, answer.stdout) == (78, "")
    named = re.escape(os.path.realpath(program))
    assert re.fullmatch(rf"ppshim\[\d+\]: error: [^\n]* built for {built_for}, and {named} runs on {runs_on}: "
                        rf"preload {re.escape(right)},[^\n]*\n", answer.stderr)


def test_library_of_the_other_libc_stops_a_program_that_has_nowhere_to_say_it(mismatch):
    program, library, *_ = mismatch
    assert under(library, program, stderr=subprocess.DEVNULL, trust=TRUSTED).returncode == 78


@pytest.mark.parametrize("settings", [{}, {"trust": "none"}], ids=["unset", "none"])
def test_library_of_the_other_libc_lets_be_what_it_would_not_govern(mismatch, settings):
    program, library, *_ = mismatch
    bare = under("", program)
    assert bare.returncode not in (0, 78, 127) and bare.stderr
    answer = under(library, program, **settings)
    assert (answer.returncode, answer.stdout, answer.stderr) == (bare.returncode, bare.stdout, bare.stderr)


def test_takes_every_name_by_which_musl_exports_an_interposed_call(musl):
    """musl's linker is its libc."""
    def functions(library):
        return set(re.findall(r"^ *\d+: ([0-9a-f]+) +\d+ FUNC +(?:GLOBAL|WEAK) +DEFAULT +\d+ ([^\s@]+)", subprocess.run(
            [tool("readelf"), "--dyn-syms", "-W", library], capture_output=True, text=True, check=True).stdout, re.M))
    libc, = Path("/lib").glob("ld-musl-*.so.1")
    exported = {name for _, name in functions(musl[1])}
    taken = {address for address, name in functions(libc) if name in exported}
    assert len(taken) >= 15
    assert {name for address, name in functions(libc) if address in taken} <= exported


def test_musl_library_prints_its_version_when_run(musl):
    said = subprocess.run([musl[1]], capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(r"libppshim \d+\.\d+\.\d+\S*\n", said)
