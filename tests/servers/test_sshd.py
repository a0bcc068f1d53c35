# SPDX-License-Identifier: MIT
"""sshd: ppoll(), accept(), then fork and exec of itself, from OpenSSH 9.8 on of sshd-session, for each client; only after
the exec it asks for the peer."""
import functools
import os
import pwd
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from contract import Contract, Peer, Refused, Server
from harness import CLIENT, MODES, ROUTES, SHIM, run, tool


@functools.cache
def sshd():
    """By absolute path: it executes itself."""
    return tool("sshd")


def session_image():
    """What it executes for a client."""
    told = run(sshd(), "-V", check=False).stderr  # before 9.0 an unknown option, with the version below
    separate = tuple(map(int, re.search(r"OpenSSH_(\d+)\.(\d+)", told).groups())) >= (9, 8)
    return "/usr/lib/openssh/sshd-session" if separate else os.path.realpath(sshd())


class Sshd(Server):
    name = "sshd"
    accept_error = r"accept: .*"
    user = None
    account = pwd.getpwuid(os.geteuid()).pw_name

    @classmethod
    def make_template(cls, directory):
        sshd()
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # as Debian's unit does
        for key in ("host", "client", "fenced"):
            run(tool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", directory / key)
        client, fenced = ((directory / f"{key}.pub").read_text() for key in ("client", "fenced"))
        (directory / "authorized_keys").write_text(f'{client}from="{CLIENT[0]}" {fenced}')

    def __init__(self, directory, template, settings, host="127.0.0.1"):
        super().__init__(directory, template, settings, host)
        self.client_log = self.log
        self.ready_line = rf"Server listening on {re.escape(host)} port {self.port}\."

    def argv(self):
        config = self.directory / "sshd_config"
        config.write_text(f"""\
ListenAddress {self.endpoint[0]}:{self.port}
HostKey {self.template}/host
AuthorizedKeysFile {self.template}/authorized_keys
PidFile none
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
UsePAM no
UseDNS no
LogLevel VERBOSE
SetEnv SHLVL=2
""")  # the last: a shell that is not the first one leaves its user's .bashrc alone
        return [sshd(), "-D", "-e", "-f", config]

    def session(self, command, endpoint, key="client"):
        """What a command prints in a session of its own."""
        options = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ConnectTimeout=20",
                   "IdentitiesOnly=yes", "LogLevel=ERROR", "KexAlgorithms=curve25519-sha256"]  # the default takes 0.1 s
        host, port = endpoint
        done = run(tool("ssh"), "-F", "none", *(word for option in options for word in ("-o", option)),
                   "-i", self.template / key, "-p", str(port), f"{self.account}@{host}", command, check=False)
        if done.returncode:
            raise Refused(done.stderr)
        return done.stdout

    def login(self, endpoint):
        address, port, *_ = self.session('echo "$SSH_CONNECTION"', endpoint).split()
        return Peer(address, int(port))

    def direct_login(self):
        return self.login(self.endpoint)

    def log_names(self, peer, since):
        return (self.log.find(rf"^Connection from {peer[0]} port {peer[1]} on ", since)
                and self.log.find(rf"^Accepted publickey for {self.account} from {peer[0]} port {peer[1]} ", since))

    def log_names_refused(self, peer, since):
        return self.log.find(rf"^banner exchange: Connection from {peer[0]} port {peer[1]}: invalid format", since)

    def start_children(self, endpoint):
        """sshd again for the connection, the account's shell, a shell below it."""
        assert self.session("sh -c 'echo $((6 * 7))'", endpoint) == "42\n"


SERVER = Sshd


class TestContract(Contract):
    pass


def test_the_process_that_asks_for_the_peer_is_another_image_than_the_one_that_accepted(server, balancer):
    """What the tests above prove needs the shim in the image that was executed, and the client's address to outlive exec."""
    command = "readlink /proc/$PPID/exe; cat /proc/$PPID/stat; cat /proc/$PPID/maps; echo $SSH_CONNECTION"
    told = server.session(command, balancer["send-proxy-v2"])
    assert told.startswith(f"{session_image()}\n")
    assert int(told.splitlines()[1].split()[0]) != server.pid
    assert str(SHIM) in told
    assert told.splitlines()[-1].startswith(f"{CLIENT[0]} ")


def test_only_the_sshd_that_listens_says_that_the_shim_is_active(server, balancer):
    for mode in ("send-proxy", "send-proxy-v2"):
        server.login(balancer[mode])
    assert [event.pid for event in server.log.events("active")] == [server.pid]


@pytest.mark.parametrize("mode", MODES)
def test_a_session_has_all_of_ssh_connection_and_ssh_client_right(server, balancer, mode):
    told = server.session("echo $SSH_CONNECTION; echo $SSH_CLIENT", balancer[mode])
    assert told == f"{CLIENT[0]} {CLIENT[1]} 127.0.0.1 {server.port}\n{CLIENT[0]} {CLIENT[1]} {server.port}\n"


def test_from_lists_in_authorized_keys_hold_for_the_client(server, balancer):
    """A key with from="203.0.113.7" opens for the client behind the balancer, and for nobody on this host."""
    assert server.session("echo in", balancer["send-proxy-v2"], key="fenced") == "in\n"
    for endpoint in (server.endpoint, balancer["stranger"]):
        with pytest.raises(Refused, match="Permission denied"):
            server.session("echo in", endpoint, key="fenced")


def test_sessions_at_once_know_each_its_own_client(server, balancer):
    """Each is a new image of sshd that asks for its peer while others do."""
    routes = ["send-proxy", "stranger", "ipv6-v2", "send-proxy-v2"] * 2
    with ThreadPoolExecutor(len(routes)) as pool:
        told = list(pool.map(lambda route: server.login(balancer[route]), routes))
    assert told == [ROUTES[route].client for route in routes]


def test_sshd_goes_on_after_it_restarted_itself(start, balance):
    """SIGHUP: sshd closes its listeners and executes itself anew, in the same process."""
    server = start()
    balancer = balance(server)
    assert server.login(balancer["send-proxy"]) == CLIENT
    mark = server.log.mark()
    os.kill(server.pid, signal.SIGHUP)
    server.log.wait(server.ready_line, mark)
    assert server.login(balancer["send-proxy-v2"]) == CLIENT
    assert [event.pid for event in server.log.events("active")] == [server.pid] * 2
