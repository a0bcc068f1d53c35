# SPDX-License-Identifier: MIT
"""Unix listeners that a list names: the header is taken off as elsewhere, and the peer stays what it is."""
import os
import re
import socket
import tempfile
import time

import pytest
import wire
from harness import run, until
from program import ONE_WORKER, STYLES, environment, helper
from test_contract import CLAIMS_A_CLIENT, CLAIMS_NO_CLIENT, DATA, INVALID, param
from wire import CLIENT_TEXT, TRUSTED, UnixPeer, accepted_at

PYTHON = "/usr/bin/python3"


@pytest.fixture
def short():
    """A directory that leaves room for names: a Unix socket's path has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="ppshim-") as directory:
        yield directory


@pytest.fixture
def path(short):
    return f"{short}/s"


@pytest.fixture
def listed(serve, path):
    """listed(...): a server on `path`, which PPSHIM_TRUST names unless told otherwise."""
    return lambda *arguments, **settings: serve(f"--unix={path}", *arguments, **{"trust": f"unix:{path}", **settings})


def settled(server, path, accepted):
    until(lambda: accepted_at(path) == accepted and server.asleep(),
                    "the server accepts the peers and goes back to waiting")


def served(path, header=b"", data=DATA):
    with UnixPeer(path) as peer:
        report = peer.send(header + data).report()
        assert (report["accept"], report["peer"]) == ("unix:", "unix:")
        assert (report["acceptlen"], report["peerlen"]) == ("2", "2")
        assert report["local"] == f"unix:{path}"[:53]
        assert report["rcvlowat"] == "1"
        peer.echo(data)


def rejects(server, path, opening, reason):
    with UnixPeer(path) as peer:
        peer.send(opening).rejected()
    return server.logged("reject", peer=f"unix:{path}", reason=reason)


# --- who gets what ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [header for header, _ in CLAIMS_A_CLIENT.values()] +
                         list(CLAIMS_NO_CLIENT.values()), ids=[*CLAIMS_A_CLIENT, *CLAIMS_NO_CLIENT])
def test_header_is_taken_and_the_data_left(listed, path, header):
    listed()
    served(path, header)


@pytest.mark.parametrize("opening, reason", param(INVALID))
def test_invalid_opening_is_closed_with_its_reason(listed, path, opening, reason):
    server = listed()
    line = rejects(server, path, opening, reason)
    assert "local" not in line
    served(path, wire.v2())


@pytest.mark.parametrize("opening", [b"", wire.v1()[:-1], wire.v2()[:20]], ids=["silence", "v1", "v2"])
def test_unfinished_header_is_closed_after_the_timeout(listed, path, now, opening):
    server = listed(timeout="300ms")
    start = now()
    rejects(server, path, opening, "timeout")
    assert 0.29 <= now() - start
    served(path, wire.v2())


def test_peer_that_leaves_inside_the_header_is_rejected(listed, path):
    server = listed()
    with UnixPeer(path) as peer:
        peer.send(wire.v2()[:20]).half_close().rejected()
    server.log.wait("reject .*reason=peer-left")


def test_peer_that_leaves_without_a_byte_is_a_probe(listed, path):
    server = listed(log="stderr:debug")
    served(path, wire.v2())
    UnixPeer(path).close()
    server.log.wait(f"probe peer=unix:{re.escape(path)} ")
    assert not server.log.matching("reject")


def test_client_is_in_the_log(listed, path):
    server = listed(log="stderr:info")
    served(path, wire.v2(tlvs=wire.ssl_tlv(wire.tlv(wire.SSL_CN, b"app"), client=3)))
    server.logged("accept", peer=f"unix:{path}", v="2", client=CLIENT_TEXT, cn="app")


def test_active_line_names_the_listener(listed, path):
    listed().logged("active", listen=f"unix:{path}", trust="1-prefixes")


def test_client_lists_apply(listed, path):
    server = listed(client_allow="203.0.113.0/24", client_deny="203.0.113.7")
    line = rejects(server, path, wire.v2(), "client-denied")
    assert line["client"] == CLIENT_TEXT
    served(path, wire.v2(("203.0.113.8", 1)))


def test_loopback_client_is_believed(listed, path):
    """Whoever reaches a Unix socket is on this host."""
    listed()
    served(path, wire.v2(("127.0.0.1", 5)))


def test_peer_with_a_name_of_its_own_keeps_it(listed, path, short):
    server = listed()
    name = f"{short}/a-client-with-a-name-that-is-longer-than-an-ipv6-address"
    for header in wire.v2(), wire.v2_raw(wire.LOCAL, 0, b""):
        with UnixPeer(path, name) as peer:
            report = peer.send(header).report()
            assert report["acceptlen"] == report["peerlen"] == str(len(name) + 3)
            assert report["accept"] == report["peer"] == f"unix:{name}"[:53]
        os.unlink(name)
    assert not server.log.matching("reject")


def test_server_behind_an_optional_header_gets_both(listed, path, now):
    listed(trust=TRUSTED, header_optional=f"unix:{path}", timeout="300ms")
    served(path, wire.v2())
    served(path)
    start = now()
    with UnixPeer(path) as peer:
        peer.report()
        assert now() - start >= 0.29


# --- which listeners --------------------------------------------------------------------------------------------------


def test_listener_in_no_list_is_left_alone(listed, path):
    for trust in f"unix:{path}x", f"{TRUSTED} unix:{path[:-1]}/other":
        server = listed(trust=trust, untrusted="reject", log="stderr:debug")
        served(path, b"", wire.v2())
        assert server.stop() == 0
        assert server.log.lines == []
        os.unlink(path)


def served_raw(path):
    """Whether the server was given the header itself."""
    with UnixPeer(path) as peer:
        peer.send(wire.v2() + b"x").report()
        peer.half_close()
        while peer.receive():
            pass
        assert peer.buffer in (b"x", wire.v2() + b"x")
        return peer.buffer != b"x"


def test_tcp_and_unix_listeners_stand_in_one_list(serve, path):
    """Ports are about TCP."""
    trust = f"{TRUSTED},unix:{path} unix:{path}"
    server = serve(f"--unix={path}", trust=trust, ports="1")
    server.logged("active", trust="3-prefixes")
    served(path, wire.v2())
    serve(trust=trust).serves(TRUSTED, wire.v2(), CLIENT_TEXT)


@pytest.mark.parametrize("bound", ["relative", "link"])
def test_listener_is_known_by_any_path_to_it(start, tmp_path, bound):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    told = "./s" if bound == "relative" else f"{tmp_path}/link/s"
    server = start(["/usr/bin/env", f"--chdir={tmp_path}/real", helper("server"), f"--unix={told}"],
                   environment(trust=f"unix:{tmp_path}/real/s", timeout="60s"))
    assert not served_raw(f"{tmp_path}/real/s")
    server.logged("active", listen=f"unix:{tmp_path}/real/s")


def test_listener_inherited_over_exec_is_governed(start, path):
    """As from systemd's socket units."""
    accepting = "import socket, sys; listener = socket.socket(fileno=int(sys.argv[1])); " \
        "print('listening 0', flush=True); peer = listener.accept()[0]; peer.sendall(peer.recv(100))"
    server = start([PYTHON, "-c", f"""
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind('{path}')
listener.listen()
listener.set_inheritable(True)
os.execv(sys.executable, [sys.executable, '-c', {accepting!r}, str(listener.fileno())])
"""], environment(trust=f"unix:{path}", timeout="60s"))
    with UnixPeer(path) as peer:
        peer.send(wire.v2() + b"x").echo(b"x")
    server.log.wait("active .*listen=unix:", count=2)  # each image says it


