# SPDX-License-Identifier: MIT
"""check_fixtures.py: programs, processes and trees of units for the tests of `ppshim check` and `ppshim unit`."""
import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "lib"))
pytest.register_assert_rewrite("harness")

from answers import TOOL, ppshim  # noqa: E402
from harness import ROOT, SHIM, Process, run, scratch, shim_env, tool  # noqa: E402, F401
from place import needs  # noqa: E402

SERVER = r"""
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
extern char **environ;
int main(int argc, char **argv)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof here;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(fd, (struct sockaddr *)&here, length) || listen(fd, 8) ||
        getsockname(fd, (struct sockaddr *)&here, &length))
        return 1;
    if (argc > 1 && strcmp(argv[1], "overwrite") == 0) /* as setproctitle does */
        for (char **one = environ; *one; one++)
            memset(*one, ' ', strlen(*one));
    printf("listening %d\n", ntohs(here.sin_port));
    fflush(stdout);
    return accept(fd, NULL, NULL) < 0;
}
"""


def check(*argv, **options):
    return ppshim("check", *argv, "--library", SHIM, **options)


def check_json(*argv):
    answer = check(*argv, "--json")
    return answer.status, json.loads(answer.out)


def as_root():
    needs("root")


def compile_c(path, text=SERVER, compiler="gcc", flags=()):
    source = path.with_suffix(".c")
    source.write_text(text)
    run(tool(compiler), "-O1", *flags, "-o", path, source, timeout=60)
    return path


@pytest.fixture(scope="session")
def server():
    """A small server that listens on a port of its own and waits for ever; in a directory that everybody can reach."""
    with scratch("check") as directory:
        yield compile_c(directory / "server")


class Server(Process):
    name = "server"
    ready_line = r"^listening (\d+)"

    def __init__(self, directory, command, env):
        super().__init__(directory, env)
        self.command = command

    def argv(self):
        return self.command

    @property
    def port(self):
        return int(self.log.find(self.ready_line)[0])


def running(directory, *command, library=SHIM, **settings):
    """The server under the shim with these settings; library=None: without it."""
    env = shim_env(**settings) | {"LD_PRELOAD": str(library)} if library else {}
    return Server(directory, command, env)


# --- trees of units ---------------------------------------------------------------------------------------------------

LIBRARY = "/usr/lib/libppshim.so"


class Tree:
    """A root directory with a service `demo` that starts the small server, and the library."""

    def __init__(self, directory, server):
        self.root = directory
        self.dropins = 0
        self.put("/usr/lib/systemd/system/demo.service", "[Service]\nExecStart=/usr/bin/demo --serve\nRestart=always\n")
        self.copy("/usr/bin/demo", server)
        self.copy(LIBRARY, SHIM)
        self.copy("/usr/bin/ppshim", TOOL)
        self.put("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\ndemo:x:4711:4711::/:/bin/false\n")

    def path(self, name):
        return self.root / name.lstrip("/")

    def put(self, name, text):
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_text(text)
        return self.path(name)

    def copy(self, name, source):
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, self.path(name))

    def text(self, name):
        return self.path(name).read_text()

    def service(self, text, name="demo"):
        """One more drop-in, read after those before it."""
        directory = self.path(f"/etc/systemd/system/{name}.service.d")
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{self.dropins:02}.conf").write_text("[Service]\n" + text)
        self.dropins += 1

    def settings(self, unit="demo"):
        return ppshim("check", "--settings", unit, "--root", self.root)

    def unit(self, *argv, name="demo"):
        return ppshim("unit", name, "--root", self.root, *argv)

    def install(self, *argv, name="demo"):
        answer = self.unit("--trust", "10.0.0.0/24", "--ports", "3306", "--install", *argv, name=name)
        assert answer.status == 0, answer
        return answer

    def snapshot(self):
        """Every file's bytes, owner and mode."""
        return {str(p): (p.read_bytes() if p.is_file() else None, p.stat().st_uid, p.stat().st_mode)
                for p in self.root.rglob("*")}


@pytest.fixture
def tree(tmp_path, server):
    return Tree(tmp_path / "root", server)


@contextlib.contextmanager
def finished_process():
    """The id of a process that is no more."""
    process = subprocess.Popen(["true"])
    process.wait()
    yield process.pid


# --- how systemd reads what an operator writes: tests/systemd asks it, tests/tool asks us -----------------------------

