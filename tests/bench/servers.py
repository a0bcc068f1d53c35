# SPDX-License-Identifier: MIT
"""servers.py: the servers that are measured: how each is started, set up for speed and not for logs, and what is said
to it. Knows nothing of ways, rounds and tables.

A dialogue is a list: bytes are sent; a function takes what came back and says whether that is all; END is the
connection's end, by the server.
"""
import contextlib
import os
import re
import shutil
import signal
import socket
import struct
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "servers"))

import go_programs  # noqa: E402
from harness import DEADLINE, ROOT, Process, clean_env, dial, reserve_port, run, tool, unprivileged  # noqa: E402

BENCH = Path(os.environ.get("BENCH_PROGRAMS") or Path(__file__).resolve().parents[2] / "build/bench")
BALANCERS = "127.0.2.0/24"  # where load comes from; 127.0.0.1 is direct
END = "end"
MEGABYTE = 1024 * 1024


# --- answers ----------------------------------------------------------------------------------------------------------

def line(answer):
    return answer.endswith(b"\r\n")


def one_byte(answer):
    return answer == b"!"


def of_length(length):
    return lambda answer: len(answer) == length


def bulk_string(answer):
    """Redis' $LENGTH and that many bytes."""
    head, found, body = answer.partition(b"\r\n")
    return found and len(body) == int(head[1:]) + 2


def until_end_line(answer):
    return answer.endswith(b"END\r\n")


def http(answer):
    head, found, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"^content-length: (\d+)", head, re.I | re.M)
    assert not found or head.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")), head
    return found and (not length or len(body) == int(length[1]))


def mysql_packets(answer):
    packets = []
    while len(answer) >= 4 and len(answer) >= 4 + int.from_bytes(answer[:3], "little"):
        length = int.from_bytes(answer[:3], "little")
        packets.append(answer[4:4 + length])
        answer = answer[4 + length:]
    assert not any(packet[:1] == b"\xff" for packet in packets), packets
    return packets, not answer


def mysql_one(answer):
    packets, whole = mysql_packets(answer)
    return whole and len(packets) == 1


def mysql_rows(answer):
    """A count of columns, the columns, an EOF packet, the rows, another."""
    packets, whole = mysql_packets(answer)
    return whole and sum(len(packet) < 9 and packet[0] == 0xFE for packet in packets) == 2


def pg_ready(answer):
    """Messages up to ReadyForQuery."""
    kind = None
    while len(answer) >= 5 and len(answer) >= 1 + int.from_bytes(answer[1:5], "big"):
        kind = answer[:1]
        assert kind != b"E", answer
        answer = answer[1 + int.from_bytes(answer[1:5], "big"):]
    return not answer and kind == b"Z"


def pg_query(sql):
    return b"Q" + struct.pack("!I", len(sql) + 5) + sql + b"\0"


# --- servers ----------------------------------------------------------------------------------------------------------

class Server(Process):
    """One on loopback, in a directory of its own. `env` is the preload's. native: its own support for headers is on."""
    login = ()       # what a client says once
    short = None     # all that is said on a connection that is there for one request
    request = None   # what is said again and again on an open one
    bulk = None      # the same, for many bytes
    has_native = False
    flight = 16      # how much is under way at a time

    def __init__(self, directory, env, native=False):
        super().__init__(directory, env)
        self.native = native
        self.endpoint = ("127.0.0.1", reserve_port())

    @property
    def port(self):
        return self.endpoint[1]

    def fill(self, ask):
        """Puts there what bulk asks for; ask(bytes) is a connection of its own, with a header if one is wanted."""

    @classmethod
    def version(cls):
        raise NotImplementedError

    @staticmethod
    def first_version(*argv):
        said = run(*argv, check=False)
        return re.search(r"\d+\.\d+[\w.~+-]*", said.stdout + said.stderr)[0]


