# SPDX-License-Identifier: MIT
"""What an operator asks of running servers, behind a real HAProxy: `ppshim who`, `ppshim kill` and the journal."""
import json
import os
import pwd
import signal
import socket
import subprocess
import time
from collections import Counter
from contextlib import ExitStack

import counters
import pytest
from harness import (BALANCER, CLIENT, COMMON_NAME, Balancer, clean_env, descendants, dial, read_to_end, run, scratch,
                     tool as program, until)
from journal import TOOL, Journal, query, seconds
from launcher import SHARED
from place import needs
from test_go import Go, GoStatic
from test_mariadb import MariaDB
from test_nginx import Nginx
from test_postgresql import PostgreSQL
from test_sshd import Sshd

CLIENT_TEXT = "{}:{}".format(*CLIENT)
CLOCK_OF_SINCE = 5  # CLOCK_REALTIME_COARSE, which time(2) goes by: up to a tick behind time.time()


class Site:
    """A server, the balancer before it, and the tool."""

    def __init__(self, scope, kind, certificates, **settings):
        template = scope.enter_context(scratch("template"))
        kind.make_template(template)
        self.server = scope.enter_context(kind(scope.enter_context(scratch(kind.name)), template,
                                               {**SHARED, **settings}))
        self.balancer = scope.enter_context(
            Balancer(scope.enter_context(scratch("haproxy")), self.server.endpoint, certificates))

    def client(self, route="send-proxy-v2"):
        return dial(self.balancer[route])

    def pids(self):
        return {self.server.pid, *(pid for pid, _ in descendants(self.server.pid))}

    def who(self, *arguments, user=None):
        """The connections, as JSON tells them."""
        done = ppshim("who", "--json", *arguments, user=user)
        assert (done.returncode, done.stderr) == (0, "")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def connected(self, count=1, user=None):
        return until(lambda: len(found := self.who(str(self.server.pid), user=user)) == count and found,
                     f"{count} connections, as who tells it")


def as_user(name):
    """What subprocess is told for that; None: as we are."""
    return {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []} if name else {}


def ppshim(*arguments, user=None, **options):
    return run(TOOL, *arguments, check=False, env=clean_env(), cwd="/", **as_user(user), **options)


@pytest.fixture(scope="module", params=[PostgreSQL, MariaDB, Nginx, Sshd, Go, GoStatic], ids=lambda kind: kind.__name__)
def site(request, certificates):
    needs("descriptors")
    with ExitStack() as scope:
        yield Site(scope, request.param, certificates)


def test_who_names_the_client_and_kill_ends_it(site):
    before = int(time.clock_gettime(CLOCK_OF_SINCE))
    with site.client() as sock:
        found, = site.connected()
        assert (found["client"], found["local"]) == (CLIENT_TEXT, "127.0.0.1:{}".format(site.server.port))
        assert found["peer"].startswith(f"{BALANCER}:")
        assert before <= seconds(found["since"]) <= time.time()
        assert found["pid"] in site.pids()
        assert found["bytes_in"] >= 28 and found["rtt_us"] > 0
        pid = str(site.server.pid)
        assert site.who(pid, "--client", "203.0.113.0/24")[0]["id"] == found["id"]
        assert site.who(pid, "--client", f"203.0.113.8,{BALANCER}") == []

        asked = ppshim("kill", "--client", CLIENT[0], pid)
        assert (asked.returncode, asked.stderr) == (1, "ppshim kill: nobody to ask: give --yes to end them\n")
        assert CLIENT_TEXT in asked.stdout
        assert site.connected()[0]["id"] == found["id"]

        done = ppshim("kill", "--client", CLIENT[0], "--yes", pid)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("\n1 ended\n") and CLIENT_TEXT in done.stdout
        read_to_end(sock)
    until(lambda: site.who(pid) == [], "the server let go of it")
    nobody = ppshim("kill", "--client", CLIENT[0], pid)
    assert (nobody.returncode, nobody.stdout, nobody.stderr) == (0, "no such connection is open\n", "")


