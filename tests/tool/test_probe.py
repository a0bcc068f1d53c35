# SPDX-License-Identifier: MIT
"""`ppshim check --probe`: three connections to a server that runs, and what is said of them is what became of them."""
import re

import pytest
from check_fixtures import as_root, compile_c, ppshim, running
from harness import BALANCER, Process, scratch, shim_env
from place import PIDFD_GETFD, needs
from seccomp import refusing
from test_dovecot import DovecotPerClient

NAMED = "192.0.2.1:4711"

# Accepts one after the other and keeps them; "greet": says something to each at once.
KEEPER = r"""
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof here;
    int fd = socket(AF_INET, SOCK_STREAM, 0), greets = argc > 1 && strcmp(argv[1], "greet") == 0;
    if (bind(fd, (struct sockaddr *)&here, length) || listen(fd, 8) ||
        getsockname(fd, (struct sockaddr *)&here, &length))
        return 1;
    printf("listening %d\n", ntohs(here.sin_port));
    fflush(stdout);
    for (;;) {
        int one = accept(fd, NULL, NULL);
        if (greets && write(one, "hello\n", 6) < 0)
            close(one);
    }
}
"""


@pytest.fixture(scope="module")
def keeper():
    as_root()
    needs("descriptors")
    with scratch("keeper") as directory:
        yield compile_c(directory / "keeper", KEEPER)


def test_where_no_descriptor_may_be_copied_it_is_unsure(tmp_path, keeper):
    with running(tmp_path, keeper, TRUST="127.0.0.2", TIMEOUT="3s") as process:
        for what in (process.pid, f"127.0.0.1:{process.port}"):
            answer = ppshim("check", "--probe", what, preexec_fn=refusing(PIDFD_GETFD))
            assert answer.verdict == "unsure" and "pidfd_getfd is forbidden here" in answer.because, answer
        assert ppshim("check", "--probe", process.pid).verdict == "ok"


def test_a_governed_server_is_right_in_all_three(tmp_path, keeper):
    with running(tmp_path, keeper, TRUST="127.0.0.2", TIMEOUT="3s") as process:
        for what in (process.pid, f"127.0.0.1:{process.port}"):
            answer = ppshim("check", "--probe", what)
            assert (answer.status, answer.verdict) == (0, "ok"), answer
            assert answer.probes() == ["right"] * 3
            header, silence, stranger = answer.facts("probe")
            assert f"from 127.0.0.2 a header that names {NAMED}: process {process.pid} has it as {NAMED}" in header
            assert "from 127.0.0.2, which must send a header, none: it was closed" in silence
            assert "from 127.0.0.1, which is in no list: the server has it as it came" in stranger
        assert len(process.log.events("reject")) == 2


def test_untrusted_peers_that_are_to_be_refused_are(tmp_path, keeper):
    with running(tmp_path, keeper, TRUST="127.0.0.2", TIMEOUT="3s", UNTRUSTED="reject") as process:
        answer = ppshim("check", "--probe", process.pid)
        assert answer.probes() == ["right"] * 3 and "which is in no list: it was closed" in answer.facts("probe")[2], answer


def test_who_may_send_a_header_is_let_in_without_one(tmp_path, keeper):
    with running(tmp_path, keeper, HEADER_OPTIONAL="127.0.0.2", TIMEOUT="3s") as process:
        answer = ppshim("check", "--probe", process.pid)
        assert answer.probes() == ["right"] * 3, answer
        assert "which may send a header, none: the server has it as it came" in answer.facts("probe")[1]


def test_only_version_1_is_spoken_where_only_that_is_accepted(tmp_path, keeper):
    with running(tmp_path, keeper, TRUST="127.0.0.2", TIMEOUT="3s", VERSIONS="1", LOG="stderr:info") as process:
        assert ppshim("check", "--probe", process.pid).probes() == ["right"] * 3
        assert [event.v for event in process.log.events("accept")] == ["1"]


def test_a_client_that_is_let_in_is_named(tmp_path, keeper):
    with running(tmp_path, keeper, TRUST="127.0.0.2", TIMEOUT="3s", CLIENT_ALLOW="198.51.100.0/24") as process:
        answer = ppshim("check", "--probe", process.pid)
        assert "names 198.51.100.1:4711: process" in answer.facts("probe")[0], answer


