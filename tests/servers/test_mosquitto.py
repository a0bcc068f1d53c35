# SPDX-License-Identifier: MIT
"""mosquitto: epoll_wait(), accept(), and getpeername() of the accepted socket."""
import functools
import itertools
import signal

from contract import Contract, Peer, Refused, Server
from harness import exchange, tool

CONNECTED = b"\x20\x02\0\0"
DISCONNECT = b"\xe0\0"


@functools.cache
def program():
    return tool("mosquitto")


def mqtt_connect(client_id):
    """MQTT 3.1.1's first packet, for a clean session of at most a minute's silence."""
    rest = b"\0\4MQTT\4\2\0\x3c" + len(client_id).to_bytes(2, "big") + client_id
    return b"\x10" + bytes([len(rest)]) + rest


class Mosquitto(Server):
    name = "mosquitto"
    ready_line = r"mosquitto version \S+ running"
    stop_signal = signal.SIGTERM
    reload_signal = signal.SIGHUP
    reloaded = r"Reloading config"
    accept_error = r"Unable to accept.*|.*[Aa]ccept.*(?:error|failed).*"

    ids = itertools.count(1)

    @classmethod
    def make_template(cls, directory):
        program()

    def __init__(self, directory, template, settings, host="127.0.0.1"):
        super().__init__(directory, template, settings, host)
        self.client_log = self.log

    def argv(self):
        config = self.directory / "mosquitto.conf"
        config.write_text(f"listener {self.port} {self.endpoint[0]}\nallow_anonymous true\n"
                          "log_dest stderr\nlog_type all\n")
        return [program(), "-c", config]

    def login(self, endpoint):
        """The protocol has no question for one's own address: the log tells it of this client id."""
        name = f"client-{next(self.ids)}"
        mark = self.log.mark()
        answer = exchange(endpoint, mqtt_connect(name.encode()) + DISCONNECT)
        if answer != CONNECTED:
            raise Refused(answer)
        connected = rf"New client connected from (\S+):(\d+) as {name} "
        self.log.wait(connected, mark)
        [(address, port)] = self.log.find(connected, mark)
        return Peer(address, int(port))

    def direct_login(self):
        return self.login(self.endpoint)

    def log_names(self, peer, since):
        return self.log.find(rf"New connection from {peer[0]}:{peer[1]} on port {self.port}\.", since)

    def log_names_refused(self, peer, since):
        return self.log_names(peer, since) and self.log.find(r"Client <unknown> disconnected due to protocol error",
                                                             since)


SERVER = Mosquitto


class TestContract(Contract):
    pass
