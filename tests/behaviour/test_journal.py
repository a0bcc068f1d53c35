# SPDX-License-Identifier: MIT
"""PPSHIM_JOURNAL and `ppshim journal`: one line when a connection starts, one when it really ends."""
import gzip
import json
import os
import re
import signal
import socket
import struct
import time
from concurrent.futures import ProcessPoolExecutor

import pytest
import wire
from harness import DEADLINE, environment, run, tool, until
from journal import TOOL, Journal, query, seconds
from place import needs
from process import clean_env
from wire import CLIENT6, CLIENT6_TEXT, CLIENT_TEXT, DIRECT, TRUSTED

OTHER_TRUSTED = [f"127.0.0.{n}" for n in (2, 3, 4, 5)]


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path) as journal:
        yield journal


def talk(server, header, data=b"live", source=TRUSTED):
    """One client from end to end, that half-closes first: what the server said of it, and the bytes it was sent."""
    with server.peer(source) as peer:
        peer.send(header + data)
        report = peer.report()
        said = len(" ".join(f"{key}={value}" if key else value[0] for key, value in report.items())) + 1
        peer.echo(data)
    return report, said + len(data)


# --- what a line says ---------------------------------------------------------------------------------------------------

def test_an_end_tells_all_that_its_start_told_and_how_it_went(serve, journal):
    server = serve("--accept=poll", journal=journal.socket)
    journal.ports.update(server.ports)
    tlvs = (wire.ssl_tlv(wire.tlv(0x21, b"TLSv1.3"), wire.tlv(wire.SSL_CN, b'app "x"\n'), client=7)
            + wire.tlv(wire.AUTHORITY, b"db.example"))
    before = time.time()
    with server.peer() as peer:
        peer.send(wire.v2(tlvs=tlvs) + b"live")
        peer.report()
        start, = journal.wait("start")
        assert before <= seconds(start["start"]) + 0.001 and seconds(start["start"]) <= time.time()
        assert journal.of("end") == []
        peer.echo(b"live")
    end, = journal.wait("end")
    told = {"client": CLIENT_TEXT, "peer": peer.text, "server": "192.0.2.10:3306", "kind": "proxied", "header": 2,
            "cn": 'app "x"\n', "ssl": "TLSv1.3", "sni": "db.example", "pid": server.pid, "program": "server"}
    for line in start, end:
        assert told.items() <= line.items()
    assert start["local"] == f":{server.port}" and end["local"] == f"127.0.0.1:{server.port}"
    assert (end["id"], end["boot"], end["start"]) == (start["id"], start["boot"], start["start"])
    assert end["how"] == "closed"
    assert seconds(start["start"]) <= seconds(end["end"]) <= time.time()
    assert end["seconds"] == pytest.approx(seconds(end["end"]) - seconds(end["start"]), abs=0.002)


def test_bytes_are_those_of_the_client_without_the_header(serve, journal):
    """The kernel counts the client's FIN as one that came in."""
    server = serve("--accept=poll", journal=journal.socket)
    journal.ports.update(server.ports)
    for header in wire.v1(), wire.v2(), wire.v2_of_length(3000), wire.v2(CLIENT6):
        with server.peer() as peer:
            data = os.urandom(70000)
            peer.send(header)
            peer.report()
            received = peer.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
            first = struct.unpack_from("=Q", received, 128)[0]  # tcpi_bytes_received: the server's first line
            peer.send(data)
            peer.echo(data)
        end = journal.wait("end", peer=peer.text)[0]
        assert (end["bytes_in"], end["bytes_out"]) == (len(data) + 1, first + len(data))


@pytest.mark.parametrize("header, source, kind, client", [
    (wire.v1(), TRUSTED, "proxied", CLIENT_TEXT),
    (wire.v2(CLIENT6), TRUSTED, "proxied", CLIENT6_TEXT),
    (b"PROXY UNKNOWN\r\n", TRUSTED, "unknown", None),
    (wire.v2_raw(wire.LOCAL, 0, b""), TRUSTED, "local", None),
    (b"", DIRECT, "untrusted", None),
    (b"", "127.0.0.3", "no-header", None),
], ids=["v1", "v2", "unknown", "local", "untrusted", "no-header"])
def test_every_connection_that_the_server_gets_is_there(serve, journal, header, source, kind, client):
    server = serve("--accept=poll", journal=journal.socket, header_optional="127.0.0.3")
    journal.ports.update(server.ports)
    talk(server, header, source=source)
    for event in "start", "end":
        line, = journal.wait(event)
        assert (line["kind"], line.get("client")) == (kind, client)


