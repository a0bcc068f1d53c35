# SPDX-License-Identifier: MIT
"""One line an event; nothing of a peer's can forge one; writing one never costs the server anything."""
import os
import re
import socket
import subprocess
import threading

import pytest
import wire
from harness import DEADLINE, run, until
from program import environment, helper
from wire import CLIENT_TEXT, TRUSTED

LINE = re.compile(r"ppshim\[(\d+)\]: [a-z-]+( [a-z-]+=\S*)+")


def reject_one(server, opening=b"GET / HTTP/1.0\r\n\r\n"):
    with server.peer() as peer:
        peer.send(opening).rejected()
        return peer.text


def the_reject_line(server, who):
    return server.log.wait(rf": reject peer={re.escape(who)} ")[0]


# --- the lines --------------------------------------------------------------------------------------------------------


def test_every_line_has_the_one_form(serve):
    server = serve(log="stderr:debug")
    server.serves()
    server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)
    with server.peer() as peer:
        server.settled(peer)
    the_reject_line(server, reject_one(server))
    server.serves()
    server.stop()
    assert len(server.log.lines) >= 5
    for line in server.log.lines:
        assert LINE.fullmatch(line), line
        assert int(LINE.fullmatch(line).group(1)) == server.pid


def test_reject_names_both_addresses_the_socket_the_bytes_and_the_reason(serve):
    server = serve()
    with server.peer() as peer:
        server.settled(peer)
        cookie = wire.cookie_of(peer.server, peer.name)
        peer.send(b"PROXY TCP4 1 ").rejected()
        assert the_reject_line(server, peer.text) == (
            f"ppshim[{server.pid}]: reject peer={peer.text} local=127.0.0.1:{server.port} id={cookie} got=13 "
            "reason=v1-bad-address")


def test_accepted_header_is_told_at_info_only(serve):
    for level, lines in ("notice", 0), ("info", 1):
        server = serve(log=f"stderr:{level}")
        server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)
        server.stop()
        told = server.log.matching(re.escape(CLIENT_TEXT))
        assert len(told) == lines, server.log.lines
        assert all(f"peer={TRUSTED}:" in line for line in told)


def test_error_level_leaves_out_rejects(serve):
    server = serve(log="stderr:error")
    reject_one(server)
    server.stop()
    assert server.log.lines == []


def test_active_line_says_who_listens_and_how(serve):
    server = serve(trust="10.0.0.0/8,127.0.0.2,2001:db8::/32", timeout="1500ms")
    line = server.logged("active", trust="3-prefixes", timeout="1500ms", untrusted="pass",
                         exe=helper("server"), listen=f"0.0.0.0:{server.port}")
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", line["version"])
    assert line["store"]


def test_active_line_names_the_program_as_it_was_executed(start, tmp_path):
    """Behind /etc/alternatives/x lies a name that nobody typed; one relative to a directory says nothing by itself."""
    link = tmp_path / "alternative"
    link.symlink_to(helper("server"))
    for typed, told in (link, str(link)), (f".{link}", os.path.realpath(helper("server"))):
        server = start([typed], environment(trust=TRUSTED, log="stderr"))
        assert server.logged("active", exe=told)
        server.stop()


@pytest.mark.parametrize("arguments", [["--listeners=3"], ["--accept=fork=3"], ["--accept=threads=3", "--handle=fork"]],
                         ids=["listeners", "prefork", "fork"])
def test_active_line_comes_once(serve, arguments):
    server = serve(*arguments)
    for _ in range(6):
        server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)
    server.stop()
    assert len(server.log.matching(": active ")) == 1


def test_program_that_does_not_listen_says_nothing():
    for settings in {"trust": TRUSTED}, {"trust": TRUSTED, "log": "stderr:debug"}, {}:
        assert run("/bin/true", env=environment(**settings)).stderr == ""


# --- bytes from the network -------------------------------------------------------------------------------------------


def test_bytes_of_a_peer_are_escaped(serve):
    server = serve(log="stderr:info")
    evil = b"a b\nppshim[1]: reject reason=x\x1b[2J\x00\xff\"' cn=c\\"
    tlvs = wire.ssl_tlv(wire.tlv(wire.SSL_CN, evil), client=3) + wire.tlv(wire.AUTHORITY, b"s\tni\r\n") + wire.tlv(1, b"h2\n")
    server.serves(TRUSTED, wire.v2(tlvs=tlvs), CLIENT_TEXT)
    line = server.log.wait(re.escape(CLIENT_TEXT))[0]
    server.stop()
    assert [found for found in server.log.lines if not LINE.fullmatch(found)] == []
    assert len(server.log.lines) == 2  # active, and this one
    words = [word.partition("=")[0] for word in line.split(" ") if "=" in word]
    assert len(words) == len(set(words)) and "reason" not in words
    assert all(0x20 <= ord(char) < 0x7F for char in line)
    found = wire.fields(line)
    assert found["cn"].startswith("a") and "ppshim[1]:" in found["cn"]
    assert found["sni"].startswith("s") and found["alpn"].startswith("h2")


