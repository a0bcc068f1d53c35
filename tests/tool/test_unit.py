# SPDX-License-Identifier: MIT
"""`ppshim unit`: what it writes takes effect, what would not is refused, and --remove leaves no trace."""
import os
import re
import shutil

import pytest
from check_fixtures import LIBRARY, ROOT, SHIM, as_root, check, compile_c, ppshim, run, server, tool, tree
from go_programs import build

__all__ = ["server", "tree"]

DROPIN = "/etc/systemd/system/demo.service.d/ppshim.conf"
GOOD = ("--trust", "10.0.0.0/24", "--ports", "3306")
UNSEEN = "ppshim unit: warning: files named by lists below another root can be read by root only: not looked at\n"
GUARD = "ExecStartPost=+/usr/bin/ppshim check --loaded $MAINPID"


def refused(answer, why, status=1):
    assert (answer.status, answer.out) == (status, "") and why in answer.err, answer


def lines(text):
    return [line for line in text.splitlines() if not line.startswith("#")]


# --- the drop-in ------------------------------------------------------------------------------------------------------

def test_printing_is_what_happens_unless_told(tree):
    before = tree.snapshot()
    answer = tree.unit(*GOOD)
    assert answer.status == 0 and answer.out.startswith(f"# {DROPIN}\n")
    assert lines(answer.out) == ["[Service]", f'Environment="LD_PRELOAD={LIBRARY}"',
                                 'Environment="PPSHIM_TRUST=10.0.0.0/24"', 'Environment="PPSHIM_PORTS=3306"',
                                 "RestartPreventExitStatus=78", GUARD]
    assert tree.snapshot() == before
    assert tree.unit(*GOOD, "--print").out == answer.out


def test_installing_twice_changes_nothing_more(tree):
    printed = tree.unit(*GOOD).out.partition("\n")[2]
    assert tree.install().out == (f"written: {DROPIN}\n"
                                  "It takes effect when you restart the service: systemctl restart demo.service\n")
    assert tree.text(DROPIN) == printed
    before = tree.snapshot()
    assert tree.install().out == f"unchanged: {DROPIN}\n"
    assert tree.snapshot() == before
    assert tree.path(DROPIN).stat().st_mode & 0o7777 == 0o644


def test_the_guard_can_be_left_out(tree):
    assert GUARD not in tree.unit(*GOOD, "--no-guard").out
    tree.install()
    tree.install("--no-guard")
    assert GUARD not in tree.text(DROPIN)


def test_a_service_without_a_main_process_has_no_guard(tree):
    tree.service("Type=oneshot\n")
    answer = tree.unit(*GOOD)
    assert (answer.status, answer.err) == (0, "" if os.geteuid() == 0 else UNSEEN) and GUARD not in answer.out, answer


def test_without_the_tool_there_is_no_guard_and_that_is_said(tree):
    tree.path("/usr/bin/ppshim").unlink()
    answer = tree.unit(*GOOD)
    assert answer.status == 0 and GUARD not in answer.out and "ppshim is not installed there" in answer.err


def test_removing_leaves_no_trace(tree):
    tree.put("/etc/systemd/system/x.service", "")
    before = tree.snapshot()
    tree.install()
    assert tree.unit("--remove").out.startswith(f"removed from {DROPIN}\n")
    assert tree.snapshot() == before
    assert tree.unit("--remove").out == f"unchanged: {DROPIN}\n"
    tree.service("")
    before = tree.snapshot()
    tree.install()
    tree.unit("--remove")
    assert tree.snapshot() == before


def test_it_can_be_removed_when_the_service_is_gone(tree):
    tree.install()
    tree.path("/usr/lib/systemd/system/demo.service").unlink()
    assert tree.unit("--remove").out.startswith(f"removed from {DROPIN}\n")
    assert not tree.path(DROPIN).exists()


def test_another_library_or_setting_replaces_the_first(tree):
    tree.install()
    tree.copy("/usr/lib64/libppshim.so", SHIM)
    tree.install("--library", "/usr/lib64/libppshim.so", "--timeout", "5s")
    assert 'Environment="LD_PRELOAD=/usr/lib64/libppshim.so"' in lines(tree.text(DROPIN))
    assert 'Environment="PPSHIM_TIMEOUT=5s"' in lines(tree.text(DROPIN))