def test_who_does_not_get_in_is_not_there(serve, journal):
    server = serve("--accept=poll", journal=journal.socket, client_deny="203.0.113.8")
    journal.ports.update(server.ports)
    with server.peer() as peer:
        peer.send(wire.v1(("203.0.113.8", 1))).rejected()
    server.peer().close()
    talk(server, wire.v1())
    assert [line["client"] for line in journal.wait("end")] == [CLIENT_TEXT]
    assert len(journal.of("start")) == 1


def test_a_reset_is_told_from_a_close(serve, journal):
    server = serve("--accept=poll", journal=journal.socket)
    journal.ports.update(server.ports)
    with server.peer() as peer:
        peer.send(wire.v2() + b"live")
        peer.report()
        peer.reset()
    assert journal.wait("end")[0]["how"] == "reset"


VANISHED = """
import socket, subprocess, sys
tool, directory = sys.argv[1:]
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
path = directory + "/journal.sock"
journal = subprocess.Popen([tool, "journal", "--socket", path, "--output", "-"], stdout=subprocess.PIPE)
print(journal.stdout.readline().decode(), end="")
server = subprocess.Popen([sys.executable, "-c", SERVER], env={**ENVIRONMENT, "PPSHIM_JOURNAL": path}, stdout=subprocess.PIPE)
port = int(server.stdout.readline())
client = socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.2", 0))
client.sendall(HEADER)
server.stdout.readline()
subprocess.run(["ip", "link", "set", "lo", "down"], check=True)
server.wait()
print(journal.stdout.readline().decode() + journal.stdout.readline().decode(), end="")
journal.kill()
"""
WAITS_IN_VAIN = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
connection, _ = listener.accept()
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 300)
print("accepted", flush=True)
while connection.send(b"x" * 4096):
    pass