@pytest.mark.parametrize("client, verify, told", [
    (3, 0, "cn"), (5, 0, "cn"), (3, 1, "cn-unverified"), (3, 0x80000000, "cn-unverified"), (1, 0, "cn-unverified"),
])
def test_name_is_no_identity_unless_a_certificate_was_there_and_verified(serve, client, verify, told):
    server = serve(log="stderr:info")
    server.serves(TRUSTED, wire.v2(tlvs=wire.ssl_tlv(wire.tlv(wire.SSL_CN, b"admin"), client=client, verify=verify)),
                  CLIENT_TEXT)
    found = wire.fields(server.log.wait(re.escape(CLIENT_TEXT))[0])
    assert {key: value for key, value in found.items() if key and key.startswith("cn")} == {told: "admin"}


def test_long_values_of_a_peer_do_not_hide_the_line(serve):
    server = serve(log="stderr:info")
    tlvs = wire.ssl_tlv(wire.tlv(wire.SSL_CN, b"\n" * 20000), client=3) + wire.tlv(wire.AUTHORITY, b"\x01" * 20000)
    server.serves(TRUSTED, wire.v2(tlvs=tlvs + wire.tlv(wire.ALPN, b"h2")), CLIENT_TEXT)
    line = server.log.wait(re.escape(CLIENT_TEXT))[0]
    found = wire.fields(line)
    assert LINE.fullmatch(line) and len(line) < 1024
    assert found["cn"] == r"\x0a" * 128 + "..." and found["alpn"] == "h2"
    assert "sni" not in found and found["cut"] == "1"  # it did not fit as well


# --- what headers say -------------------------------------------------------------------------------------------------

EVERY_TLV = (wire.ssl_tlv(wire.tlv(wire.SSL_VERSION, b"TLSv1.3"), wire.tlv(wire.SSL_CN, b"app"),
                          wire.tlv(wire.SSL_CIPHER, b"TLS_AES_128_GCM_SHA256"), client=7)
             + wire.tlv(wire.ALPN, b"postgresql") + wire.tlv(wire.AUTHORITY, b"db.example")
             + wire.tlv(wire.UNIQUE_ID, b"7-1") + wire.tlv(wire.NETNS, b"blue")
             + wire.tlv(wire.AWS, b"\x01vpce-08d2bf15fac5001c9") + wire.tlv(wire.AZURE, b"\x01\xc1\x45\x00\x21")
             + wire.tlv(wire.GCP, bytes.fromhex("009b34d70a003c64"))
             + wire.tlv(wire.ZTUNNEL, b"spiffe://cluster.local/ns/foo/sa/bar"))


def test_accept_line_has_everything_that_the_header_says(serve):
    server = serve(log="stderr:info", log_tlvs="0xEE,0xF7")
    with server.peer() as peer:
        peer.send(wire.v2(tlvs=EVERY_TLV + wire.tlv(0xF7, b"\x00\xff") + wire.tlv(0xF7, b"2"))).report()
        cookie = wire.cookie_of(peer.server, peer.name)
    line = server.log.wait(": accept ")[0]
    assert line == (
        f"ppshim[{server.pid}]: accept peer={peer.text} local=127.0.0.1:{server.port} id={cookie} v=2 "
        f"client={CLIENT_TEXT} dst=192.0.2.10:3306 cn=app vpce=vpce-08d2bf15fac5001c9 azure-link=553665985 "
        "psc=43686719580552292 spiffe=spiffe://cluster.local/ns/foo/sa/bar sni=db.example ssl=TLSv1.3 "
        "cipher=TLS_AES_128_GCM_SHA256 alpn=postgresql unique-id=7-1 netns=blue tlv.0xEE=01c1450021 tlv.0xF7=00ff")


