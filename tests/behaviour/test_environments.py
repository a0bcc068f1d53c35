# SPDX-License-Identifier: MIT
"""Where servers are confined: an unprivileged user, no capabilities, a root directory without /proc and /dev,
namespaces of their own. What is promised is promised there too."""
import contextlib
import ctypes
import fcntl
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest
import wire
from harness import DEADLINE, SHIM, tool
from program import ONE_WORKER, STYLES, Program, environment, helper
from place import needs
from wire import CLIENT_TEXT, DIRECT, TRUSTED

WAYS = ["blocking", "threads", "prefork", "poll", "select-nonblock", "epoll-lt-nonblock"]

# --- places -----------------------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """How to get there, by the commands that lead to the server; `ROOT` stands for a directory that holds nothing but
    what the server needs. And what is true of a server there."""
    name: str
    way: list
    is_root: bool
    capable: bool
    namespaces: frozenset = frozenset()  # if any, the first command stays behind
    needs: tuple = ()


NOBODY = "65534"  # numbers, because a name asks every NSS module that may stand beside or not
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
WITHOUT_CAPABILITIES = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
UNSHARED = ["unshare", "--net", "--pid", "--mount", "--fork"]
OWN = frozenset(["net", "pid", "mnt"])

PLACES = [
    Place("unprivileged-user", AS_NOBODY, False, False),
    Place("root-without-capabilities", WITHOUT_CAPABILITIES, True, False),
    Place("root-directory-without-proc", ["chroot", f"--userspec={NOBODY}:{NOBODY}", "ROOT"], False, False),
    Place("namespaces-without-capabilities", [*UNSHARED, "--mount-proc", *WITHOUT_CAPABILITIES], True, False, OWN,
          ("namespaces",)),
    Place("namespaces-without-proc", [*UNSHARED, "chroot", "ROOT"], True, True, OWN, ("namespaces",)),
    Place("user-namespace", [*UNSHARED, "--mount-proc", "--user", "--map-root-user"], True, True,
          OWN | {"user"}, ("namespaces", "users")),
]


def copy_below(root, path):
    target = root / str(path).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, target)


def libraries(program):
    said = subprocess.run([tool("ldd"), program], capture_output=True, text=True, check=True).stdout
    return re.findall(r"(/\S+) \(0x", said)


@pytest.fixture(scope="module")
def yard():
    """The server and the library where everybody may read them; the same below `root`, and what they need."""
    with tempfile.TemporaryDirectory(prefix="ppshim-places-") as name:
        yard = Path(name)
        for path in helper("server"), SHIM:
            shutil.copy(path, yard)
        root = yard / "root"
        for path in yard / "server", yard / SHIM.name, *libraries(yard / "server"), *libraries(yard / SHIM.name):
            copy_below(root, path)
        for directory in yard, *(path for path in yard.rglob("*") if path.is_dir()):
            directory.chmod(0o755)
        yield yard


# --- networks ---------------------------------------------------------------------------------------------------------

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
libc = ctypes.CDLL(None, use_errno=True)


def enter(network):
    if libc.setns(network, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def raise_loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0))
        flags, = struct.unpack_from("H", answer, 16)
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


@contextlib.contextmanager
def network_of(pid):
    """This thread's sockets are made where that process is."""
    here, there = (os.open(f"/proc/{who}/ns/net", os.O_RDONLY) for who in ("thread-self", pid))
    enter(there)
    try:
        raise_loopback()
        yield
    finally:
        enter(here)
        os.close(here)
        os.close(there)


# --- servers ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def running(place, yard, style, **settings):
    env = {**environment(**{"trust": TRUSTED, "timeout": "60s", **settings}), "LD_PRELOAD": str(yard / SHIM.name)}
    way = [str(yard / "root") if word == "ROOT" else word for word in place.way]
    program = Program([tool(way[0]), *way[1:], str(yard / "server"),
                       *ONE_WORKER.get(style, STYLES[style])], env)
    try:
        with network_of(program.pid) if place.namespaces else contextlib.nullcontext():
            yield program
        if place.namespaces:
            os.kill(program.processes()[1], signal.SIGTERM)
        assert program.stop() == 0, f"{program.status} {program.out.lines[-3:]} {program.log.lines}"
    finally:
        program.kill()