"""


def test_a_peer_that_vanished_is_told_as_a_timeout(tmp_path):
    """The network goes down; the server sends and hears no more."""
    needs("network")
    script = "\n".join([f"SERVER, ENVIRONMENT, HEADER = {WAITS_IN_VAIN!r}, {environment(trust=TRUSTED)!r}, {wire.v2()!r}",
                        VANISHED])
    done = run(tool("unshare"), "--net", "/usr/bin/python3", "-c", script, TOOL, tmp_path)
    _, start, end = map(json.loads, done.stdout.splitlines())
    assert (start["event"], end["event"], end["id"]) == ("start", "end", start["id"])
    assert (end["client"], end["how"]) == (CLIENT_TEXT, "timeout")


def test_it_ends_when_the_last_process_lets_go_of_it(serve, journal):
    """A child serves it, and the parent has closed it at once."""
    server = serve("--accept=blocking", "--handle=fork", journal=journal.socket)
    journal.ports.update(server.ports)
    with server.peer() as peer:
        peer.send(wire.v2() + b"live")
        child = int(peer.report()["pid"])
        assert child != server.pid
        assert journal.wait("start")[0]["pid"] == server.pid
        other = talk(server, wire.v2(CLIENT6))  # the parent goes on
        assert other and journal.wait("end")[0]["client"] == CLIENT6_TEXT
        let_go = time.time()
        peer.echo(b"live")
    ends = journal.wait("end", 2)
    assert ends[1]["client"] == CLIENT_TEXT and seconds(ends[1]["end"]) >= let_go - 0.001


# --- none twice, none lost ------------------------------------------------------------------------------------------------

COUNT = int(os.environ.get("JOURNAL_CONNECTIONS", 4000))


def client_number(n):
    return f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}", 1 + n % 65535


def come_and_go(port, source, numbers):
    """Clients one after the other, each with an address of its own."""
    for n in numbers:
        with socket.socket() as peer:
            peer.settimeout(DEADLINE)
            peer.bind((source, 0))
            peer.connect(("127.0.0.1", port))
            peer.sendall(wire.v2(client_number(n)) + b"x")
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(4096):
                pass


def crowd(server, count, first=0):
    with ProcessPoolExecutor(len(OTHER_TRUSTED)) as pool:
        work = [pool.submit(come_and_go, server.port, source, range(first + i, first + count, len(OTHER_TRUSTED)))
                for i, source in enumerate(OTHER_TRUSTED)]
    for one in work:
        one.result()


def clients(lines):
    return [line["client"] for line in lines]


@pytest.mark.parametrize("style", [["--accept=fork=4"], ["--accept=threads=4"]], ids=["prefork", "threads"])
def test_each_that_starts_ends_once_and_later(serve, journal, style):
    needs("root")  # for the long queue
    server = serve(*style, journal=journal.socket, trust=",".join(OTHER_TRUSTED), log="stderr:error")
    journal.ports.update(server.ports)
    crowd(server, COUNT)
    until(lambda: journal.file.read_bytes().count(b'"event": "end"') >= COUNT <= len(journal.of("end")), "all have ended")
    expected = sorted("{}:{}".format(*client_number(n)) for n in range(COUNT))
    assert journal.of("lost") == []
    assert sorted(clients(journal.of("start"))) == expected
    assert sorted(clients(journal.of("end"))) == expected
    open_now = set()
    for line in journal.lines():
        if line["event"] == "start":
            open_now.add(line["id"])
        elif line["event"] == "end":
            open_now.remove(line["id"])  # never before its start
    assert open_now == set()


def test_a_journal_that_was_killed_begins_with_what_is_open(serve, tmp_path):
    needs("descriptors")
    journal = Journal(tmp_path)
    with journal:
        server = serve("--accept=threads=2", journal=journal.socket)
        journal.ports.update(server.ports)
        peers = [server.peer() for _ in range(3)]
        for n, peer in enumerate(peers):
            peer.send(wire.v2(client_number(n)) + b"live").report()
        starts = {line["client"]: line for line in journal.wait("start", 3)}
        journal.kill_at_once()
        peers.pop(0).echo(b"live")  # while there is no journal
        with journal:
            found = [line for line in journal.of("open") if line["local"].endswith(f":{server.port}")]
            assert sorted(clients(found)) == ["{}:{}".format(*client_number(n)) for n in (1, 2)]  # the kernel lists them
            for line in found:
                start = starts[line["client"]]
                assert (line["id"], line["boot"], line["peer"]) == (start["id"], start["boot"], start["peer"])
                # A second, of a clock that is a tick behind the one that the start was told by.
                assert 0 <= seconds(start["start"]) - seconds(line["start"]) < 1.1
            for peer in peers:
                peer.echo(b"live")
                peer.close()
            ends = journal.wait("end", 2)
            assert sorted(line["id"] for line in ends) == sorted(line["id"] for line in found)
            assert {line["how"] for line in ends} == {"closed"}
    told = filter(journal.is_ours, query(journal.file))
    assert sorted((line["client"], line["event"]) for line in told) == [
        ("10.0.0.0:1", "start"), ("10.0.0.1:2", "end"), ("10.0.0.2:3", "end")]


def test_a_reader_that_sleeps_keeps_nobody_waiting_and_all_that_was_lost_is_counted(serve, journal):
    """The queue holds some; how many is the kernel's, but none is lost without a word."""
    needs("root")  # for the long queue of ends, of which none is lost
    server = serve("--accept=threads=2", journal=journal.socket, trust=",".join(OTHER_TRUSTED), log="stderr:error")
    journal.ports.update(server.ports)
    come_and_go(server.port, TRUSTED, range(1))
    journal.wait("end")
    journal.process.send_signal(signal.SIGSTOP)
    count = 3000
    crowd(server, count, first=1)
    journal.process.send_signal(signal.SIGCONT)
    until(lambda: journal.file.read_bytes().count(b'"event": "start"') > 1, "it has emptied the queue")
    come_and_go(server.port, TRUSTED, range(count + 1, count + 2))
    journal.wait("end", client="{}:{}".format(*client_number(count + 1)))
    lost = sum(line["starts"] for line in journal.of("lost"))
    assert lost > 0
    assert {line["pid"] for line in journal.of("lost")} == {server.pid}
    starts = clients(journal.of("start"))
    assert len(starts) == len(set(starts)) == count + 2 - lost
    assert sorted(clients(journal.of("end"))) == sorted(starts)


def test_without_a_journal_the_server_serves_and_the_next_one_hears_how_many_were_lost(serve, tmp_path):
    journal = Journal(tmp_path)
    server = serve("--accept=poll", journal=journal.socket)
    journal.ports.update(server.ports)
    for _ in range(5):
        talk(server, wire.v2())
    with journal:
        talk(server, wire.v2(CLIENT6))
        assert journal.wait("lost")[0]["starts"] == 5
        assert clients(journal.wait("end")) == [CLIENT6_TEXT]


