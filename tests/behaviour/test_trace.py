# SPDX-License-Identifier: MIT
"""Probes for tracers: what the library offers, and that the example's script sees connections come and go."""
import contextlib
import re
import signal
import subprocess

import pytest
import wire
from harness import DEADLINE, run, tool, until
from place import ROOT, SHIM, missing, needs
from wire import CLIENT_TEXT, TRUSTED

SCRIPT = ROOT / "scripts/examples/ppshim.bt"
MANUAL = ROOT / "shim/libppshim.8"


def probes_of_the_manual():
    """{name: its arguments}."""
    text = re.search(r"^\.SH TRACING\n(.*?)^\.SH ", MANUAL.read_text(), re.M | re.S)[1]
    tags = re.findall(r"^\.TP\n\.BI (\w+)\( (.*) \)$", text, re.M)
    return {name: arguments.replace("\\fR", "").replace("\\fP", "").split(", ") for name, arguments in tags}


def probes_of(library):
    notes = run(tool("readelf"), "-n", library).stdout
    found = re.findall(r"Provider: ppshim\n\s+Name: (\w+)\n.*\n\s+Arguments: (.*)", notes)
    return {name: len(arguments.split()) for name, arguments in found}


def test_library_has_the_probes_of_the_manual():
    """As it was built: with systemtap's header, which is there for its compiler or is not."""
    there = subprocess.run(["cc", "-E", "-x", "c", "-"], input=b"#include <sys/sdt.h>\n", capture_output=True)
    if there.returncode:
        missing("systemtap-sdt-dev")
    told = {name: len(arguments) for name, arguments in probes_of_the_manual().items()}
    assert len(told) == 5
    assert probes_of(SHIM) == told
    assert max(told.values()) <= 6  # so many does bpftrace read


@pytest.fixture
def traced(tmp_path):
    """traced(server): the example's script looks in; its lines so far, and at its end."""
    needs("root", "tracing")
    with contextlib.ExitStack() as scope:
        class Tracer:
            def __init__(self, server):
                self.path = tmp_path / "traced"
                self.process = scope.enter_context(subprocess.Popen(
                    [tool("bpftrace"), "-p", str(server.pid), SCRIPT], stdin=subprocess.DEVNULL,
                    stdout=self.path.open("wb"), stderr=subprocess.STDOUT))
                scope.callback(self.process.kill)

            def lines(self):
                assert self.process.poll() is None, self.path.read_text()
                return self.path.read_text().splitlines()

            def end(self):
                self.process.send_signal(signal.SIGINT)
                self.process.wait(DEADLINE)
                return self.path.read_text()
        yield Tracer


def test_example_shows_what_becomes_of_connections(serve, traced):
    server = serve()
    tracer = traced(server)

    def looks_in():
        server.serves()
        return any(line.startswith("passed ") for line in tracer.lines())
    until(looks_in, "the probes are set")

    def shown(kind, peer):
        ip, port = peer.name
        return until(lambda: [line for line in tracer.lines() if re.match(rf"{kind} +::ffff:{ip}:{port} ", line)], kind)

    with server.peer() as peer:
        peer.send(wire.v1()[:14])
        assert shown("parked", peer) == [f"parked    ::ffff:{peer.text} to port {server.port}, 14 bytes so far"]
        peer.send(wire.v1()[14:]).report()
        assert shown("accepted", peer) == [
            f"accepted  ::ffff:{peer.text} to port {server.port}, client ::ffff:{CLIENT_TEXT}"]
    with server.peer() as peer:
        peer.send(b"PROXY UNKNOWN\r\n").report()
        assert shown("accepted", peer) == [f"accepted  ::ffff:{peer.text} to port {server.port}, no client named"]
    with server.peer() as peer:
        peer.send(b"GET / HTTP/1.0\r\n\r\n").rejected()
        assert shown("rejected", peer) == [
            f"rejected  ::ffff:{peer.text} to port {server.port}, 18 bytes: not-a-header"]
    sums = tracer.end()
    assert "@rejected[not-a-header]: 1\n" in sums
    assert re.search(r"@asked_for_its_peer\[server\]: [1-9]", sums)
    assert "@header_wait_us" in sums and "@since" not in sums
