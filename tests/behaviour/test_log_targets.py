# SPDX-License-Identifier: MIT
"""The journal, syslog, a disk and a FIFO as they are in production: each field by itself where it can be, and whoever
does not read costs the server nothing. Each server has mounts of its own, in which the sockets are the test's."""
import os
import re
import socket

import pytest
import wire
from harness import DEADLINE, run, until
from place import lacks, missing, needs, tool
from program import environment, helper
from wire import CLIENT_TEXT, TRUSTED

NONSENSE = b"GET / HTTP/1.0\r\n\r\n"


@pytest.fixture
def apart(start, tmp_path):
    """apart(script, log=...): the server in a mount namespace that `script` has prepared; $0 is the test's directory."""
    needs("root", "mounts")

    def starter(script, **settings):
        settings = {"trust": TRUSTED, "timeout": "60s", **settings}
        return start(["/usr/bin/unshare", "--mount", "/bin/sh", "-ec", f'{script}\nexec "$@"', str(tmp_path),
                      helper("server")], environment(**settings))
    return starter


def datagram_socket(path):
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    bound.bind(str(path))
    bound.settimeout(DEADLINE)
    return bound


@pytest.fixture
def journal(tmp_path):
    (tmp_path / "run/systemd/journal").mkdir(parents=True)
    with datagram_socket(tmp_path / "run/systemd/journal/socket") as bound:
        yield bound


@pytest.fixture
def syslog(tmp_path):
    (tmp_path / "dev").mkdir()
    with datagram_socket(tmp_path / "dev/log") as bound:
        yield bound


JOURNAL = 'mount --bind "$0/run" /run'
SYSLOG = 'mount --bind "$0/dev" /dev'


def entry(journal):
    """The next datagram as the journal reads it."""
    lines = journal.recv(65536).decode("ascii").splitlines()
    names = [line.partition("=")[0] for line in lines]
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]*", name) for name in names) and len(set(names)) == len(names)
    return dict(line.split("=", 1) for line in lines)