def test_a_preload_that_is_there_stays(tree):
    tree.service('Environment=A=1 "LD_PRELOAD=/usr/lib/a.so:/opt/libppshim.so /usr/lib/b.so"\n')
    tree.install()
    assert f'Environment="LD_PRELOAD=/usr/lib/a.so:/usr/lib/b.so:{LIBRARY}"' in lines(tree.text(DROPIN))
    assert tree.install().out.startswith("unchanged")


def test_every_setting_is_an_option(tree):
    names = re.findall(r'^ *X\(\w+, "PPSHIM_(\w+)"', (ROOT / "include/ppshim/settings.h").read_text(), re.M)
    values = {"TRUST": "10.0.0.0/24", "HEADER_OPTIONAL": "10.0.1.0/24", "PORTS": "1,2", "TIMEOUT": "5s", "VERSIONS": "2",
              "CLIENT_ALLOW": "10.0.0.0/8", "CLIENT_DENY": "10.9.0.0/16", "MAX_PENDING": "7", "LOG": "auto:info",
              "DEFER_ACCEPT": "on", "UNTRUSTED": "reject", "STATS": "/run/ppshim", "LOG_TLVS": "0xEA",
              "CLIENT_RATE": "20/10s per /24,/56", "CLIENT_MAX": "50, dry-run",
              "LIMIT_EXEMPT": "192.0.2.7", "JOURNAL": "/run/ppshim/journal.sock"}
    offered = {name: values[name] for name in names if name in values}
    assert len(offered) > 10
    options = [word for name, value in offered.items() for word in ("--" + name.lower().replace("_", "-"), value)]
    answer = tree.unit(*options)
    assert answer.status == 0, answer
    assert lines(answer.out)[2:-2] == [f'Environment="PPSHIM_{name}={value}"' for name, value in offered.items()]
    usage = ppshim("unit", "--help").out
    assert all("--" + name.lower().replace("_", "-") in usage for name in names)


def test_a_list_of_those_who_may_send_a_header_is_enough(tree):
    answer = tree.unit("--header-optional", "10.0.1.0/24", "--ports", "3306", "--install")
    assert answer.status == 0, answer
    assert 'Environment="PPSHIM_HEADER_OPTIONAL=10.0.1.0/24"' in lines(tree.text(DROPIN))
    assert ppshim("check", "--settings", "demo", "--root", tree.root).status == 0


def test_what_systemd_would_expand_is_written_so_that_it_does_not(tree):
    path = '/var/log/100%n "odd" \\x41 $HOME \'quoted\''
    tree.install("--log", path)
    assert 'Environment="PPSHIM_LOG=/var/log/100%%n \\"odd\\" \\\\x41 $HOME \'quoted\'"' in lines(tree.text(DROPIN))
    answer = ppshim("check", "--settings", "demo", "--root", tree.root)
    assert f"PPSHIM_LOG={path} ({DROPIN}:6)" in answer.facts("setting")


def test_systemd_finds_nothing_wrong_with_it(tree):
    tree.install("--log", '/var/log/100%n "odd" \\x41', "--client-allow", "10.0.0.0/8 2001:db8::/32")
    for target in ("sysinit", "basic", "shutdown"):
        tree.put(f"/usr/lib/systemd/system/{target}.target", "[Unit]\nDescription=x\n")
    done = run(tool("systemd-analyze"), "verify", f"--root={tree.root}", "demo.service")
    assert done.stdout + done.stderr == ""
    tree.service("Nonsense=1\n")
    assert "Nonsense" in run(tool("systemd-analyze"), "verify", f"--root={tree.root}", "demo.service").stderr


def test_an_alias_leads_to_its_unit(tree):
    os.makedirs(tree.path("/etc/systemd/system"))
    os.symlink("/usr/lib/systemd/system/demo.service", tree.path("/etc/systemd/system/other.service"))
    assert tree.install(name="other").out.startswith(f"written: {DROPIN}\n")


def test_a_preload_that_a_file_of_the_unit_sets_stays(tree):
    """Its EnvironmentFile= wins over any Environment=: ours is one more, and the last."""
    preload = "/etc/systemd/system/demo.service.d/ppshim.preload"
    tree.put("/etc/default/demo", "A=1\nLD_PRELOAD=/usr/lib/libjemalloc.so.2\n")
    tree.put("/etc/systemd/system/x.service", "")
    tree.service("EnvironmentFile=/etc/default/demo\n")
    tree.copy("/usr/lib/libjemalloc.so.2", SHIM)
    before = tree.snapshot()
    answer = tree.install()
    assert lines(tree.text(preload)) == [f"LD_PRELOAD=/usr/lib/libjemalloc.so.2:{LIBRARY}"]
    assert f"EnvironmentFile={preload}" in lines(tree.text(DROPIN)) and "LD_PRELOAD" not in "".join(lines(tree.text(DROPIN)))
    answer = ppshim("check", "demo", "--root", tree.root)
    assert answer.status == 0, answer
    assert f"LD_PRELOAD=/usr/lib/libjemalloc.so.2:{LIBRARY} ({preload}:2)" in answer.facts("preload"), answer
    after = tree.snapshot()
    tree.install()
    assert tree.snapshot() == after
    assert tree.unit("--remove").status == 0
    assert tree.snapshot() == before