@pytest.mark.parametrize("header, client, vpce", [
    (b"PROXY UNKNOWN\r\n", "unknown", None),
    (wire.v2_raw(wire.LOCAL, wire.UNSPEC, wire.tlv(wire.AWS, b"\x01vpce-1")), "local", "vpce-1"),
    (wire.v2_raw(wire.PROXY, wire.UNSPEC, wire.tlv(wire.AWS, b"\x01vpce-1")), "unknown", "vpce-1"),
], ids=["v1-unknown", "local", "unspec"])
def test_header_without_an_address_is_told_with_what_it_says(serve, header, client, vpce):
    server = serve(log="stderr:info")
    with server.peer() as peer:
        assert peer.send(header).report()["peer"] == peer.text
    found = wire.fields(server.log.wait(": accept ")[0])
    assert (found["client"], found.get("vpce"), "dst" in found) == (client, vpce, False)


# --- the limit --------------------------------------------------------------------------------------------------------


def reject_many(server, count=40):
    peers = [server.peer() for _ in range(count)]
    for peer in peers:
        peer.send(b"GET / HTTP/1.0\r\n\r\n")
    for peer in peers:
        peer.rejected()
        peer.close()
    return count


def test_flood_of_lines_is_limited_and_counted(serve, now):
    server = serve()
    server.logged("active")
    start, events = now(), 0
    while not server.log.matching("left-out"):  # said with the first line of a later second
        events += reject_many(server)
        assert now() - start < DEADLINE
    seconds = now() - start
    server.stop()
    told = len(server.log.matching(": reject "))
    counted = [int(wire.fields(line)["lines"]) for line in server.log.matching("left-out")]
    assert told <= 10 * (int(seconds) + 2)
    assert sum(counted) > 0
    assert told + sum(counted) <= events + 1  # the active line is in the first second's count


def test_nothing_is_lost_without_being_counted(serve):
    """A burst, silence until the next second, one more: told and counted are all."""
    server = serve()
    server.logged("active")
    for _ in range(40):
        reject_one(server)
    events = 40

    def told_and_counted():
        told = len(server.log.matching(": reject "))
        return told + sum(int(wire.fields(line)["lines"]) for line in server.log.matching("left-out"))

    def complete():
        nonlocal events
        if told_and_counted() >= events:
            return True
        who = reject_one(server)
        events += 1
        server.settled()
        return server.log.matching(re.escape(who)) and told_and_counted() == events

    until(complete, "every reject is told or counted")


# --- where they go ----------------------------------------------------------------------------------------------------


def test_log_file_takes_the_lines_and_stderr_none(serve, tmp_path):
    path = tmp_path / "ppshim.log"
    server = serve(log=path)
    who = reject_one(server)
    server.serves()
    text = path.read_text()
    assert re.search(": active ", text) and f"reject peer={who} " in text
    assert all(LINE.fullmatch(line) for line in text.splitlines())
    os.rename(path, tmp_path / "rotated")
    who = reject_one(server)
    server.serves()
    assert f"reject peer={who} " in path.read_text()
    server.stop()
    assert server.log.lines == []


def test_log_file_takes_a_level(serve, tmp_path):
    server = serve(log=f"{tmp_path}/ppshim.log:error")
    reject_one(server)
    server.serves()
    server.stop()
    assert server.log.lines == []
    assert not (tmp_path / "ppshim.log").exists() or (tmp_path / "ppshim.log").read_text() == ""


def test_log_file_that_cannot_be_opened_falls_back_and_says_so(serve, tmp_path):
    server = serve(log=tmp_path / "no" / "such" / "directory")
    the_reject_line(server, reject_one(server))
    path = re.escape(str(tmp_path / "no" / "such" / "directory"))
    assert len(server.log.matching(re.escape(str(tmp_path)))) == 1
    assert len(server.log.matching(f": log-fallback path={path} why=no-such-file$")) == 1
    assert len(server.log.matching(": active ")) == 1


def test_data_file_that_took_the_place_of_stderr_stays_clean(serve, tmp_path):
    path = tmp_path / "data"
    server = serve(f"--stderr-to={path}")
    reject_one(server)
    server.serves()
    server.stop()
    assert path.read_bytes() == b""


@pytest.mark.parametrize("flags, told", [(os.O_RDWR, False), (os.O_RDWR | os.O_APPEND, True)], ids=["data", "log"])
def test_last_words_go_into_what_took_the_place_of_stderr_only_if_it_is_a_log(tmp_path, flags, told):
    path = tmp_path / "file"
    path.write_bytes(b"what was there\n")
    program = f"import os, socket; os.dup2(os.open({str(path)!r}, {flags}), 2); socket.create_server(('127.0.0.1', 0))"
    assert run("/usr/bin/python3", "-c", program, env=environment(trust="@/nonexistent"), check=False).returncode == 78
    assert path.read_bytes().startswith(b"what was there\n")
    assert (b"error: PPSHIM_TRUST=" in path.read_bytes()) == told