def test_an_address_of_the_lists_that_is_not_this_hosts_is_said(tmp_path, keeper):
    with running(tmp_path, keeper, TRUST="192.0.2.77") as process:
        answer = ppshim("check", "--probe", process.pid)
        assert (answer.status, answer.verdict) == (1, "unsure") and "no address of this host" in answer.because, answer
        assert f"ppshim header --from 192.0.2.1; sleep 1; }} | nc 127.0.0.1 {process.port}" in answer.facts("do")[0]
        assert answer.probes() == ["right"]


def test_a_server_without_the_library_is_not_probed(tmp_path, keeper):
    with running(tmp_path, keeper, library=None) as process:
        for what in (process.pid, f"127.0.0.1:{process.port}"):
            answer = ppshim("check", "--probe", what)
            assert (answer.status, answer.facts("probe")) == (1, []) and "has the library on" in answer.because, answer


def test_nobody_there_is_said(tmp_path, keeper):
    assert ppshim("check", "--probe", "192.0.2.1:1").verdict == "unsure"
    nobody = ppshim("check", "--probe", "no-such-service")
    assert (nobody.status, nobody.err) == (1, "ppshim check: no-such-service: no such service runs here\n")
    with running(tmp_path, keeper, TRUST="127.0.0.2") as process:  # on 127.0.0.1
        assert ppshim("check", "--probe", f"127.0.0.5:{process.port}").verdict == "unsure"


def test_a_port_that_is_left_out_is_said(tmp_path, keeper):
    with running(tmp_path, keeper, TRUST="127.0.0.2", PORTS="1") as process:
        answer = ppshim("check", "--probe", f"127.0.0.1:{process.port}")
        assert (answer.verdict, answer.facts("probe")) == ("no", []), answer
        assert f"port {process.port} is not in PPSHIM_PORTS" in answer.because
        assert "it listens on nothing that is governed" in ppshim("check", "--probe", process.pid).because


class UnixMaster(Process):
    """Listens under the library; its child, which accepts and reads, is without."""
    name = "master"
    ready_line = "^ready$"

    def __init__(self, directory):
        self.path = f"{directory}/s"
        super().__init__(directory, shim_env(TRUST=f"unix:{self.path}", TIMEOUT="200ms"))

    def argv(self):
        worker = ("import socket\nlistener = socket.socket(fileno=0)\nprint('ready', flush=True)\nkept = []\n"
                  "while True:\n    kept.append(listener.accept()[0])\n    kept[-1].recv(1)")
        return ["/usr/bin/python3", "-c",
                "import os, socket, subprocess, sys\n"
                f"listener = socket.socket(socket.AF_UNIX)\nlistener.bind({self.path!r})\nlistener.listen()\n"
                f"subprocess.run(['/usr/bin/python3', '-c', {worker!r}], stdin=listener, env={{}})"]


def test_a_unix_listener_whose_acceptor_is_without_the_library_is_wrong(tmp_path):
    as_root()
    with scratch("unix") as directory, UnixMaster(directory) as master:
        answer = ppshim("check", "--probe", master.pid)
        assert (answer.status, answer.verdict, answer.probes()) == (1, "no", ["wrong"]), answer
        assert "where a header must be sent, none: it was left open" in answer.because


class Forgetful(DovecotPerClient):
    """imap-login gets nothing of the master's environment."""
    def argv(self):
        argv = super().argv()
        config = self.directory / "dovecot.conf"
        config.write_text(re.sub("^import_environment.*$", "", config.read_text(), flags=re.M))
        return argv


def test_a_server_whose_children_take_the_raw_header_is_wrong():
    """The master has the library and its settings; imap-login, which accepts, has not."""
    as_root()
    with scratch("dovecot") as directory, Forgetful(directory, None, {"TRUST": BALANCER, "TIMEOUT": "3s"}) as server:
        answer = ppshim("check", "--probe", server.pid)
        assert (answer.status, answer.verdict) == (1, "no"), answer
        assert answer.probes()[:2] == ["wrong", "wrong"], answer
