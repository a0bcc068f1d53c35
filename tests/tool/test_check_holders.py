# SPDX-License-Identifier: MIT
"""`ppshim check` of servers whose master listens and whose children accept: ok is said only when those that accept take
headers."""
import shutil
import signal

import pytest
from check_fixtures import SHIM, as_root, check, compile_c, running
from harness import BALANCER, CLIENT, Process, dial, proxy_v1, read_to_end, reserve_port, run, scratch, shim_env, tool, until
from test_dovecot import Dovecot, DovecotPerClient


def says(answer, verdict, *why):
    assert answer.verdict == verdict and all(one in answer.because for one in why), answer
    assert answer.status == (0 if verdict == "ok" else 1)


# --- a master of ours -------------------------------------------------------------------------------------------------

MASTER = r"""
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
extern char **environ;
/* master CHILDREN NAME...: each child is execed with the listener on fd 3 and, of the environment, what is named. */
int main(int argc, char **argv)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof here;
    char *kept[64] = {0};
    int count = 0, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(fd, (struct sockaddr *)&here, length) || listen(fd, 8) || dup2(fd, 3) != 3 ||
        getsockname(fd, (struct sockaddr *)&here, &length))
        return 1;
    for (char **one = environ; *one && count < 63; one++)
        for (int i = 2; i < argc; i++)
            if (strncmp(*one, argv[i], strlen(argv[i])) == 0 && (*one)[strlen(argv[i])] == '=')
                kept[count++] = *one;
    for (int i = 0; i < atoi(argv[1]); i++)
        if (fork() == 0)
            execle(WORKER, "worker", NULL, kept);
    printf("listening %d\n", ntohs(here.sin_port));
    fflush(stdout);
    return pause();
}
"""
WORKER = r"""
#include <sys/socket.h>
#include <unistd.h>
int main(void)
{
    for (;;)
        close(accept(3, 0, 0));
}
"""


@pytest.fixture(scope="module")
def master():
    with scratch("master") as directory:
        worker = compile_c(directory / "worker", WORKER)
        yield compile_c(directory / "master", MASTER, flags=[f'-DWORKER="{worker}"'])


ALL = ("LD_PRELOAD", "PPSHIM_TRUST", "PPSHIM_TIMEOUT")


def children_of(process, count):
    """Each is the worker by now."""
    until(lambda: check(process.pid).facts("holders")[0].count("worker") == count, "the workers hold the listener")
    return check(process.pid)


def test_a_master_whose_children_get_all_of_it_is_served(tmp_path, master):
    with running(tmp_path, master, "2", *ALL, TRUST="127.0.0.2", TIMEOUT="5s") as process:
        answer = children_of(process, 2)
        says(answer, "ok")
        assert answer.facts("holders")[0].startswith(f"127.0.0.1:{process.port}: 3 processes, ")


@pytest.mark.parametrize("kept, why", [
    ((), "the library is not loaded"),
    (("LD_PRELOAD",), "the library is loaded but off"),
    (("LD_PRELOAD", "PPSHIM_TRUST"), "it runs with other settings: it was not given PPSHIM_TIMEOUT=5s"),
    (("PPSHIM_TRUST", "PPSHIM_TIMEOUT"), "the library is not loaded"),
])
def test_a_master_whose_children_lack_something_is_not(tmp_path, master, kept, why):
    with running(tmp_path, master, "1", *kept, TRUST="127.0.0.2", TIMEOUT="5s") as process:
        until(lambda: "worker" in check(process.pid).out, "the worker holds the listener")
        says(check(process.pid), "no", f"{master.with_name('worker')} (process ",
             f"holds its listener 127.0.0.1:{process.port} and takes no headers: {why}")


def test_a_child_of_many_that_takes_none_is_counted(tmp_path, master):
    with running(tmp_path, master, "3", TRUST="127.0.0.2") as process:
        until(lambda: ", and 2 others)" in check(process.pid).because, "all three hold it")


def test_a_master_without_children_is_unsure(tmp_path, master):
    """Nothing in it calls accept; what it will start cannot be known."""
    with running(tmp_path, master, "0", TRUST="127.0.0.2") as process:
        says(check(process.pid), "unsure", "master does not call accept itself", "ppshim check --probe")


def test_the_listener_of_a_worker_is_its_masters_too(tmp_path, master):
    with running(tmp_path, master, "1", *ALL, TRUST="127.0.0.2") as process:
        children_of(process, 1)
        worker = check(process.pid).facts("holders")[0].rpartition("worker ")[2]
        says(check(worker), "ok")


def test_a_process_that_has_accepted_is_told(tmp_path, master):
    with running(tmp_path, master, "1", *ALL, TRUST="127.0.0.2") as process:
        children_of(process, 1)
        with dial(("127.0.0.1", process.port)) as client:
            assert read_to_end(client) == b""
        assert " 1 has accepted: " in check(process.pid).facts("holders")[0]


# --- Dovecot ----------------------------------------------------------------------------------------------------------