def test_dead_reader_of_the_log_does_not_kill_the_server(serve):
    reading, writing = os.pipe()
    os.close(reading)
    server = serve(stderr=writing)
    os.close(writing)
    reject_one(server)
    server.serves()
    assert server.stop() == 0


def test_full_pipe_does_not_block_the_server(serve):
    reading, writing = os.pipe()
    filler = os.open(f"/proc/self/fd/{writing}", os.O_WRONLY | os.O_NONBLOCK)  # an open file of its own: see fcntl(2)
    try:
        while True:
            os.write(filler, b"x" * 4096)
    except BlockingIOError:
        pass
    server = serve(stderr=writing)
    for _ in range(3):
        reject_one(server)
    server.serves()
    assert server.stop() == 0
    for fd in reading, writing, filler:
        os.close(fd)


def test_log_keeps_no_descriptor_open(serve, tmp_path):
    path = tmp_path / "ppshim.log"
    server = serve(log=path)
    open_after = []
    for rejects in 1, 2:
        with server.peer() as peer:
            server.parked(peer)  # whatever that needs is there from the first time on
            peer.send(b"nonsense").rejected()
        until(lambda: path.read_text().count(": reject ") == rejects, "the line is written")
        server.settled()
        open_after.append(server.fds())
    assert open_after[0] == open_after[1]
    assert str(path) not in open_after[1].values()


def test_lines_of_several_threads_stay_whole(serve, tmp_path):
    server = serve("--accept=threads=4", log=tmp_path / "ppshim.log")
    threads = [threading.Thread(target=reject_one, args=(server,)) for _ in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.serves()
    server.stop()
    lines = (tmp_path / "ppshim.log").read_text().splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    assert sum(": reject " in line for line in lines) == 9


def test_journal_stream_without_a_journal_falls_back(start):
    env = {**environment(trust=TRUSTED), "JOURNAL_STREAM": "8:1234"}
    if os.path.exists("/run/systemd/journal/socket"):
        pytest.skip("a journal is there: it takes the lines")
    server = start([helper("server")], env)
    the_reject_line(server, reject_one(server))


# --- where they must not go -------------------------------------------------------------------------------------------


def started_by_inetd(settings, **more):
    """A server whose 0, 1 and 2 are one TCP connection, as inetd leaves them: its exit status and what the client
    received. It ends at once, having nothing to do."""
    with socket.create_server(("127.0.0.1", 0)) as listener, wire.Peer(listener.getsockname()[1]) as client:
        connection, _ = listener.accept()
        with connection:
            process = subprocess.Popen(["/bin/sh", "-c", "exit 3"], env={**environment(**settings), **more},
                                       stdin=connection, stdout=connection, stderr=connection)
        assert process.wait(DEADLINE) is not None
        while client.receive():
            pass
        return process.returncode, client.buffer


@pytest.mark.parametrize("more", [{}, {"JOURNAL_STREAM": "8:1234"}, {"JOURNAL_STREAM": "nonsense"}])
def test_wrong_setting_is_not_told_to_the_client_that_is_stderr(more):
    assert started_by_inetd({"trust": TRUSTED}) == (3, b"")
    assert started_by_inetd({"trust": TRUSTED, "timeout": "3"}, **more) == (78, b"")


def test_stream_of_the_journal_is_a_socket_that_takes_last_words():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stream = os.fstat(theirs.fileno())
        env = {**environment(trust=TRUSTED, timeout="3"), "JOURNAL_STREAM": f"{stream.st_dev}:{stream.st_ino}"}
        done = subprocess.run(["/bin/true"], env=env, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
        assert done.returncode == 78
        assert b"PPSHIM_TIMEOUT=3" in ours.recv(4096)


def test_socket_of_a_supervisor_takes_the_lines_unless_it_is_the_data_too():
    for shared in False, True:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            done = subprocess.run(["/bin/true"], env=environment(trust=TRUSTED, timeout="3"), stdin=subprocess.DEVNULL,
                                  stdout=theirs if shared else subprocess.DEVNULL, stderr=theirs)
            assert done.returncode == 78
            theirs.close()
            assert (b"PPSHIM_TIMEOUT=3" in ours.recv(4096)) != shared