@pytest.fixture(params=PLACES, ids=lambda place: place.name)
def there(request, yard):
    """there(style, timeout=...) runs a server in the place."""
    needs("root", *request.param.needs)
    with contextlib.ExitStack() as stack:
        yield lambda style, **settings: stack.enter_context(running(request.param, yard, style, **settings))


# --- tests ------------------------------------------------------------------------------------------------------------


def test_places_are_what_they_are_called(there, yard, request):
    """So that the others prove something."""
    place = request.node.callspec.params["there"]
    pid = there("poll").processes()[-1]
    status = dict(re.findall(r"^(\w+):\t(\w+)", Path(f"/proc/{pid}/status").read_text(), re.M))
    outside = f"/proc/{os.getppid()}"
    assert (status["Uid"] == "0") == place.is_root
    assert (int(status["CapEff"], 16) != 0) == place.capable
    assert place.namespaces == {kind for kind in ("net", "pid", "mnt", "user")
                                if os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"{outside}/ns/{kind}")}
    rooted = os.readlink(f"/proc/{pid}/root") == str(yard / "root")
    assert rooted == ("ROOT" in place.way) and not (yard / "root/proc").exists()


@pytest.mark.parametrize("style", WAYS)
def test_server_serves_clients_while_others_are_silent(there, style):
    server = there(style)
    server.serves()
    silent, half = server.peer(), server.peer().send(wire.v2()[:20])
    server.settled(silent, half)
    for header in wire.v1(), wire.v2():
        assert server.serves(TRUSTED, header, CLIENT_TEXT)["accept"] == CLIENT_TEXT
        server.serves(DIRECT)
    with server.peer() as peer:
        peer.send(b"nonsense").rejected()
        server.logged("reject", peer=peer.text, reason="not-a-header")
    assert half.send(wire.v2()[20:]).report()["peer"] == CLIENT_TEXT
    half.echo(b"")
    assert silent.send(wire.v1() + b"x").report()["peer"] == CLIENT_TEXT
    silent.echo(b"x")
    for line in server.log.wait(": active "):
        assert "store=none" not in line.split()


@pytest.mark.parametrize("style", WAYS)
def test_silent_peers_are_ended_in_time(there, style, now):
    server = there(style, timeout="400ms")
    server.serves()
    start = now()
    peers = [server.peer(), server.peer().send(wire.v1()[:20])]
    for peer in peers:
        peer.rejected()
    assert 0.39 <= now() - start
    lines = {wire.fields(line)["peer"]: wire.fields(line)["reason"] for line in server.log.wait(": reject ", count=2)}
    assert lines == {peer.text: "timeout" for peer in peers}
    server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)


@pytest.mark.parametrize("target", ["auto", "syslog", "journal", "/absent/ppshim.log"])
def test_log_that_goes_nowhere_harms_nobody(there, target):
    server = there("poll", log=f"{target}:debug")
    server.serves()
    with server.peer() as peer:
        peer.send(b"nonsense").rejected()
    server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)


def test_list_that_the_servers_user_may_not_read_stops_it_at_start(yard):
    needs("root")
    secret = yard / "trust"
    secret.write_text(f"{TRUSTED}\n")
    for mode, status in (0o600, 78), (0o644, None):
        secret.chmod(mode)
        env = {**environment(trust=f"@{secret}"), "LD_PRELOAD": str(yard / SHIM.name)}
        argv = [tool(AS_NOBODY[0]), *AS_NOBODY[1:], str(yard / "server")]
        if status is None:
            program = Program(argv, env)
            program.serves(TRUSTED, wire.v2(), CLIENT_TEXT)
            assert program.stop() == 0
        else:
            done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=DEADLINE)
            assert (done.returncode, done.stdout) == (status, "")
            assert re.fullmatch(rf"ppshim\[\d+\]: error: [^\n]*{secret}[^\n]*\n", done.stderr)
