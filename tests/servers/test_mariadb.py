# SPDX-License-Identifier: MIT
"""MariaDB: poll(), accept4(), and getpeername() of the accepted socket, in a thread for each client."""
import functools
import os
import shutil
import signal

import pytest
from answers import ppshim
from contract import Contract, Peer, Refused, Server, TrustFile
from harness import BALANCER, CLIENT, CLIENT6, MODES, Log, clean_env, run, tool, unprivileged
from place import needs

USERS = f"""\
create user if not exists app@'{CLIENT[0]}' identified by 'secret';
create user if not exists app@'{CLIENT6[0]}' identified by 'secret';
create user if not exists direct@'127.0.0.1' identified by 'secret';
grant process on *.* to app@'{CLIENT[0]}', app@'{CLIENT6[0]}';
"""


@functools.cache
def program(name):
    return tool(name)


class MariaDB(Server):
    name = "mariadb"
    ready_line = r"mariadbd: ready for connections"
    stop_signal = signal.SIGTERM
    accept_error = r"Error in accept.*"
    user = unprivileged("mysql")

    @classmethod
    def make_template(cls, directory):
        program("mariadbd")
        if cls.user:
            shutil.chown(directory, cls.user)
        run(program("mariadb-install-db"), "--no-defaults", f"--datadir={directory}/data", "--skip-test-db",
            "--skip-name-resolve", "--auth-root-authentication-method=normal", timeout=120, cwd="/",
            env=clean_env(TMPDIR=directory),  # at its start each removes what others have in the same one
            **({"user": cls.user} if cls.user else {}))

    def __init__(self, directory, template, settings, host="127.0.0.1"):
        super().__init__(directory, template, settings, host)
        self.data = self.directory / "data"
        self.socket = self.directory / "mariadb.sock"
        run("cp", "-a", self.template / "data", self.data)
        (self.directory / "users.sql").write_text(USERS)
        self.client_log = Log(self.directory / "general.log")
        if self.user:
            for path in (self.directory, self.client_log.path, self.log.path):
                shutil.chown(path, self.user)

    def argv(self):
        host, port = self.endpoint
        return [program("mariadbd"), "--no-defaults", f"--datadir={self.data}", f"--socket={self.socket}",
                f"--tmpdir={self.directory}",
                f"--pid-file={self.directory}/pid", f"--bind-address={host}", f"--port={port}", "--skip-name-resolve",
                f"--init-file={self.directory}/users.sql", "--general-log",
                f"--general-log-file={self.client_log.path}", "--log-warnings=9", "--performance-schema=off",
                "--innodb-buffer-pool-size=8M", "--innodb-flush-log-at-trx-commit=0", "--innodb-fast-shutdown=2"]

    def query(self, sql, user, *where):
        done = run(program("mariadb"), "--no-defaults", "-NB", "--connect-timeout=20", *where, "-u", user, "-e", sql,
                   check=False)
        if done.returncode:
            raise Refused(done.stderr)
        return done.stdout.strip()

    def over_tcp(self, sql, endpoint, user):
        host, port = endpoint
        return self.query(sql, user, "--protocol=tcp", "-h", host, "-P", str(port), "-psecret")

    def whoami(self, endpoint, user):
        """The thread's entry in SHOW PROCESSLIST is 203.0.113.7:4711."""
        sql = "select host from information_schema.processlist where id = connection_id()"
        address, _, port = self.over_tcp(sql, endpoint, user).rpartition(":")
        return Peer(address, int(port))

    def login(self, endpoint):
        return self.whoami(endpoint, "app")

    def direct_login(self):
        return self.whoami(self.endpoint, "direct")

    def log_names(self, peer, since):
        return self.client_log.find(rf"\bConnect\s+\w+@{peer[0]} on ", since)

    def log_names_refused(self, peer, since):
        return self.log.find(rf"Aborted connection .* user: 'unauthenticated' host: '{peer[0]}'", since)

    def on_unix_socket(self, sql):
        return self.query(sql, "root", "--protocol=socket", "-S", self.socket)


class ByItsScript(MariaDB):
    """Started by mariadbd-safe, which is a shell script: some forty programs run before mariadbd does, and all are
    under the shim. The script ignores signals; to stop it is to stop mariadbd."""

    def argv(self):
        return [program("mariadbd-safe"), *super().argv()[1:], f"--log-error={self.log.path}"]

    def signal_stop(self):
        os.kill(int((self.directory / "pid").read_text()), self.stop_signal)


