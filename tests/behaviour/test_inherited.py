# SPDX-License-Identifier: MIT
"""PPSHIM_INHERITED=on: the header of a connection that somebody else accepted is gone before the program begins, once
however many programs follow each other; and nothing but such a connection is touched."""
import collections
import os
import re
import shlex
import socket
import subprocess
import time
from pathlib import Path

import pytest
import wire
from harness import DEADLINE, tool, until
from program import environment, helper
from wire import CLIENT, CLIENT6, CLIENT6_TEXT, CLIENT_TEXT, DIRECT, TRUSTED

EX_CONFIG = 78


def service(*fds):
    return [helper("inherited_service"), *map(str, fds)]


def chain(command):
    """A shell and what it makes of `command`, where SERVICE stands for the service."""
    return ["/bin/sh", "-c", command.replace("SERVICE", shlex.join(service()))]


# --- the test is the inetd --------------------------------------------------------------------------------------------


def by_fork(argv, env, connections, listen_pid=None):
    """As inetd does: fork, dup2 to 0, 1 and 2, exec. Several connections are what systemd calls LISTEN_FDS: 3, 4, ..."""
    pid = os.fork()
    if pid:
        return pid
    try:
        if listen_pid is None:
            for number in 0, 1, 2:
                os.dup2(connections[0], number)
        else:
            high = [os.dup2(connection, 100 + i) for i, connection in enumerate(connections)]
            for i, connection in enumerate(high):
                os.dup2(connection, 3 + i)
            env = {**env, "LISTEN_FDS": str(len(connections)), "LISTEN_PID": str(listen_pid or os.getpid())}
        os.closerange(3 if listen_pid is None else 3 + len(connections), 200)
        os.execve(argv[0], argv, env)
    finally:
        os._exit(127)


def by_vfork(argv, env, connections):
    assert subprocess._USE_VFORK
    return subprocess.Popen(argv, env=env, stdin=connections[0], stdout=connections[0], stderr=connections[0]).pid


def by_posix_spawn(argv, env, connections):
    actions = [(os.POSIX_SPAWN_DUP2, connections[0], number) for number in (0, 1, 2)]
    return os.posix_spawn(argv[0], argv, env, file_actions=actions)


class Session:
    """A connection, accepted by the test, and the program that is started with it."""

    def __init__(self, directory, host="127.0.0.1", source=TRUSTED, family=None, v6only=0, rcvbuf=None):
        self.path = directory / "log"
        self.path.touch()
        with socket.socket(family or (socket.AF_INET6 if ":" in host else socket.AF_INET)) as listener:
            if listener.family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
            if rcvbuf:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
            listener.bind(("::" if listener.family == socket.AF_INET6 else host, 0))
            listener.listen()
            self.port = listener.getsockname()[1]
            self.peer = wire.Peer(self.port, source, host)
            self.connection = listener.accept()[0]
        self.pid = None

    def start(self, argv=None, spawn=by_fork, keep=False, **settings):
        settings = {"trust": TRUSTED, "timeout": "60s", "inherited": "on", "log": f"{self.path}:debug", **settings}
        self.began = time.monotonic()
        self.pid = spawn(argv or service(), environment(**settings), [self.connection.fileno()])
        if not keep:
            self.connection.close()
        return self

    def status(self):
        """The exit status of the program that was started."""
        def gone():
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            return pid and (status,)
        status, = until(gone, "the program ends")
        self.pid, self.took = None, time.monotonic() - self.began
        return os.waitstatus_to_exitcode(status)

    def waits(self):
        """Waits until the program sleeps in the shim, with the one epoll that any of these programs has."""
        def asleep():
            process = Path(f"/proc/{self.pid}")
            try:
                epoll = [link for link in (process / "fd").iterdir() if "eventpoll" in os.readlink(link)]
            except FileNotFoundError:  # closed between the two
                return False
            return epoll and (process / "stat").read_text().rpartition(")")[2].split()[0] == "S"

        until(asleep, "the shim waits")
        return self

    def lines(self, event=""):
        return [line for line in self.path.read_text().splitlines() if f": {event}" in line]

    def serves(self, expected, data=b"", then=b"live"):
        """The service tells this peer, and gets `data` that is there already and what is sent now."""
        report = self.peer.report()
        assert report["peer"] == (expected or self.peer.text)
        assert (report["next"], report["lowat"]) == ("3", "1"), "as if nobody had waited"
        self.peer.send(then).echo(data + then)
        assert self.status() == 0
        return report

    def refused(self, reason, **wanted):
        """The program ended before it began, with one line that says so; the client heard nothing."""
        self.peer.rejected()
        assert self.status() == EX_CONFIG
        line, = self.lines()
        found = wire.fields(line)
        wanted = {"reason": reason, "peer": self.peer.text, "local": f"127.0.0.1:{self.port}", **wanted}
        assert {key: found.get(key) for key in wanted} == wanted, line
        assert found["not-started"]
        return found


