# SPDX-License-Identifier: MIT
"""`ppshim check` without a name, `ppshim unit --list` and `ppshim doctor`: everything that is given the library."""
import json
import os
import shutil

import pytest
from check_fixtures import LIBRARY, ROOT, SHIM, TOOL, TRUST, as_root, check, ppshim, run, running, server, tool, tree
from place import needs
from process import clean_env

__all__ = ["server", "tree"]

EVERYTHING = 300  # seconds: it looks at all processes of the machine, of other tests as well
PRELOAD = f"Environment=LD_PRELOAD={LIBRARY}\nRestartPreventExitStatus=78\n"



def verdicts(answer):
    """{subject: verdict}, whatever is to be read with it."""
    return {line.split(": ")[1]: line.split(": ")[0].removesuffix(", but") for line in answer.out.splitlines()}


def test_services_that_are_given_the_library_are_listed_with_a_verdict(tree):
    assert ppshim("unit", "--list", "--root", tree.root).status == 1
    tree.put("/usr/lib/systemd/system/other.service", "[Service]\nExecStart=/usr/bin/demo\n")
    tree.put("/usr/lib/systemd/system/many@.service", "[Service]\nExecStart=/usr/bin/demo\n")
    tree.put("/usr/lib/systemd/system/nothing.service", "[Service]\nExecStart=/usr/bin/demo\n")
    tree.service(TRUST + PRELOAD)
    tree.service(TRUST, name="other")
    tree.service(PRELOAD + TRUST, name="many@one")
    os.symlink("/usr/lib/systemd/system/demo.service", tree.path("/etc/systemd/system/alias.service"))
    for answer in (ppshim("unit", "--list", "--root", tree.root), check("--root", tree.root)):
        assert answer.status == 1
        assert verdicts(answer) == {"demo.service": "ok", "other.service": "no", "many@one.service": "ok"}
    tree.service("Environment=PPSHIM_TIMEOUT=3\n", name="other")
    assert ppshim("unit", "--list", "--root", tree.root).status == 78


def test_a_template_is_listed_with_the_verdict_of_its_instances(tree):
    """What a socket with Accept=yes starts: no instance of it is there before a client is."""
    for name in ("ssh.socket", "ssh@.service"):
        tree.put(f"/etc/systemd/system/{name}", (ROOT / "scripts/examples" / name).read_text())
    tree.copy("/usr/sbin/sshd", tree.path("/usr/bin/demo"))
    tree.put("/usr/lib/systemd/system/plain@.service", "[Service]\nExecStart=/usr/bin/demo\n")
    os.symlink("ssh@.service", tree.path("/etc/systemd/system/alias@.service"))
    for answer in (ppshim("unit", "--list", "--root", tree.root), check("--root", tree.root)):
        assert (answer.status, verdicts(answer)) == (0, {"ssh@.service": "ok"}), answer
        assert "RestartPreventExitStatus" not in answer.out  # nothing restarts it
    assert check("ssh@1", "--root", tree.root).verdict == "ok"
    tree.service("Environment=PPSHIM_TRUST=10.0.0.1/24\n", name="ssh@")
    one = check("ssh@1", "--root", tree.root)
    answer = ppshim("unit", "--list", "--root", tree.root)
    assert answer.status == one.status == 78 and answer.out == f"no: ssh@.service: {one.because.partition(': ')[2]}\n", answer


def test_a_file_that_each_instance_has_of_its_own_is_not_missed_in_the_template(tree):
    tree.put("/usr/lib/systemd/system/many@.service", "[Service]\nExecStart=/usr/bin/demo\nEnvironmentFile=/etc/many/%i\n")
    tree.service(PRELOAD + TRUST, name="many@")
    assert verdicts(check("--root", tree.root)) == {"many@.service": "ok"}
    assert "EnvironmentFile=/etc/many/one is not there" in check("many@one", "--root", tree.root).because
    tree.put("/etc/many/one", "A=1\n")
    assert check("many@one", "--root", tree.root).verdict == "ok"


