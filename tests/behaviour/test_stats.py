# SPDX-License-Identifier: MIT
"""PPSHIM_STATS: what became of connections is counted, once and under its name, whatever process it came to and however
that ends. Where it cannot be counted the server does not notice."""
import contextlib
import os
import re
import resource
import signal
import subprocess
import threading
from pathlib import Path

import pytest
import wire
from counters import counted, directory, groups, status, waits
from place import SHIM, foreign_address, needs
from harness import run, tool, until
from program import STYLES, environment, helper
from wire import CLIENT, CLIENT6, CLIENT_TEXT, DIRECT, LOCAL, PROXY, TRUSTED

OPTIONAL = "127.0.0.5"


@pytest.fixture
def stats():
    with directory() as path:
        yield path


@pytest.fixture
def count(serve, stats):
    """count("--accept=poll", ...) runs the server, with counters."""
    return lambda *arguments, **settings: serve(*arguments, stats=stats, **settings)


def outcomes(stats, *whose):
    """Without who was put aside meanwhile, where that is a matter of time."""
    return {key: n for key, n in counted(stats, *whose).items() if key not in ("parks", "parked", "parked-max")}


# --- what is counted --------------------------------------------------------------------------------------------------

FOUND = {
    "found.v1.inet": (wire.v1(), 1),
    "found.v1.inet6": (wire.v1(CLIENT6), 1),
    "found.v1.unknown": (b"PROXY UNKNOWN\r\n", 1),
    "found.v2.inet": (wire.v2(), 1),
    "found.v2.inet6": (wire.v2(CLIENT6), 1),
    "found.v2.unknown": (wire.v2_raw(PROXY, wire.UNIX, b"/run/x".ljust(108, b"\0") * 2), 1),
    "found.v2.local": (wire.v2_raw(LOCAL, 0x00, b""), 1),
}


@pytest.mark.parametrize("counter", FOUND)
def test_header_is_counted_by_its_version_and_family(count, stats, counter):
    server = count("--family=inet6")
    with server.peer() as peer:
        peer.send(FOUND[counter][0]).report()
    assert outcomes(stats) == {"connections": 1, counter: 1}


def test_peers_without_a_header_are_counted_by_why_they_need_none(count, stats):
    server = count(header_optional=OPTIONAL)
    server.serves(DIRECT)
    server.serves(OPTIONAL)
    server.serves(OPTIONAL, wire.v2(), CLIENT_TEXT)
    assert outcomes(stats) == {"connections": 3, "untrusted-passed": 1, "not-found-allowed": 1, "found.v2.inet": 1}


def test_probe_is_counted_as_one(count, stats):
    server = count("--accept=poll", "--nonblock-listener")
    server.peer().close()
    server.serves()
    until(lambda: outcomes(stats) == {"connections": 2, "probes": 1, "untrusted-passed": 1}, "it is counted")


BYTES = {
    "not-a-header": b"GET / HTTP/1.0\r\n\r\n",
    "v1-too-long": b"PROXY UNKNOWN " + b"x" * 94,
    "v1-bad-line": b"PROXY TCP4 203.0.113.7 192.0.2.10 4711 3306\n",
    "v1-bad-protocol": b"PROXY TCP5 203.0.113.7 192.0.2.10 4711 3306\r\n",
    "v1-bad-spacing": b"PROXY TCP4  203.0.113.7 192.0.2.10 4711 3306\r\n",
    "v1-bad-address": b"PROXY TCP4 203.0.113.256 192.0.2.10 4711 3306\r\n",
    "v1-family-mismatch": b"PROXY TCP4 2001:db8::7 2001:db8::10 4711 3306\r\n",
    "v1-bad-port": b"PROXY TCP4 203.0.113.7 192.0.2.10 65536 3306\r\n",
    "v2-bad-version": wire.v2_raw(PROXY, wire.TCP4, wire.block(CLIENT, wire.SERVICE), version=3),
    "v2-bad-command": wire.v2_raw(2, wire.TCP4, wire.block(CLIENT, wire.SERVICE)),
    "v2-bad-family": wire.v2_raw(PROXY, 0x41, wire.block(CLIENT, wire.SERVICE)),
    "v2-short-block": wire.v2_raw(PROXY, wire.TCP4, bytes(11)),
    "v2-tlv-overrun": wire.v2(tlvs=b"\x04"),
    "v2-bad-crc": wire.v2(bad_crc=True),
    "src-unspecified": wire.v2(("0.0.0.0", 5)),
    "src-multicast": wire.v2(("224.0.0.1", 5)),
    "src-broadcast": wire.v2(("255.255.255.255", 5)),
}