@pytest.fixture
def session(tmp_path):
    sessions = []

    def connect(*arguments, **options):
        sessions.append(Session(tmp_path, *arguments, **options))
        return sessions[-1]

    yield connect
    for one in sessions:
        one.peer.close()
        one.connection.close()
        if one.pid:
            one.status()


def rest(peer):
    while peer.receive():
        pass
    return peer.buffer


# --- the header is taken ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spawn", [by_fork, by_vfork, by_posix_spawn])
@pytest.mark.parametrize("header", [wire.v1(), wire.v2(), wire.v2(crc=True)], ids=["v1", "v2", "v2-crc"])
def test_service_sees_the_client_whoever_starts_it(session, spawn, header):
    one = session()
    one.peer.send(header)
    one.start(spawn=spawn).serves(CLIENT_TEXT)
    accepted, = one.lines()
    assert wire.fields(accepted)["client"] == CLIENT_TEXT


def test_header_may_come_after_the_start(session):
    one = session().start().waits()
    one.peer.send(wire.v2())
    one.serves(CLIENT_TEXT)


@pytest.mark.parametrize("data", [b"x", b"hello", wire.v2(CLIENT6), b"z" * 3000])
def test_data_behind_the_header_is_the_services(session, data):
    one = session()
    one.peer.send(wire.v2() + data)
    one.start().serves(CLIENT_TEXT, data)


@pytest.mark.parametrize("header", [wire.v1(), wire.v2(), wire.v2_of_length(600)], ids=["v1", "v2", "v2-long"])
def test_header_may_come_in_pieces(session, header):
    one = session().start().waits()
    for piece in header[:1], header[1:9], header[9:20], header[20:-1]:
        one.peer.send(piece)
        one.waits()
    one.peer.send(header[-1:] + b"more")
    one.serves(CLIENT_TEXT, b"more")


def test_longest_header_fits_a_small_receive_buffer(session):
    one = session(rcvbuf=4096).start().waits()
    one.peer.send(wire.v2_of_length(65000))
    one.serves(CLIENT_TEXT)


def test_header_and_fin_is_a_session_that_is_over(session):
    one = session()
    one.peer.send(wire.v1()).half_close()
    one.start()
    assert one.peer.report()["peer"] == CLIENT_TEXT
    assert rest(one.peer) == b""
    assert one.status() == 0


# --- once -------------------------------------------------------------------------------------------------------------

CHAINS = ["exec SERVICE", "exec env nice -n 1 sh -c 'exec SERVICE'", "/bin/true; date >/dev/null; SERVICE; true",
          "(sh -c SERVICE)"]
NO_CLIENT = {"client": (wire.v2(), CLIENT_TEXT), "local": (wire.v2_raw(wire.LOCAL, 0, b""), None),
             "unknown": (b"PROXY UNKNOWN\r\n", None)}


@pytest.mark.parametrize("command", CHAINS)
@pytest.mark.parametrize("header, client", NO_CLIENT.values(), ids=NO_CLIENT)
def test_second_header_is_data_for_every_program_of_a_chain(session, command, header, client):
    one = session()
    one.peer.send(header + wire.v1(CLIENT6))
    one.start(chain(command)).serves(client, wire.v1(CLIENT6))
    assert len(one.lines("accept")) == 1


@pytest.mark.parametrize("begin, settings", [
    (b"", {"trust": "10.0.0.0/8", "header_optional": TRUSTED, "timeout": "200ms"}),
    (b"hello\n", {"trust": "10.0.0.0/8", "header_optional": TRUSTED}),
], ids=["silent", "talking"])
def test_who_sent_no_header_at_first_sends_none_later(session, begin, settings):
    one = session()
    one.peer.send(begin)
    one.start(chain("echo begun; read line; echo line=$line; exec SERVICE"), **settings)
    assert one.peer.report()[None] == ["begun"]
    one.peer.send(b"hello\n" if not begin else b"")
    assert one.peer.report() == {None: [], "line": "hello"}
    one.serves(None, then=wire.v1())


def test_trust_that_comes_later_takes_nothing_out_of_a_session(session, tmp_path):
    trust = tmp_path / "trust"
    trust.write_text("10.0.0.0/8\n")
    one = session()
    one.start(chain("echo begun; read line; exec SERVICE"), trust=f"@{trust}")
    assert one.peer.report()[None] == ["begun"]
    trust.write_text(TRUSTED)
    one.peer.send(b"\n")
    one.serves(None, then=wire.v1())


