# SPDX-License-Identifier: MIT
"""Go programs that others built: Debian's etcd, dynamic, and esbuild from npm, static and by a newer Go than Debian's,
without its build info."""
import functools
import subprocess
import tarfile
import warnings
from pathlib import Path

import pytest
from harness import BALANCER, Process, clean_env, dial, proxy_v1, proxy_v2, read_to_end, reserve_port, shim_env, tool
from harness import ROOT, scratch

SETTINGS = {"TRUST": BALANCER, "LOG": "stderr:info"}
TOOL = ROOT / "build" / "ppshim"


def post(port, path, body, header):
    request = f"POST {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    with dial(("127.0.0.1", port), BALANCER) as sock:
        sock.sendall(header + request)
        return read_to_end(sock).decode()


class Etcd(Process):
    name = "etcd"
    ready_line = r"ready to serve client requests"

    def __init__(self, directory):
        self.port = reserve_port()
        super().__init__(directory, shim_env(**SETTINGS, PORTS=str(self.port)))

    def argv(self):
        mine, peers = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{reserve_port()}"
        return [tool("etcd"), "--data-dir", self.directory / "data", "--listen-client-urls", mine,
                "--advertise-client-urls", mine, "--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers,
                "--initial-cluster", f"default={peers}", "--unsafe-no-fsync"]


def test_etcd_keeps_and_tells_what_clients_behind_a_header_say(tmp_path):
    with Etcd(tmp_path) as server:
        key, value = "cHBz", "aGVhZGVy"  # base64
        assert '"revision"' in post(server.port, "/v3/kv/put", f'{{"key":"{key}","value":"{value}"}}', proxy_v2())
        assert f'"value":"{value}"' in post(server.port, "/v3/kv/range", f'{{"key":"{key}"}}', proxy_v1())
        assert [event.client for event in server.log.events("accept")] == ["203.0.113.7:4711"] * 2


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


class Esbuild(Process):
    name = "esbuild"
    ready_line = r"> Local: "

    def __init__(self, directory):
        super().__init__(directory)
        self.port = reserve_port()
        (Path(directory) / "index.html").write_text("hello\n")

    def argv(self):
        return ["sh", "-c", 'tail -f /dev/null | exec "$@"', "sh", TOOL, "run", "--trust", BALANCER, "--ports",
                self.port, "--log", "stderr:info", "--", esbuild(), f"--serve=127.0.0.1:{self.port}",
                f"--servedir={self.directory}"]


def test_esbuild_serves_and_names_the_client_behind_a_header(tmp_path):
    esbuild()
    with Esbuild(tmp_path) as server, dial(("127.0.0.1", server.port), BALANCER) as sock:
        sock.sendall(proxy_v1(("203.0.113.9", 555)) + b"GET / HTTP/1.0\r\nHost: 127.0.0.1:%d\r\n\r\n" % server.port)
        assert read_to_end(sock).endswith(b"hello\n")
        server.log.wait(r'^203\.0\.113\.9:555 - "GET /" 200')