# --- what is refused --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("argv, why", [
    (("--trust", "10.0.0.1/24", "--ports", "3306"), "PPSHIM_TRUST=10.0.0.1/24 has host bits set"),
    (("--trust", "10.0.0.0/24", "--ports", "0"), "PPSHIM_PORTS=0: "),
    ((*GOOD, "--timeout", "3"), "PPSHIM_TIMEOUT=3: a bare number has no unit: write 3s"),
])
@pytest.mark.parametrize("how", ["--print", "--install"])
def test_a_wrong_setting_is_refused(tree, how, argv, why):
    before = tree.snapshot()
    refused(tree.unit(*argv, how), why, 78)
    assert tree.snapshot() == before


def test_a_list_file_that_is_not_there_is_refused(tree):
    as_root()
    refused(tree.unit("--trust", "@/etc/nothing", "--ports", "1"), "PPSHIM_TRUST=@/etc/nothing: cannot be opened", 78)


@pytest.mark.parametrize("argv", [(), ("--trust", "10.0.0.0/24"), ("--ports", "1"), (*GOOD, "--install", "--remove"),
                                  (*GOOD, "--nonsense"), (*GOOD, "extra")])
def test_a_wrong_command_line_is_status_2(tree, argv):
    refused(tree.unit(*argv), "", 2)


@pytest.mark.parametrize("place", ["/usr/local/lib/libppshim.so", "/opt/libppshim.so", "/usr/libexec/libppshim.so"])
def test_a_library_outside_of_usr_lib_is_refused(tree, place):
    tree.copy(place, SHIM)
    refused(tree.unit(*GOOD, "--library", place), "is outside /usr/lib")
    tree.path(LIBRARY).unlink()
    tree.path(LIBRARY).symlink_to(tree.path(place))
    refused(tree.unit(*GOOD, "--library", LIBRARY), "is outside /usr/lib")


def test_a_library_that_is_none_is_refused(tree):
    refused(tree.unit(*GOOD, "--library", "/usr/lib/nothing.so"), "there is no such library")
    tree.copy("/usr/lib/libx.so", tree.path("/usr/bin/demo"))
    refused(tree.unit(*GOOD, "--library", "/usr/lib/libx.so"), "")
    tree.path(LIBRARY).unlink()
    refused(tree.unit(*GOOD), "not installed")


def test_a_program_that_no_preload_reaches_is_refused(tree, tmp_path):
    as_root()
    demo = tree.path("/usr/bin/demo")
    run(tool("setcap"), "cap_net_bind_service=ep", demo)
    refused(tree.unit(*GOOD), "file capabilities")
    shutil.copy(compile_c(tmp_path / "static", flags=["-static"]), demo)
    refused(tree.unit(*GOOD), "statically linked")


@pytest.mark.parametrize("text, why", [
    ("EnvironmentFile=/etc/default/demo\nUnsetEnvironment=PPSHIM_TRUST", "PPSHIM_TRUST would not take effect: "),
    ("UnsetEnvironment=LD_PRELOAD", "LD_PRELOAD would not take effect: "),
    ("UnsetEnvironment=PPSHIM_PORTS", "PPSHIM_PORTS would not take effect: a later Environment= or UnsetEnvironment="),
])
def test_what_would_have_no_effect_is_refused(tree, text, why):
    tree.put("/etc/default/demo", "A=1\nLD_PRELOAD=/usr/lib/a.so\n")
    tree.service(text + "\n")
    refused(tree.unit(*GOOD), why)


def test_a_later_drop_in_that_undoes_it_is_refused(tree):
    tree.put("/etc/systemd/system/demo.service.d/zz.conf", "[Service]\nEnvironment=PPSHIM_PORTS=1\n")
    refused(tree.unit(*GOOD), "zz.conf:2 sets it as well, and wins")
    tree.put("/etc/systemd/system/demo.service.d/zz.conf", "[Service]\nEnvironment=\n")
    refused(tree.unit(*GOOD), "LD_PRELOAD would not take effect: ")