def test_a_balancers_own_connection_has_no_client_but_its_peer(certificates):
    needs("descriptors")
    with ExitStack() as scope:
        site = Site(scope, Nginx, certificates)
        sock = scope.enter_context(dial(site.server.endpoint, BALANCER))
        sock.sendall(b"PROXY UNKNOWN\r\n")
        found, = site.connected()
        assert "client" not in found
        assert found["peer"] == "{}:{}".format(*sock.getsockname())
        assert [c["id"] for c in site.who(str(site.server.pid), "--client", BALANCER)] == [found["id"]]
        ppshim("kill", "--client", BALANCER, "--yes", str(site.server.pid))
        assert read_to_end(sock) == b""


def test_another_user_is_told_in_one_line_what_is_missing(site):
    needs("root", "descriptors")
    owner = pwd.getpwuid(os.stat(f"/proc/{site.server.pid}/task").st_uid).pw_name
    with site.client():
        site.connected()
        told = ppshim("who", str(site.server.pid), user="daemon")
        assert (told.returncode, told.stdout) == (1, "")
        first, _, rest = told.stderr.partition("cannot be asked: ")
        assert first.startswith(f"ppshim who: process {site.server.pid} (")
        assert rest.partition(" (and ")[0].rstrip("\n") == f"it is {owner}'s: try as root, or as that user"
        assert told.stderr.count("\n") == 1
    until(lambda: site.who(str(site.server.pid)) == [], "the server let go of it")


def test_the_servers_own_user_sees_them_too(certificates):
    needs("root", "descriptors")
    with ExitStack() as scope:
        site = Site(scope, PostgreSQL, certificates)
        with site.client() as sock:
            found, = site.connected(user=PostgreSQL.user)
            assert found["client"] == CLIENT_TEXT
            done = ppshim("kill", "--client", CLIENT[0], "--yes", str(site.server.pid), user=PostgreSQL.user)
            assert (done.returncode, done.stderr) == (0, "")
            read_to_end(sock)


def test_workers_are_open_to_their_user_if_they_say_so(certificates):
    """nginx's workers were root and have changed their user; they make themselves dumpable again."""
    needs("root", "descriptors")
    with ExitStack() as scope:
        site = Site(scope, Nginx, certificates)
        scope.enter_context(site.client())
        found, = site.connected()
        worker = found["pid"]
        user = pwd.getpwuid(os.stat(f"/proc/{worker}").st_uid).pw_name
        assert user != "root"
        assert [c["id"] for c in site.who(str(worker), user=user)] == [found["id"]]


HAS_A_DEAD_CHILD = """
import os
child = os.fork() or os._exit(0)
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
print('ready', flush=True)
os.read(0, 1)
"""


