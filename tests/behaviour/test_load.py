# SPDX-License-Identifier: MIT
"""What the shim costs with thousands of silent peers, and in descriptors; and that what it does is sound, as far as
memcheck can see (ThreadSanitizer: test_tsan.py). What its calls cost is counted in tests/bench/budgets.md."""
import re
import resource
import subprocess

import pytest
import wire
from harness import tool
from place import OPEN_FILES, needs
from program import HELPERS, STYLES, environment, helper
from wire import CLIENT_TEXT, DIRECT, TRUSTED

LOOPS = [style for style in STYLES if not re.search("blocking|threads|prefork", style)]
ALL_SERVED = r"^ok served=(\d+)$"

# --- a listener that goes in and out of an epoll ------------------------------------------------------------------------

COUNT, FEW, MANY = 200, 1, 60


def without_shim():
    return {name: value for name, value in environment().items() if name != "LD_PRELOAD"}


def with_shim():
    return environment(trust=TRUSTED, log="stderr:error")


def measured(argv, env):
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=320)
    assert done.returncode == 0, done.stderr
    return done.stderr


def traced(name, env, directory, pipes):
    """The lines of strace for COUNT times that call."""
    trace = directory / "trace"
    settings = [word for item in env.items() for word in ("-E", "=".join(item))]  # not for strace itself
    program = HELPERS.parent / "bench/ungoverned"
    measured([tool("strace"), "-o", str(trace), *settings, program, name, str(COUNT), str(pipes)], without_shim())
    marks = trace.read_text().split("getppid()")
    assert len(marks) == 3
    return marks[1].splitlines()[1:]


def bytes_read(trace):
    return sum(int(line.rpartition("= ")[2].split()[0]) for line in trace if line.startswith(("read(", "pread64(")))


def test_listener_goes_in_and_out_of_an_epoll_at_a_cost_that_does_not_grow_with_the_epoll(tmp_path):
    few, many = (traced("toggle", with_shim(), tmp_path, pipes) for pipes in (FEW, MANY))
    assert len(few) == len(many) >= 2 * COUNT
    assert bytes_read(few) == bytes_read(many)


def test_late_client_of_a_listener_that_goes_in_and_out_of_an_epoll_costs_nothing_that_grows_with_the_epoll(tmp_path):
    few, many = (traced("toggle-late", with_shim(), tmp_path, pipes) for pipes in (FEW, MANY))
    assert bytes_read(few) == bytes_read(many)


# --- many silent peers -------------------------------------------------------------------------------------------------


def test_eight_thousand_silent_peers_cost_a_live_client_nothing(record_property):
    peers, needed = 8000, OPEN_FILES  # half of them are the server's own
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    needs("files")
    run = subprocess.run([helper("many_peers"), str(peers)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                         timeout=320, env=environment(trust=TRUSTED, timeout="60s", max_pending=peers + 200, log="stderr:error"),
                         preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (needed, limit[1])))
    assert run.returncode == 0, run.stderr
    print(run.stdout, end="")
    record_property("load", run.stdout.strip())
    figures = {key: float(re.match("[0-9.]+", value).group()) for key, value in wire.fields(run.stdout.strip()).items() if key}
    assert figures["ratio"] <= 2  # work for each of the peers would be a hundred times as much
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
    run = subprocess.run([helper("many_threads"), "2", str(trust)], stdin=subprocess.DEVNULL, capture_output=True,
                         text=True, timeout=320, env=environment(trust=f"@{trust}", timeout="60s", log="stderr:error"))
    assert run.returncode == 0 and re.match(ALL_SERVED, run.stdout), run.stdout + run.stderr


@pytest.mark.parametrize("style", STYLES)
def test_memcheck_has_nothing_to_say(start, style):
    server = start([tool("valgrind"), "-q", "--error-exitcode=99", "--leak-check=no", helper("server"), *STYLES[style]],
                   environment(trust=TRUSTED, timeout="2s", log="stderr:error"))
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