def system_calls(stdin, path, **settings):
    env = [f"-E{key}={value}" for key, value in environment(trust=TRUSTED, **settings).items()]
    subprocess.run([tool("strace"), "-o", str(path), *env, "/bin/true"], stdin=stdin, check=True, timeout=DEADLINE)
    return collections.Counter(re.findall(r"^(\w+)\(", path.read_text(), re.M))


def test_programs_after_the_first_pay_two_system_calls(session, tmp_path):
    one = session()
    one.peer.send(wire.v2())
    one.start(["/bin/true"], keep=True)
    assert one.status() == 0
    on, off = (system_calls(one.connection, tmp_path / "trace", inherited=word) for word in ("on", "off"))
    assert on - off == {"getpeername": 1, "getsockopt": 1}
    assert off - on == {}


# --- refused ----------------------------------------------------------------------------------------------------------

BAD = {
    "not-a-header": b"GET / HTTP/1.0\r\n\r\n",
    "v1-bad-port": wire.v1().replace(b" 4711 ", b" 65536 "),
    "v2-bad-crc": wire.v2(bad_crc=True),
    "src-unspecified": wire.v2(("0.0.0.0", 4711)),
}


@pytest.mark.parametrize("reason", BAD)
@pytest.mark.parametrize("log", ["debug", "notice"])
def test_bad_header_ends_the_service_before_it_begins(session, reason, log):
    one = session()
    one.peer.send(BAD[reason])
    found = one.start(log=f"{one.path}:{log}").refused(reason, got=str(len(BAD[reason])))
    assert found["not-started"] == service()[0]


def test_first_program_of_a_chain_is_the_one_that_is_not_started(session):
    one = session()
    one.peer.send(b"nonsense")
    found = one.start(chain("touch %s; exec SERVICE" % (one.path.parent / "began"))).refused("not-a-header")
    assert found["not-started"] == "/bin/sh"
    assert not (one.path.parent / "began").exists()


@pytest.mark.parametrize("sent", [b"", wire.v1()[:17], wire.v2()[:20]], ids=["silence", "half-v1", "half-v2"])
def test_header_that_does_not_come_in_time_ends_the_service(session, sent):
    one = session()
    one.peer.send(sent)
    one.start(timeout="300ms").refused("timeout", got=str(len(sent)), hint=None if sent else "peer-sent-nothing")
    assert 0.3 <= one.took


@pytest.mark.parametrize("end", ["half_close", "reset"])
def test_peer_that_leaves_inside_the_header_ends_the_service(session, end):
    one = session()
    one.peer.send(wire.v2()[:20])
    one.start().waits()
    getattr(one.peer, end)()
    if end == "half_close":
        one.peer.rejected()
    assert one.status() == EX_CONFIG
    line, = one.lines()
    assert wire.fields(line)["reason"] == "peer-left"