@pytest.mark.parametrize("reason", BYTES)
def test_refused_header_is_counted_by_its_reason_alone(count, stats, reason):
    server = count()
    with server.peer() as peer:
        peer.send(BYTES[reason]).rejected()
    server.logged("reject", reason=reason)
    assert outcomes(stats) == {"connections": 1, f"rejected.{reason}": 1}


@pytest.mark.parametrize("reason, source, settings", [
    ("version-refused", TRUSTED, {"versions": "1"}),
    ("client-denied", TRUSTED, {"client_deny": "203.0.113.7"}),
    ("untrusted", DIRECT, {"untrusted": "reject"}),
])
def test_setting_that_refuses_is_counted_as_its_reason_alone(count, stats, reason, source, settings):
    server = count(**settings)
    with server.peer(source) as peer:
        peer.send(wire.v2()).rejected()
    server.logged("reject", reason=reason)
    assert outcomes(stats) == {"connections": 1, f"rejected.{reason}": 1}


@pytest.mark.parametrize("reason, settings", [("client-rate", {"client_rate": "1/60s"}), ("client-max", {"client_max": "1"})])
@pytest.mark.parametrize("dry_run", [False, True])
def test_client_beyond_a_limit_is_counted_as_that_alone(count, stats, reason, settings, dry_run):
    server = count(**{name: value + (", dry-run" if dry_run else "") for name, value in settings.items()})
    with server.peer() as first, server.peer() as second:
        first.send(wire.v2()).report()
        second.send(wire.v2())
        if dry_run:
            second.report()
        else:
            with contextlib.suppress(ConnectionResetError):
                second.rejected()
    assert outcomes(stats) == ({"connections": 2, "found.v2.inet": 2, f"would-reject.{reason}": 1} if dry_run else
                               {"connections": 2, "found.v2.inet": 1, f"rejected.{reason}": 1})


def test_loopback_client_of_a_proxy_elsewhere_is_counted_as_that_alone(count, stats):
    needs("foreign")
    here = foreign_address()
    server = count(trust=here)
    with server.peer(here, host=here) as peer:
        peer.send(wire.v2(("127.0.0.1", 5))).rejected()
    assert outcomes(stats) == {"connections": 1, "rejected.src-loopback": 1}


def test_client_that_the_server_has_no_room_for_is_counted_after_its_header(count, stats):
    server = count("--addrlen=16")
    with server.peer() as peer:
        peer.send(wire.v2(CLIENT6)).rejected()
    server.logged("reject", reason="client-needs-inet6")
    assert outcomes(stats) == {"connections": 1, "found.v2.inet6": 1, "rejected.client-needs-inet6": 1}


def test_timeout_is_counted_as_that_alone(count, stats):
    server = count(timeout="100ms")
    with server.peer() as peer:
        peer.rejected()
    server.logged("reject", reason="timeout")
    assert counted(stats) == {"connections": 1, "rejected.timeout": 1, "parks": 1, "parked-max": 1}


