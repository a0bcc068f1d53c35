# SPDX-License-Identifier: MIT
"""runtimes.py: what programs are written in and served by; each runs a few lines that tell its clients who they are
(programs/)."""
import signal
import struct

from contract import Refused
from described import PROGRAMS, Answers, Unlogged, peer, receive
from harness import CLIENT, CLIENT6, dial


class Program(Answers):
    """Says so in its log too."""
    own_log = None
    names = r"^served (?:::ffff:)?{address} {port}$"
    ready_line = r"^listening$"
    accept_error = r".*(?:[Aa]ccept.*failed|Traceback).*"
    script = ()

    def argv(self):
        return [self.program(), *self.words(), self.host, self.port]

    def words(self):
        return [PROGRAMS / self.script[0], *self.script[1:]]


class Asyncio(Program):
    """CPython leaves no room for the address of an IPv6 client of an IPv4 listener."""
    name = "asyncio"
    ipv6_routes = ()
    programs = ("/usr/bin/python3",)
    script = ("asyncio_server.py",)


class Twisted(Asyncio):
    name = "twisted"
    script = ("twisted_server.py",)


class NodeThread(Program):
    name = "node"
    programs = ("node",)
    script = ("worker_threads.js",)


class NetServerFork(Program):
    name = "net-server"
    ipv6_routes = ()
    programs = ("/usr/bin/perl",)
    script = ("net_server.pl", "Fork")
    names = r"served {address} {port}$"
    ready_line = r"Group Not Defined|Binding to TCP port"
    accept_error = r".*(?:accept|[Bb]ad).*"

    def is_ready(self, mark):
        return super().is_ready(mark) and self.listens()


class NetServerPreFork(NetServerFork):
    keeps_waiting = False
    script = ("net_server.pl", "PreFork")


class GunicornSync(Answers):
    name = "gunicorn"
    keeps_waiting = False
    ipv6_routes = ()
    programs = ("gunicorn",)
    accept_error = r".*(?:Traceback|\[ERROR\]).*"
    names = r"^{address} {port} "
    worker = "sync"
    workers = 6  # each of which serves one client, also one that says nothing behind its header
    reload_signal = signal.SIGHUP
    reloaded = r"Booting worker with pid"

    def is_ready(self, mark):
        return len(self.log.find(self.reloaded, mark)) == self.workers

    def argv(self):
        return [self.program(), "-b", f"{self.host}:{self.port}", "-w", str(self.workers), "-k", self.worker, "--threads", "4"
                if self.worker == "gthread" else "1", "--timeout", "600", "--chdir", PROGRAMS, "--worker-tmp-dir",
                self.directory, "--access-logfile", self.client_log.path, "--access-logformat",
                "%(h)s %({REMOTE_PORT}e)s %(s)s", "wsgi_app:application"]


class GunicornThreads(GunicornSync):
    keeps_waiting = True
    worker = "gthread"


class Uwsgi(Answers):
    name = "uwsgi"
    programs = ("uwsgi-core",)
    keeps_waiting = False
    own_log = None
    names = r"^told {address} "
    tells_ports = False
    accept_error = r".*accept\(\).*"
    stop_signal = signal.SIGTERM
    ready_line = r"spawned uWSGI worker 6"
    reload_signal = signal.SIGHUP
    reloaded = ready_line

    def argv(self):
        return [self.program(), "--plugin", "python3", "--http-socket", f"{self.host}:{self.port}", "--master",
                "--processes", "6", "--die-on-term", "--need-app", "--wsgi-file", PROGRAMS / "wsgi_app.py",
                "--log-format", "told %(addr) %(status)", "--socket-timeout", "600", "--no-defer-accept"]


class Puma(Answers):
    name = "puma"
    programs = ("puma",)
    own_log = None
    names = r"^served {address} {port}$"
    accept_error = r".*(?:Error|accept).*"
    ready_line = r"Use Ctrl-C to stop"
    workers = "0"

    def argv(self):
        return [self.program(), "-b", f"tcp://{self.host}:{self.port}", "-w", self.workers, "-t", "4:4", "-e", "none",
                PROGRAMS / "config.ru"]


def record(kind, content=b""):
    return struct.pack("!BBHHBx", 1, kind, 1, len(content), 0) + content


class PhpStatic(Unlogged):
    """Of FastCGI's clients it knows only whether it lets them in."""
    name = "php-fpm"
    programs = ("php-fpm8.2",)
    needs_root = True
    accept_error = r".*(?:ERROR|ALERT).*"
    ready_line = r"ready to handle connections"
    reload_signal = signal.SIGUSR2
    reload_refuses = True  # its children end as they are
    reloaded = ready_line
    stop_signal = signal.SIGTERM
    manager = "static"

    def login(self, endpoint):
        parameters = {"SCRIPT_FILENAME": PROGRAMS / "who.php", "REQUEST_METHOD": "GET"}
        pairs = [(name.encode(), str(value).encode()) for name, value in parameters.items()]
        content = b"".join(bytes([len(name), len(value)]) + name + value for name, value in pairs)
        with dial(endpoint) as sock:
            try:
                sock.sendall(record(1, struct.pack("!HB5x", 1, 0)) + record(4, content) + record(4) + record(5))
                return self.told(peer(*self.output(sock).partition(b"\r\n\r\n")[2].decode().split()))
            except ConnectionError as error:
                raise Refused(error) from None

    @staticmethod
    def output(sock):
        said = b""
        while True:
            version, kind, _, length, padding, _ = struct.unpack("!BBHHBB", receive(sock, 8))
            content = receive(sock, length + padding)[:length] if length + padding else b""
            if version != 1 or kind not in (3, 6, 7):
                raise Refused(said)
            if kind == 3:
                return said
            said += content

    def argv(self):
        return [self.program(), "-F", "-n", "-d", "extension=ffi", "-d", "ffi.enable=1", "-y", self.file("fpm.conf", f"""\
[global]
error_log = {self.log.path}
daemonize = no
[who]
user = www-data
group = www-data
listen = {self.host}:{self.port}
listen.allowed_clients = {CLIENT[0]},{CLIENT6[0]},127.0.0.1
pm = {self.manager}
pm.max_children = 4
pm.start_servers = 2
pm.min_spare_servers = 1
pm.max_spare_servers = 3
pm.process_idle_timeout = 600s
""")]


class PhpDynamic(PhpStatic):
    manager = "dynamic"


class PhpOnDemand(PhpStatic):
    """Its master waits for who comes, and lets a child that it starts then accept."""
    manager = "ondemand"
