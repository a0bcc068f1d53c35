# SPDX-License-Identifier: MIT
"""What the shim costs with thousands of silent peers, and in descriptors; and that what it does in many threads is sound,
as far as ThreadSanitizer and memcheck can see. What its calls cost is counted in tests/bench/budgets.md."""
import re
import resource
import subprocess

import pytest
import wire
from conftest import ROOT, STYLES, environment, helper, missing, tool
from wire import CLIENT_TEXT, DIRECT, TRUSTED

LOOPS = [style for style in STYLES if not re.search("blocking|threads|prefork", style)]
ALL_SERVED = r"^ok served=(\d+)$"

# --- many silent peers -------------------------------------------------------------------------------------------------


def test_eight_thousand_silent_peers_cost_a_live_client_nothing(record_property):
    peers, needed = 8000, 17000  # descriptors: half of them are the server's own
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit[1] < needed:
        missing(f"RLIMIT_NOFILE of {needed} (it is {limit[1]} at most)")
    run = subprocess.run([helper("hazards_load"), str(peers)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                         timeout=60, env=environment(trust=TRUSTED, timeout="60s", max_pending=peers + 200, log="stderr:error"),
                         preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (needed, limit[1])))
    assert run.returncode == 0, run.stderr
    print(run.stdout, end="")
    record_property("load", run.stdout.strip())
    figures = {key: float(re.match("[0-9.]+", value).group()) for key, value in wire.fields(run.stdout.strip()).items() if key}
    assert figures["ratio"] <= 1.2
    assert 0 < figures["bytes"] <= 256
    assert figures["cpu"] <= 10000  # of a million


@pytest.mark.parametrize("style", LOOPS)
def test_silent_peers_do_not_use_up_the_descriptors_of_an_event_loop(serve, style):
    """More of them than the server may have open files: accept never says EMFILE, and live clients are served."""
    server = serve(*STYLES[style], nofile=40)
    for _ in range(3):
        server.serves()
    peers = [server.peer() for _ in range(60)]
    for number in range(3):
        server.serves(TRUSTED, wire.v2(("203.0.113.7", number)), f"203.0.113.7:{number}")
        server.serves(DIRECT)
    late = peers[-1].send(wire.v1())
    assert late.report()["peer"] == CLIENT_TEXT
    late.send(b"x").echo(b"x")
    for peer in peers:
        peer.close()
    stats = server.stats()
    assert (stats["failed"], stats["empty"]) == (0, 0), stats


# --- watched ------------------------------------------------------------------------------------------------------------


def test_many_threads_are_served(tmp_path):
    trust = tmp_path / "trust"
    trust.write_text("127.0.0.2\n")
    run = subprocess.run([helper("hazards_threads"), "2", str(trust)], stdin=subprocess.DEVNULL, capture_output=True,
                         text=True, timeout=60, env=environment(trust=f"@{trust}", timeout="60s", log="stderr:error"))
    assert run.returncode == 0 and re.match(ALL_SERVED, run.stdout), run.stdout + run.stderr


def test_thread_sanitizer_has_nothing_to_say(tmp_path):
    """The shim's sources and the program in one image: its hooks are found before libtsan's, and theirs next."""
    trust = tmp_path / "trust"
    trust.write_text("127.0.0.2\n")
    program = tmp_path / "hazards_threads"
    sources = [*sorted((ROOT / "shim").glob("*.c")), ROOT / "tests/behaviour/hazards_threads.c"]
    built = subprocess.run([tool("gcc"), "-std=gnu11", "-D_GNU_SOURCE", f"-I{ROOT}/include", '-DPPS_VERSION="tsan"',
                            '-DPPS_INTERP="/none"', "-O1", "-g", "-fsanitize=thread", "-pthread", "-o", str(program),
                            *map(str, sources), "-ldl"], capture_output=True, text=True, timeout=120)
    if "cannot find" in built.stderr and "tsan" in built.stderr:
        missing("libtsan")
    assert built.returncode == 0, built.stderr
    env = environment(trust=f"@{trust}", timeout="60s", log="stderr:error")
    run = subprocess.run([str(program), "3", str(trust)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                         env={name: value for name, value in env.items() if name != "LD_PRELOAD"})
    assert "WARNING" not in run.stderr and run.returncode == 0, run.stderr[:8000]
    assert int(re.match(ALL_SERVED, run.stdout).group(1)) > 100


@pytest.mark.parametrize("style", STYLES)
def test_memcheck_has_nothing_to_say(start, style):
    server = start([tool("valgrind"), "-q", "--error-exitcode=99", "--leak-check=no", helper("server"), *STYLES[style]],
                   environment(trust=TRUSTED, timeout="400ms", log="stderr:error"))
    for _ in range(3):
        server.serves()
    silent, half, late = server.peer(), server.peer().send(wire.v2()[:20]), server.peer()
    server.settled(late)
    assert late.send(wire.v1()).report()["peer"] == CLIENT_TEXT
    late.send(b"x").echo(b"x")
    server.peer().send(b"nonsense").rejected()
    server.peer().close()
    server.peer().reset()
    server.serves(TRUSTED, wire.v2_of_length(9000), CLIENT_TEXT)
    if style != "prefork":  # a worker that is busy, or lost a race, sees to those it has parked when it accepts again
        for peer in silent, half:
            peer.rejected()
    server.serves()
    assert server.stop() == 0, "\n".join(server.log.lines)
    assert not server.log.matching("^=="), "\n".join(server.log.lines)
