# SPDX-License-Identifier: MIT
"""`ppshim connect` with the clients people use, and the servers they talk to under libppshim.so: each server, in its
own words, names the client that the header claims. Nothing here knows TLS or a protocol but the programs themselves."""
import itertools
import re
import ssl
import threading
from contextlib import ExitStack

import pytest
from conftest import TOOL, accept, listener, receive, through
from harness import CLIENT, CLIENT6, DEADLINE, clean_env, proxy_v2, run, scratch, tool
from test_mariadb import MariaDB
from test_mosquitto import Mosquitto
from test_nginx import Nginx
from test_postgresql import PostgreSQL
from test_redis import Redis
from test_sshd import Sshd

FROM = ("--from", "{}:{}".format(*CLIENT))
FROM6 = ("--from", "[{}]:{}".format(*CLIENT6))
FLAVOURS = {"v2": FROM, "v1": (*FROM, "--v1"), "tls": (*FROM, "--ssl", "--cn", "app", "--crc")}
SETTINGS = {"TRUST": "127.0.0.0/8", "TIMEOUT": "30s", "LOG": "stderr:info"}

each_flavour = pytest.mark.parametrize("options", FLAVOURS.values(), ids=FLAVOURS)


@pytest.fixture(scope="module")
def serving():
    """serving(Kind) is the one server of that kind, under the shim; clients on this host are trusted."""
    with ExitStack() as scope:
        servers = {}

        def serving(kind):
            if kind not in servers:
                template = scope.enter_context(scratch("template"))
                kind.make_template(template)
                directory = scope.enter_context(scratch(kind.name))
                servers[kind] = scope.enter_context(kind(directory, template, SETTINGS))
            return servers[kind]
        yield serving


class TlsNginx(Nginx):
    """Two listeners: plain, and TLS on the next address."""
    listen = "127.0.0.1:{0}; listen 127.0.0.3:{0} ssl"
    certificate = None

    def argv(self):
        argv = super().argv()
        config = self.directory / "nginx.conf"
        config.write_text(config.read_text().replace(
            " ssl;", f" ssl;\n    ssl_certificate {self.certificate};\n    ssl_certificate_key {self.certificate};"))
        return argv


@pytest.fixture(scope="module")
def nginx(serving, certificates):
    TlsNginx.certificate = certificates.server
    return serving(TlsNginx)


def curl(*argv):
    return [tool("curl"), "-sS", "--max-time", str(DEADLINE), *argv]


@each_flavour
def test_curl(nginx, options):
    port = nginx.port
    assert through(*curl(f"http://127.0.0.1:{port}/"), options=options).startswith("{} {} ".format(*CLIENT))
    assert through(*curl("-k", f"https://127.0.0.3:{port}/"), options=options).startswith("{} {} ".format(*CLIENT))


def test_curl_with_several_connections_at_once(nginx):
    urls = [f"https://127.0.0.3:{nginx.port}/?{i}" for i in range(20)]
    answers = through(*curl("-k", "--http1.1", "--parallel", "--parallel-immediate", *urls), options=FROM).splitlines()
    assert len(answers) == 20 and all(answer.startswith("{} {} ".format(*CLIENT)) for answer in answers)


def test_curl_without_the_tool_is_refused(nginx):
    """From a trusted address only a header opens the door: what the others prove is the tool's doing."""
    assert run(*curl(f"http://127.0.0.1:{nginx.port}/"), check=False).returncode in (52, 56)


@each_flavour
def test_openssl_s_client(nginx, options):
    request = "GET / HTTP/1.0\r\n\r\n"
    said = through(tool("openssl"), "s_client", "-quiet", "-connect", f"127.0.0.3:{nginx.port}",
                   options=options, input=request)
    assert "\n\n{} {} ".format(*CLIENT) in said


