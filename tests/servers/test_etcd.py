# SPDX-License-Identifier: MIT
"""etcd, Debian's: a dynamic Go program that speaks gRPC, and HTTP, at the same port."""
import functools
import json

from contract import Asked, Peer, Refused, refused
from go_foreign import Foreign, ForeignContract, Logging
from harness import CLIENT, reserve_port, run, tool, until


@functools.cache
def program():
    return tool("etcd")


class Etcd(Logging, Foreign):
    """Asked by etcdctl, over gRPC; many clients ask over HTTP."""
    name = "etcd"
    accept_error = r".*accept tcp.*"
    path = "/v2/keys?%d"
    refusal = b""
    logs_all = False

    @classmethod
    def make_template(cls, directory):
        program(), tool("etcdctl")

    def __init__(self, directory, template, settings, host="127.0.0.1"):
        super().__init__(directory, template, settings, host)
        self.client_log = self.log
        self.env["PPSHIM_PORTS"] = str(self.port)
        if settings is None:
            del self.env["PPSHIM_PORTS"]

    def argv(self):
        mine, peers = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{reserve_port()}"
        return [program(), "--data-dir", self.directory / "data", "--listen-client-urls", mine,
                "--advertise-client-urls", mine, "--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers,
                "--initial-cluster", f"default={peers}", "--unsafe-no-fsync", "--enable-v2", "--logger", "zap",
                "--log-outputs", "stderr", "--log-level", "debug"]

    def is_ready(self, mark):
        return self.log.find(r"serving client traffic insecurely", mark)

    def entries(self, message, since):
        lines = (line for line in self.log.text(since).splitlines(True) if line.startswith("{") and line.endswith("\n"))
        return [entry for entry in map(json.loads, lines) if entry["msg"] == message]

    def logged(self, since):
        return [(entry["request-uri"].partition("?")[2], entry["remote-addr"])
                for entry in self.entries("handling HTTP request", since)]

    def login(self, endpoint):
        mark, key = self.log.mark(), f"key{self.number()}"
        host = f"[{endpoint[0]}]" if ":" in endpoint[0] else endpoint[0]
        done = run(tool("etcdctl"), "--endpoints", f"http://{host}:{endpoint[1]}", "--dial-timeout", "1s",
                   "--command-timeout", "10s", "put", key, "value", check=False)
        if done.returncode:
            raise Refused(done.stderr)
        asked = until(lambda: [entry for entry in self.entries("request stats", mark) if key in entry["request content"]],
                      "it is in the log")
        address, _, port = asked[0]["remote"].rpartition(":")
        return Peer(address.strip("[]"), int(port))

    def direct_login(self):
        return self.login(self.endpoint)

    def log_names(self, peer, since):
        return any(entry["remote"].rpartition(":")[0].strip("[]") == peer[0] and entry["remote"].endswith(f":{peer[1]}")
                   for entry in self.entries("request stats", since))


SERVER = Etcd


class TestContract(ForeignContract, Asked):
    def test_with_untrusted_peers_rejected_only_the_balancer_gets_in(self, start, balance):
        """It is a client of its own port too, and so is etcdctl several times."""
        server = start(UNTRUSTED="reject")
        assert refused(server.direct_login)
        assert {event.reason for event in server.log.events("reject")} == {"untrusted"}
        assert server.login(balance(server)["send-proxy-v2"]) == CLIENT