def test_peer_that_leaves_inside_its_header_is_counted_as_that_alone(count, stats):
    server = count()
    with server.peer() as peer:
        peer.send(wire.v2()[:20]).half_close().rejected()
    server.logged("reject", reason="peer-left")
    assert outcomes(stats) == {"connections": 1, "rejected.peer-left": 1}


def test_evicted_peer_is_counted_as_that_alone(count, stats):
    server = count(max_pending=2)
    peers = [server.peer() for _ in range(2)]
    server.parked(*peers)
    assert counted(stats) == {"connections": 2, "parks": 2, "parked": 2, "parked-max": 2}
    newest = server.peer()
    server.logged("reject", reason="too-many-pending")
    server.parked(newest)
    assert counted(stats) == {"connections": 3, "parks": 3, "parked": 2, "parked-max": 2,
                              "rejected.too-many-pending": 1}


def test_peers_of_a_closed_listener_are_counted_as_that():
    with directory() as path:
        env = environment(trust=TRUSTED, timeout="60s", stats=path, log="stderr:notice")
        case = "closed_listener_takes_its_waiting_and_held_peers_along"
        done = subprocess.run([helper("cases/fd_reuse"), case], env=env, capture_output=True, text=True, timeout=320)
        assert done.stdout == f"ok {case}\n"
        assert done.stderr.count("reason=listener-closed") == counted(path)["rejected.listener-closed"] == 6


def test_peer_for_whom_no_descriptor_is_left_is_counted_as_that_alone(count, stats):
    server = count("--accept=poll", nofile=6)
    with server.peer() as peer:
        peer.rejected()
    server.logged("reject", reason="no-room")
    assert counted(stats) == {"connections": 1, "rejected.no-room": 1}


def test_client_for_whom_no_memory_is_left_is_counted_as_that_alone(start, stats):
    server = start([helper("server"), "--handle=inline"],
                   environment(store="table", trust=TRUSTED, timeout="60s", stats=stats))
    server.serves()
    resource.prlimit(server.pid, resource.RLIMIT_AS, (1, resource.RLIM_INFINITY))
    with server.peer() as peer:
        peer.send(wire.v2()).rejected()
    server.logged("reject", reason="cannot-remember")
    assert outcomes(stats) == {"connections": 2, "untrusted-passed": 1, "rejected.cannot-remember": 1}


def test_every_reason_is_driven_here_but_for_one(count, stats):
    """header-stuck wants a kernel with a receive buffer smaller than a header: see tests/unit/test_stats.c."""
    count().serves()
    reasons = {key.removeprefix("rejected.") for key in groups(stats)[0]["counters"] if key.startswith("rejected.")}
    source = Path(__file__).read_text()
    driven = {reason for reason in reasons if f'"{reason}"' in source or f'"rejected.{reason}"' in source}
    assert reasons - driven == {"header" + "-stuck"}


# --- how long headers took --------------------------------------------------------------------------------------------


def test_header_that_was_there_has_not_waited(count, stats):
    server = count("--accept=poll", "--nonblock-listener")
    os.kill(server.pid, signal.SIGSTOP)
    peer = server.peer().send(wire.v2())
    os.kill(server.pid, signal.SIGCONT)
    peer.report()
    assert waits(stats) == {"0.0": 1}
    assert groups(stats)[0]["counters"]["wait-ns"] == 0


def test_header_that_came_later_is_counted_by_how_much(count, stats, now):
    """When it had come is known from both sides."""
    server = count()
    before = now()
    with server.peer() as peer:
        server.parked(peer)
        since_parked = now()
        sent = now()
        peer.send(wire.v2()).report()
        longest = now() - before
    shortest = sent - since_parked
    assert sum(waits(stats).values()) == 1 and "0.0" not in waits(stats)
    assert shortest <= groups(stats)[0]["counters"]["wait-ns"] / 1e9 <= longest
    [bound] = waits(stats)
    assert bound == "+Inf" or groups(stats)[0]["counters"]["wait-ns"] / 1e9 <= float(bound)