@pytest.mark.parametrize("padding", [0, 5])
def test_abstract_listener_is_known_by_its_name(start, padding):
    name = f"ppshim-test-{os.getpid()}"
    server = start([PYTHON, "-c", f"""
import socket
listener = socket.socket(socket.AF_UNIX)
listener.bind(b'\\0{name}' + bytes({padding}))
listener.listen()
print('listening 0', flush=True)
peer, _ = listener.accept()
peer.sendall(peer.recv(100))
"""], environment(trust=f"unix:@{name}", timeout="60s"))
    with UnixPeer(b"\0" + name.encode() + bytes(padding)) as peer:
        peer.send(wire.v2() + b"x").echo(b"x")
    server.logged("active", listen=f"unix:@{name}")


def test_datagram_and_packet_sockets_are_left_alone(tmp_path):
    answer = run(PYTHON, "-c", f"""
import socket
listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listener.bind('{tmp_path}/s')
listener.listen()
client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
client.connect('{tmp_path}/s')
client.send(b'PROXY UNKNOWN\\r\\n')
print(listener.accept()[0].recv(100))
""", env=environment(trust=f"unix:{tmp_path}/s"))
    assert (answer.stdout, answer.stderr) == ("b'PROXY UNKNOWN\\r\\n'\n", "")


def test_listener_named_in_a_file_is_governed_until_the_file_says_otherwise(serve, path, tmp_path):
    file = tmp_path / "list"
    file.write_text(f"# balancers\nunix:{path}\n{TRUSTED}\n")
    server = serve(f"--unix={path}", trust=f"@{file}")
    server.logged("active", trust="2-prefixes")
    served(path, wire.v2())
    (tmp_path / "new").write_text(TRUSTED)
    os.replace(tmp_path / "new", file)

    until(lambda: served_raw(path), "the shorter list is in force")
    server.logged("reloaded")


BROKEN = ["10.1.2.3/8", "", None]


