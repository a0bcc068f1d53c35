# SPDX-License-Identifier: MIT
"""Dovecot: a master watches the listener (epoll_wait) and lets imap-login, which it executes and hands the listener,
accept; that one asks getpeername(). The master hands its children no more of its environment than it is told to."""
import contextlib
import fcntl
import functools
import itertools
import os
import re
import shutil
import signal
import stat
import struct
import termios
from pathlib import Path

import counters
import pytest
from contract import Contract, Peer, Refused, Server, TrustFile
from harness import BALANCER, CLIENT, ROUTES, descendants, dial, example, run, tool, until
from place import needs


@functools.cache
def program():
    return tool("dovecot")


@functools.cache
def is_2_4():
    """Its settings have other names and forms."""
    return tuple(map(int, run(program(), "--version").stdout.split(" ")[0].split(".")[:2])) >= (2, 4)


def unread(pipe):
    """How many bytes stand in it."""
    end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return struct.unpack("i", fcntl.ioctl(end, termios.FIONREAD, bytes(4)))[0]
    finally:
        os.close(end)


class Dovecot(Server):
    """As its documentation advises for many clients: one imap-login serves any number of them."""
    name = "dovecot"
    ready_line = r"master: Info: Dovecot v\S+ .*starting up"
    stop_signal = signal.SIGTERM
    reload_signal = signal.SIGHUP
    reload_refuses = True  # its login processes are replaced, and some clients with them
    reloaded = r"SIGHUP received - reloading configuration"
    accept_error = r".*accept\(.*\) failed.*|.*(?:Panic|Fatal):.*"
    counts = False
    clients = "unlimited"  # of one process
    service = "process_min_avail = 1"
    admitted = ""

    users = itertools.count(1)

    @classmethod
    def make_template(cls, directory):
        needs("root")  # its master gives imap-login's directory away
        program()

    def __init__(self, directory, template, settings, host="127.0.0.1"):
        super().__init__(directory, template, settings, host)
        self.client_log = self.log

    def is_ready(self, mark):
        """Its log, too: of what a process says in a pipe of which the log has not read its greeting yet, Dovecot 2.3
        loses what comes with that."""
        return super().is_ready(mark) and any(map(self.reads_its_pipes, descendants(self.pid)))

    @staticmethod
    def reads_its_pipes(process):
        files = Path(f"/proc/{process[0]}/fd")
        with contextlib.suppress(FileNotFoundError):  # it has ended, or has become another program
            pipes = [file for file in files.iterdir() if os.readlink(file).startswith("pipe:")
                     and not file.lstat().st_mode & stat.S_IWUSR]
            return Path(f"/proc/{process[0]}/comm").read_text() == "log\n" and pipes and not any(map(unread, pipes))

    def argv(self):
        config = self.directory / "dovecot.conf"
        config.write_text(f"""\
{self.settings_2_4() if is_2_4() else self.settings_2_3()}
protocols = imap
listen = {self.endpoint[0]}
base_dir = {self.directory}/run
state_dir = {self.directory}/state
log_path = {self.log.path}
ssl = no
first_valid_uid = 1
verbose_proctitle = yes
service imap-login {{
  {self.limit()}
  {self.service}
  inet_listener imap {{
    port = {self.port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
""")
        (self.directory / "mail").mkdir(exist_ok=True)
        (self.directory / "mail").chmod(0o777)
        return [program(), "-F", "-c", config]

    def limit(self):
        return f"restart_request_count = {self.clients}" if is_2_4() else f"service_count = {self.clients}".replace("unlimited", "0")

    def settings_2_3(self):
        return f"""\
{self.example_with_names("dovecot.conf")}
disable_plaintext_auth = no
passdb {{
  driver = static
  args = password=secret {f"allow_nets={self.admitted}" if self.admitted else ""}
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={self.directory}/mail/%u
}}
mail_location = maildir:~
login_log_format_elements = user=<%u> rip=%r rport=%{{rport}}
mail_log_prefix = "%s(%u) rip=%r: "
"""

    def settings_2_4(self):
        """The lines of the example for variables that are not set here are left out, as it says."""
        named = "".join(f"  {name} = %{{env:{name}}}\n" for name in self.env)
        given = re.sub(r"(?<=^import_environment {\n).*?(?=^})", named, example("dovecot-2.4.conf"), flags=re.M | re.S)
        return f"""\
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
{given}
auth_allow_cleartext = yes
passdb static {{
  password = secret
  fields {{
    {f"allow_nets = {self.admitted}" if self.admitted else ""}
  }}
}}
userdb static {{
  fields {{
    uid = nobody
    gid = nogroup
    home = {self.directory}/mail/%{{user}}
  }}
}}
mail_driver = maildir
mail_path = ~/
login_log_format_elements = user=<%{{user}}> rip=%{{remote_ip}} rport=%{{remote_port}}
mail_log_prefix = "%{{protocol}}(%{{user}}) rip=%{{remote_ip}}: "
"""

    def acceptors(self):
        return [pid for pid, _ in descendants(self.pid) if self.is_login(pid)]

    @staticmethod
    def is_login(pid):
        with contextlib.suppress(OSError):
            return os.readlink(f"/proc/{pid}/exe").endswith("/imap-login")

    def speakers(self):
        return [self.pid, *self.acceptors()]

    def login(self, endpoint):
        """The protocol has no question for one's own address: the log tells it of this user."""
        user, mark = f"user{next(self.users)}", self.log.mark()
        with dial(endpoint) as sock, sock.makefile("rwb") as imap:
            try:
                said = imap.readline()
                if not said.startswith(b"* OK "):
                    raise Refused(said)
                imap.write(b"a login %s secret\r\nb logout\r\n" % user.encode())
                imap.flush()
                said = imap.read()
            except ConnectionError as error:
                raise Refused(error) from None
        if not said.startswith(b"a OK "):  # before it stands what became of a header in front of it
            raise Refused(said)
        logged_in = rf"imap-login: Info: (?:Login|Logged in): user=<{user}>, rip=(\S+), rport=(\d+)"
        self.log.wait(logged_in, mark)
        [(address, port)] = self.log.find(logged_in, mark)
        return Peer(address, int(port))

    def direct_login(self):
        return self.login(self.endpoint)

    def log_names(self, peer, since):
        return self.log.find(rf"imap-login: Info: (?:Login|Logged in): user=<\w+>, rip={peer[0]}, rport={peer[1]}$", since)

    def log_names_refused(self, peer, since):
        return self.log.find(rf"imap-login: Info: .*\(no auth attempts.*rip={peer[0]}, rport={peer[1]}", since)


