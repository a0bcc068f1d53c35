# SPDX-License-Identifier: MIT
"""memcached: libevent's epoll_wait(), accept4() in the main thread, getpeername() in a worker for `stats conns`."""
import functools
import re
import select
import signal

from contract import Contract, Peer, Refused, Server
from harness import Log, dial, exchange, tool, unprivileged


@functools.cache
def program():
    return tool("memcached")


class Watched(Log):
    """What memcached tells a client that watches connections come and go; it does from the first mark on."""

    def __init__(self, path, endpoint):
        super().__init__(path)
        self.endpoint = endpoint
        self.watcher = None

    def mark(self):
        if self.watcher is None:
            self.watcher = dial(self.endpoint)
            self.watcher.sendall(b"watch connevents\r\n")
            assert self.watcher.recv(4) == b"OK\r\n"
        self.text()
        return super().mark()

    def text(self, since=0):
        while self.watcher and select.select([self.watcher], [], [], 0)[0]:
            piece = self.watcher.recv(65536)
            if not piece:
                break
            with self.path.open("ab") as file:
                file.write(piece)
        return super().text(since)

    def close(self):
        if self.watcher:
            self.watcher.close()


class Memcached(Server):
    name = "memcached"
    ready_line = r"server listening"
    stop_signal = signal.SIGTERM
    accept_error = r"accept4?\(\).*|Too many open connections|.*Failed to .*listen.*"
    nonsense = b"x" * 4096  # too long for a command

    @classmethod
    def make_template(cls, directory):
        program()

    def __init__(self, directory, template, settings, host="127.0.0.1"):
        super().__init__(directory, template, settings, host)
        self.client_log = Watched(self.directory / "clients.log", self.endpoint)

    def __exit__(self, *error):
        self.client_log.close()
        super().__exit__(*error)

    def argv(self):
        host, port = self.endpoint
        user = unprivileged("memcache")
        return [program(), "-l", host, "-p", port, "-t", "1", "-m", "8", "-vv", *(("-u", user) if user else ())]

    def login(self, endpoint):
        """With one worker there is one connection in the middle of a command: the one that asks."""
        answer = exchange(endpoint, b"stats conns\r\nquit\r\n").decode()
        if not answer.startswith("STAT "):
            raise Refused(answer)
        [mine] = re.findall(r"^STAT (\d+):state conn_parse_cmd\r$", answer, re.M)
        [(address, port)] = re.findall(rf"^STAT {mine}:addr tcp6?:\[?(.+?)\]?:(\d+)\r$", answer, re.M)
        return Peer(address, int(port))

    def direct_login(self):
        return self.login(self.endpoint)

    def log_names(self, peer, since):
        return self.client_log.find(rf" type=conn_new rip={peer[0]} rport={peer[1]} ", since)

    def log_names_refused(self, peer, since):
        return self.client_log.find(rf" type=conn_close rip={peer[0]} rport={peer[1]} ")


SERVER = Memcached


class TestContract(Contract):
    pass
