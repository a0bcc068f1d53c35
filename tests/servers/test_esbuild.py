# SPDX-License-Identifier: MIT
"""esbuild's web server, from npm: a static program, by a newer Go than Debian's, without its build info."""
import functools
import subprocess
import tarfile
import warnings
from pathlib import Path

import pytest
from contract import Asked, Peer, Refused
from go_foreign import Foreign, ForeignContract, Logging
from go_server import by_run
from harness import ROOT, clean_env, exchange, scratch, tool, until


@functools.cache
def esbuild():
    """From npm's registry; where that cannot be reached, a loud skip: nobody can mend it from here."""
    kept = ROOT / "build" / "go" / "esbuild"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with scratch("npm") as directory:
            got = subprocess.run([tool("npm"), "pack", "--silent", "@esbuild/linux-x64"], cwd=directory, timeout=50,
                                 env=clean_env(HOME=str(directory)), capture_output=True, text=True)
            if got.returncode:
                warnings.warn("NOT TESTED: npm cannot get @esbuild/linux-x64")
                pytest.skip("npm cannot get @esbuild/linux-x64")
            with tarfile.open(directory / got.stdout.split()[-1]) as package:
                kept.write_bytes(package.extractfile("package/bin/esbuild").read())
        kept.chmod(0o755)
    return kept


class Esbuild(Logging, Foreign):
    name = "esbuild"
    accept_error = r".*accept.*: .*"
    path = "/%d"  # a file that is not there
    line = r'^(\S+):(\d+) - "GET /(\d+)" 404'

    @classmethod
    def make_template(cls, directory):
        esbuild()

    def __init__(self, directory, template, settings, host="127.0.0.1"):
        super().__init__(directory, template, settings, host)
        self.client_log = self.log
        self.served = Path(directory) / "served"
        self.served.mkdir()
        (self.served / "index.html").write_text("hello\n")

    def argv(self):
        """It would end at the end of its input."""
        command = [esbuild(), f"--serve=127.0.0.1:{self.port}", f"--servedir={self.served}"]
        return ["sh", "-c", 'mkfifo "$0" && exec "$@" <>"$0"', self.directory / "input", *by_run(command, self.env)]

    def is_ready(self, mark):
        return self.log.find(r"> Local: ", mark)

    def logged(self, since):
        return [(number, f"{address}:{port}") for address, port, number in self.log.find(self.line, since)]

    def login(self, endpoint):
        mark, number = self.log.mark(), str(self.number())
        if not exchange(endpoint, f"GET /{number} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode()).startswith(b"HTTP/1.0 404 "):
            raise Refused
        address, _, port = until(lambda: dict(self.logged(mark)).get(number), "it is in the log").rpartition(":")
        return Peer(address.strip("[]"), int(port))

    def direct_login(self):
        return self.login(self.endpoint)

    def log_names(self, peer, since):
        return any(client.rpartition(":")[0].strip("[]") == peer[0] and client.endswith(f":{peer[1]}")
                   for _, client in self.logged(since))


SERVER = Esbuild


class TestContract(ForeignContract, Asked):
    pass