def test_peer_that_is_put_aside_counts_while_it_is(count, stats):
    server = count()
    peers = [server.peer() for _ in range(3)]
    server.parked(*peers)
    assert counted(stats) == {"connections": 3, "parks": 3, "parked": 3, "parked-max": 3}
    for peer in peers:
        peer.send(wire.v2()).report()
    assert counted(stats) == {"connections": 3, "parks": 3, "parked-max": 3, "found.v2.inet": 3}


# --- whose ------------------------------------------------------------------------------------------------------------


def test_each_listener_is_counted_for_itself(count, stats):
    server = count("--accept=poll", "--listeners=3")
    for number, port in enumerate(server.ports):
        for _ in range(number + 1):
            with server.peer(port=port) as peer:
                peer.send(wire.v2()).report()
    told = {group["listener"]: group["counters"]["found.v2.inet"] for group in groups(stats)}
    assert told == {f":{port}": number + 1 for number, port in enumerate(server.ports)}


def test_unix_listener_is_counted_by_its_name(start, stats, tmp_path):
    path = f"{tmp_path}/s"
    start([helper("server"), f"--unix={path}"], environment(trust=f"unix:{path}", timeout="60s", stats=stats))
    with wire.UnixPeer(path) as peer:
        peer.send(wire.v2()).report()
    [group] = groups(stats)
    assert (group["listener"], group["counters"]["found.v2.inet"]) == (f"unix:{path}", 1)


def files(stats):
    return sorted(int(name.split(".")[0]) for name in os.listdir(stats) if re.fullmatch(r"\d+\.\d+", name))


def test_process_that_only_forks_for_its_connections_has_the_only_file(count, stats):
    server = count(*STYLES["blocking-then-fork"])
    for _ in range(3):
        server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)
    assert files(stats) == [server.pid]
    assert outcomes(stats) == {"connections": 3, "found.v2.inet": 3}


@pytest.mark.parametrize("style", ["prefork", "epoll-exclusive-prefork"])
def test_workers_have_a_file_each_once_they_accept_and_their_parent_none(count, stats, style):
    server = count(*STYLES[style])
    assert files(stats) == []
    served = {int(server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)["pid"]) for _ in range(20)}
    assert server.pid not in served
    assert set(files(stats)) == served
    assert outcomes(stats) == {"connections": 20, "found.v2.inet": 20}
    [group] = groups(stats)
    assert set(group["processes"]) == served


def test_worker_that_is_forked_after_its_parent_accepted_counts_into_its_own(start, stats):
    program = """
import os, socket
listener = socket.create_server(("127.0.0.1", 0))
print("listening", listener.getsockname()[1], flush=True)
def serve():
    connection, peer = listener.accept()
    connection.sendall(f"conn pid={os.getpid()}\\n".encode())
    connection.close()
for _ in range(2):
    serve()
if os.fork() == 0:
    while True:
        serve()
os.wait()
"""
    server = start(["/usr/bin/python3", "-c", program], environment(trust=TRUSTED, timeout="60s", stats=stats))
    pids = []
    for _ in range(5):
        with server.peer() as peer:
            pids.append(int(peer.send(wire.v2()).report()["pid"]))
    child = pids[-1]
    assert pids == [server.pid] * 2 + [child] * 3 and child != server.pid
    assert files(stats) == sorted([server.pid, child])
    assert outcomes(stats, child) == {"connections": 3, "found.v2.inet": 3}
    assert outcomes(stats) == {"connections": 5, "found.v2.inet": 5}
    os.kill(child, signal.SIGKILL)


