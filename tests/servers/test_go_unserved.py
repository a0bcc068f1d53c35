# SPDX-License-Identifier: MIT
"""A preloaded Go program that cannot be served: its first governed listen ends it with a line, whatever else it is for it
does. Never is it silently open."""
import errno
import os
import re
import shutil
import signal
import socket

import pytest
from go_programs import altered, build
from go_server import CONNECTIONS, Raw, having, wrong_answers
from harness import (BALANCER, ROOT, Balancer, EndedAtStart, Route, environment, exchange, read_to_end, run, scratch,
                     tool, until, waits_in)
from place import for_everybody, needs
from seccomp import NEW_LISTENER, NOBODY_IS_ASKED, SECCOMP, refusing
from test_go_succession import Given

ELSEWHERE = for_everybody(ROOT / "build/tests/elsewhere/libppshim.so")  # the library as on other processors than amd64
WAIT_KILLABLE_RECV = 1 << 5
WHY = "it is for another processor than amd64, the only one where Go programs are served"
OTHERS = {"PORTS": 1}  # no listener of these tests is governed
DYNAMIC = pytest.mark.parametrize("way", ["dynamic", "pie"])


def elsewhere(**settings):
    return environment(LOG="stderr", **{"TRUST": BALANCER, **settings}) | {"LD_PRELOAD": str(ELSEWHERE)}


class Elsewhere(Raw):
    options = ()

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        if self.env:
            self.env["LD_PRELOAD"] = str(ELSEWHERE)


class ElsewherePie(Elsewhere):
    way = "pie"


class ElsewhereGiven(Elsewhere, Given):
    pass


SERVER = Elsewhere
BOTH = pytest.mark.parametrize("kind", [Elsewhere, ElsewherePie], ids=lambda kind: kind.way)


def line(what="may not listen", why=WHY, end=r"listen=\S+ exe=\S+"):
    return rf"^ppshim\[\d+\]: error: this Go program cannot be served, and so {what}: {re.escape(why)} {end}$"


def may_not_serve(done, **expected):
    """Ended by what it would have done, with one line of the shim."""
    assert done.returncode == 78 and done.stdout == "", done
    assert re.search(line(**expected), done.stderr.rstrip("\n")), done.stderr


# --- what is governed -------------------------------------------------------------------------------------------------

@DYNAMIC
def test_its_first_governed_listen_ends_it(way):
    program = build("server", way)
    may_not_serve(run(program, check=False, env=elsewhere()), end=rf"listen=127\.0\.0\.1:\d+ exe={program}")


def test_one_whose_system_calls_are_made_in_an_unknown_way_is_ended_too(tmp_path):
    program = altered(tmp_path, build("server", "dynamic"), b"syscall.Syscall6\0", b"syscall.Syscall7\0")
    done = run(program, check=False, env=environment(TRUST=BALANCER, LOG="stderr"))
    may_not_serve(done, why="its table of functions does not confirm where it makes its system calls",
                  end=rf"listen=\S+ exe={program}")


def test_a_governed_listener_that_it_was_given_ends_it_when_it_accepts(start):
    with pytest.raises(EndedAtStart) as ended:
        start(kind=having(ElsewhereGiven, ready_line=None, is_ready=lambda self, mark: False))
    assert ended.value.status == 78 and re.search(line(), ended.value.log, re.M), ended.value.log


def test_a_unix_listener_that_a_list_names_ends_it(tmp_path):
    path = tmp_path / "socket"
    done = run(build("server", "dynamic"), "-network", "unix", "-listen", path, check=False,
               env=elsewhere(TRUST=f"unix:{path}"))
    may_not_serve(done, end=rf"listen=unix:{path} exe=\S+")


# --- what is not ------------------------------------------------------------------------------------------------------

@BOTH
@pytest.mark.parametrize("mode", ["raw", "twice", "blocking", "children"])
def test_on_a_port_that_is_not_governed_it_serves_while_signals_strike(start, tmp_path, kind, mode):
    """Go interrupts its threads to collect memory, and to sample them."""
    busy = "-garbage", "2", "-profile", tmp_path / "profile"
    server = start(kind=having(kind, mode=mode, options=busy), **OTHERS)
    assert wrong_answers(server, "-headers=false", "-count", CONNECTIONS, "-beside", "16") == (int(CONNECTIONS), 0)
    assert not server.log.find(r"error")
    assert [event.listen for event in server.log.events("not-governed")] == [server.listens_on]


class BeforeLinux5_19(Elsewhere):
    """Where a signal interrupts who waits for an answer, and the call is made and asked about anew."""
    mode = "blocking"

    def _before_exec(self):
        super()._before_exec()
        refusing(SECCOMP, errno.EINVAL, second_has=WAIT_KILLABLE_RECV)()


def test_it_does_so_where_signals_interrupt_the_question(start, tmp_path):
    server = start(kind=having(BeforeLinux5_19, options=("-garbage", "2", "-profile", tmp_path / "profile")), **OTHERS)
    assert wrong_answers(server, "-headers=false", "-count", CONNECTIONS, "-beside", "16") == (int(CONNECTIONS), 0)
    assert not server.log.find(r"error")


def test_on_a_port_that_is_not_governed_it_is_reached_through_a_balancer_that_sends_no_header(start, tmp_path, certificates):
    server = start(kind=Elsewhere, **OTHERS)
    with Balancer(tmp_path, server.endpoint, certificates, {"plain": Route(mode="")}) as balancer:
        assert exchange(balancer["plain"], b"hello\n").startswith(BALANCER.encode())


