# SPDX-License-Identifier: MIT
"""Go: many clients, each with an address of its own, while memory is collected and signals strike: no answer is wrong."""
import errno
import subprocess

import pytest
from go_server import ALL, CONNECTIONS, EPOLL_CTL, HERE, Raw, RawStatic, answer_to, gate_of, having, wrong_answers
from harness import BALANCER, ROOT, dial, proxy_v2, read_to_end, until

SERVER = Raw
EACH = pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
RAW = pytest.mark.parametrize("kind", [Raw, RawStatic], ids=lambda kind: kind.way)


@EACH
def test_three_thousand_clients_at_once_with_half_a_header_each(start, kind):
    server = start(kind=kind, **HERE)
    assert wrong_answers(server, "-count", "3000", "-beside", "3000", "-hold") == (3000, 0)


@EACH
@pytest.mark.parametrize("threads", [1, 8])
def test_no_client_is_mistaken_while_memory_is_collected_and_the_profiler_strikes(start, tmp_path, kind, threads):
    profile = tmp_path / "profile"
    server = start(kind=having(kind, threads=threads, options=("-garbage", "2", "-profile", profile)), **HERE)
    assert wrong_answers(server, "-count", CONNECTIONS, "-beside", "32") == (int(CONNECTIONS), 0)
    server.stop()
    assert profile.stat().st_size > 0


@RAW
@pytest.mark.parametrize("mode", ["twice", "blocking", "children"])
def test_no_client_is_mistaken(start, kind, mode):
    """twice: two goroutines accept from one listener; blocking: with system calls of their own, which sleep; children:
    while programs are started all the time."""
    server = start(kind=having(kind, mode=mode), **HERE)
    assert wrong_answers(server, "-count", CONNECTIONS, "-beside", "16") == (int(CONNECTIONS), 0)
    assert not server.log.find(r"^child: .*")


# --- the gate ---------------------------------------------------------------------------------------------------------

STRIKE = ROOT / "build/tests/servers/strike"
ANY, ACCEPT4, GETPEERNAME, GETSOCKNAME, EPOLL_CTL_CALL, CLOSE = 0, 288, 52, 51, 233, 3


def late_answer_to(server, header):
    with dial(server.endpoint, BALANCER) as sock:
        sock.sendall(header[:20])
        until(lambda: server.holds_back(sock.getsockname()), "the shim waits for the rest")
        sock.sendall(header[20:] + b"hello\n")
        return read_to_end(sock).decode()


def struck(server, gate, numbers):
    """(system call, instructions, what it returned) of each pass through the gate, while clients come."""
    strike = subprocess.Popen([STRIKE, str(server.pid), f"{gate:x}", *map(str, numbers)], stdout=subprocess.PIPE, text=True)
    said = strike.stdout.readline()
    try:
        while strike.poll() is None:
            assert answer_to(server, proxy_v2()) == "203.0.113.7:4711 hello\n"
            assert late_answer_to(server, proxy_v2()) == "203.0.113.7:4711 hello\n"
    finally:
        strike.terminate()
        said += strike.communicate()[0]
        print(said)  # why the server may have ended
    assert strike.returncode == 0 and said.startswith("ready\n")
    return [tuple(map(int, line.split())) for line in said.splitlines()[1:]]


@RAW
def test_the_profilers_signal_and_preemption_may_come_at_any_instruction_of_the_gate(start, tmp_path, kind):
    options = ("-garbage", "1", "-profile", tmp_path / "profile")
    server = start(kind=having(kind, options=options, threads=2), LOCAL_ADDR="header", **HERE)
    numbers = [ACCEPT4, ACCEPT4, GETPEERNAME, GETSOCKNAME, CLOSE]
    own = gate_of(server.pid, server.program(), EPOLL_CTL)
    calls = struck(server, gate_of(server.pid, server.program()), numbers + ([] if own else [EPOLL_CTL_CALL]))
    if own:
        assert len(struck(server, own, [ANY])) > 0
    accepts = [(steps, result) for number, steps, result in calls if number == ACCEPT4]
    assert all(result == -errno.EAGAIN or result > 0 for _, result in accepts)
    assert all(steps > 200 for steps, _ in accepts), "the core was gone through"