# --- its file -------------------------------------------------------------------------------------------------------------

def test_sighup_opens_the_file_anew(serve, journal):
    server = serve("--accept=poll", journal=journal.socket)
    journal.ports.update(server.ports)
    talk(server, wire.v2())
    journal.wait("end")
    old = journal.file.rename(journal.file.with_suffix(".1"))
    journal.process.send_signal(signal.SIGHUP)
    until(journal.file.exists, "a new file")
    talk(server, wire.v2(CLIENT6))
    assert clients(journal.wait("end")) == [CLIENT6_TEXT]
    assert [line["event"] for line in journal.lines(old)].count("end") == 1


def test_a_full_disk_loses_lines_which_are_counted_where_there_is_room_again(serve, tmp_path):
    full = tmp_path / "journal.jsonl"
    full.symlink_to("/dev/full")
    journal = Journal(tmp_path)
    journal.is_ready = lambda mark: journal.log.find("No space left on device")
    with journal:
        server = serve("--accept=poll", journal=journal.socket)
        journal.ports.update(server.ports)
        with server.peer() as peer:
            peer.send(wire.v2() + b"live").report()
            peer.echo(b"live")
        full.unlink()
        with server.peer() as last:
            last.send(wire.v2(CLIENT6) + b"live").report()
            # Its start goes to the full disk before the signal is heard, or behind it.
            journal.process.send_signal(signal.SIGHUP)
            until(full.exists, "a new file")
            last.echo(b"live")
        journal.wait("end", client=CLIENT6_TEXT)
        lost, written = journal.of("lost")[0]["lines"], len(journal.of("start")) + len(journal.of("end"))
        assert lost + written >= 5  # journal-start, and two starts and two ends; and what other servers' ends cost
    assert journal.log.text().count("\n") == 1


def test_one_that_lives_is_not_pushed_aside(journal):
    second = run(TOOL, "journal", "--socket", journal.socket, check=False, env=clean_env())
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr == f"ppshim journal: {journal.socket}: another journal listens there\n"
    assert journal.socket.is_socket()


def test_it_goes_when_told_and_takes_its_socket_along(journal):
    journal.stop()
    assert journal.of("journal-stop")[0]["open"] >= 0
    assert not journal.socket.exists()


PASSED = """
import os, socket, sys
path, *argv = sys.argv[1:]
passed = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
passed.bind(path)
os.dup2(passed.fileno(), 3)
os.set_inheritable(3, True)
os.execve(argv[0], argv, {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"})
"""


def test_systemd_may_pass_the_socket(serve, tmp_path):
    class Passed(Journal):
        def argv(self):
            return ["/usr/bin/python3", "-c", PASSED, self.socket, *super().argv()]

    with Passed(tmp_path) as journal:
        server = serve("--accept=poll", journal=journal.socket)
        journal.ports.update(server.ports)
        talk(server, wire.v2())
        assert clients(journal.wait("end")) == [CLIENT_TEXT]
    assert journal.socket.is_socket()  # it is systemd's


# --- what it costs --------------------------------------------------------------------------------------------------------

def test_the_library_keeps_one_descriptor_out_of_the_way(serve, journal):
    """Nor does a header that was late, and its epoll, make it more sockets."""
    server = serve("--accept=poll", journal=journal.socket)
    journal.ports.update(server.ports)

    def sockets():
        return {fd: what for fd, what in server.fds().items() if what.startswith("socket:")}

    talk(server, wire.v1())
    journal.wait("start")
    before = sockets()
    for _ in range(3):
        talk(server, wire.v1())
    journal.wait("end", 4)
    assert sockets() == before
    assert [fd for fd in before if fd > 100] == [max(before)]


# --- looking up -----------------------------------------------------------------------------------------------------------

def line(event, n, start, end=None, boot="b0074aaa", **more):
    clock = "2026-03-05T{}.000Z".format
    ended = f', "end": "{clock(end)}", "seconds": 1.000, "how": "closed"' if end else ""
    rest = "".join(f', "{key}": "{value}"' for key, value in more.items())
    return (f'{{"event": "{event}", "time": "{clock(end or start)}", "boot": "{boot}", "id": {n}, '
            f'"client": "203.0.113.{n}:4711", "peer": "10.0.0.1:{n}", "local": ":3306", '
            f'"start": "{clock(start)}"{ended}{rest}}}\n')


