# SPDX-License-Identifier: MIT
"""name_servers.py: DNS over TCP."""
import signal
import socket

from contract import Refused
from described import Dns, Unlogged, peer


class Unbound(Dns):
    name = "unbound"
    programs = ("unbound",)
    names = r"info: {address} \S+ A IN"
    tells_ports = False
    accept_error = r".*(?:accept failed|error:).*"
    ready_line = r"start of service"
    reload_signal = signal.SIGHUP
    reload_refuses = True
    reloaded = ready_line

    def told_of(self, word):
        return rf"info: (\S+) {word}\.test\. A IN"

    def argv(self):
        return [self.program(), "-d", "-p", "-c", self.file("unbound.conf", f"""\
server:
    interface: {self.host}@{self.port}
    do-udp: no
    num-threads: 2
    incoming-num-tcp: 1000
    username: ""
    chroot: ""
    directory: "{self.directory}"
    use-syslog: no
    log-queries: yes
    access-control: 0.0.0.0/0 allow
    access-control: ::/0 allow
    local-zone: "test." static
    module-config: "iterator"
remote-control:
    control-enable: no
""")]


class Bind(Dns):
    """A listener for each of its threads."""
    name = "bind"
    programs = ("named",)
    names = r"client @\S+ {address}#{port} "
    accept_error = r".*(?:accept\w* .*failed|Accepting TCP connection failed|critical:).*"
    ready_line = r" running$"
    reload_signal = signal.SIGHUP
    reloaded = ready_line

    def told_of(self, word):
        return rf"client @\S+ (\S+)#(\d+) \({word}\.test\): query"

    def argv(self):
        return [self.program(), "-g", "-n", "2", "-c", self.file("named.conf", f"""\
options {{
    directory "{self.directory}";
    listen-on port {self.port} {{ {self.host}; }};
    listen-on-v6 {{ none; }};
    pid-file none;
    session-keyfile none;
    recursion no;
    allow-query {{ any; }};
    querylog yes;
    dnssec-validation no;
    tcp-clients 1000;
}};
controls {{ }};
""")]


class Knot(Unlogged, Dns):
    """Its module whoami answers with the address of who asks."""
    name = "knot"
    programs = ("knotd",)
    tells_ports = False
    accept_error = r".*(?:error|critical): .*"
    ready_line = r"server started"
    reload_signal = signal.SIGHUP
    reloaded = r"configuration reloaded"

    def login(self, endpoint):
        for kind, family in ((1, socket.AF_INET), (28, socket.AF_INET6)):
            answer = self.query(endpoint, "who.test", kind)
            if answer[3] & 15 or not answer[7]:
                continue
            size = 4 if family == socket.AF_INET else 16
            at = answer.index(bytes([0, size]), 12 + len("\3who\4test\0") + 4 + 10 - 2)
            return self.told(peer(socket.inet_ntop(family, answer[at + 2:at + 2 + size])))
        raise Refused(answer)

    def argv(self):
        self.file("who.test.zone", "@ 1 IN SOA a. b. 1 1 1 1 1\n@ IN NS a.\n")
        return [self.program(), "-c", self.file("knot.conf", f"""\
server:
    rundir: {self.directory}
    listen: {self.host}@{self.port}
    tcp-workers: 2
    tcp-max-clients: 1000
log:
  - target: stderr
    any: info
database:
    storage: {self.directory}
control:
    listen: {self.directory}/knot.sock
zone:
  - domain: who.test
    file: {self.directory}/who.test.zone
    module: mod-whoami
""")]
