# SPDX-License-Identifier: MIT
"""What the library is to a program it is loaded into: which names it takes, what it needs, what it costs when off."""
import collections
import os
import re
import signal
import subprocess

import pytest
import wire
from harness import DEADLINE, ROOT, SHIM, tool
from program import STYLES, environment, helper

# What the program interpreter does to load a library, whichever: no cost of ours.
LOADING = {"openat", "open", "read", "pread64", "fstat", "newfstatat", "statx", "mmap", "mprotect", "munmap", "close",
           "access", "readlink", "brk"}


def output(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=DEADLINE).stdout


def interposed():
    """The names of real.h's tables, the calls for which a next definition is kept; and the one that needs none."""
    text = (ROOT / "include" / "ppshim" / "real.h").read_text()
    names = set(re.findall(r"^    X\(\w+(?: \*)?, (\w+),", text, re.M))
    assert {"accept", "accept4", "getpeername"} <= names
    return names | {"__ppoll_chk"}


def exported():
    table = output(tool("nm"), "-D", "--defined-only", str(SHIM))
    return {line.split()[-1].partition("@")[0] for line in table.splitlines()}


OTHER_NAMES = {"__close", "__dup2", "__poll", "__select"}


def test_exports_the_interposed_names_and_its_own_only():
    ours = {name for name in exported() if name.startswith("ppshim_")}
    assert exported() - ours == interposed() | OTHER_NAMES
    assert ours == {"ppshim_version", "ppshim_status"}


def test_takes_every_name_by_which_libc_exports_an_interposed_call():
    """What a program or a library may import: GLIBC_PRIVATE is for libc's own parts."""
    libc, = {line.split()[-1] for line in open("/proc/self/maps") if line.rstrip().endswith("/libc.so.6")}
    functions = re.findall(r"^ *\d+: ([0-9a-f]+) +\d+ (?:FUNC|IFUNC) .* (\w+)@@?(\S+)",
                           output(tool("readelf"), "--dyn-syms", "-W", libc), re.M)
    public = {(name, address) for address, name, version in functions if version != "GLIBC_PRIVATE"}
    taken = {address for name, address in public if name in interposed()}
    assert len(taken) >= 20
    assert {name for name, address in public if address in taken} <= exported()


def test_data_path_is_not_interposed():
    data_path = {"read", "readv", "write", "writev", "send", "sendto", "sendmsg", "sendmmsg", "recv", "recvfrom",
                 "recvmsg", "recvmmsg", "sendfile", "splice", "malloc", "free"}
    assert exported() & data_path == set()


def test_depends_on_libc_only():
    dynamic = output(tool("readelf"), "-dW", str(SHIM))
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic))
    assert len(needed) == 1 and re.fullmatch(r"libc\.(so\.6|musl-\w+\.so\.1)", *needed)
    assert not re.search(r"\((RPATH|RUNPATH|TEXTREL)\)", dynamic)


def test_every_relocation_is_done_at_load():
    """Nothing is looked up lazily, in the middle of a signal handler say, and the tables are read-only afterwards."""
    assert re.search(r"\(FLAGS_1\).*NOW", output(tool("readelf"), "-dW", str(SHIM)))
    segments = output(tool("readelf"), "-lW", str(SHIM))
    assert "GNU_RELRO" in segments
    assert re.search(r"GNU_STACK .* RW ", segments)


def test_keeps_its_build_id():
    assert re.search(r"Build ID: [0-9a-f]{16}", output(tool("readelf"), "-nW", str(SHIM)))


def test_run_as_a_program_it_prints_its_version():
    version = re.search(r"^VERSION = (\S+)$", (ROOT / "Makefile").read_text(), re.M).group(1)
    assert output(str(SHIM)).strip() == f"libppshim {version}"
    text = f"(ctypes.c_char * {len(version)}).in_dll(ctypes.CDLL('{SHIM}'), 'ppshim_version').value"
    code = f"import ctypes; print({text})"
    assert output("/usr/bin/python3", "-c", code).strip() == repr(version.encode())


# --- off means off ----------------------------------------------------------------------------------------------------