def test_a_list_that_the_sandbox_hides_is_refused(tree):
    tree.put("/root/trust", "10.0.0.0/24\n")
    tree.service("ProtectHome=yes\n")
    refused(tree.unit("--trust", "@/root/trust", "--ports", "1"), "ProtectHome= hides")


def test_a_unit_that_is_none_is_refused(tree):
    tree.put("/usr/lib/systemd/system/many@.service", "[Service]\nExecStart=/usr/bin/demo\n")
    os.makedirs(tree.path("/etc/systemd/system"))
    os.symlink("/dev/null", tree.path("/etc/systemd/system/masked.service"))
    refused(tree.unit(*GOOD, name="nothing"), "there is no such unit")
    refused(tree.unit(*GOOD, name="many@"), "template")
    refused(tree.unit(*GOOD, name="masked"), "masked")
    for name in ("ssh.socket", "a b", "../demo", ""):
        refused(tree.unit(*GOOD, name=name), "no service can have that name", 2)
    assert tree.unit(*GOOD, name="many@one").out.startswith("# /etc/systemd/system/many@one.service.d/ppshim.conf\n")


# --- PostgreSQL -------------------------------------------------------------------------------------------------------

CLUSTER = "postgresql@15-main"
ENVIRONMENT = "/etc/postgresql/15/main/environment"


@pytest.fixture
def cluster(tree):
    tree.put("/usr/lib/systemd/system/postgresql.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n")
    tree.put("/usr/lib/systemd/system/postgresql@.service",
             "[Service]\nType=forking\nExecStart=-/usr/bin/pg_ctlcluster --skip-systemctl-redirect %i start\n")
    tree.put("/etc/postgresql/15/main/postgresql.conf", "")
    tree.copy("/usr/lib/postgresql/15/bin/postgres", tree.path("/usr/bin/demo"))
    tree.put("/etc/systemd/system/x.service", "")
    return tree


def as_the_start_script_reads(path):
    perl = "use PgCommon; my %e = PgCommon::read_conf_file($ARGV[0]); print map { \"$_=$e{$_}\\0\" } sort keys %e;"
    return run(tool("perl"), "-I/usr/share/perl5", "-e", perl, path).stdout.split("\0")[:-1]


def test_the_dummy_postgresql_service_names_its_clusters(cluster):
    refused(cluster.unit(*GOOD, name="postgresql"), "name one of those that do: postgresql@15-main")
    refused(cluster.unit(*GOOD, name="postgresql@15-other"), "there is no cluster in /etc/postgresql/15/other")


@pytest.mark.parametrize("before", ["", "# comment\nPGTZ = 'UTC'\n", "PGTZ = 'UTC'", "\n\n", None,
                                    "LD_PRELOAD = '/usr/lib/a.so'\nPPSHIM_TIMEOUT = 9s\n"])
def test_a_cluster_gets_its_environment_and_it_is_taken_away_again(cluster, before):
    if before is not None:
        path = cluster.put(ENVIRONMENT, before)
        path.chmod(0o640)
        if os.geteuid() == 0:
            os.chown(path, 4711, 4712)
    as_it_was = cluster.snapshot()
    log = "/var/log/it's 100% \\odd"
    cluster.install("--log", log, name=CLUSTER)
    first = cluster.snapshot()
    got = as_the_start_script_reads(cluster.path(ENVIRONMENT))
    preload = "/usr/lib/a.so:" + LIBRARY if before and "a.so" in before else LIBRARY
    assert {f"LD_PRELOAD={preload}", "PPSHIM_TRUST=10.0.0.0/24", f"PPSHIM_LOG={log}"} <= set(got)
    assert (before or "").rstrip("\n") in cluster.text(ENVIRONMENT)
    assert cluster.install("--log", log, name=CLUSTER).out.startswith("unchanged: ")
    assert cluster.snapshot() == first
    if before is not None:
        assert first[str(cluster.path(ENVIRONMENT))][1:] == as_it_was[str(cluster.path(ENVIRONMENT))][1:]
    assert cluster.unit("--remove", name=CLUSTER).out.startswith("removed from ")
    assert cluster.snapshot() == as_it_was
    assert cluster.unit("--remove", name=CLUSTER).out.startswith("unchanged: ")


def test_a_clusters_start_is_guarded_by_a_drop_in(cluster):
    cluster.install(name=CLUSTER)
    assert lines(cluster.text(f"/etc/systemd/system/{CLUSTER}.service.d/ppshim.conf")) == ["[Service]", GUARD]
    cluster.install("--no-guard", name=CLUSTER)
    assert not cluster.path(f"/etc/systemd/system/{CLUSTER}.service.d").exists()


