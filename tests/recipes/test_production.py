# SPDX-License-Identifier: MIT
"""libppshim(8)'s list of what to try before production, as far as one machine can: replicas in a trusted network, programs
that the server starts, lists and the library replaced under load."""
import contextlib
import os
import re
import shutil
import subprocess

import pytest
from conftest import Load, RedisSession, Sidecar
from contract import TrustFile
from harness import (BALANCER, CLIENT, DEADLINE, OTHER_BALANCER, SHIM, Balancer, Certificates, Route, clean_env, dial,
                     proxy_v2, reserve_port, run, scratch, tool, until)
from test_postgresql import PostgreSQL, program
from test_redis import Redis
from test_sshd import Sshd

NETWORK = "127.0.0.0/24"  # the balancer's, and everybody else's
REPLICA = "127.0.0.1"
SETTINGS = {"TRUST": BALANCER, "TIMEOUT": "30s", "LOG": "stderr:info"}
CLIENTS = ["127.0.0.7", "127.0.0.8"]


def real(client):
    return client


def named(server):
    return f"server db 127.0.0.1:{server.port} source {BALANCER} send-proxy-v2"


# --- replicas ---------------------------------------------------------------------------------------------------------

class Primary(PostgreSQL):
    def __init__(self, *args):
        super().__init__(*args)
        with (self.data / "pg_hba.conf").open("a") as hba:
            hba.write(f"host replication postgres {REPLICA}/32 trust\n")

    def base_backup(self, target, check=True):
        """pg_basebackup's end, and what it wrote, in a directory ready to be a standby's."""
        host, port = self.endpoint
        return run(program("pg_basebackup"), "-h", host, "-p", str(port), "-U", "postgres", "-D", target, "-R", "-c",
                   "fast", "--no-sync", check=check, timeout=60, cwd="/", **({"user": self.user} if self.user else {}))


class Standby(PostgreSQL):
    """Serves what pg_basebackup brought, and goes on asking the primary for more: under the shim as well."""
    name = "standby"
    ready_line = r"database system is ready to accept read-only connections"

    def __init__(self, directory, template, settings):
        super().__init__(directory, template, settings)
        shutil.rmtree(self.data)


def test_replica_is_copied_and_followed_from_an_address_taken_out_of_a_trusted_network(make):
    settings = {**SETTINGS, "TRUST": f"{NETWORK} !{REPLICA}"}
    with make(Primary, settings) as primary:
        standby = make(Standby, settings)
        primary.base_backup(standby.data)
        with standby:
            primary.on_unix_socket("create table t as select 42 as i")
            until(lambda: standby.on_unix_socket("select to_regclass('t') is not null") == "t", "the row is replicated")
            assert standby.on_unix_socket("select i from t") == "42"
            replicas = primary.on_unix_socket("select host(client_addr), state from pg_stat_replication")
            assert replicas == f"{REPLICA} streaming"
            with dial(primary.endpoint, BALANCER) as peer:
                peer.sendall(proxy_v2())
                primary.log.wait_event("accept", client="{}:{}".format(*CLIENT))
        assert primary.log.events("reject") == []


def test_replica_that_is_trusted_by_mistake_is_closed_and_named_in_the_log(make):
    """PostgreSQL's clients speak first, so there is nothing to wait for."""
    with make(Primary, {**SETTINGS, "TRUST": NETWORK}) as primary, scratch("refused") as directory:
        assert primary.base_backup(directory / "data", check=False).returncode != 0
        rejected = until(lambda: primary.log.events("reject"), "the shim says whom it closed")
        assert {(event.peer.partition(":")[0], event.reason) for event in rejected} == {(REPLICA, "not-a-header")}


# --- programs that the server starts ----------------------------------------------------------------------------------

class Archiving(PostgreSQL):
    """Its archive_command sends each file over the network, to an address that is in the trust list."""

    def __init__(self, directory, template, settings):
        super().__init__(directory, template, settings)
        self.archive = (BALANCER, reserve_port())

    def argv(self):
        sends = f"{tool('socat')} -u FILE:%p TCP:{self.archive[0]}:{self.archive[1]}"
        return [*super().argv(), f"--archive_command={sends}"]


def test_archive_command_is_let_be_when_it_connects_to_a_trusted_address(make):
    """Also while a list is broken that the server itself would not start with."""
    with scratch("lists") as directory:
        trust = TrustFile(directory, BALANCER)
        with make(Archiving, {**SETTINGS, "TRUST": f"@{trust.path}"}) as server:
            trust.write("127.0.0.2/99")
            archived = directory / "archived"
            receiver = [tool("socat"), "-u", f"TCP-LISTEN:{server.archive[1]},bind={server.archive[0]},reuseaddr",
                        f"CREATE:{archived}"]
            with subprocess.Popen(receiver, env=clean_env()) as receives:
                segment = server.on_unix_socket("create table t (i int); insert into t values (1); "
                                                "select pg_walfile_name(pg_switch_wal())").split()[-1]
                assert receives.wait(DEADLINE) == 0
            assert archived.read_bytes()[:4096] == (server.data / "pg_wal" / segment).read_bytes()[:4096]
            assert [event.name for event in server.log.events()] == ["active"]