def test_a_unix_listener_that_no_list_names_is_served(start, tmp_path):
    path = str(tmp_path / "socket")

    class Unix(Elsewhere):
        def argv(self):
            return [self.program(), "-network", "unix", "-listen", path]
    server = start(kind=Unix)
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(path)
        peer.sendall(b"hello\n")
        assert read_to_end(peer).endswith(b" hello\n")
    assert "ppshim" not in server.log.text()


def test_a_listener_that_it_was_given_and_that_is_not_governed_is_served(start):
    server = start(kind=ElsewhereGiven, **OTHERS)
    assert wrong_answers(server, "-headers=false", "-count", "100") == (100, 0)


def test_one_that_wants_no_shim_is_left_alone(start):
    server = start(kind=Elsewhere, TRUST="none")
    assert wrong_answers(server, "-headers=false", "-count", "10") == (10, 0)
    assert "ppshim" not in server.log.text()


@pytest.mark.parametrize("name, way, arguments, says", [("client", "dynamic", ["-count", "0"], "0 0\n"),
                                                        ("starter", "pie", ["/bin/echo", "hello"], "hello\n")])
def test_one_that_never_listens_does_what_it_is_for_without_a_word(name, way, arguments, says):
    done = run(build(name, way), *arguments, env=elsewhere())
    assert (done.stdout, done.stderr) == (says, "")


def test_one_that_closes_descriptors_which_it_does_not_know_listens_to_nothing():
    done = run(build("server", "pie"), "-closes", check=False, env=elsewhere(**OTHERS))
    assert done.returncode == 1 and "listen: function not implemented" in done.stderr


def test_a_signal_that_ends_it_finds_it_asleep_in_accept(start):
    """As it would without us: who asks is not kept from signals for longer than a question takes."""
    server = start(kind=having(Elsewhere, mode="blocking"), **OTHERS)
    until(lambda: any("accept" in where for where in waits_in(server.pid)), "a thread sleeps in accept")
    server.process.send_signal(signal.SIGTERM)
    server.log.wait(r"^ended$")


# --- what it starts ---------------------------------------------------------------------------------------------------

LISTENS = """
import os, socket
try:
    socket.create_server(("127.0.0.1", 0))
except OSError as refused:
    print(os.strerror(refused.errno))
"""


def test_what_it_starts_may_not_listen_and_that_is_said_once():
    two = ["/bin/sh", "-c", '/usr/bin/python3 -c "$0"; /usr/bin/python3 -c "$0"', LISTENS]
    done = run(build("starter", "pie"), *two, env=elsewhere())
    assert done.stdout == 2 * f"{os.strerror(errno.EPERM)}\n"
    assert len(done.stderr.splitlines()) == 1
    assert re.search(line("what it starts may not listen", end=r"exe=\S+/starter-pie"), done.stderr.rstrip("\n"))


def test_what_takes_its_place_may_not_listen():
    done = run(build("starter", "pie"), "-exec", "/usr/bin/python3", "-c", LISTENS, env=elsewhere())
    assert done.stdout == f"{os.strerror(errno.ENOSYS)}\n"


def test_another_one_that_takes_its_place_is_asked_about_itself():
    may_not_serve(run(build("starter", "pie"), "-exec", build("server", "dynamic"), check=False, env=elsewhere()),
                  end=r"listen=\S+ exe=\S+/server-dynamic")


def test_another_one_that_it_starts_is_told_at_its_start():
    """The kernel asks one process only, and the first one is asked."""
    done = run(build("starter", "pie"), build("server", "dynamic"), check=False, env=elsewhere())
    assert done.returncode == 1 and "listen: operation not permitted" in done.stderr
    assert re.search(line(end=r"exe=\S+/server-dynamic"), done.stderr.splitlines()[0])


def test_one_without_any_privilege_is_asked_about_as_well():
    needs("root")
    drop = [tool("setpriv"), "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--bounding-set=-all"]
    with scratch("go") as copies:
        shutil.copy(build("server", "pie"), copies)
        done = run(*drop, copies / "server-pie", check=False, env=elsewhere())
    may_not_serve(done, end=r"listen=\S+ exe=\S+/server-pie")


# --- where the kernel cannot ask --------------------------------------------------------------------------------------

IOCTL, CLONE3 = 16, 435
NOTIF_SEND = 0xc0182101


@pytest.mark.parametrize("refuse", [
    NOBODY_IS_ASKED,
    refusing(SECCOMP, errno.EINVAL, second_has=NEW_LISTENER),
    refusing(IOCTL, errno.EINVAL, second=NOTIF_SEND),
    refusing(CLONE3, errno.EAGAIN),
], ids=["somebody is asked already", "before Linux 5.0", "before Linux 5.5", "no thread"])
def test_where_the_kernel_cannot_ask_it_is_told_at_its_start_and_may_not_listen_at_all(refuse):
    done = run(build("server", "pie"), check=False, env=elsewhere(**OTHERS), preexec_fn=refuse)
    assert done.returncode == 1 and "listen: operation not permitted" in done.stderr
    assert re.search(line(end=r"exe=\S+"), done.stderr.splitlines()[0])


def test_where_nothing_keeps_it_from_listening_it_is_not_started():
    done = run(build("starter", "pie"), "/bin/echo", check=False, env=elsewhere(), preexec_fn=refusing(SECCOMP))
    may_not_serve(done, end=r"exe=\S+")