class WithThreadPool(MariaDB):
    """Clients are served by a few threads that wait for them in an epoll."""

    def argv(self):
        return [*super().argv(), "--thread-handling=pool-of-threads"]


class Activated(MariaDB):
    """systemd-socket-activate listens; at the first connection it becomes mariadbd, which finds the listener in
    LISTEN_FDS."""
    ready_line = r"^Listening on .* as 3\."

    def argv(self):
        env = [f"--setenv={name}={value}" for name, value in self.env.items()]
        return ["/usr/bin/env", "--ignore-environment", tool("systemd-socket-activate"), *env,
                "--listen={}:{}".format(*self.endpoint), *super().argv()]


SERVER = MariaDB


class TestContract(Contract):
    pass


@pytest.mark.parametrize("mode", MODES)
def test_a_grant_is_for_the_client_and_not_for_the_balancer(server, balancer, mode):
    assert server.over_tcp("select current_user()", balancer[mode], "app") == f"app@{CLIENT[0]}"
    with pytest.raises(Refused, match=r"Access denied for user 'direct'@'203\.0\.113\.7'"):
        server.whoami(balancer[mode], "direct")


def test_a_client_without_a_grant_is_refused_by_its_own_address(server, balancer):
    with pytest.raises(Refused, match=r"Host '203\.0\.113\.8' is not allowed to connect"):
        server.login(balancer["stranger"])


def test_a_direct_client_cannot_pass_as_one_of_the_balancers(server):
    with pytest.raises(Refused, match=r"Access denied for user 'app'@'127\.0\.0\.1'"):
        server.login(server.endpoint)


def test_show_processlist_names_every_client(server, balancer):
    rows = server.over_tcp("show processlist", balancer["send-proxy-v2"], "app").splitlines()
    assert [row.split("\t")[2] for row in rows if row.split("\t")[1] == "app"] == [f"{CLIENT[0]}:{CLIENT[1]}"]


def test_clients_on_the_unix_socket_are_let_be(server):
    assert server.on_unix_socket("select current_user()") == "root@localhost"


def test_no_accept_ever_failed(server, balancer):
    server.login(balancer["send-proxy"])
    assert server.on_unix_socket("show global status like 'connection_errors_accept'").split() == [
        "Connection_errors_accept", "0"]


def test_of_all_programs_in_the_start_script_only_the_server_speaks(start, balance, trust_directory):
    trust = TrustFile(trust_directory, BALANCER)
    server = start(kind=ByItsScript, TRUST=f"@{trust.path}", LOG="stderr:debug")
    assert [(event.name, os.path.basename(event.exe)) for event in server.log.events()] == [("active", "mariadbd")]
    assert server.login(balance(server)["send-proxy-v2"]) == CLIENT


def test_with_a_thread_pool_too_the_client_is_named(start, balance):
    server = start(kind=WithThreadPool)
    balancer = balance(server)
    for route, client in {"send-proxy": CLIENT, "ipv6-v2": CLIENT6, "send-proxy-v2": CLIENT}.items():
        assert server.login(balancer[route]) == client
    assert server.direct_login().address == "127.0.0.1"


@pytest.mark.parametrize("inherited", ["off", "on"])
def test_a_listener_that_systemd_hands_over_is_governed_from_the_first_wait_on(start, balance, inherited):
    """PPSHIM_INHERITED is about connections."""
    server = start(kind=Activated, INHERITED=inherited)
    balancer = balance(server)
    for mode in MODES:
        assert server.login(balancer[mode]) == CLIENT
    assert server.direct_login().address == "127.0.0.1"
    assert [(event.pid, event.listen) for event in server.log.events("active")] == [(server.pid, server.listens_on)]


def test_a_listener_that_waits_for_its_first_client_is_probed_too(start):
    """The probe is that client: whoever then has its connection has the settings."""
    needs("root", "descriptors")
    server = start(kind=Activated, TIMEOUT="3s")
    assert server.log.events("active") == []
    probed = ppshim("check", "--probe", "{}:{}".format(*server.endpoint))
    assert (probed.status, probed.probes()) == (0, ["right"] * 3), probed