@pytest.fixture
def files(tmp_path):
    """Of two days, one file compressed; the last connection is open."""
    old, new = tmp_path / "journal.jsonl.1.gz", tmp_path / "journal.jsonl"
    with gzip.open(old, "wt") as file:
        file.write(line("start", 1, "13:00:00") + line("start", 2, "13:10:00") + line("end", 1, "13:00:00", "13:30:00"))
    new.write_text(line("open", 2, "13:10:00") + line("start", 3, "14:05:30") + line("end", 3, "14:05:30", "14:05:40")
                   + line("end", 2, "13:10:00", "15:00:00") + line("start", 4, "14:30:00")
                   + line("start", 1, "14:05:00", boot="b0074bbb", sni=r'\"client\": \"203.0.113.99:1\"'))
    return old, new


def found(files, *arguments):
    told = query(*arguments, *files)
    return [(one["id"], one["event"]) for one in told]


@pytest.mark.parametrize("arguments, expected", [
    ([], [(1, "end"), (2, "end"), (1, "start"), (3, "end"), (4, "start")]),
    (["--at", "2026-03-05T14:05:35Z"], [(2, "end"), (1, "start"), (3, "end")]),
    (["--from", "2026-03-05T14:05:40.001Z", "--to", "2026-03-05T14:05:40.001Z"], [(2, "end"), (1, "start")]),
    (["--at", "2026-03-05T14:05Z"], [(2, "end"), (1, "start"), (3, "end")]),
    (["--at", "2026-03-05 15:05+01:00"], [(2, "end"), (1, "start"), (3, "end")]),
    (["--at", "2026-03-05T14:05:35Z", "--client", "203.0.113.3"], [(3, "end")]),
    (["--from", "2026-03-05T13:31Z", "--to", "2026-03-05T14:04Z"], [(2, "end")]),
    (["--to", "2026-03-05T13:05Z"], [(1, "end")]),
    (["--from", "2026-03-05T15:00:01Z"], [(1, "start"), (4, "start")]),
    (["--client", "203.0.113.99"], []),
    (["--client", "203.0.113.0/30"], [(1, "end"), (2, "end"), (1, "start"), (3, "end")]),
], ids=lambda value: " ".join(map(str, value)))
def test_who_was_it(files, arguments, expected):
    assert found(files, *arguments) == expected
    assert found(files[::-1], *arguments) == expected


def test_times_are_local_where_no_zone_is_written(files):
    env = clean_env(TZ="UTC-2")  # two hours ahead
    done = run(TOOL, "journal", "--query", "--at", "2026-03-05T16:05:35", *files, env=env)
    assert re.findall(r'"id": (\d+)', done.stdout) == ["2", "1", "3"]


def test_a_file_that_cannot_be_read_is_an_answer_that_is_not_whole(files, tmp_path):
    broken = tmp_path / "broken.gz"
    broken.write_bytes(files[0].read_bytes()[:-30])
    for path, why in (tmp_path / "none", "No such file or directory"), (broken, "gzip could not read all of it"):
        done = run(TOOL, "journal", "--query", path, files[1], check=False)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == f"ppshim journal: {path}: {why}"
        assert done.stdout.count("\n") == 4


@pytest.mark.parametrize("arguments, said", [
    (["--query"], "in which files? (try ppshim journal --help)"),
    (["--query", "--at", "25:61", "x"], "--at 25:61: write a time like 14:05, or 2026-11-26T14:05:30"),
    (["--query", "--from", "15:00", "--to", "14:00", "x"], "--from is later than --to"),
    (["--query", "--client", "10.1.2.3/8", "x"],
     "--client 10.1.2.3/8: 10.1.2.3/8 has host bits set: write 10.0.0.0/8, or 10.1.2.3 for the one host"),
    (["--query", "--output", "f", "x"], "--output goes without --query"),
    (["--client", "10.0.0.1"], "--client goes with --query"),
    (["file"], "file: files are for --query; it writes to --output"),
    (["--mode", "999"], "--mode 999: write one like 0660"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_a_wrong_command_line_is_told_in_one_line(arguments, said):
    done = run(TOOL, "journal", *arguments, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"ppshim journal: {said}\n")