class DovecotPerClient(Dovecot):
    """As it comes: an imap-login for each client, executed when that is there. PPSHIM_DEFER_ACCEPT is for these: a
    process that waits for a header and gets another client first has no further use for the late one."""
    clients = 1
    service = ""
    keeps_waiting = False
    shares_accounts = False


class DovecotPrestarted(DovecotPerClient):
    """The same, with some that wait for their client."""
    service = "process_min_avail = 2"


class DovecotUnconfined(Dovecot):
    """imap-login changes its root directory; a list file that it is to read again must be within reach."""
    service = f"{Dovecot.service}\n  chroot ="


class DovecotFenced(Dovecot):
    """Who may log in is judged by the auth process, which imap-login tells the address."""
    admitted = f"{CLIENT[0]},127.0.0.1"


SERVER = Dovecot
VARIANTS = [Dovecot, DovecotPerClient, DovecotPrestarted]


class TestContract(Contract):
    list_server = DovecotUnconfined


def test_a_list_file_is_read_before_imap_login_changes_its_root(start, balance, trust_directory):
    server = start(TRUST=f"@{TrustFile(trust_directory, BALANCER).path}")
    assert server.login(balance(server)["send-proxy"]) == CLIENT


@pytest.fixture
def home():
    with counters.directory(0o755) as path:
        yield path


def test_it_counts_in_a_directory_below_its_own_root(home, start, balance):
    class AtHome(Dovecot):
        """On a tmpfs, as /run/dovecot is."""
        def __init__(self, _, *more, **options):
            super().__init__(home, *more, **options)

    server = start(kind=AtHome, STATS="/ppshim")
    stats = Path(home) / "run/login/ppshim"
    stats.mkdir(mode=0o755)
    shutil.chown(stats, "dovenull")
    assert server.login(balance(server)["send-proxy"]) == CLIENT
    told = counters.counted(stats)
    assert (told["connections"], told["found.v1.inet"]) == (1, 1)
    assert counters.groups(stats)[0]["program"] == "imap-login"
    assert server.log.events("stats-off") == []


@contextlib.contextmanager
def session(server, endpoint):
    """A user's, logged in: the connection's file is the imap process's from now on."""
    user = f"user{next(server.users)}"
    with dial(endpoint) as sock, sock.makefile("rwb") as imap:
        assert imap.readline().startswith(b"* OK ")
        imap.write(b"a login %s secret\r\n" % user.encode())
        imap.flush()
        assert imap.readline().startswith(b"a OK ")
        yield user, imap


def titles(server):
    """What the server's processes call themselves."""
    found = []
    for pid, _ in descendants(server.pid):
        with contextlib.suppress(OSError):
            found.append(Path(f"/proc/{pid}/cmdline").read_text().strip("\0"))
    return found


@pytest.mark.parametrize("kind", VARIANTS)
@pytest.mark.parametrize("route", ["send-proxy", "ipv6-v2"])
def test_the_process_that_serves_the_mailbox_knows_the_client(start, balance, kind, route):
    """imap-login, which asked who it is, hands it the connection and what it knows."""
    server = start(kind=kind)
    endpoint, address = balance(server)[route], ROUTES[route].client[0]
    with session(server, endpoint) as (user, imap):
        if not is_2_4():  # there the title tells no more than what it does
            until(lambda: any(f"imap [{user} {address}" in title for title in titles(server)), f"imap names {address}")
        who = tool("doveadm"), "-c", server.directory / "dovecot.conf", "who", "-1", user
        until(lambda: re.search(rf"^{user} +imap +\d+ +{re.escape(address)} *$", run(*who).stdout, re.M), "doveadm names it")
        mark = server.log.mark()
        imap.write(b"b select inbox\r\nc logout\r\n")
        imap.flush()
        assert b"\nc OK " in imap.read()
    server.log.wait(rf"imap\({user}\) rip={re.escape(address)}: Info: (?:Disconnected: )?Logged out", mark)


def test_allow_nets_judges_the_client_and_not_the_balancer(start, balance):
    server = start(kind=DovecotFenced)
    balancer = balance(server)
    assert server.login(balancer["send-proxy-v2"]) == CLIENT
    assert server.direct_login().address == "127.0.0.1"
    with pytest.raises(Refused, match="AUTHENTICATIONFAILED"):
        server.login(balancer["stranger"])