class Plain(Dovecot):
    """It does not write over its environment."""
    left_out = "verbose_proctitle"

    def argv(self):
        argv = super().argv()
        config = self.directory / "dovecot.conf"
        config.write_text("".join(line for line in config.read_text().splitlines(True)
                                  if not line.startswith(self.left_out)))
        return argv


class Forgetful(Plain):
    """As it comes: without the line that hands our variables on."""
    left_out = ("verbose_proctitle", "import_environment")


class ForgetfulPerClient(Forgetful, DovecotPerClient):
    pass


class Titled(Forgetful):
    left_out = "import_environment"


def dovecot(directory, kind):
    as_root()  # its master gives imap-login's directory away
    return kind(directory, None, {"TRUST": BALANCER})


@pytest.mark.parametrize("kind", [Forgetful, Titled])
def test_dovecot_whose_imap_login_gets_nothing_is_not_ok(kind):
    with scratch("dovecot") as directory, dovecot(directory, kind) as server:
        until(lambda: check(server.pid).verdict == "no", lambda: repr(check(server.pid)))  # it is executed by and by
        answer = check(server.pid)
        says(answer, "no", "/usr/lib/dovecot/imap-login (process ", f"listener {server.listens_on} and takes no headers: ")
        assert "import_environment = $import_environment LD_PRELOAD PPSHIM_TRUST" in answer.facts("do")[0]


def test_dovecot_that_starts_imap_login_for_each_client_is_unsure():
    with scratch("dovecot") as directory, dovecot(directory, ForgetfulPerClient) as server:
        answer = check(server.pid)
        says(answer, "unsure", "dovecot does not call accept itself")
        assert "import_environment = $import_environment" in answer.facts("do")[0]


def test_dovecot_that_hands_all_of_it_on_is_ok():
    with scratch("dovecot") as directory, dovecot(directory, Plain) as server:
        until(lambda: check(server.pid).status == 0, lambda: repr(check(server.pid)))
        says(check(server.pid), "ok")


# --- Postfix ----------------------------------------------------------------------------------------------------------

class Postfix(Process):
    """A whole one of its own, with Debian's master.cf but for the port."""
    name = "postfix"
    stop_signal = signal.SIGTERM

    def __init__(self, directory, handed_on):
        self.port = reserve_port()
        super().__init__(directory, shim_env(TRUST=BALANCER, PORTS=str(self.port)))
        self.handed_on = handed_on

    def argv(self):
        d = self.directory
        for name, owner in (("queue", "root"), ("data", "postfix")):
            (d / name).mkdir()
            shutil.chown(d / name, owner)
        names = run(tool("postconf"), "-dh", "import_environment").stdout.strip()
        (d / "main.cf").write_text(f"""\
compatibility_level = 3.6
queue_directory = {d}/queue
data_directory = {d}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
myhostname = localhost.localdomain
alias_maps =
maillog_file = {self.log.path}
maillog_file_prefixes = {d}
import_environment = {names} {self.handed_on}
""")
        (d / "master.cf").write_text(f"""\
127.0.0.1:{self.port} inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
rewrite unix - - n - - trivial-rewrite
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
""")
        return [tool("postfix"), "-c", d, "start-fg"]

    def is_ready(self, mark):
        return self.log.find("daemon started", mark)

    def __exit__(self, *error):
        """Its master is no child of what was started."""
        run(tool("postfix"), "-c", self.directory, "stop", check=False)
        super().__exit__(*error)

    @property
    def master(self):
        return int((self.directory / "queue/pid/master.pid").read_text())

    def greet(self):
        """What it says to a client behind a header, up to its goodbye."""
        with dial(("127.0.0.1", self.port), BALANCER) as sock:
            sock.sendall(proxy_v1(src=CLIENT, dst=("127.0.0.1", 25)))
            greeting = sock.recv(200)
            sock.sendall(b"QUIT\r\n")
            return greeting + read_to_end(sock)


def test_postfix_without_the_line_in_main_cf_is_not_ok():
    as_root()
    with scratch("postfix") as directory, Postfix(directory, "") as server:
        answer = check(server.master)
        says(answer, "no", "the library is not loaded")
        assert "postconf \"import_environment = $(postconf -dh import_environment) LD_PRELOAD PPSHIM_TRUST" in \
            answer.facts("do")[0]


def test_postfix_that_hands_the_library_on_without_its_settings_is_not_ok():
    as_root()
    with scratch("postfix") as directory, Postfix(directory, "LD_PRELOAD") as server:
        says(check(server.master), "no", "the library is loaded but off")


def test_postfix_with_the_line_is_ok_once_a_client_came():
    as_root()
    with scratch("postfix") as directory, Postfix(directory, "LD_PRELOAD PPSHIM_TRUST PPSHIM_PORTS") as server:
        says(check(server.master), "unsure", "master does not call accept itself")
        assert b"500" not in server.greet()
        says(check(server.master), "ok")
        assert server.log.find(rf"connect from unknown\[{CLIENT[0]}\]")
