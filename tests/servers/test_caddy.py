# SPDX-License-Identifier: MIT
"""Caddy, Debian's: a dynamically linked Go program, on a dual-stack listener."""
import functools
import json

from contract import Asked, ListFile, Peer
from go_foreign import Answering, Foreign, ForeignContract
from harness import Log, tool
from web import get


@functools.cache
def program():
    return tool("caddy")


class Caddy(Answering, Foreign):
    name = "caddy"
    accept_error = r'.*"msg":"accept.*'

    @classmethod
    def make_template(cls, directory):
        program()

    def __init__(self, directory, template, settings, host="127.0.0.1"):
        super().__init__(directory, template, settings, host)
        self.client_log = Log(self.directory / "access.log")
        self.env |= {"XDG_DATA_HOME": str(self.directory), "XDG_CONFIG_HOME": str(self.directory)}

    @property
    def listens_on(self):
        return f"[::]:{self.port}"

    def argv(self):
        config = self.directory / "Caddyfile"
        config.write_text(f"""\
{{
	admin off
	auto_https off
}}
:{self.port} {{
	log {{
		output file {self.client_log.path}
	}}
	respond "{{remote_host}} {{remote_port}} 0"
}}
""")
        return [program(), "run", "--adapter", "caddyfile", "--config", config]

    def is_ready(self, mark):
        return self.log.find(r'"msg":"serving initial configuration"', mark)

    def login(self, endpoint):
        address, port, _ = get(endpoint).split()
        return Peer(address, int(port))

    def direct_login(self):
        return self.login(self.endpoint)

    def log_names(self, peer, since):
        return any((entry["remote_ip"], entry["remote_port"]) == (peer[0], str(peer[1]))
                   for entry in (json.loads(line)["request"] for line in self.client_log.text(since).splitlines()))


SERVER = Caddy


class TestContract(ForeignContract, ListFile, Asked):
    pass