# Lines of an EnvironmentFile=, and what PPSHIM_LOG is then.
FILE_LINES = [
    ("PPSHIM_LOG=/var/log/a", "/var/log/a"),
    ("  PPSHIM_LOG = /var/log/a \t", "/var/log/a"),
    ('PPSHIM_LOG="/var/log/a b"', "/var/log/a b"),
    ("PPSHIM_LOG='/var/log/a\\b'", "/var/log/a\\b"),
    ('PPSHIM_LOG="/var/log/\\"a\\$\\x"', '/var/log/"a$\\x'),
    ("PPSHIM_LOG=/var/log/a\\ b", "/var/log/a b"),
    ("PPSHIM_LOG=/var/log/\\\na", "/var/log/a"),
    ('PPSHIM_LOG="/var/log/a\\\nb"', "/var/log/ab"),
    ('PPSHIM_LOG=/var/log/"a"', '/var/log/"a"'),
    ('PPSHIM_LOG="/var/log"/a', "/var/log/a"),
    ("PPSHIM_LOG=/var/log/b\n;PPSHIM_LOG=/c\nPPSHIM_LOG=/var/log/a", "/var/log/a"),
    ("#comment\\\nPPSHIM_LOG=/c\nPPSHIM_LOG=/var/log/a", "/var/log/a"),
    ("PPSHIM_LOG=/var/log/a\r", "/var/log/a"),
    ("PPSHIM_LOG=/var/log/a # b", "/var/log/a # b"),
]

# Lines of [Service], where /etc/default/demo says PPSHIM_LOG=/file.
TRUST = "Environment=PPSHIM_TRUST=10.0.0.0/24\n"
UNIT_LINES = [
    ('Environment="PPSHIM_LOG=/a b"', "/a b"),
    ("Environment='PPSHIM_LOG=/a\"b' OTHER=c", '/a"b'),
    ("Environment=PPSHIM_LOG=/a\\x20b", "/a b"),
    ("Environment=PPSHIM_LOG=/a%%b", "/a%b"),
    ("Environment=PPSHIM_LOG=/%n/%N/%p", "/demo.service/demo/demo"),
    ("Environment=OTHER=a \\\n  PPSHIM_LOG=/b", "/b"),
    ("Environment=OTHER=a \\\n# a comment\n  PPSHIM_LOG=/b", "/b"),
    ("Environment=PPSHIM_LOG=/a\nEnvironment=PPSHIM_LOG=/b", "/b"),
    ("Environment=PPSHIM_LOG=/a PPSHIM_PORTS=1\nEnvironment=\n" + TRUST, None),
    ("Environment=PPSHIM_LOG=/a\nUnsetEnvironment=PPSHIM_LOG", None),
    ("Environment=PPSHIM_LOG=/a\nUnsetEnvironment=PPSHIM_LOG=/b", "/a"),
    ("Environment=PPSHIM_LOG=/a\n[Install]\nEnvironment=PPSHIM_LOG=/b", "/a"),
    ("Environment=PPSHIM_LOG=\"/a b\"", "/a b"),
    ("Environment=PPSHIM_LOG=/\\101\\s\\\\", "/A \\"),
    ("EnvironmentFile=/etc/default/demo\nEnvironment=PPSHIM_LOG=/a", "/file"),
    ("EnvironmentFile=/etc/default/d*\nEnvironment=PPSHIM_LOG=/a", "/file"),
    ("EnvironmentFile=-/etc/default/nothing\nEnvironment=PPSHIM_LOG=/a", "/a"),
    ("EnvironmentFile=/etc/default/demo\nEnvironmentFile=\nEnvironment=PPSHIM_LOG=/a", "/a"),
]

# The same; something in them sets nothing, which check must tell.
IGNORED_LINES = [
    ("Environment=PPSHIM_LOG = /a", None),
    ("Environment=PPSHIM_LOG=/a /b", "/a"),
    ("Environment=PPSHIM_LOG=/a OTHER=\\q PPSHIM_LOG=/b", "/a"),
    ('Environment=PPSHIM_LOG=/a "PPSHIM_LOG=/b', "/a"),
    ("Environment=PPSHIM_LOG=/a PPSHIM-LOG=/b", "/a"),
    ("Environment=export PPSHIM_LOG=/a", "/a"),
]