def test_program_that_executes_itself_goes_on_in_a_new_file(start, stats):
    """As sshd does when it is told to read its configuration again."""
    program = """
import os, socket, sys
fd = int(sys.argv[1])
listener = socket.socket(fileno=fd) if fd else socket.create_server(("127.0.0.1", 0))
if not fd:
    print("listening", listener.getsockname()[1], flush=True)
connection, peer = listener.accept()
connection.sendall(b"conn\\n")
connection.close()
listener.set_inheritable(True)
os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:3], str(listener.fileno())])
"""
    server = start(["/usr/bin/python3", "-c", program, "0"], environment(trust=TRUSTED, timeout="60s", stats=stats))
    for _ in range(3):
        with server.peer() as peer:
            peer.send(wire.v2()).report()
    assert files(stats) == [server.pid] * 3
    [group] = groups(stats)
    assert (group["processes"], group["ended"]) == ([server.pid], 2)
    assert outcomes(stats) == {"connections": 3, "found.v2.inet": 3}
    server.kill()


# --- many at once -----------------------------------------------------------------------------------------------------


def flood(server, threads, each):
    def clients():
        for _ in range(each):
            with server.peer() as peer:
                peer.send(wire.v2()).report()
            with server.peer() as peer:
                peer.send(b"nonsense").rejected()
    running = [threading.Thread(target=clients) for _ in range(threads)]
    for one in running:
        one.start()
    for one in running:
        one.join()


@pytest.mark.parametrize("arguments", [["--accept=threads=4", "--handle=inline"], ["--accept=fork=4"]],
                         ids=["threads", "processes"])
def test_totals_of_four_that_accept_at_once_add_up(count, stats, arguments):
    server = count(*arguments, log="stderr:error")
    flood(server, 8, 50)
    assert outcomes(stats) == {"connections": 800, "found.v2.inet": 400, "rejected.not-a-header": 400}
    assert sum(waits(stats).values()) == 400


def test_first_connections_of_four_threads_are_all_counted_in_one_file(serve):
    """Each of them may be the one that makes it."""
    for _ in range(10):
        with directory() as stats:
            server = serve("--accept=threads=4", "--handle=inline", stats=stats)
            peers = [server.peer() for _ in range(4)]
            for peer in peers:
                peer.send(wire.v2())
            for peer in peers:
                peer.report()
            assert files(stats) == [server.pid]
            assert outcomes(stats) == {"connections": 4, "found.v2.inet": 4}
            for peer in peers:
                peer.close()


# --- the end of a process ---------------------------------------------------------------------------------------------


def test_counters_of_a_process_that_was_killed_can_be_read(start, stats):
    server = start([helper("server")], environment(trust=TRUSTED, timeout="60s", stats=stats))
    server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)
    with server.peer() as peer:
        server.parked(peer)
        server.kill()
        assert counted(stats, server.pid) == {"connections": 2, "found.v2.inet": 1, "parks": 1}, "parked still"
    [group] = groups(stats)
    assert (group["processes"], group["ended"]) == ([], 1)


# --- where nothing can be counted -------------------------------------------------------------------------------------


def serves_without(server, why):
    """It serves as ever, and one line says what is missing."""
    for _ in range(3):
        server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)
        server.serves()
    assert server.logged("stats-off")["why"] == why


@pytest.mark.parametrize("kind", ["missing", "file", "fifo", "dangling-link", "relative-to-nothing"])
def test_directory_that_is_none_costs_one_line(serve, stats, kind):
    path = f"{stats}/d"
    if kind == "file":
        open(path, "w").close()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "dangling-link":
        os.symlink("nowhere", path)
    elif kind == "relative-to-nothing":
        path = "/proc/self/d"
    serves_without(serve("--accept=poll", "--nonblock-listener", stats=path), "cannot-make-a-file")