class Redis(Server):
    name = "redis"
    ready_line = "Ready to accept connections"
    short = [b"PING\r\n", line]
    request = [b"PING\r\n", line]
    bulk = [b"GET big\r\n", bulk_string]

    def argv(self):
        return [tool("redis-server"), "--bind", "127.0.0.1", "--port", self.port, "--dir", self.directory, "--save", "",
                "--protected-mode", "no", "--maxclients", "18000", "--tcp-backlog", "4096"]

    def fill(self, ask):
        ask(b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%d\r\n" % MEGABYTE + b"x" * MEGABYTE + b"\r\nQUIT\r\n")

    @classmethod
    def version(cls):
        return "Redis " + cls.first_version(tool("redis-server"), "--version")


class Memcached(Server):
    name = "memcached"
    short = [b"version\r\n", line]
    request = [b"get none\r\n", until_end_line]
    bulk = [b"get big\r\n", until_end_line]

    def argv(self):
        user = unprivileged("memcache")
        return [tool("memcached"), "-l", "127.0.0.1", "-p", self.port, "-m", "16", "-I", "2m", "-b", "4096",
                "-c", "18000", *(("-u", user) if user else ())]

    def is_ready(self, mark):
        """It says nothing, unless it says everything."""
        with contextlib.suppress(OSError), dial(self.endpoint):
            return True

    def fill(self, ask):
        ask(b"set big 0 0 %d\r\n" % (MEGABYTE // 2) + b"x" * (MEGABYTE // 2) + b"\r\nquit\r\n")

    @classmethod
    def version(cls):
        return "memcached " + cls.first_version(tool("memcached"), "--version")


class MariaDB(Server):
    name = "mariadb"
    ready_line = "mariadbd: ready for connections"
    user = unprivileged("mysql")
    has_native = True
    flight = 8
    _capabilities = 0x200 | 0x8000 | 0x80000  # protocol 4.1, its authentication, the plugin's name
    _login = struct.pack("<IIB23x", _capabilities, 1 << 24, 45) + b"bench\0" b"\0" b"mysql_native_password\0"
    login = [mysql_one, len(_login).to_bytes(3, "little") + b"\1" + _login, mysql_one]
    short = [*login, b"\1\0\0\0\1"]
    request = [b"\1\0\0\0\x0e", mysql_one]  # ping
    _query = b"\3select repeat('x', 1000000)"
    bulk = [len(_query).to_bytes(3, "little") + b"\0" + _query, mysql_rows]

    def __init__(self, directory, env, native=False):
        super().__init__(directory, env, native)
        self.data = self.directory / "data"
        as_user = {"user": self.user} if self.user else {}
        if self.user:
            for path in (self.directory, self.log.path):
                shutil.chown(path, self.user)
        run(tool("mariadb-install-db"), "--no-defaults", f"--datadir={self.data}", "--skip-test-db",
            "--skip-name-resolve", "--auth-root-authentication-method=normal", timeout=120, cwd="/",
            env=clean_env(TMPDIR=self.directory), **as_user)
        (self.directory / "users.sql").write_text("create user if not exists bench@'%';\n")

    def argv(self):
        native = [f"--proxy-protocol-networks={BALANCERS}"] if self.native else []
        return [tool("mariadbd"), "--no-defaults", f"--datadir={self.data}", f"--socket={self.directory}/mariadb.sock",
                f"--pid-file={self.directory}/pid", f"--tmpdir={self.directory}", "--bind-address=127.0.0.1",
                f"--port={self.port}", "--skip-name-resolve", f"--init-file={self.directory}/users.sql",
                "--performance-schema=off",
                "--innodb-buffer-pool-size=8M", "--innodb-fast-shutdown=2", "--max-connections=2000",
                "--back-log=4096", "--max-connect-errors=1000000000", "--thread-cache-size=64",
                "--log-warnings=0", *native]

    @classmethod
    def version(cls):
        return "MariaDB " + re.search(r"Ver (\S+?)-", run(tool("mariadbd"), "--version").stdout)[1]


class PostgreSQL(Server):
    name = "postgresql"
    ready_line = "database system is ready to accept connections"
    user = unprivileged("postgres")
    stop_signal = signal.SIGINT  # "fast": does not wait for clients
    flight = 4
    _login = struct.pack("!I", 196608) + b"user\0postgres\0database\0postgres\0\0"
    login = [struct.pack("!I", len(_login) + 4) + _login, pg_ready]
    short = [*login, b"X\0\0\0\4"]
    request = [pg_query(b"select 1"), pg_ready]
    bulk = [pg_query(b"select repeat('x', 1000000)"), pg_ready]

    def __init__(self, directory, env, native=False):
        super().__init__(directory, env, native)
        self.data = self.directory / "data"
        if self.user:
            shutil.chown(self.directory, self.user)
        run(self.program("initdb"), "-D", self.data, "--no-sync", "-A", "trust", "-U", "postgres", "--locale=C",
            timeout=60, **({"user": self.user, "cwd": "/"} if self.user else {}))
        with (self.data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all all trust\n")

    @staticmethod
    def program(name):
        return tool(name, f"/usr/lib/postgresql/*/bin/{name}")

    def argv(self):
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": self.directory,
                    "fsync": "off", "shared_buffers": "8MB", "max_connections": 100}
        return [self.program("postgres"), "-D", self.data, *(f"--{name}={value}" for name, value in settings.items())]

    @classmethod
    def version(cls):
        return "PostgreSQL " + cls.first_version(cls.program("postgres"), "--version")


class Nginx(Server):
    name = "nginx"
    ready_line = r"start worker process \d+$"
    has_native = True
    short = [b"GET / HTTP/1.0\r\n\r\n", http, END]
    request = [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", http]
    bulk = [b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n", http]

    def argv(self):
        config, d = self.directory / "nginx.conf", self.directory
        (d / "big").write_bytes(bytes(MEGABYTE))
        temporary = "".join(f"{kind}_temp_path {d}/{kind};\n"
                            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        real_ip = f"set_real_ip_from {BALANCERS};\nreal_ip_header proxy_protocol;\n" if self.native else ""
        config.write_text(f"""\
daemon off;
{"".join(f"env {name};" for name in self.env)}
worker_processes 1;
worker_rlimit_nofile 18000;
pid {d}/pid;
error_log stderr notice;
events {{ worker_connections 10000; }}
http {{
{temporary}
access_log off;
sendfile on;
keepalive_requests 1000000000;
server {{
  listen 127.0.0.1:{self.port} backlog=4096{" proxy_protocol" if self.native else ""};
  {real_ip}
  location / {{ return 200 "hello"; }}
  location = /big {{ root {d}; }}
}}
}}
""")
        return [tool("nginx"), "-e", "stderr", "-c", config]

    @classmethod
    def version(cls):
        return "nginx " + cls.first_version(tool("nginx"), "-v")


class HAProxy(Server):
    """As a server: it answers by itself."""
    name = "haproxy"
    has_native = True
    short = [b"GET / HTTP/1.0\r\n\r\n", http, END]
    request = [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", http]

    def argv(self):
        config = self.directory / "haproxy.cfg"
        config.write_text(HAPROXY_HEAD.format(control=self.directory / "control", mode="http") + f"""\
frontend server
  bind 127.0.0.1:{self.port}{" accept-proxy" if self.native else ""}
  http-request return status 200 content-type text/plain string hello
""")
        return [tool("haproxy"), "-db", "-f", config]

    def is_ready(self, mark):
        return answers_on(self.directory / "control")

    @classmethod
    def version(cls):
        return "HAProxy " + cls.first_version(tool("haproxy"), "-v")


class Go(Server):
    """net/http, linked as Debian's Go programs are (tests/servers/go)."""
    name = "go"
    ready_line = r"^ready "
    way = "dynamic"
    short = [b"GET / HTTP/1.0\r\n\r\n", http, END]
    request = [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", http]

    def argv(self):
        return [go_programs.build("server", self.way), "-listen", f"127.0.0.1:{self.port}", "-mode", "quiet"]

    @classmethod
    def version(cls):
        return "Go " + cls.first_version(tool("go"), "version")


class GoStatic(Go):
    """The same without a libc, started by `ppshim run`."""
    name = "go-static"
    way = "static"

    def argv(self):
        if "PPSHIM_TRUST" not in self.env:
            return super().argv()
        return [ROOT / "build" / "ppshim", "run", "--trust", self.env["PPSHIM_TRUST"], "--ports", "all", "--",
                *super().argv()]


HAPROXY_HEAD = """\
global
  maxconn 8000
  nbthread 1
  stats socket {control} mode 600
defaults
  mode {mode}
  backlog 4096
  timeout connect 20s
  timeout client 120s
  timeout server 120s
"""


def answers_on(control):
    """HAProxy is ready when it answers on its control socket."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(DEADLINE)
        sock.connect(str(control))
        sock.sendall(b"show info\n")
        return sock.recv(64)


class Dovecot(Server):
    """A client that comes, reads the greeting and logs out: the imap-login process serves it, as it does every client
    before its login."""
    name = "dovecot"
    ready_line = r"master: Info: Dovecot v\S+ .*starting up"
    has_native = True
    short = [line, b"a logout\r\n", lambda answer: b"\r\na OK" in answer and line(answer), END]

    def argv(self):
        config, d = self.directory / "dovecot.conf", self.directory
        config.write_text(f"""\
protocols = imap
listen = 127.0.0.1
base_dir = {d}/run
state_dir = {d}/state
log_path = {self.log.path}
info_log_path = {self.log.path}
import_environment = {" ".join(["TZ", *self.env])}
ssl = no
haproxy_trusted_networks = {BALANCERS}
login_log_format_elements =
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={d}
}}
service imap-login {{
  service_count = 0
  process_min_avail = 1
  client_limit = 10000
  inet_listener imap {{
    port = {self.port}
    haproxy = {"yes" if self.native else "no"}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
""")
        return [tool("dovecot"), "-F", "-c", config]

    @classmethod
    def version(cls):
        return "Dovecot " + cls.first_version(tool("dovecot"), "--version")


class Small(Server):
    """tests/bench/serve.c"""
    ready_line = r"^listening \d+$"
    style, many = "epoll", 1
    short = [b"?", one_byte]
    request = [b"?", one_byte]
    bulk = [b"b", of_length(MEGABYTE)]

    def argv(self):
        return [BENCH / "serve", self.style, self.many]

    def start(self):
        started = super().start()
        self.endpoint = ("127.0.0.1", int(self.log.find(r"^listening (\d+)$")[0]))
        return started

    @classmethod
    def version(cls):
        return ""


class Epoll(Small):
    name = "epoll"


class Blocking(Small):
    name = "blocking"
    style = "blocking"
    request = bulk = None  # it serves one client at a time


SERVERS = {kind.name: kind for kind in
           (Redis, MariaDB, PostgreSQL, Nginx, Memcached, HAProxy, Dovecot, Go, GoStatic, Epoll, Blocking)}


# --- sidecars and the balancer ----------------------------------------------------------------------------------------

class HAProxySidecar(Process):
    """Takes the header off and hands the bytes on."""
    name = "haproxy-sidecar"

    def __init__(self, directory, target):
        super().__init__(directory)
        self.target, self.endpoint = target, ("127.0.0.1", reserve_port())

    def argv(self):
        config = self.directory / "haproxy.cfg"
        config.write_text(HAPROXY_HEAD.format(control=self.directory / "control", mode="tcp") + f"""\
listen sidecar
  bind 127.0.0.1:{self.endpoint[1]}
  tcp-request connection expect-proxy layer4 if {{ src {BALANCERS} }}
  server server 127.0.0.1:{self.target[1]}
""")
        return [tool("haproxy"), "-db", "-f", config]

    def is_ready(self, mark):
        return answers_on(self.directory / "control")


class NginxSidecar(Process):
    name = "nginx-sidecar"
    ready_line = r"start worker process \d+$"

    def __init__(self, directory, target):
        super().__init__(directory)
        self.target, self.endpoint = target, ("127.0.0.1", reserve_port())

    def argv(self):
        config, d = self.directory / "nginx.conf", self.directory
        config.write_text(f"""\
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
worker_processes 1;
pid {d}/pid;
error_log stderr notice;
events {{ worker_connections 10000; }}
stream {{
  server {{
    listen 127.0.0.1:{self.endpoint[1]} proxy_protocol backlog=4096;
    tcp_nodelay on;
    proxy_pass 127.0.0.1:{self.target[1]};
  }}
}}
""")
        return [tool("nginx"), "-e", "stderr", "-c", config]


class Balancer(Process):
    """HAProxy before each of the ways, one front for each, in one process. `quick`: it holds the last packet of the
    handshake back until it has something to send, which is its header."""
    name = "balancer"

    def __init__(self, directory, fronts, quick):
        """fronts: {name: (endpoint, whether with a header)}"""
        super().__init__(directory)
        self.fronts, self.quick = fronts, quick
        self.endpoints = {name: ("127.0.0.1", reserve_port()) for name in fronts}

    def argv(self):
        config = self.directory / "haproxy.cfg"
        text = HAPROXY_HEAD.format(control=self.directory / "control", mode="tcp")
        for name, (endpoint, header) in self.fronts.items():
            quick = "option tcp-smart-connect" if self.quick else ""
            send = "send-proxy-v2" if header else ""
            text += (f"listen {name}\n  bind 127.0.0.1:{self.endpoints[name][1]}\n  {quick}\n"
                     f"  server server 127.0.0.1:{endpoint[1]} source 127.0.2.1 {send}\n")
        config.write_text(text)
        return [tool("haproxy"), "-db", "-f", config]

    def is_ready(self, mark):
        return answers_on(self.directory / "control")
