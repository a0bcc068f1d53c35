# SPDX-License-Identifier: MIT
"""`ppshim check --probe`: three connections to a server that runs, and what is said of them is what became of them."""
import re

import pytest
from check_fixtures import SHIM, as_root, check, compile_c, ppshim, running
from harness import BALANCER, CLIENT, descendants, scratch, shim_env, tool, until
from test_dovecot import Dovecot, DovecotPerClient
from test_memcached import Memcached
from test_redis import Redis

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
    with scratch("keeper") as directory:
        yield compile_c(directory / "keeper", KEEPER)


def told(answer):
    """Right or wrong, in the order of the connections."""
    return [fact.partition(":")[0] for fact in answer.facts("probe")]


def test_a_governed_server_is_right_in_all_three(tmp_path, keeper):
    with running(tmp_path, keeper, TRUST="127.0.0.2", TIMEOUT="3s") as process:
        for what in (process.pid, f"127.0.0.1:{process.port}"):
            answer = ppshim("check", "--probe", what)
            assert (answer.status, answer.verdict) == (0, "ok"), answer
            assert told(answer) == ["right"] * 3
            header, silence, stranger = answer.facts("probe")
            assert f"from 127.0.0.2 a header that names {NAMED}: process {process.pid} has it as {NAMED}" in header
            assert "from 127.0.0.2, which must send a header, none: it was closed" in silence
            assert "from 127.0.0.1, which is in no list: the server has it as it came" in stranger
        assert len(process.log.events("reject")) == 2


def test_untrusted_peers_that_are_to_be_refused_are(tmp_path, keeper):
    with running(tmp_path, keeper, TRUST="127.0.0.2", TIMEOUT="3s", UNTRUSTED="reject") as process:
        answer = ppshim("check", "--probe", process.pid)
        assert told(answer) == ["right"] * 3 and "which is in no list: it was closed" in answer.facts("probe")[2], answer


def test_who_may_send_a_header_is_let_in_without_one(tmp_path, keeper):
    with running(tmp_path, keeper, HEADER_OPTIONAL="127.0.0.2", TIMEOUT="3s") as process:
        answer = ppshim("check", "--probe", process.pid)
        assert told(answer) == ["right"] * 3, answer
        assert "which may send a header, none: the server has it as it came" in answer.facts("probe")[1]


def test_only_version_1_is_spoken_where_only_that_is_accepted(tmp_path, keeper):
    with running(tmp_path, keeper, TRUST="127.0.0.2", TIMEOUT="3s", VERSIONS="1", LOG="stderr:info") as process:
        assert told(ppshim("check", "--probe", process.pid)) == ["right"] * 3
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
        assert told(answer) == ["right"]


def test_a_server_without_the_library_is_not_probed(tmp_path, keeper):
    with running(tmp_path, keeper, library=None) as process:
        for what in (process.pid, f"127.0.0.1:{process.port}"):
            answer = ppshim("check", "--probe", what)
            assert (answer.status, answer.facts("probe")) == (1, []) and "has the library on" in answer.because, answer


def test_nobody_there_is_said(tmp_path):
    assert ppshim("check", "--probe", "192.0.2.1:1").verdict == "unsure"
    assert ppshim("check", "--probe", "no-such-service").status == 1


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
        assert told(answer)[:2] == ["wrong", "wrong"], answer


@pytest.mark.parametrize("kind", [Redis, Memcached, Dovecot, DovecotPerClient])
def test_a_real_server_is_right(kind):
    """Redis refuses every client that is not local, and at once: the connection is asked all the same."""
    as_root()
    with scratch(kind.name) as directory:
        kind.make_template(directory)
        with kind(directory, directory, {"TRUST": BALANCER, "TIMEOUT": "3s"}) as server:
            answer = ppshim("check", "--probe", server.pid)
            assert (answer.status, told(answer)) == (0, ["right"] * 3), answer