def test_an_unmodified_tls_server_without_the_shim_meets_the_header_first(certificates):
    """That what libppshim.so took off was there: a server that takes the header off by itself, then speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server)
    with listener() as listening:
        to = listening.getsockname()

        def serve():
            with accept(listening) as connection:
                assert receive(connection, 28) == proxy_v2(CLIENT, to)
                with context.wrap_socket(connection, server_side=True) as secure:
                    secure.recv(4096)
                    secure.sendall(b"HTTP/1.0 200 OK\r\n\r\nover TLS")
        thread = threading.Thread(target=serve)
        thread.start()
        assert through(*curl("-k", f"https://127.0.0.1:{to[1]}/"), options=FROM) == "over TLS"
        thread.join(DEADLINE)


@each_flavour
def test_psql(serving, options):
    server = serving(PostgreSQL)
    for mode in ("disable", "prefer"):  # the second asks for TLS first, on the same connection
        env = clean_env(PGSSLMODE=mode, PGCONNECT_TIMEOUT="20")
        assert through(tool("psql"), "-XAtqw", "-F ", "-h", "127.0.0.1", "-p", server.port, "-U", "app",
                       "-d", "postgres", "-c", "select host(inet_client_addr()), inet_client_port()", options=options,
                       env=env) == "{} {}\n".format(*CLIENT)


@each_flavour
def test_mariadb(serving, options):
    """The server speaks first."""
    server = serving(MariaDB)
    sql = "select host from information_schema.processlist where id = connection_id()"
    assert through(tool("mariadb"), "--no-defaults", "-NB", "--connect-timeout=20", "--protocol=tcp", "-h", "127.0.0.1",
                   "-P", server.port, "-u", "app", "-psecret", "-e", sql,
                   options=options) == "{}:{}\n".format(*CLIENT)


@each_flavour
def test_redis_cli(serving, options):
    server = serving(Redis)
    told = through(tool("redis-cli"), "-h", "127.0.0.1", "-p", server.port, "client", "info", options=options)
    assert re.search(r" addr=(\S+):(\d+) ", told).groups() == (CLIENT[0], str(CLIENT[1]))


def ssh_options(server):
    options = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ConnectTimeout=20",
               "IdentitiesOnly=yes", "LogLevel=ERROR"]
    return ["-F", "none", *(word for option in options for word in ("-o", option)), "-i", server.template / "client"]


@each_flavour
def test_ssh(serving, options):
    """The server speaks first; with ConnectTimeout the client connects without blocking."""
    server = serving(Sshd)
    told = through(tool("ssh"), *ssh_options(server), "-p", server.port, f"{server.account}@127.0.0.1",
                   "echo $SSH_CONNECTION", options=options)
    assert told == "{} {} 127.0.0.1 {}\n".format(*CLIENT, server.port)


def test_ssh_keyscan(serving):
    """Many non-blocking connects in one select(), reading only."""
    server = serving(Sshd)
    mark = server.log.mark()
    assert "ssh-ed25519" in through(tool("ssh-keyscan"), "-p", server.port, "127.0.0.1", options=FROM)
    server.log.wait(rf"^Connection from {CLIENT[0]} port {CLIENT[1]} on ", mark)


@each_flavour
def test_mosquitto_pub(serving, options, ids=itertools.count()):
    server = serving(Mosquitto)
    name, mark = f"pub-{next(ids)}", server.log.mark()
    through(tool("mosquitto_pub"), "-h", "127.0.0.1", "-p", server.port, "-i", name, "-t", "t", "-m", "m",
            options=options)
    server.log.wait(rf"New client connected from {CLIENT[0]}:{CLIENT[1]} as {name} ", mark)


def test_the_header_goes_by_name_of_an_ipv6_client(serving):
    server = serving(Redis)
    told = through(tool("redis-cli"), "-h", "127.0.0.1", "-p", server.port, "client", "info", options=FROM6)
    assert re.search(r" addr=\[?(\S+?)\]?:(\d+) ", told).groups() == (CLIENT6[0], str(CLIENT6[1]))


def test_the_header_and_socat_do_for_what_cannot_be_preloaded(serving):
    server = serving(Redis)
    pipeline = f"{{ {TOOL} header --from {CLIENT[0]}:{CLIENT[1]}; printf 'CLIENT INFO\\r\\nQUIT\\r\\n'; }} | " \
               f"{tool('socat')} -t10 - TCP:127.0.0.1:{server.port}"
    told = run("sh", "-c", pipeline).stdout
    assert f" addr={CLIENT[0]}:{CLIENT[1]} " in told