@pytest.mark.parametrize("end", ["half_close", "reset"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_peer_that_says_nothing_and_leaves_ends_it_without_a_word(session, end, when):
    one = session()
    if when == "after":
        one.start(chain("touch %s" % (one.path.parent / "began"))).waits()
    getattr(one.peer, end)()
    if when == "before":
        if end == "reset":
            until(lambda: is_reset(one.connection), "the reset is here")
        one.start(chain("touch %s" % (one.path.parent / "began")))
    assert one.status() == 0
    line, = one.lines()
    assert ": probe " in line, "counted, and shown at debug only"
    assert not (one.path.parent / "began").exists()


def is_reset(connection):
    try:
        connection.getpeername()
    except OSError:
        return True


def test_what_was_sent_before_a_reset_reaches_no_service(session):
    one = session()
    one.peer.send(wire.v1() + b"command")
    one.peer.reset()
    until(lambda: is_reset(one.connection), "the reset is here")
    one.start(chain("cat >%s" % (one.path.parent / "heard")))
    assert one.status() == 0
    assert not (one.path.parent / "heard").exists()


def test_reset_session_still_runs_its_later_programs(session):
    """What tidies up after a session has the dead connection as its fd 0."""
    for source, header in (TRUSTED, wire.v1()), (DIRECT, b""):
        one = session(source=source)
        tidied = one.path.parent / f"tidied-{source}"
        one.peer.send(header + b"begin\n")
        one.start(chain(f"read line; echo begun; while ! [ -e {tidied}-now ]; do sleep 0.01 </dev/null; done; "
                        f"/usr/bin/touch {tidied}"), keep=True)
        assert one.peer.report()[None] == ["begun"]
        one.peer.reset()
        until(lambda: is_reset(one.connection), "the reset is here")
        Path(f"{tidied}-now").touch()
        assert one.status() == 0
        assert tidied.exists()


def test_denied_client_ends_the_service(session):
    one = session()
    one.peer.send(wire.v2())
    one.start(client_deny=f"{CLIENT[0]}").refused("client-denied", client=CLIENT_TEXT)


def test_urgent_byte_inside_the_header_ends_the_service_without_spinning(session, tmp_path):
    one = session()
    one.peer.send(wire.v2()[:10])
    one.peer.socket.send(b"!", socket.MSG_OOB)
    strace = [tool("strace"), "-o", str(tmp_path / "trace"), "-e", "trace=epoll_wait,epoll_pwait"]
    env = [f"-E{key}={value}" for key, value in
           environment(trust=TRUSTED, timeout="300ms", inherited="on", log=f"{one.path}").items()]
    done = subprocess.run([*strace, *env, *service()], stdin=one.connection, stdout=one.connection,
                          stderr=one.connection, timeout=DEADLINE)
    one.connection.close()
    assert done.returncode == EX_CONFIG
    one.peer.rejected()
    line, = one.lines()
    assert wire.fields(line)["reason"] == "timeout"
    assert len(re.findall(r"^epoll_p?wait\(", (tmp_path / "trace").read_text(), re.M)) <= 4


def test_socket_that_cannot_remember_its_client_is_refused(session):
    """MPTCP: the kernel keeps nothing in such a socket, and the next program would look for a header again."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262) as listener, \
            socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262) as client:
        listener.bind((DIRECT, 0))
        listener.listen()
        client.bind((TRUSTED, 0))
        client.connect(listener.getsockname())
        client.sendall(wire.v2())
        one = session()
        one.connection.close()
        one.connection = listener.accept()[0]
    one.start()
    assert one.status() == EX_CONFIG
    assert wire.fields(one.lines("reject")[0])["reason"] == "cannot-remember"


# --- who need not send one --------------------------------------------------------------------------------------------


def test_header_of_an_untrusted_peer_is_data(session):
    one = session(source=DIRECT)
    one.peer.send(wire.v1())
    one.start().serves(None, wire.v1())
    passed, = one.lines()
    assert ": pass-untrusted " in passed


def test_untrusted_peer_is_refused_if_it_is_to_be(session):
    session(source=DIRECT).start(untrusted="reject").refused("untrusted", got="0")


OPTIONAL = {"trust": "10.0.0.0/8", "header_optional": TRUSTED}


def test_optional_header_is_taken(session):
    one = session()
    one.peer.send(wire.v2())
    one.start(**OPTIONAL).serves(CLIENT_TEXT)


def test_optional_peer_that_sends_something_else_is_served_at_once(session):
    one = session()
    one.peer.send(b"hello")
    one.start(**OPTIONAL).serves(None, b"hello")


def test_optional_peer_that_is_silent_is_served_after_the_timeout(session):
    one = session().start(**OPTIONAL, timeout="300ms")
    one.serves(None)
    assert 0.3 <= one.took


# --- families ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options, client, told", [
    ({"host": "::1", "source": "::1"}, CLIENT6, CLIENT6_TEXT),
    ({"host": "::1", "source": "::1"}, CLIENT, "[::ffff:203.0.113.7]:4711"),
    ({"host": "::1", "source": "::1", "v6only": 1}, CLIENT, CLIENT_TEXT),
    ({"family": socket.AF_INET6}, CLIENT, "[::ffff:203.0.113.7]:4711"),
    ({}, CLIENT6, CLIENT6_TEXT),
], ids=["v6", "v4-by-v6", "v4-by-v6only", "dual-stack", "v6-by-v4"])
def test_client_has_the_form_the_listener_would_give_it(session, options, client, told):
    one = session(**options)
    one.peer.send(wire.v2(client))
    one.start(trust=f"{TRUSTED},::1").serves(told)


@pytest.mark.parametrize("setting, local", [("socket", None), ("header", "192.0.2.10:3306")])
def test_local_address_is_the_one_that_is_asked_for_at_the_end_of_a_chain(session, setting, local):
    one = session()
    one.peer.send(wire.v2())
    report = one.start(chain("exec env SERVICE"), local_addr=setting).serves(CLIENT_TEXT)
    assert report["local"] == (local or f"127.0.0.1:{one.port}")


# --- what is not touched ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"inherited": None}, {"inherited": "off"}, {"ports": "1-1023"},
                                      {"trust": "none"}], ids=["unset", "off", "port-not-governed", "shim-off"])
def test_header_is_data_unless_it_is_to_be_taken(session, settings):
    one = session()
    one.peer.send(wire.v1())
    one.start(**settings).serves(None, wire.v1())


def nothing():
    return os.open("/dev/null", os.O_RDWR)


def listener():
    return socket.create_server(("127.0.0.1", 0)).detach()


def bound():
    one = socket.socket()
    one.bind(("127.0.0.1", 0))
    return one.detach()


def udp():
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind((TRUSTED, 0))
    one.connect((TRUSTED, one.getsockname()[1]))
    return one.detach()


def refused_attempt():
    one = socket.socket()
    with pytest.raises(ConnectionRefusedError):
        one.connect(("127.0.0.1", 1))
    return one.detach()


OTHERS = {"closed": lambda: None, "null": nothing, "pipe": lambda: os.pipe()[0], "listener": listener, "bound": bound,
          "new": lambda: socket.socket().detach(), "refused": refused_attempt, "udp": udp,
          "unix": lambda: socket.socketpair()[0].detach()}


@pytest.mark.parametrize("what", OTHERS)
def test_program_that_serves_no_tcp_connection_reads_no_list(what):
    """The list file is not there: to read it would be fatal."""
    stdin = OTHERS[what]()
    env = environment(trust="@/nonexistent/trust", inherited="on", timeout="60s", log="stderr:debug")
    done = subprocess.run(["/bin/sh", "-c", "exec /bin/true" + (" <&-" if stdin is None else "")], env=env,
                          stdin=stdin, capture_output=True, text=True, timeout=DEADLINE)
    if stdin is not None:
        os.close(stdin)
    assert (done.returncode, done.stderr) == (0, "")


def test_bad_list_ends_a_service_but_only_on_a_governed_port(session):
    for ports, status in ("all", EX_CONFIG), ("1-1023", 0):
        one = session().start(["/bin/true"], trust="@/nonexistent/trust", ports=ports, log=None)
        assert one.status() == status
        one.peer.rejected()


# --- LISTEN_FDS -------------------------------------------------------------------------------------------------------


def two_connections(session):
    """Two that are connected; the first keeps the books."""
    one, two = session(), session()
    one.peer.send(wire.v2() + b"one").half_close()
    two.peer.send(wire.v1(CLIENT6) + b"two").half_close()
    return one, two


def start_with_both(one, two, listen_pid, argv):
    def spawn(_, env, connections):
        return by_fork(argv, env, [*connections, two.connection.fileno()], listen_pid)
    one.start(spawn=spawn)
    two.connection.close()


@pytest.mark.parametrize("argv", [service(3, 4), ["/bin/sh", "-c", "exec " + shlex.join(service(3, 4))]],
                         ids=["at-once", "chain"])
def test_connections_in_listen_fds_each_lose_their_header(session, argv):
    one, two = two_connections(session)
    start_with_both(one, two, 0, argv)
    for each, client, data in (one, CLIENT_TEXT, b"one"), (two, CLIENT6_TEXT, b"two"):
        assert each.peer.report()["peer"] == client
        assert rest(each.peer) == data
    assert one.status() == 0


def test_listen_fds_of_another_process_are_let_be(session):
    one, two = two_connections(session)
    start_with_both(one, two, 1, service(3, 4))
    for each, data in (one, wire.v2() + b"one"), (two, wire.v1(CLIENT6) + b"two"):
        assert each.peer.report()["peer"] == each.peer.text
        assert rest(each.peer) == data
    assert one.status() == 0


@pytest.mark.parametrize("count", ["0", "-1", "2147483647", "99999999999999999999", "2x", ""])
def test_listen_fds_that_says_nonsense_is_survived(session, count):
    env = {**environment(trust=TRUSTED, inherited="on"), "LISTEN_FDS": count}
    done = subprocess.run(["/bin/sh", "-c", "LISTEN_PID=$$ exec /bin/true"], env=env, stdin=subprocess.DEVNULL,
                          timeout=DEADLINE)
    assert done.returncode == 0


# --- the log ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("log", [None, "auto", "stderr", "stderr:debug", "/nonexistent/log"])
@pytest.mark.parametrize("sent", [b"nonsense", wire.v2()], ids=["refused", "served"])
def test_no_line_is_written_to_the_client(session, log, sent):
    one = session()
    one.peer.send(sent)
    one.start(["/bin/true"], log=log)
    one.peer.rejected()
    assert one.status() == (0 if sent == wire.v2() else EX_CONFIG)