def test_lines_that_the_operator_adds_below_stay(cluster):
    cluster.put(ENVIRONMENT, "A = 1")
    cluster.install(name=CLUSTER)
    with cluster.path(ENVIRONMENT).open("a") as file:
        file.write("B = 2\n")
    cluster.unit("--remove", name=CLUSTER)
    assert as_the_start_script_reads(cluster.path(ENVIRONMENT)) == ["A=1", "B=2"]


def test_a_line_below_that_undoes_ours_goes_above_it(cluster):
    cluster.install(name=CLUSTER)
    with cluster.path(ENVIRONMENT).open("a") as file:
        file.write("PPSHIM_PORTS = 1\n")
    cluster.install(name=CLUSTER)
    assert "PPSHIM_PORTS=3306" in as_the_start_script_reads(cluster.path(ENVIRONMENT))


def test_a_link_in_place_of_a_clusters_environment_is_not_followed(cluster, tmp_path):
    target = tmp_path / "target"
    target.write_text("precious\n")
    cluster.path(ENVIRONMENT).symlink_to(target)
    for how in ("--install", "--print"):
        refused(cluster.unit(*GOOD, how, name=CLUSTER), "not a regular file")
    assert target.read_text() == "precious\n"


def test_a_clusters_wrong_setting_is_refused(cluster):
    before = cluster.snapshot()
    refused(cluster.unit(*GOOD, "--timeout", "3", "--install", name=CLUSTER), "PPSHIM_TIMEOUT=3: ", 78)
    refused(cluster.unit("--trust", "10.0.0.0/24\n10.0.1.0/24", "--ports", "1", "--install", name=CLUSTER),
            "a line break", 2)
    assert cluster.snapshot() == before


def test_help_shows_an_example():
    answer = ppshim("unit", "--help")
    assert answer.status == 0 and "Example:\n  ppshim unit mariadb.service --trust 10.108.0.0/24" in answer.out


# --- a static Go program ----------------------------------------------------------------------------------------------

def test_a_static_go_program_is_started_by_the_tool(tree):
    tree.service("ExecStart=\nExecStart=-/usr/sbin/demo --name=a%%b $OPTIONS\n")
    tree.copy("/usr/sbin/demo", build("server"))
    answer = tree.unit(*GOOD)
    assert ("ExecStart=\nExecStart=-/usr/bin/ppshim run --trust \"10.0.0.0/24\" --ports \"3306\" "
            f"--library \"{LIBRARY}\" -- /usr/sbin/demo --name=a%%b $OPTIONS\n") in answer.out, answer
    assert answer.out.endswith(GUARD + "\n"), answer
    tree.install()
    assert tree.unit(*GOOD).out == answer.out  # what it wrote is not started by itself
    assert check("demo", "--root", tree.root).verdict == "ok"
    tree.service("ExecStart=\nExecStart=/usr/sbin/demo\n")
    tree.path(DROPIN).rename(tree.path("/etc/systemd/system/demo.service.d/00-early.conf"))
    assert "ExecStart= does not start it by ppshim run" in check("demo", "--root", tree.root).because


RUN = "/usr/bin/ppshim run --trust 10.0.0.0/24 --ports 3306 -- "


@pytest.mark.parametrize("start, served", [
    ("sh -c 'exec /usr/sbin/demo --serve'", "sh -c 'exec {run}/usr/sbin/demo --serve'"),
    ("@/usr/sbin/demo other-name", "{run}/usr/sbin/demo"),
    ("{run}sh -c 'exec /usr/sbin/demo'", "sh -c 'exec {run}/usr/sbin/demo'"),
])
def test_a_static_go_program_that_it_cannot_start_itself_is_refused_and_judged(tree, start, served):
    """Behind a shell it would be the shell that runs under the library."""
    tree.copy("/usr/sbin/demo", build("server"))
    tree.copy("/usr/bin/sh", shutil.which("sh"))

    def starting(command):
        command = command.format(run=RUN)
        tree.service("ExecStart=\nExecStart=" + (command if command[0] in "@/" else "/usr/bin/" + command) + "\n")
        return tree.unit(*GOOD)
    refused(starting(start), "it is a static Go program, and ExecStart= starts it by a shell, or under another name (@)")
    answer = starting(served)
    assert answer.status == 0 and "ExecStart=" not in answer.out, answer
