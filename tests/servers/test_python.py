# SPDX-License-Identifier: MIT
"""CPython with worker processes: accept4() and getpeername(), on a dual-stack [::]; the parent sends the accepted
sockets to its workers (SCM_RIGHTS), forked or executed anew, or they share the listener."""
import signal
from pathlib import Path

from contract import Contract, Peer, Server, strangers
from harness import descendants, tool
from web import get, served_at_once, unmapped

SCRIPT = Path(__file__).with_name("prefork_server.py")


class PythonSent(Server):
    name = "python"
    stop_signal = signal.SIGTERM
    accept_error = r"^error .*"
    nonsense = b"\0\r\n\r\n"
    how = "sent"

    def __init__(self, directory, template, settings, host="127.0.0.1"):
        super().__init__(directory, template, settings, host)
        self.client_log = self.log

    @property
    def listens_on(self):
        return f"[::]:{self.port}"

    def argv(self):
        return [tool("python3"), SCRIPT, self.port, self.how]

    def is_ready(self, mark):
        return len(self.log.find(r"^listening$", mark)) == 2

    def login(self, endpoint):
        address, port, _ = get(endpoint).split()
        return Peer(unmapped(address), int(port))

    def direct_login(self):
        return self.login(self.endpoint)

    def log_names(self, peer, since):
        return self.log.find(rf"^served (?:::ffff:)?{peer[0]} {peer[1]}$", since)

    def log_names_refused(self, peer, since):
        return self.log.find(rf"^refused (?:::ffff:)?{peer[0]} {peer[1]}$", since)


class PythonExecuted(PythonSent):
    how = "executed"


class PythonShared(PythonSent):
    how = "shared"
    loses_races = True

    def acceptors(self):
        return [pid for pid, _ in descendants(self.pid)]


SERVER = PythonSent
VARIANTS = [PythonSent, PythonExecuted, PythonShared]


class TestContract(Contract):
    pass


def test_each_of_many_clients_at_once_is_served_as_itself(start, variant):
    server, clients = start(kind=variant, LOG="stderr:notice", TIMEOUT="60s"), strangers(300)
    answers = served_at_once(server, clients)
    assert [(unmapped(address), int(port)) for address, port, _ in answers] == clients
    assert {int(pid) for _, _, pid in answers} <= {pid for pid, _ in descendants(server.pid)}
    assert server.accept_errors() == []