def traced(argv, env, tmp_path, follow=None):
    """The system calls of a program as (name, text) in order, of its first process."""
    path = tmp_path / "trace"
    settings = [f"-E{key}={value}" for key, value in env.items()]
    started = subprocess.Popen([tool("strace"), "-o", str(path), *settings, *argv],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        if follow:
            follow(started)
        started.wait(DEADLINE)
    finally:
        started.kill()
        started.stdout.close()
    text = path.read_text().partition("--- SIGTERM")[0]
    calls = re.findall(r"^(\w+)\((.*)", text, re.M)
    assert calls and calls[0][0] == "execve"
    return calls


def without_loading(calls):
    return collections.Counter(name for name, _ in calls if name not in LOADING)


def opened(calls):
    paths = [re.search(r'"(.*?)"', text).group(1) for name, text in calls if name in ("openat", "open")]
    return collections.Counter(paths)


BARE = {"LD_PRELOAD": "", "PATH": "/usr/bin:/bin"}


@pytest.mark.parametrize("settings", [{}, {"trust": "none"}], ids=["unset", "none"])
def test_image_without_a_trust_list_makes_no_system_call_more(tmp_path, settings):
    shim = traced(["/bin/true"], environment(**settings), tmp_path)
    bare = traced(["/bin/true"], BARE, tmp_path)
    assert without_loading(shim) == without_loading(bare)
    assert opened(shim) - opened(bare) == {str(SHIM): 1}


def stop(strace):
    with open(f"/proc/{strace.pid}/task/{strace.pid}/children") as file:
        os.kill(int(file.read()), signal.SIGTERM)


def session(started):
    """One client of server.c, from start to end."""
    port = int(started.stdout.readline().split()[1])
    with wire.Peer(port) as peer:
        peer.report()
        peer.send(b"hello").echo(b"hello")
    stop(started)


def test_server_without_a_trust_list_makes_the_same_system_calls(tmp_path):
    argv = [helper("server"), "--accept=blocking", "--handle=inline"]

    def from_socket_to_last_close(env):
        names = [name for name, _ in traced(argv, env, tmp_path, session)]
        return names[names.index("socket"):len(names) - names[::-1].index("close")]

    bare = from_socket_to_last_close(BARE)
    assert "accept" in bare and "getpeername" in bare
    assert from_socket_to_last_close(environment()) == bare


def test_program_that_never_listens_reads_no_file(tmp_path):
    shim = traced(["/bin/true"], environment(trust="@/no/such/file", log="/no/such/log"), tmp_path)
    bare = traced(["/bin/true"], BARE, tmp_path)
    assert opened(shim) - opened(bare) == {str(SHIM): 1}


# --- programs of old --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def old_server(tmp_path_factory):
    """server.c, as if its calls were known by their other names."""
    server = tmp_path_factory.mktemp("old") / "server"
    renamed = [f"-D{name.removeprefix('__')}={name}" for name in OTHER_NAMES]
    subprocess.run(["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-pthread", *renamed, "-o", server,
                    ROOT / "tests" / "behaviour" / "server.c"], check=True)
    undefined = output(tool("nm"), "-D", "--undefined-only", server)
    assert {"__poll", "__select", "__close"} <= set(re.findall(r"\b__\w+", undefined))
    assert not re.search(r" (poll|select|close)@", undefined)
    return str(server)


@pytest.mark.parametrize("style", ["poll", "poll-nonblock", "select", "select-nonblock"])
def test_server_that_waits_by_another_name_is_told_of_a_late_header(start, old_server, style):
    server = start([old_server, *STYLES[style]], environment(trust=wire.TRUSTED, timeout="60s"))
    server.serves()
    with server.peer() as silent, server.peer() as late:
        late.send(wire.v2()[:20])
        server.settled(silent, late)
        server.serves(wire.TRUSTED, wire.v2(), wire.CLIENT_TEXT)
        assert late.send(wire.v2()[20:] + b"late").report()["peer"] == wire.CLIENT_TEXT
        late.echo(b"late")


CLOSES = """
import ctypes, os, signal, socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print("listening", listener.getsockname()[1], flush=True)
listener.accept()[0].sendall(b"\\n")
listener.settimeout(0.1)
while not os.path.exists(sys.argv[2]):
    try:
        listener.accept()
    except TimeoutError:
        pass
getattr(ctypes.CDLL(None), sys.argv[1])(*([] if sys.argv[1] == "__close" else [0]), listener.fileno())
signal.pause()
"""


@pytest.mark.parametrize("call", ["__close", "__dup2"])
def test_listener_that_is_closed_by_another_name_ends_its_silent_peers(start, tmp_path, call):
    server = start(["/usr/bin/python3", "-c", CLOSES, call, tmp_path / "close"],
                   environment(trust=wire.TRUSTED, timeout="60s"))
    with server.peer() as first, server.peer() as silent:
        first.send(wire.v2()).report()
        server.settled(silent)
        (tmp_path / "close").touch()
        silent.rejected()