def fill(path):
    """As full as a socket gets of which nobody reads."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.connect(str(path))
        with pytest.raises(BlockingIOError):
            while True:
                sender.send(b"x")


def rejected(server):
    with server.peer() as peer:
        peer.send(NONSENSE).rejected()
        return peer.text


# --- the journal ------------------------------------------------------------------------------------------------------


def test_journal_gets_each_field_by_itself(apart, journal):
    server = apart(JOURNAL, log="journal:info")
    active = entry(journal)
    assert (active["PPSHIM_EVENT"], active["PPSHIM_LISTEN"], active["PPSHIM_LISTEN_PORT"], active["PRIORITY"]) == \
        ("active", "0.0.0.0", str(server.port), "5")
    with server.peer() as peer:
        tlvs = wire.ssl_tlv(wire.tlv(wire.SSL_VERSION, b"TLSv1.3"), wire.tlv(wire.SSL_CN, b"a b"), client=3)
        peer.send(wire.v2(tlvs=tlvs + wire.tlv(wire.AWS, b"\x01vpce-1"))).report()
        cookie = wire.cookie_of(peer.server, peer.name)
        told = entry(journal)
        message = told.pop("MESSAGE")
        assert told == {
            "SYSLOG_IDENTIFIER": "ppshim", "PRIORITY": "6", "PPSHIM_EVENT": "accept",
            "PPSHIM_PEER": peer.name[0], "PPSHIM_PEER_PORT": str(peer.name[1]),
            "PPSHIM_LOCAL": "127.0.0.1", "PPSHIM_LOCAL_PORT": str(server.port), "PPSHIM_ID": str(cookie),
            "PPSHIM_V": "2", "PPSHIM_CLIENT": "203.0.113.7", "PPSHIM_CLIENT_PORT": "4711",
            "PPSHIM_DST": "192.0.2.10", "PPSHIM_DST_PORT": "3306", "PPSHIM_CN": r"a\x20b", "PPSHIM_VPCE": "vpce-1",
            "PPSHIM_SSL": "TLSv1.3"}
        assert message == (f"accept peer={peer.text} local=127.0.0.1:{server.port} id={cookie} v=2 client={CLIENT_TEXT} "
                           r"dst=192.0.2.10:3306 cn=a\x20b vpce=vpce-1 ssl=TLSv1.3")
    who = rejected(server)
    told = entry(journal)
    assert f"{told['PPSHIM_PEER']}:{told['PPSHIM_PEER_PORT']}" == who
    assert (told["PPSHIM_EVENT"], told["PPSHIM_REASON"], told["PPSHIM_GOT"]) == ("reject", "not-a-header", "18")
    assert told["MESSAGE"].startswith(f"reject peer={who} ")


def test_bytes_of_a_peer_make_no_field_of_the_journal(apart, journal):
    server = apart(JOURNAL, log="journal:info")
    entry(journal)
    evil = b"x\nPPSHIM_REASON=none\nMESSAGE=x\n"
    with server.peer() as peer:
        peer.send(wire.v2(tlvs=wire.tlv(wire.AUTHORITY, evil) + wire.tlv(wire.ALPN, b"1.2.3.4:80"))).report()
    told = entry(journal)
    assert told["PPSHIM_SNI"] == r"x\x0aPPSHIM_REASON=none\x0aMESSAGE=x\x0a"
    assert told["PPSHIM_ALPN"] == "1.2.3.4:80" and "PPSHIM_ALPN_PORT" not in told
    assert "PPSHIM_REASON" not in told and told["MESSAGE"].startswith("accept ")


def test_journal_of_an_ipv6_client_is_found_by_its_address(apart, journal):
    server = apart(JOURNAL, log="journal:info")
    entry(journal)
    with server.peer() as peer:
        peer.send(wire.v2(wire.CLIENT6)).report()
    told = entry(journal)
    assert (told["PPSHIM_CLIENT"], told["PPSHIM_CLIENT_PORT"]) == ("2001:db8::7", "4711")


JOURNALD = "/lib/systemd/systemd-journald"
MACHINE = "0123456789abcdef0123456789abcdef"
REAL_JOURNAL = f"""{JOURNAL}
printf {MACHINE} >"$0/machine-id" && mount --bind "$0/machine-id" /etc/machine-id
mkdir -p /run/systemd/journal /run/log/journal/{MACHINE}
env -u LD_PRELOAD {JOURNALD} >"$0/said" 2>&1 &
until [ -S /run/systemd/journal/socket ]; do kill -0 $!; sleep 0.02; done"""


def test_journalctl_finds_a_connection_by_its_client(apart, tmp_path):
    if not os.path.exists(JOURNALD):
        missing("systemd")
    if not os.path.exists("/etc/machine-id"):
        lacks("/etc/machine-id")
    (tmp_path / "run").mkdir()
    server = apart(REAL_JOURNAL, log="journal:info")
    server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)
    who = rejected(server)

    def found(*fields):
        return run(tool("journalctl"), "-D", tmp_path / "run/log/journal" / MACHINE, "-q", "-o", "cat", *fields,
                   check=False).stdout
    [accepted] = until(lambda: found("PPSHIM_CLIENT=203.0.113.7"), "the journal has it").splitlines()
    assert accepted.startswith("accept peer=") and f" client={CLIENT_TEXT} " in accepted
    [refused] = until(lambda: found("PPSHIM_EVENT=reject", "PPSHIM_REASON=not-a-header"), "and that").splitlines()
    assert refused.startswith(f"reject peer={who} ")


# --- those who do not read --------------------------------------------------------------------------------------------


def test_journal_that_does_not_read_costs_lines_only(apart, journal, tmp_path):
    server = apart(JOURNAL, log="journal:info")
    entry(journal)
    fill(tmp_path / "run/systemd/journal/socket")
    rejected(server)
    server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)
    assert server.stop() == 0
    assert server.log.lines == []


def test_syslog_gets_the_line(apart, syslog):
    server = apart(SYSLOG, log="syslog")
    assert re.fullmatch(rb"<29>ppshim\[\d+\]: active .*", syslog.recv(65536))
    who = rejected(server)
    assert syslog.recv(65536).startswith(f"<29>ppshim[{server.pid}]: reject peer={who} ".encode())


def test_syslog_that_does_not_read_costs_lines_only(apart, syslog, tmp_path):
    server = apart(SYSLOG, log="syslog")
    syslog.recv(65536)
    fill(tmp_path / "dev/log")
    rejected(server)
    server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)
    assert server.stop() == 0
    assert server.log.lines == []


def test_syslog_that_is_dead_leaves_the_lines_to_stderr(apart, syslog):
    server = apart(SYSLOG, log="syslog")
    syslog.close()
    server.log.wait(f": reject peer={re.escape(rejected(server))} ")
    server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)


def test_full_disk_leaves_the_lines_to_stderr_and_says_so(apart, tmp_path):
    disk = 'mkdir "$0/disk" && mount -t tmpfs -o size=4k none "$0/disk" && ! cat /dev/zero >"$0/disk/zeros" 2>"$0/said"'
    server = apart(disk, log=tmp_path / "disk/log")
    assert "No space left" in (tmp_path / "said").read_text()
    server.log.wait(f": reject peer={re.escape(rejected(server))} ")
    server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)
    assert len(server.log.matching(": log-fallback ")) == 1
    assert server.logged("log-fallback", path=str(tmp_path / "disk/log"), why="disk-full")


def test_fifo_that_nobody_reads_leaves_the_lines_to_stderr(serve, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    server = serve(log=tmp_path / "fifo")
    assert server.logged("log-fallback", path=str(tmp_path / "fifo"), why="nobody-reads-it")
    server.log.wait(f": reject peer={re.escape(rejected(server))} ")


def test_fifo_whose_reader_sleeps_costs_lines_only(serve, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    reading, writing = (os.open(tmp_path / "fifo", how | os.O_NONBLOCK) for how in (os.O_RDONLY, os.O_WRONLY))
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    server = serve(log=tmp_path / "fifo")
    rejected(server)
    server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)
    assert server.stop() == 0
    assert server.log.lines == []
    os.close(reading)
    os.close(writing)