@pytest.mark.parametrize("content", BROKEN, ids=["bad-entry", "empty", "missing"])
def test_broken_list_stops_only_a_server_that_it_may_concern(path, tmp_path, content):
    file = tmp_path / "list"
    if content is not None:
        file.write_text(content)
    listen = [PYTHON, "-c", f"import socket; s = socket.socket(socket.AF_UNIX); s.bind('{path}'); s.listen()"]
    answer = run(*listen, env=environment(trust=f"@{file} unix:{path}"), check=False)
    assert answer.returncode == 78 and str(file) in answer.stderr
    os.unlink(path)
    answer = run(*listen, env=environment(trust=f"@{file} unix:{path}2"), check=False)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_entry_of_a_broken_list_still_stops_its_server(path, tmp_path):
    (tmp_path / "list").write_text(f"10.1.2.3/8\nunix:{path}\n")
    answer = run(PYTHON, "-c", f"import socket; s = socket.socket(socket.AF_UNIX); s.bind('{path}'); s.listen()",
                 env=environment(trust=f"@{tmp_path}/list"), check=False)
    assert answer.returncode == 78 and "line 1" in answer.stderr


def test_listener_in_both_lists_is_an_error(path):
    answer = run(helper("server"), env=environment(trust=f"unix:{path}", header_optional=f"unix:{path}"), check=False)
    assert answer.returncode == 78
    assert f"unix:{path} is in PPSHIM_TRUST as well" in answer.stderr


# --- every way of waiting ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", STYLES)
def test_every_way_of_waiting_is_never_woken_for_nothing(listed, path, style):
    server = listed(*ONE_WORKER.get(style, STYLES[style]))
    served(path, wire.v2())  # the very first accept may end with ECONNABORTED, where a late header woke it
    silent = [UnixPeer(path) for _ in range(5)]
    for header in wire.v1, wire.v2:
        served(path, header(), b"")
        with UnixPeer(path) as peer:  # byte by byte
            for byte in header() + DATA[:3]:
                peer.send(bytes([byte]))
            report = peer.report()
            assert (report["accept"], report["peer"]) == ("unix:", "unix:")
            peer.echo(DATA[:3])
        with UnixPeer(path) as peer:
            peer.send(b"nonsense").rejected()
    for peer in silent:
        peer.send(wire.v2()).report()
        peer.close()
    stats = server.stats()
    assert stats["accepted"] == 10 and stats["failed"] <= 1
    assert stats["failed"] + stats["empty"] <= 1 or "prefork" in style


def test_parked_peers_cost_no_time(listed, path):
    server = listed(*STYLES["epoll-lt-nonblock"])
    served(path, wire.v2())
    silent = [UnixPeer(path).send(b"PROXY") for _ in range(50)]
    settled(server, path, 50)
    before = server.cpu_ticks()
    for _ in range(20):
        served(path, wire.v2())
    settled(server, path, 50)
    time.sleep(0.5)  # of doing nothing
    assert server.cpu_ticks() - before < 15
    for peer in silent:
        peer.close()


def test_long_header_is_taken_whole(listed, path):
    listed()
    for length in 536, 537, 20000:
        served(path, wire.v2_of_length(length))


def test_oldest_waiting_peer_makes_room(listed, path):
    server = listed(max_pending="3")
    served(path, wire.v2())
    peers = []
    for _ in range(4):
        peers.append(UnixPeer(path).send(b"PROXY"))
    peers[0].rejected()
    server.logged("reject", reason="too-many-pending", peer=f"unix:{path}")
    for peer in peers[1:]:
        peer.send(b" UNKNOWN\r\n").report()


def test_forked_child_owns_no_waiting_connection(start, path):
    """Only the one that it was made for."""
    server = start([PYTHON, "-c", f"""
import os, socket, select, stat

def is_socket(fd):
    try: return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError: return False

listener = socket.socket(socket.AF_UNIX)
listener.bind('{path}')
listener.listen()
listener.setblocking(False)
print('listening 0', flush=True)
while True:
    select.select([listener], [], [])
    try: peer, _ = listener.accept()
    except BlockingIOError: continue
    if os.fork() == 0:
        listener.close()
        sockets = [fd for fd in range(os.sysconf('SC_OPEN_MAX')) if is_socket(fd)]
        peer.sendall(('sockets=%d\\n' % len(sockets)).encode())
        os._exit(0)
    peer.close()
    os.wait()
"""], environment(trust=f"unix:{path}", timeout="60s"))
    with UnixPeer(path) as peer:
        assert peer.send(wire.v2()).report()["sockets"] == "1"
    silent = [UnixPeer(path).send(b"PROXY") for _ in range(3)]
    with UnixPeer(path) as peer:
        assert peer.send(wire.v2()).report()["sockets"] == "1"
    for peer in silent:
        peer.close()
