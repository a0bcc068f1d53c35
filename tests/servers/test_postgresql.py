# SPDX-License-Identifier: MIT
"""PostgreSQL: select(), then a blocking accept(), then a fork for each client; pg_hba decides by accept's address."""
import functools
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from contract import V1, Contract, Peer, Refused, Server, refused, text
from harness import (BALANCER, CLIENT, CLIENT6, COMMON_NAME, DEADLINE, MODES, ROUTES, Balancer, Route, clean_env, dial,
                     run, scratch, tool, unprivileged, until)

STRANGER = ROUTES["stranger"].client

# Over TCP app is let in from the test's clients alone, direct from this host alone.
HBA = f"""\
local all    all                       trust
host  all    app    {CLIENT[0]}/32     trust
host  all    app    {CLIENT6[0]}/128   trust
host  all    direct 127.0.0.1/32       trust
"""


@functools.cache
def program(name):
    return tool(name, f"/usr/lib/postgresql/*/bin/{name}")


class PostgreSQL(Server):
    name = "postgresql"
    reload_signal = signal.SIGHUP
    reloaded = r"received SIGHUP, reloading configuration files"
    ready_line = r"database system is ready to accept connections"
    stop_signal = signal.SIGINT  # "fast": does not wait for clients
    accept_error = r"could not accept new connection.*"
    user = unprivileged("postgres")

    @classmethod
    def make_template(cls, directory):
        as_user = {"user": cls.user, "cwd": "/"} if cls.user else {}
        program("postgres")
        if cls.user:
            shutil.chown(directory, cls.user)
        data = directory / "data"
        run(program("initdb"), "-D", data, "--no-sync", "-A", "trust", "-U", "postgres", "--locale=C", "-E", "UTF8",
            timeout=60, **as_user)
        roles = "create role app login\ncreate role direct login\n"
        run(program("postgres"), "--single", "-D", data, "postgres", input=roles, **as_user)
        (data / "pg_hba.conf").write_text(HBA)

    def __init__(self, directory, template, settings, host="127.0.0.1"):
        super().__init__(directory, template, settings, host)
        self.data = self.directory / "data"
        self.archived = self.directory / "archived"
        self.client_log = self.log
        run("cp", "-a", self.template / "data", self.data)
        if self.user:
            shutil.chown(self.directory, self.user)

    def argv(self):
        settings = {
            "listen_addresses": self.endpoint[0], "port": self.port, "unix_socket_directories": self.directory,
            "log_connections": "on", "log_hostname": "off", "fsync": "off", "shared_buffers": "8MB",
            "max_connections": 40, "archive_mode": "on", "archive_command": f"echo %f >> {self.archived}",
        }
        return [program("postgres"), "-D", self.data, *(f"--{name}={value}" for name, value in settings.items())]

    client_env = clean_env(PGSSLMODE="disable", PGGSSENCMODE="disable", PGCONNECT_TIMEOUT="20")

    def psql(self, sql, endpoint, user):
        host, port = endpoint
        return [program("psql"), "-XAtqw", "-F ", "-h", str(host), "-p", str(port), "-U", user, "-d", "postgres",
                "-c", sql]

    def start_query(self, sql, endpoint, user):
        """One that the caller waits for."""
        return subprocess.Popen(self.psql(sql, endpoint, user), env=self.client_env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def query(self, sql, endpoint, user):
        done = run(*self.psql(sql, endpoint, user), check=False, env=self.client_env)
        if done.returncode:
            raise Refused(done.stderr)
        return done.stdout.strip()

    def whoami(self, endpoint, user):
        address, port = self.query("select host(inet_client_addr()), inet_client_port()", endpoint, user).split()
        return Peer(address, int(port))

    def login(self, endpoint):
        return self.whoami(endpoint, "app")

    def direct_login(self):
        return self.whoami(self.endpoint, "direct")

    def on_unix_socket(self, sql):
        return self.query(sql, (self.directory, self.port), "postgres")

    def log_names(self, peer, since):
        return self.log.find(rf"connection received: host={peer[0]} port={peer[1]}$", since)

    def log_names_refused(self, peer, since):
        return self.log_names(peer, since) and self.log.find("invalid length of startup packet", since)

    def start_children(self, endpoint):
        """A client's backend, the archiver's shell, a backend's shell."""
        before = len(self.archived.read_text().split()) if self.archived.exists() else 0
        self.login(endpoint)
        self.on_unix_socket("create table if not exists t (i int); insert into t values (1); select pg_switch_wal()")
        until(lambda: self.archived.exists() and len(self.archived.read_text().split()) > before,
              "archive_command has run")
        copied = self.directory / "copied"
        self.on_unix_socket(f"copy (select 1) to program 'cat > {copied}; echo done >> {copied}'")
        assert copied.read_text() == "1\ndone\n"
        copied.unlink()


SERVER = PostgreSQL


class TestContract(Contract):
    pass


@pytest.mark.parametrize("mode", MODES)
def test_pg_hba_judges_the_client_and_not_the_balancer(server, balancer, mode):
    mark = server.log.mark()
    with pytest.raises(Refused, match=r'no pg_hba.conf entry for host "203\.0\.113\.7", user "direct"'):
        server.whoami(balancer[mode], "direct")
    server.log.wait(r'no pg_hba\.conf entry for host "203\.0\.113\.7", user "direct"', mark)


def test_a_client_that_no_line_of_pg_hba_admits_is_refused_by_its_own_address(server, balancer):
    mark = server.log.mark()
    with pytest.raises(Refused, match=r'no pg_hba.conf entry for host "203\.0\.113\.8"'):
        server.login(balancer["stranger"])
    server.log.wait(r'no pg_hba\.conf entry for host "203\.0\.113\.8", user "app"', mark)


def test_a_direct_client_cannot_pass_as_one_of_the_balancers(server):
    with pytest.raises(Refused, match=r'no pg_hba.conf entry for host "127\.0\.0\.1", user "app"'):
        server.login(server.endpoint)


@pytest.mark.parametrize("mode", MODES)
def test_an_ipv4_client_matches_an_ipv4_line_on_an_ipv6_only_socket(start, balance, mode):
    server = start(host="::1", TRUST="::1")
    balancer = balance(server)
    assert server.login(balancer[mode]) == CLIENT
    assert server.log_names(CLIENT, 0)
    assert server.login(balancer["ipv6-v2"]) == CLIENT6


def test_what_the_balancer_knows_of_a_clients_tls_is_logged(server, certificates):
    route = Route("send-proxy-v2 proxy-v2-options ssl,cert-cn,ssl-cipher,authority")
    with scratch("haproxy") as place, Balancer(place, server.endpoint, certificates, {"tls": route}) as balancer:
        mark = server.log.mark()
        assert server.login(balancer["tls"]) == CLIENT
        told = server.log.wait_event("accept", mark)
    assert (told.client, told.dst, told.local) == (text(CLIENT), text(balancer.outside("tls")), text(server.endpoint))
    assert (told.cn, told.sni, told.ssl) == (COMMON_NAME.replace(" ", r"\x20"), "localhost", "TLSv1.3")
    assert re.fullmatch(r"TLS_[A-Z0-9_]+", told.cipher)


def test_clients_on_the_unix_socket_are_let_be(server):
    assert server.on_unix_socket("select inet_client_addr() is null") == "t"


def test_the_log_goes_to_the_servers_own_stderr_by_default(start):
    server = start(LOG="auto")
    [active] = server.log.events("active")
    assert Path(active.exe).name == "postgres"


def test_backends_and_background_workers_see_their_client_for_as_long_as_it_lives(server, balancer):
    """pg_stat_activity and a session's own functions ask again, in a process forked after accept."""
    answer = server.query("select string_agg(host(client_addr) || ' ' || client_port, ',') from pg_stat_activity "
                          "where pid = pg_backend_pid()", balancer["send-proxy"], "app")
    assert answer == f"{CLIENT[0]} {CLIENT[1]}"


def test_another_session_sees_in_pg_stat_activity_who_each_client_is(server, balancer):
    routes = ["send-proxy", "ipv6-v1", "send-proxy-v2", "ipv6-v2"]
    query = "select pg_sleep(60) from (select set_config('application_name', '{}', false)) named"
    sessions = [server.start_query(query.format(route), balancer[route], "app") for route in routes]
    try:
        def seen():
            rows = server.on_unix_socket("select application_name, host(client_addr), client_port "
                                         "from pg_stat_activity where wait_event = 'PgSleep'").splitlines()
            return len(rows) == len(routes) and {row.split()[0]: tuple(row.split()[1:]) for row in rows}
        told = until(seen, "all of them in pg_stat_activity")
        assert told == {route: (address, str(port)) for route in routes for address, port in [ROUTES[route].client]}
    finally:
        server.on_unix_socket("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'")
        for session in sessions:
            session.wait(DEADLINE)


def test_after_a_reload_pg_hba_still_judges_the_client(start, balance):
    """SIGHUP: the postmaster's select is interrupted, and it reads its files again."""
    server = start(TIMEOUT="60s")
    balancer = balance(server)
    assert server.login(balancer["send-proxy"]) == CLIENT
    first_served = server.log.mark()
    with dial(server.endpoint, BALANCER) as late:  # a peer that waits stays
        until(lambda: server.holds_back(late.getsockname()), "the shim waits for its header")
        for hba, admitted, kept_out in ((f"host all app {STRANGER[0]}/32 trust", "stranger", "send-proxy"),
                                        (f"host all app {CLIENT[0]}/32 trust", "send-proxy-v2", "stranger")):
            mark = server.log.mark()
            (server.data / "pg_hba.conf").write_text(f"local all all trust\n{hba}\n")
            server.on_unix_socket("select pg_reload_conf()")
            server.log.wait("received SIGHUP, reloading configuration files", mark)
            until(lambda: not refused(server.login, balancer[admitted]), "the new rules are in force")
            assert server.login(balancer[admitted]) == ROUTES[admitted].client
            with pytest.raises(Refused, match=f'no pg_hba.conf entry for host "{ROUTES[kept_out].client[0]}"'):
                server.login(balancer[kept_out])
        late.sendall(V1)
        server.log.wait_event("accept", peer=text(late.getsockname()))
    assert server.accept_errors(first_served) == []


@pytest.mark.parametrize("first", ["probe", "silence"])
def test_after_a_bad_first_peer_the_unix_socket_answers_at_once_and_sigterm_stops_the_server(start, first):
    """The postmaster waits for all its listeners in one place: it must not be stuck at one of them."""
    server = start(TIMEOUT="60s")
    server.stop_signal = signal.SIGTERM
    with dial(server.endpoint, BALANCER) as peer:
        if first == "probe":
            peer.close()
        assert server.on_unix_socket("select 1") == "1"
        server.stop()
    assert len(server.accept_errors()) <= 1