def test_what_has_ended_is_not_asked():
    """To its own user it looks like root's."""
    user = "daemon" if os.geteuid() == 0 else None
    with subprocess.Popen(["/usr/bin/python3", "-c", HAS_A_DEAD_CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          env=clean_env(), **as_user(user)) as process:
        assert process.stdout.readline() == b"ready\n"
        told = ppshim("who", "--json", str(process.pid), user=user)
        process.stdin.close()
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


WAS_ROOT = "import os; os.setuid({uid}); print('ready', flush=True); os.read(0, 1)"


def test_processes_that_were_root_are_closed_to_their_own_user():
    needs("root", "descriptors")
    other = pwd.getpwnam("daemon")
    argv = [program("python3"), "-c", WAS_ROOT.format(uid=other.pw_uid)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clean_env()) as process:
        assert process.stdout.readline() == b"ready\n"
        told = ppshim("who", str(process.pid), user="daemon")
        process.stdin.close()
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr == (f"ppshim who: process {process.pid} (python3) cannot be asked: it was root when it started, and "
                           "the kernel lets only root (CAP_SYS_PTRACE) look at such a one\n")


def test_one_connection_of_several_processes_is_one_line_and_names_the_one_that_serves(certificates):
    """A PostgreSQL backend whose shell inherited the connection; an sshd whose monitor has it too."""
    needs("descriptors")
    with ExitStack() as scope:
        site = Site(scope, PostgreSQL, certificates)
        query = site.server.start_query("select pg_backend_pid(), pg_sleep(60)", site.balancer["send-proxy-v2"], "app")
        scope.callback(query.wait)
        scope.callback(query.kill)
        found, = site.connected()
        backends = site.server.on_unix_socket("select pid from pg_stat_activity where usename = 'app'")
        assert (found["pid"], found["program"]) == (int(backends), "postgres")


def test_the_table_is_what_json_says(site):
    with site.client():
        found, = site.connected()
        heading, line = ppshim("who", str(site.server.pid)).stdout.splitlines()
        assert heading.split() == ["CLIENT", "PEER", "SINCE", "IN", "OUT", "RTT", "PID", "PROGRAM"]
        words = line.split()
        assert words[:2] == [CLIENT_TEXT, found["peer"]]
        assert words[-2:] == [str(found["pid"]), found["program"]]
    until(lambda: site.who(str(site.server.pid)) == [], "the server let go of it")


def test_sorted_by_bytes_the_busiest_comes_first(certificates):
    needs("descriptors")
    with ExitStack() as scope:
        site = Site(scope, PostgreSQL, certificates)
        quiet = scope.enter_context(site.client())
        first, = site.connected()
        until(lambda: time.clock_gettime(CLOCK_OF_SINCE) >= seconds(first["since"]) + 1, "the second of its age is over")
        busy = scope.enter_context(site.client("ipv6-v2"))
        site.connected(2)
        busy.sendall((1000).to_bytes(4, "big") + bytes(100))  # the beginning of a packet
        pid = str(site.server.pid)
        until(lambda: site.who(pid, "--sort", "bytes")[0]["bytes_in"] > 128, "the bytes are there")
        by_bytes, by_age = site.who(pid, "--sort", "bytes"), site.who(pid)
        assert [c["client"] for c in by_bytes] == ["[2001:db8::7]:4711", CLIENT_TEXT]
        assert [c["client"] for c in by_age] == [CLIENT_TEXT, "[2001:db8::7]:4711"]
        assert quiet


# --- the journal ----------------------------------------------------------------------------------------------------------

@pytest.fixture
def journal():
    with scratch("journal") as directory, Journal(directory) as journal:
        yield journal


def test_journal_log_and_who_agree_on_a_client_with_a_certificate(certificates, journal):
    """Its bytes are those that the client counted, and a backend that outlives its postmaster's close ends when it
    ends."""
    needs("descriptors")
    with ExitStack() as scope:
        site = Site(scope, PostgreSQL, certificates, JOURNAL=str(journal.socket))
        journal.ports.add(site.server.endpoint[1])
        before, second = time.time(), int(time.clock_gettime(CLOCK_OF_SINCE))
        sock = scope.enter_context(site.client("send-proxy-v2-ssl-cn"))
        startup = b"user\0app\0database\0postgres\0\0"
        startup = (8 + len(startup)).to_bytes(4, "big") + (196608).to_bytes(4, "big") + startup
        sock.sendall(startup)
        received = bytearray()
        while b"Z\0\0\0\5I" not in received:  # ReadyForQuery
            received += sock.recv(65536)
        ready = time.time()

        start, = journal.wait("start")
        line = site.server.log.wait_event("accept", client=CLIENT_TEXT)
        now, = site.connected()
        assert (start["client"], start["cn"]) == (CLIENT_TEXT, COMMON_NAME)
        assert line.cn.replace("\\x20", " ").strip('"') == COMMON_NAME and int(line.id) == start["id"] == now["id"]
        assert now["client"] == start["client"] and now["peer"] == start["peer"] == line.peer
        assert before <= seconds(start["start"]) + 0.001 and seconds(start["start"]) <= ready
        assert second <= seconds(now["since"]) <= seconds(start["start"])
        assert now["bytes_out"] == len(received)
        assert start["pid"] == site.server.pid != now["pid"]  # the postmaster accepted it, a backend serves it

        let_go = time.time()
        sock.shutdown(socket.SHUT_WR)
        received += read_to_end(sock)
        end, = journal.wait("end")
        assert {key: end[key] for key in ("id", "boot", "client", "cn", "start")} == {
            key: start[key] for key in ("id", "boot", "client", "cn", "start")}
        assert let_go <= seconds(end["end"]) + 0.001 and seconds(end["end"]) <= time.time()
        assert end["how"] == "closed"
        assert end["bytes_out"] == len(received)
        assert end["bytes_in"] == len(startup) + 1  # the kernel counts the FIN
        assert [one["id"] for one in query("--at", end["start"], journal.file)
                if journal.is_ours(one)] == [end["id"]]


@pytest.mark.parametrize("kind", [Go, GoStatic], ids=lambda kind: kind.__name__)
def test_journal_log_and_who_agree_on_a_client_of_a_go_server(certificates, journal, kind):
    needs("descriptors")
    with ExitStack() as scope:
        site = Site(scope, kind, certificates, JOURNAL=str(journal.socket))
        journal.ports.add(site.server.endpoint[1])
        with site.client() as sock:
            start, = journal.wait("start")
            line = site.server.log.wait_event("accept", client=CLIENT_TEXT)
            now, = site.connected()
            assert (start["client"], start["pid"]) == (CLIENT_TEXT, site.server.pid) == (now["client"], now["pid"])
            assert start["id"] == now["id"] == int(line.id)
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            received = read_to_end(sock)
        end, = journal.wait("end")
        assert (end["id"], end["how"], end["bytes_out"]) == (start["id"], "closed", len(received))


@pytest.mark.parametrize("kind", [Go, GoStatic], ids=lambda kind: kind.__name__)
def test_status_counts_what_comes_to_a_go_server(certificates, kind):
    with ExitStack() as scope:
        stats = scope.enter_context(counters.directory())
        site = Site(scope, kind, certificates, STATS=stats)
        before = Counter(counters.counted(stats))
        assert site.server.login(site.balancer["send-proxy"]) == CLIENT
        assert site.server.login(site.balancer["send-proxy-v2"]) == CLIENT
        site.server.direct_login()
        with dial(site.server.endpoint, BALANCER) as peer:
            peer.sendall(b"nonsense, and no header at all")
            read_to_end(peer)
        told = Counter(counters.counted(stats, site.server.pid)) - before
        assert {key: told[key] for key in told if not key.startswith("park")} == {
            "connections": 4, "found.v1.inet": 1, "found.v2.inet": 1, "untrusted-passed": 1, "rejected.not-a-header": 1}


def test_a_backend_that_outlives_the_postmaster_ends_when_it_ends(certificates, journal):
    needs("root", "descriptors")
    with ExitStack() as scope:
        site = Site(scope, PostgreSQL, certificates, JOURNAL=str(journal.socket))
        journal.ports.add(site.server.endpoint[1])
        query = site.server.start_query("select pg_sleep(600)", site.balancer["send-proxy-v2"], "app")
        scope.callback(query.wait)
        scope.callback(query.kill)
        found, = site.connected()
        os.kill(site.server.pid, signal.SIGSTOP)
        scope.callback(os.kill, site.server.pid, signal.SIGCONT)
        os.kill(found["pid"], signal.SIGSTOP)
        query.kill()
        query.wait()
        assert journal.of("end") == []  # its client is gone, and it has it open still
        gone = time.time()
        os.kill(found["pid"], signal.SIGKILL)
        end, = journal.wait("end")
        assert end["id"] == found["id"] and seconds(end["end"]) >= gone - 0.001
        # A postmaster that starts anew after a crash does not stop on SIGINT, the shim in it or not (23 of 25 of a bare
        # 15.18 hang): it is asked when it is ready.
        mark = site.server.log.mark()
        os.kill(site.server.pid, signal.SIGCONT)
        site.server.log.wait(site.server.ready_line, mark)