def test_clusters_are_listed(tree):
    tree.put("/usr/lib/systemd/system/postgresql@.service", "[Service]\nExecStart=-/usr/bin/pg_ctlcluster %i start\n")
    tree.put("/etc/postgresql/15/main/postgresql.conf", "")
    tree.put("/etc/postgresql/15/main/environment", f"LD_PRELOAD = '{LIBRARY}'\nPPSHIM_TRUST = '10.0.0.0/24'\n")
    tree.copy("/usr/lib/postgresql/15/bin/postgres", tree.path("/usr/bin/demo"))
    assert verdicts(ppshim("unit", "--list", "--root", tree.root)) == {"postgresql@15-main.service": "ok"}
    tree.service(PRELOAD + TRUST, name="postgresql@")  # in vain: the start script empties the environment
    assert verdicts(ppshim("unit", "--list", "--root", tree.root)) == {"postgresql@15-main.service": "ok",
                                                                       "postgresql@.service": "no"}
    tree.put("/usr/lib/systemd/system/postgresql.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n")
    answer = check("postgresql", "--root", tree.root)
    assert answer.status == 1 and "name one of those that do: postgresql@15-main" in answer.because, answer


def test_processes_that_have_it_are_listed(tmp_path, server):
    with running(tmp_path, server, TRUST="127.0.0.2") as process, \
            running(tmp_path, server, library="/nonexistent/libppshim.so", TRUST="127.0.0.2") as open_one, \
            running(tmp_path, server, library=None) as other:
        told = verdicts(check(timeout=EVERYTHING))
        assert told[f"process {process.pid} ({server})"] == "ok"
        assert told[f"process {open_one.pid} ({server})"] == "no"
        assert not any(str(other.pid) in subject.split() for subject in told)
        lines = check("--json", timeout=EVERYTHING).out.splitlines()
        told = {one["subject"]: one["verdict"] for one in map(json.loads, lines)}
        assert told[f"process {process.pid} ({server})"] == "ok"


def test_a_warning_is_in_the_line_of_a_service_that_is_ok(tree):
    as_root()
    tree.service(TRUST + f"Environment=LD_PRELOAD={LIBRARY}\n")
    restart = "without RestartPreventExitStatus=78 a wrong setting may restart it for ever"
    answer = ppshim("unit", "--list", "--root", tree.root)
    assert (answer.status, answer.out) == (0, f"ok, but: demo.service: {restart}\n"), answer
    tree.service("User=nobody-yet\n")
    assert ppshim("unit", "--list", "--root", tree.root).out == answer.out  # no list file is to be read as that user
    tree.put("/etc/trust", "10.0.0.0/24\n")
    tree.service("Environment=PPSHIM_TRUST=@/etc/trust\n")
    answer = ppshim("unit", "--list", "--root", tree.root)
    assert answer.out == "ok, but: demo.service: there is no user nobody-yet yet: list files were read as root (and 1 more warning)\n", answer
    tree.service("Environment=PPSHIM_TIMEOUT=3\n")
    assert ppshim("unit", "--list", "--root", tree.root).out.startswith("no: demo.service: ")


def test_a_warning_is_in_the_line_of_a_process_that_is_ok(tmp_path, server):
    with running(tmp_path, server, TRUST="10.0.0.0/8") as process:
        line = f"ok, but: process {process.pid} ({server}): nobody in the lists can connect to 127.0.0.1:{process.port}, "
        assert line in check(timeout=EVERYTHING).out
        assert f"governed     {line}" in ppshim("doctor", timeout=EVERYTHING).out
        one = next(one for one in map(json.loads, check("--json", timeout=EVERYTHING).out.splitlines()) if str(process.pid) in one["subject"])
        assert one["verdict"] == "ok" and [fact["name"] for fact in one["facts"] if fact["warning"]] == ["trust"], one


def test_a_name_is_a_services_first_and_then_a_programs(tree, server):
    env = {"PATH": str(server.parent)}
    assert check("server", env=env).because.startswith(f"{server}: ")
    assert "neither such a service nor such a program" in check("no-such-thing", env=env).err