@pytest.mark.parametrize("named_port", [True, False], ids=["only_the_servers_port", "all_ports"])
def test_child_that_listens_is_let_be_if_only_the_servers_port_is_named(make, named_port):
    """As the joiner's end of a state transfer does: socat, started by the server, with a listener of its own."""
    server = make(PostgreSQL, {**SETTINGS, "TIMEOUT": "500ms"})
    if named_port:
        server.env["PPSHIM_PORTS"] = str(server.port)
    with server:
        port = reserve_port()
        listens = f"{tool('socat')} -u TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr -"
        query = f"create temp table t (line text); copy t from program {quoted(listens)}; select * from t"
        where = (server.directory, server.port)
        with subprocess.Popen([str(a) for a in server.psql(query, where, "postgres")], env=server.client_env,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as copies:
            donor = until(lambda: connected(port), "the child listens")
            with donor:
                donor.sendall(b"state\n")
            if not named_port:
                assert server.log.wait_event("reject", local=f"127.0.0.1:{port}").reason == "not-a-header"
                with dial(("127.0.0.1", port)) as another:  # that nobody trusts
                    another.sendall(b"state\n")
            assert copies.communicate(timeout=DEADLINE)[0] == b"state\n"
            assert not named_port or server.log.events("reject") == []


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def connected(port):
    try:
        return dial(("127.0.0.1", port), BALANCER)
    except ConnectionRefusedError:
        return None


# --- under load -------------------------------------------------------------------------------------------------------

@pytest.fixture
def sidecar():
    """sidecar(server) is a HAProxy before it that sends headers, until the test ends."""
    with contextlib.ExitStack() as scope:
        yield lambda server: scope.enter_context(Sidecar(scope.enter_context(scratch("sidecar")), named(server)))


def test_list_broken_and_mended_under_load_fails_no_request_and_is_told_in_the_log(make, sidecar):
    with scratch("lists") as directory:
        trust = TrustFile(directory, BALANCER)
        server = make(Redis, {**SETTINGS, "TRUST": f"@{trust.path}", "LOG": "stderr:notice"})
        with server, Load(RedisSession, sidecar(server).endpoint, CLIENTS) as load:
            load.served(real)
            for broken in (["127.0.0.2/99"], []):
                mark = server.log.mark()
                trust.write(*broken)
                server.log.wait(rf"PPSHIM_TRUST=@{trust.path}: .*; the old list stays in force", mark)
                load.rounds()
            mark = server.log.mark()
            trust.write(BALANCER, OTHER_BALANCER)
            assert server.log.wait_event("reloaded", mark).prefixes == "2"
            load.rounds()
            load.served(real)
        assert server.log.events("reject") == []
        assert server.log.events("left-out") == []


def test_library_replaced_by_rename_under_load_fails_no_request_and_is_the_new_one_after_a_restart(make, sidecar):
    with scratch("library") as directory:
        library = Library(directory)
        server = make(Redis, SETTINGS)
        server.env["LD_PRELOAD"] = str(library.path)
        balancer = sidecar(server)
        with server, Load(RedisSession, balancer.endpoint, CLIENTS) as load:
            load.served(real)
            library.upgrade()
            load.rounds()
            load.served(real)
            assert [event.version for event in server.log.events("active")] == [library.version]
        mark = server.log.mark()
        with server, Load(RedisSession, balancer.endpoint, CLIENTS) as load:
            load.served(real)
            assert server.log.wait_event("active", mark).version == library.next_version
        assert server.log.events("reject") == []


def test_sshd_whose_library_is_replaced_goes_on_with_the_old_one_and_the_new_one_in_each_session(make):
    """The sshd that listens keeps the old library, the one it executes for a client has the new: what the first wrote
    into the socket the second must read."""
    with scratch("library") as directory, scratch("certificates") as certificates:
        library = Library(directory)
        server = make(Sshd, SETTINGS)
        server.env["LD_PRELOAD"] = str(library.path)
        routes = {"send-proxy-v2": Route()}
        with server, Balancer(directory, server.endpoint, Certificates(certificates), routes) as balancer:
            assert server.login(balancer["send-proxy-v2"]) == CLIENT
            library.upgrade()
            assert server.login(balancer["send-proxy-v2"]) == CLIENT
            mapped = server.session("cat /proc/$PPID/maps", balancer["send-proxy-v2"])
            assert str(library.path) in mapped and f"{library.path} (deleted)" not in mapped
            assert f"{library.path} (deleted)" in open(f"/proc/{server.pid}/maps", encoding="utf-8").read()


class Library:
    """A copy of the library where an upgrade can replace it, as `make install` does: another file, by rename."""

    def __init__(self, directory):
        self.path = directory / "libppshim.so"
        shutil.copy(SHIM, self.path)
        self.version = re.search(r"\d+\.\d+\.\d+", run(SHIM).stdout)[0]
        self.next_version = self.version[:-1] + ("1" if self.version[-1] == "0" else "0")

    def upgrade(self):
        """To a build that differs in the version that it tells."""
        new = self.path.with_suffix(".new")
        new.write_bytes(self.path.read_bytes().replace(self.version.encode(), self.next_version.encode()))
        new.chmod(0o755)
        assert self.next_version in run(new).stdout
        os.replace(new, self.path)