def test_directory_that_the_server_may_not_write_to_costs_one_line(start, stats, tmp_path):
    needs("root")
    os.chmod(stats, 0o755)
    env = {**environment(trust=TRUSTED, timeout="60s", stats=stats), "LD_PRELOAD": str(SHIM)}
    server = start([tool("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", helper("server"),
                    "--accept=poll"], env)
    serves_without(server, "cannot-make-a-file")
    assert os.listdir(stats) == []


def test_directory_on_a_disk_costs_one_line_and_leaves_nothing(serve, tmp_path):
    if run(tool("stat"), "--file-system", "--format=%T", tmp_path).stdout == "tmpfs\n":
        pytest.skip("the tests' own directory is on a tmpfs")
    serves_without(serve(stats=tmp_path), "not-on-a-tmpfs")
    assert os.listdir(tmp_path) == []


def in_small_tmpfs(size, argv):
    """The program, started where /dev/shm is a tmpfs of its own."""
    return [tool("unshare"), "--mount", "sh", "-c", f'mount -t tmpfs -o size={size} none /dev/shm && exec "$@"', "sh",
            *argv]


def test_full_tmpfs_costs_one_line_and_no_signal(start):
    needs("root", "mounts")
    fill = "dd if=/dev/zero of=/dev/shm/full bs=4096 count=1000 2>/dev/null; exec " + helper("server")
    server = start(in_small_tmpfs("64k", ["sh", "-c", fill]),
                   environment(trust=TRUSTED, timeout="60s", stats="/dev/shm"))
    serves_without(server, "no-room")


def test_tmpfs_that_becomes_full_later_does_no_harm(start):
    """The room was taken before the first count."""
    needs("root", "mounts")
    server = start(in_small_tmpfs("64k", [helper("server"), "--accept=poll", "--listeners=8"]),
                   environment(trust=TRUSTED, timeout="60s", stats="/dev/shm"))
    server.serves()
    with open(f"/proc/{server.pid}/root/dev/shm/full", "wb", buffering=0) as full, pytest.raises(OSError):
        while True:
            full.write(bytes(4096))
    for port in server.ports:
        with server.peer(port=port) as peer:
            peer.send(wire.v2()).report()
        with server.peer(port=port) as peer:
            peer.send(b"nonsense").rejected()
    assert server.stop() == 0


def test_limit_of_file_sizes_costs_one_line_and_no_signal(start, stats):
    server = start([helper("server")], environment(trust=TRUSTED, timeout="60s", stats=stats))
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (6000, 6000))  # enough for what it prints
    serves_without(server, "no-room")
    assert os.listdir(stats) == []


def test_what_lies_in_the_directory_already_is_not_followed_nor_touched(count, stats):
    """Nobody can guess the file's name; who has all near ones made into links gets nothing either."""
    target = f"{stats}/target"
    open(target, "w").close()
    server = count()
    for near in range(1000):
        os.symlink(target, f"{stats}/{server.pid}.{near}")
    server.serves()
    assert os.path.getsize(target) == 0
    [made] = [name for name in os.listdir(stats) if not os.path.islink(f"{stats}/{name}") and name != "target"]
    assert re.fullmatch(rf"{server.pid}\.\d+", made)
    assert os.stat(f"{stats}/{made}").st_mode & 0o777 == 0o644


def test_no_descriptor_is_kept(count, stats):
    server = count()
    server.serves()
    server.serves()
    server.settled()
    assert not [what for what in server.fds().values() if stats in what]


def test_without_the_setting_nothing_is_made(serve, stats):
    server = serve()
    server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)
    with open(f"/proc/{server.pid}/maps") as maps:
        assert stats not in maps.read()
    assert os.listdir(stats) == []


def test_program_that_accepts_nothing_makes_nothing(stats):
    done = subprocess.run(["/bin/true"], env=environment(trust=TRUSTED, stats=stats), capture_output=True)
    assert (done.returncode, done.stderr, os.listdir(stats)) == (0, b"", [])


def test_status_names_what_it_counts(count, stats):
    server = count()
    server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)
    said = status(stats)
    assert said.startswith(f"server, listener :{server.port}, user ")
    assert re.search(r"^  connections +1$", said, re.M) and re.search(r"^  proxy proto found 2 inet +1$", said, re.M)
