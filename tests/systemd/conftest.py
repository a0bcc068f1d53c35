# SPDX-License-Identifier: MIT
"""conftest.py: a Debian system booted by its own systemd, in a container with a network of its own.

What the tests change is gone when it halts: its disk is an overlay in memory. Nothing outside is started, stopped or
reached.
"""
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "tool"))

pytest.register_assert_rewrite("check_fixtures")

from answers import Answer  # noqa: E402
from harness import ROOT, SHIM, Process, clean_env, run, scratch, tool  # noqa: E402
from place import needs  # noqa: E402

LIBRARY = "/usr/lib/libppshim.so"
PACKAGES = "systemd-sysv,iproute2,mariadb-server,postgresql,redis-server,openssh-server"


class Machine(Process):
    name = "machine"

    def argv(self):
        return [tool("systemd-nspawn"), "--quiet", f"--directory={ROOT / 'build' / 'systemd-root'}", "--register=no",
                "--keep-unit", "--private-network", "--volatile=overlay", "--console=pipe", "--boot"]

    def is_ready(self, mark):
        """Its systemd answers: what it is still starting can be waited for."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        self.leader = next((int(child) for child in children if Path(f"/proc/{child}/root/run/systemd/private").exists()
                            and "systemd" in Path(f"/proc/{child}/comm").read_text()), None)
        return self.leader

    def stop(self):
        """A whole system takes its time."""
        if self.process is not None and self.process.poll() is None:
            self.signal_stop()
            self.process.wait(60)
        super().stop()

    def path(self, name):
        return Path(f"/proc/{self.leader}/root{name}")

    def put(self, name, text):
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_text(text)

    def run(self, *argv, check=True, **options):
        """A command in it."""
        inside = [tool("nsenter"), f"--target={self.leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"]
        return run(*inside, *argv, check=check, timeout=60, **options)

    def systemctl(self, *argv, **options):
        return self.run("systemctl", *argv, **options)

    def show(self, unit, name):
        return self.systemctl("show", "--value", "-p", name, unit).stdout.strip()

    def ppshim(self, *argv):
        return Answer(self.run("ppshim", *argv, check=False))

    def journal(self, unit):
        return self.run("journalctl", "-b", "-o", "cat", "-u", unit).stdout

    def client(self, port):
        """The command of a client at 127.0.0.2."""
        return [tool("nsenter"), f"--target={self.leader}", "--net", tool("socat"), "-t", "10", "-",
                f"TCP4:127.0.0.1:{port},bind=127.0.0.2"]

    def connect(self, port):
        """One that stays, with its end of the connection as stdin and stdout."""
        return subprocess.Popen(self.client(port), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clean_env())

    def send(self, port, data):
        """What comes back, up to the end of the connection."""
        return subprocess.run(self.client(port), input=data, capture_output=True, timeout=60, check=True,
                              env=clean_env()).stdout


@pytest.fixture(scope="session")
def machine():
    needs("root")
    subprocess.run([ROOT / "scripts/debian-root", ROOT / "build/systemd-root", PACKAGES], check=True, stdin=subprocess.DEVNULL)
    with scratch("machine") as directory, Machine(directory) as booted:
        state = booted.systemctl("is-system-running", "--wait", check=False).stdout.strip()
        assert state == "running", booted.systemctl("--failed").stdout
        shutil.copy(ROOT / "build/ppshim", booted.path("/usr/bin/ppshim"))
        shutil.copy(SHIM, booted.path(LIBRARY))
        yield booted