@pytest.mark.parametrize("text, service", [
    ("ListenStream=22\nAccept=yes\n", "many@.service"),
    ("ListenStream=22\nAccept = no\n", "many.service"),
    ("ListenStream=22\nService=demo.service\n[Install]\nService=x.service\n", "demo.service"),
])
def test_of_a_socket_the_service_is_named_that_it_starts(tree, text, service):
    tree.put("/etc/systemd/system/many.socket", f"[Unit]\nAccept=yes\n[Socket]\n{text}")
    hint = f": it is a socket, name the service that it starts: {service}"
    at = ("--root", tree.root)
    for argv in (("check", "many.socket", *at), ("check", "--settings", "many.socket", *at),
                 ("unit", "many.socket", "--trust", "10.0.0.0/24", "--ports", "22", *at)):
        answer = ppshim(*argv)
        assert answer.status and hint in answer.err, answer
    tree.put("/etc/systemd/system/many.socket.d/x.conf", "[Socket]\nService=other.service\n")
    assert "it starts: other.service" in check("many.socket", *at).err
    assert "it is a socket" not in check("nothing.socket", *at).err


def test_doctor_says_what_is_wrong_and_what_to_do_next(tmp_path, server):
    with running(tmp_path, server, library="/nonexistent/libppshim.so", TRUST="127.0.0.2") as process:
        answer = ppshim("doctor", timeout=EVERYTHING)
        names = [line.split()[0] for line in answer.out.splitlines() if line.strip()]
        assert [name for name in ("kernel", "libc", "apparmor", "selinux", "systemd", "library") if name not in names] == []
        assert f"no: process {process.pid} ({server}): LD_PRELOAD=/nonexistent/libppshim.so is in its environment" in answer.out
        assert answer.status == 1 and names[-1] == "next"
        assert answer.out.splitlines()[-1].split(None, 1)[1].startswith(("ppshim check ", "systemctl restart ")), answer


# Under systemd, and alone: no process but its own, no service but the system's.
ALONE = "mount -t tmpfs none /run && mkdir -p /run/systemd/system && mount -t tmpfs none /etc/systemd/system && exec \"$0\" doctor"


def doctor_alone(directory, journal=""):
    """What doctor says by a tool with the library beside it, where the journal has these lines."""
    needs("namespaces")
    for file in (TOOL, SHIM):
        shutil.copy(file, directory)
    (directory / "journal").write_text(journal)
    (directory / "journalctl").write_text(f"#!/bin/sh\nexec cat {directory}/journal\n")
    (directory / "journalctl").chmod(0o755)
    env = clean_env()
    done = run(tool("unshare"), "--pid", "--mount", "--fork", "--mount-proc", "sh", "-c", ALONE, directory / TOOL.name,
               env=env | {"PATH": f"{directory}:{env['PATH']}"}, check=False)
    assert done.returncode == 1 and done.stderr == "", done
    return dict(line.split(None, 1) for line in done.stdout.splitlines() if line[0] != " ") | {"all": done.stdout}


def test_what_doctor_says_next_can_be_done(tmp_path):
    told = doctor_alone(tmp_path)
    assert told["governed"].startswith("nothing") and "warning: it is outside /usr/lib" in told["all"], told
    assert told["next"] == "make install PREFIX=/usr"  # ppshim unit would refuse that library


def test_doctor_says_that_the_journal_is_all_it_has_read(tmp_path):
    elsewhere = "not what servers log elsewhere, like PostgreSQL, Dovecot and containers (man libppshim, Where the lines are)"
    told = doctor_alone(tmp_path)["journal"]
    assert told.startswith("no refused and no untrusted peer") and told.endswith(elsewhere)
    assert ".SS Where the lines are\n" in (ROOT / "shim/libppshim.8").read_text()
    told = doctor_alone(tmp_path, "reject peer=192.0.2.1:1 reason=bad-header x=y\n")
    assert told["rejected"].startswith("1 bad-header, last peer=192.0.2.1:1"), told
    assert told["journal"].startswith("only what is in it") and told["journal"].endswith(elsewhere), told


def test_doctor_takes_no_argument():
    assert ppshim("doctor", "x").status == 2
