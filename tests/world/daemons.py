# SPDX-License-Identifier: MIT
"""daemons.py: logins, files, directories, relays: servers of the other protocols."""
import re
import struct
from pathlib import Path

from contract import Refused
from described import UNPACKED, Described, InTurn, converse, new_word, over_tls, peer, receive
from harness import dial, reserve_port, run, tool, unprivileged
from place import needs
from test_sshd import Sshd


class Dropbear(Sshd):
    """Forks for each client; the keys that it lets in lie in a home of its own."""
    name = "dropbear"
    accept_error = r".*(?:accept|Failed).*: .*"
    ready_line = None

    @classmethod
    def make_template(cls, directory):
        needs("root", "mounts")
        tool("dropbear")
        run(tool("dropbearkey"), "-t", "ed25519", "-f", directory / "host")
        run(tool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", directory / "client")
        keys = directory / "home" / ".ssh"
        keys.mkdir(parents=True)
        for path in directory / "home", keys:
            path.chmod(0o700)
        (keys / "authorized_keys").write_text((directory / "client.pub").read_text())
        (keys / "authorized_keys").chmod(0o600)

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.ready_line = r"Not backgrounding"

    def argv(self):
        return ["unshare", "--mount", "/bin/sh", "-c", 'mount --bind "$0" ~root && exec "$@"', self.template / "home",
                tool("dropbear"), "-F", "-E", "-r", self.template / "host", "-p", "{}:{}".format(*self.endpoint),
                "-P", self.directory / "pid"]

    def log_names(self, peer, since):
        return self.log.find(rf"Child connection from {peer[0]}:{peer[1]}$", since)

    log_names_refused = log_names


class Ftp(Described):
    """Its log says who logs in by which name."""
    needs_root = True
    nonsense = b"QUIT\r\n"
    more = ""

    def say(self, endpoint, word):
        converse(endpoint, (b"220 ", b"USER ftp\r\n"), (b"331 ", f"PASS {word}@test\r\n".encode()),
                 (b"230 ", b"QUIT\r\n"), (b"221 ", b""))


class Vsftpd(Ftp):
    name = "vsftpd"
    programs = ("vsftpd",)
    places = (f"{UNPACKED}/vsftpd/usr/sbin/vsftpd",)
    own_log = "vsftpd-own.log"
    names = r'CONNECT: Client "(?:::ffff:)?{address}"'
    tells_ports = False
    accept_error = r".*OOPS.*"

    def told_of(self, word):
        return rf'OK LOGIN: Client "(\S+)", anon password "{word}@test"'

    def is_ready(self, mark):
        return self.listens()

    def argv(self):
        empty = self.directory / "empty"
        empty.mkdir(exist_ok=True)
        return [self.program(), self.file("vsftpd.conf", f"""\
listen=YES
listen_address={self.host}
listen_port={self.port}
background=NO
anonymous_enable=YES
ftp_username=nobody
secure_chroot_dir={empty}
anon_root={empty}
xferlog_enable=YES
log_ftp_protocol=YES
vsftpd_log_file={self.client_log.path}
max_per_ip=0
max_clients=0
accept_timeout=600
{self.more}idle_session_timeout=600
""")]


class ProFtpd(Ftp):
    name = "proftpd"
    programs = ("proftpd",)
    ipv6_routes = ()
    own_log = "clients.log"
    names = r"^{address} (?:-|{port}) "
    tells_ports = False
    accept_error = r".*(?:fatal|accept\(\)|error: ).*"
    ready_line = r"ProFTPD .* standalone mode STARTUP"

    def say(self, endpoint, word):
        converse(endpoint, (b"220 ", f"USER {word}\r\n".encode()), (b"331 ", b"PASS secret\r\n"), (b"530 ", b"QUIT\r\n"),
                 (b"221 ", b""))

    def told_of(self, word):
        return rf"^(\S+) - USER {word}"

    def argv(self):
        return [self.program(), "-n", "-c", self.file("proftpd.conf", f"""\
ServerType standalone
ServerName test
DefaultAddress {self.host}
Port {self.port}
User nobody
Group nogroup
UseIPv6 off
UseReverseDNS off
UseFtpUsers off
MaxInstances none
TimeoutLogin 600
PidFile {self.directory}/pid
ScoreboardFile {self.directory}/scoreboard
DelayTable none
WtmpLog off
TransferLog none
LogFormat peers "%a - %r"
ExtendedLog {self.client_log.path} ALL peers
<Anonymous {self.directory}>
User nobody
Group nogroup
UserAlias ftp nobody
RequireValidShell off
</Anonymous>
{self.more}""")]


class PgBouncer(Described):
    name = "pgbouncer"
    programs = ("pgbouncer",)
    ipv6_routes = ()  # but for the first it accepts in a row: the room for the next is what that one's address took
    user = unprivileged("postgres")
    names = r"@{address}:{port} "
    accept_error = r".*(?:accept\(\) failed|FATAL).*"
    ready_line = r"process up: PgBouncer"
    nonsense = struct.pack("!II", 8, 12345)

    def told_of(self, word):
        return rf"@(\S+):(\d+) login attempt: db={word} "

    def say(self, endpoint, word):
        said = b"\0\3\0\0" + b"".join(text + b"\0" for text in (b"user", b"who", b"database", word.encode(), b""))
        with dial(endpoint) as sock:
            try:
                sock.sendall(struct.pack("!I", 4 + len(said)) + said)
                if receive(sock, 1) != b"R":
                    raise Refused("no answer of PostgreSQL's")
            except ConnectionError as error:
                raise Refused(error) from None

    def argv(self):
        return [self.program(), self.file("pgbouncer.ini", f"""\
[databases]
* = host={self.host} port=1
[pgbouncer]
listen_addr = {self.host}
listen_port = {self.port}
unix_socket_dir =
auth_type = plain
auth_file = {self.file("users", '"who" "secret"')}
max_client_conn = 1000
tcp_defer_accept = 0
""")]


class Slapd(Described):
    """Asked often enough that it is in no doubt about what it reads, whatever stands before."""
    name = "slapd"
    programs = ("slapd",)
    names = r" ACCEPT from IP=\[?{address}\]?:{port} "
    accept_error = r".*accept\(.*\) failed.*"

    def is_ready(self, mark):
        return self.listens()

    def login(self, endpoint):
        """A bind; the line that has its name has the connection's number, and another the client."""
        word, mark = new_word(), self.log.mark()
        name = f"cn={word}".encode()
        bind = bytes([2, 1, 3, 4, len(name)]) + name + bytes([0x80, 1]) + b"x"
        body = bytes([2, 1, 1, 0x60, len(bind)]) + bind
        with dial(endpoint) as sock:
            try:
                sock.sendall((bytes([0x30, len(body)]) + body) * 3)
                if receive(sock, 1) != b"\x30":
                    raise Refused("no answer of LDAP's")
            except ConnectionError as error:
                raise Refused(error) from None
        self.log.wait(rf'op=0 BIND dn="cn={word}"', mark)
        [number] = self.log.find(rf'conn=(\d+) op=0 BIND dn="cn={word}" method', mark)
        return self.named(rf"conn={number} fd=\d+ ACCEPT from IP=\[?(.+?)\]?:(\d+) ", mark)

    def argv(self):
        return [self.program(), "-f", self.file("slapd.conf", f"pidfile {self.directory}/pid\n"), "-h",
                 f"ldap://{self.host}:{self.port}/", "-d", "stats"]


class Stunnel(Described):
    """Tells the program that it starts for a client who that is."""
    name = "stunnel"
    programs = ("stunnel4", "openssl")
    names = r"accepted connection from {address}:{port}$"
    accept_error = r".*(?:accept|FORK_WRITER).*: .* \(\d+\)$"
    ready_line = r"Configuration successful"
    nonsense = b"\r\n" * 20

    @classmethod
    def make_template(cls, directory):
        super().make_template(directory)
        run(tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", "/CN=localhost", "-keyout", directory / "key", "-out", directory / "crt")

    def login(self, endpoint):
        return peer(*over_tls(endpoint).split())

    def argv(self):
        return [self.program(), self.file("stunnel.conf", f"""\
foreground = yes
pid =
debug = info
[who]
accept = {self.host}:{self.port}
cert = {self.template}/crt
key = {self.template}/key
exec = /bin/sh
execArgs = sh {self.file("who", "echo $REMOTE_HOST $REMOTE_PORT")}
""")]


class Samba(Described):
    """It runs a command for each who comes to a share, and tells it who that is."""
    name = "samba"
    programs = ("smbd", "smbclient")
    needs_root = True
    nonsense = b"\0\0\0\4nope"
    own_log = "clients.log"
    names = r"^{address} "
    tells_ports = False
    accept_error = r".*(?:accept: |PANIC).*"

    def is_ready(self, mark):
        return self.listens()

    def told_of(self, word):
        return rf"^(\S+) {word}$"

    def say(self, endpoint, word):
        host, port = endpoint
        done = run(tool("smbclient"), f"//{host}/who", "-p", str(port), "-N", "-n", word, "-c", "exit",
                   "-s", self.directory / "smb.conf", check=False)
        if done.returncode:
            raise Refused(done.stdout + done.stderr)

    def argv(self):
        for made in ("private", "lock", "state", "cache", "pid", "ncalrpc", "share"):
            (self.directory / made).mkdir(exist_ok=True)
        return [self.program(), "-F", "--no-process-group", "--debug-stdout", "-d", "1", "-p", str(self.port), "-s",
                self.file("smb.conf", f"""\
[global]
interfaces = lo
bind interfaces only = yes
private dir = {self.directory}/private
lock directory = {self.directory}/lock
state directory = {self.directory}/state
cache directory = {self.directory}/cache
pid directory = {self.directory}/pid
ncalrpc dir = {self.directory}/ncalrpc
map to guest = bad user
disable netbios = yes
load printers = no
[who]
path = {self.directory}/share
guest ok = yes
preexec = /bin/sh -c 'echo %I %m >>{self.client_log.path}'
""")]


class Exim(Described):
    """Greets each client by its address. It is but unpacked, and its user is one in a file of its own."""
    name = "exim"
    programs = ("exim4",)
    places = (f"{UNPACKED}/exim4-daemon-light/usr/sbin/exim4",)
    needs_root = True
    own_log = "mainlog"
    names = r"SMTP connection from \[{address}\]:{port} "
    accept_error = r".*(?:accept|panic|Failed).*"

    @classmethod
    def make_template(cls, directory):
        needs("mounts")
        super().make_template(directory)

    def login(self, endpoint):
        greeted = converse(endpoint, (b"220 ", b"EHLO client.test\r\n"), (b"250", b"QUIT\r\n"))
        [address] = re.findall(r" Hello client\.test \[(.+)\]", greeted.decode())
        return peer(address)

    def is_ready(self, mark):
        return self.listens()

    def argv(self):
        (self.directory / "spool").mkdir(exist_ok=True)
        (self.directory / "spool").chmod(0o777)
        self.directory.chmod(0o777)
        self.file("passwd", Path("/etc/passwd").read_text() + "Debian-exim:x:65500:65500::/nonexistent:/bin/false\n")
        self.file("group", Path("/etc/group").read_text() + "Debian-exim:x:65500:\n")
        return ["unshare", "--mount", "/bin/sh", "-c",
                'mount --bind "$0/passwd" /etc/passwd && mount --bind "$0/group" /etc/group && exec "$@"', self.directory,
                self.program(), "-bdf", "-C", self.file("exim.conf", f"""\
exim_path = {self.program()}
exim_user = nobody
exim_group = nogroup
spool_directory = {self.directory}/spool
log_file_path = {self.directory}/%slog
log_selector = +smtp_connection +incoming_port
local_interfaces = {self.host}.{self.port}
primary_hostname = mail.test
host_lookup =
rfc1413_hosts =
tls_advertise_hosts =
smtp_accept_max = 0
pid_file_path = {self.directory}/pid
""")]


class Pgpool(InTurn):
    """Without a server of PostgreSQL behind it, it tells its client that, and its log who that was."""
    name = "pgpool"
    programs = ("pgpool",)
    keeps_waiting = False
    user = unprivileged("postgres")
    names = r"connecting host={address} port={port}$"
    accept_error = r".*(?:accept\(\) failed|PANIC).*"
    ready_line = r"pgpool-II successfully started"
    nonsense = struct.pack("!II", 8, 12345)
    children = 4

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.backend_port = reserve_port()  # of nobody

    def told_of(self, word):
        return r"connecting host=(\S+) port=(\d+)$"

    def say(self, endpoint, word):
        said = b"\0\3\0\0" + b"".join(text + b"\0" for text in (b"user", word.encode(), b"database", b"who", b""))
        with dial(endpoint) as sock:
            try:
                sock.sendall(struct.pack("!I", 4 + len(said)) + said)
                if receive(sock, 1) != b"E":
                    raise Refused("no answer of PostgreSQL's")
            except ConnectionError as error:
                raise Refused(error) from None

    def argv(self):
        self.directory.chmod(0o777)
        pcp = self.file("pcp.conf", "")
        return [self.program(), "-n", "-F", pcp, "-f", self.file("pgpool.conf", f"""\
listen_addresses = '{self.host}'
port = {self.port}
socket_dir = '{self.directory}'
pcp_socket_dir = '{self.directory}'
pcp_listen_addresses = ''
pid_file_name = '{self.directory}/pid'
logdir = '{self.directory}'
backend_clustering_mode = 'raw'
backend_hostname0 = '{self.host}'
backend_port0 = {self.backend_port}
failover_on_backend_error = off
num_init_children = {self.children}
log_connections = on
""")]
