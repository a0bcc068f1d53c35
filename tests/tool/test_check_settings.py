# SPDX-License-Identifier: MIT
"""`ppshim check --settings`, and `ppshim check UNIT` where nothing runs: what the next start will get, and whether the
library would take it."""
import os

import pytest
from check_fixtures import FILE_LINES, IGNORED_LINES, LIBRARY, SHIM, TRUST, UNIT_LINES, as_root, compile_c, ppshim, run, server, \
    tool, tree

__all__ = ["server", "tree"]


@pytest.fixture
def settings(tmp_path):
    def of(text):
        (tmp_path / "settings").write_text(text)
        return ppshim("check", "--settings", tmp_path / "settings")
    return of


def wrong(answer, *why):
    assert (answer.status, answer.verdict) == (78, "no") and all(one in answer.because for one in why), answer


def found(answer):
    """{name: value} of the settings it lists, none of them wrong."""
    assert answer.status != 78 and "sets nothing" not in answer.out, answer
    return dict(fact.rpartition(" (")[0].partition("=")[::2] for fact in answer.facts("setting"))


# --- files ------------------------------------------------------------------------------------------------------------

def test_a_good_file_is_ok_and_says_where_each_setting_stands(settings, tmp_path):
    answer = settings("# the balancers\nPPSHIM_TRUST=10.0.0.0/24\n\nPPSHIM_PORTS=3306\nOTHER=x\n")
    assert answer.status == 0
    assert answer.facts("setting") == [f"PPSHIM_TRUST=10.0.0.0/24 ({tmp_path}/settings:2)",
                                       f"PPSHIM_PORTS=3306 ({tmp_path}/settings:4)"]


@pytest.mark.parametrize("line, value", FILE_LINES)
def test_files_are_read_as_systemd_reads_them(settings, line, value):
    assert found(settings("PPSHIM_TRUST=10.0.0.0/24\n" + line + "\n"))["PPSHIM_LOG"] == value


@pytest.mark.parametrize("line, why", [
    ("PPSHIM_TIMEOUT=3", "a bare number has no unit: write 3s"),
    ("PPSHIM_TIMOUT=3s", "the nearest is PPSHIM_TIMEOUT"),
    ("PPSHIM_PORTS=", "set but empty"),
    ("PPSHIM_CLIENT_DENY=10.1.2.3/8", "host bits"),
    ("PPSHIM_HEADER_OPTIONAL=10.0.0.7", "10.0.0.7 is in PPSHIM_TRUST as well"),
    ("PPSHIM_CLIENT_ALLOW=@/nonexistent/list", "cannot be opened"),
    ("export PPSHIM_PORTS=3306", "export PPSHIM_PORTS=3306 sets nothing: write NAME=value"),
    ("PPSHIM_PORTS 3306", "PPSHIM_PORTS 3306 sets nothing"),
    ("export LD_PRELOAD=/usr/lib/libppshim.so", "export LD_PRELOAD=/usr/lib/libppshim.so sets nothing"),
])
def test_a_wrong_line_is_named(settings, tmp_path, line, why):
    wrong(settings(f"PPSHIM_TRUST=10.0.0.0/24\n{line}\n"), why, f"{tmp_path}/settings:2: ")


def test_a_list_file_is_read(settings, tmp_path):
    (tmp_path / "trust").write_text("10.0.0.0/24\n10.0.1.0/33\n")
    wrong(settings(f"PPSHIM_TRUST=@{tmp_path}/trust\n"), f"{tmp_path}/settings:1: PPSHIM_TRUST=@{tmp_path}/trust: line 2:")
    (tmp_path / "trust").write_text("10.0.0.0/24\n")
    assert settings(f"PPSHIM_TRUST=@{tmp_path}/trust\n").status == 0


def test_a_shim_that_is_off_is_told(settings):
    answer = settings("PPSHIM_TRUST=none\n")
    assert answer.status == 0 and "the shim is off" in answer.facts("off")[0]


def test_a_list_of_those_who_may_send_a_header_is_enough(settings):
    answer = settings("PPSHIM_HEADER_OPTIONAL=10.0.0.0/24\nPPSHIM_UNTRUSTED=reject\n")
    assert answer.status == 0 and answer.facts("off") == []


def test_settings_without_a_list_are_wrong(settings, tmp_path):
    wrong(settings("# nobody is named\nPPSHIM_UNTRUSTED=reject\n"), "without PPSHIM_TRUST or PPSHIM_HEADER_OPTIONAL",
          f"{tmp_path}/settings:2: ")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    answer = ppshim("check", "--settings", tmp_path / "nothing")
    assert answer.status == 1 and "No such file" in answer.because
    answer = ppshim("check", "--settings", "no-such-service")
    assert (answer.status, answer.out) == (1, "") and "there is no such unit, nor is it a file" in answer.err


# --- units ------------------------------------------------------------------------------------------------------------

PRELOAD = f"Environment=LD_PRELOAD={LIBRARY}\nRestartPreventExitStatus=78\n"

def test_drop_ins_are_read_in_the_order_of_their_names_wherever_they_are(tree):
    def log(directory, name, value):
        tree.put(f"{directory}/demo.service.d/{name}.conf", f"[Service]\nEnvironment=PPSHIM_LOG=/{value}\n{TRUST}")
    log("/usr/lib/systemd/system", "50", "a")
    assert found(tree.settings())["PPSHIM_LOG"] == "/a"
    log("/etc/systemd/system", "40", "b")
    assert found(tree.settings())["PPSHIM_LOG"] == "/a"
    log("/run/systemd/system", "60", "c")
    assert found(tree.settings())["PPSHIM_LOG"] == "/c"
    log("/etc/systemd/system", "60", "d")
    assert found(tree.settings())["PPSHIM_LOG"] == "/d"


@pytest.mark.parametrize("lines, value", UNIT_LINES)
def test_units_are_read_as_systemd_reads_them(tree, lines, value):
    tree.put("/etc/default/demo", "PPSHIM_LOG=/file\n")
    tree.service(TRUST + lines + "\n")
    assert found(tree.settings()).get("PPSHIM_LOG") == value


@pytest.mark.parametrize("lines, value", IGNORED_LINES)
def test_a_part_of_a_units_line_that_sets_nothing_is_named(tree, lines, value):
    tree.service(TRUST + lines + "\n")
    answer = tree.settings()
    wrong(answer, "/etc/systemd/system/demo.service.d/00.conf:3: ", " sets nothing")
    logs = [fact for fact in answer.facts("setting") if fact.startswith("PPSHIM_LOG=")]
    assert logs == ([f"PPSHIM_LOG={value} (/etc/systemd/system/demo.service.d/00.conf:3)"] if value else [])


def test_templates_and_aliases_lead_to_their_unit(tree):
    tree.put("/usr/lib/systemd/system/many@.service", "[Service]\nExecStart=/usr/bin/demo\n")
    tree.service(TRUST + "Environment=PPSHIM_LOG=/%i/%I\n", name="many@")
    tree.service("Environment=PPSHIM_PORTS=1\n", name="many@a-b")
    assert found(tree.settings("many@a-b")) == {"PPSHIM_TRUST": "10.0.0.0/24", "PPSHIM_LOG": "/a-b/a/b",
                                                "PPSHIM_PORTS": "1"}
    os.symlink("/usr/lib/systemd/system/demo.service", tree.path("/etc/systemd/system/other.service"))
    tree.service(TRUST, name="other")
    for name in ("demo", "other", "other.service"):
        assert found(tree.settings(name)) == {"PPSHIM_TRUST": "10.0.0.0/24"}


def test_a_wrong_setting_of_a_unit_is_named_with_its_place(tree):
    tree.service(TRUST + "Environment=PPSHIM_TIMEOUT=3\n")
    wrong(tree.settings(), "/etc/systemd/system/demo.service.d/00.conf:3: PPSHIM_TIMEOUT=3")


def test_a_line_of_a_units_file_that_sets_nothing_is_named(tree):
    tree.put("/etc/default/demo", "export PPSHIM_TRUST=10.0.0.0/24\n")
    tree.service("EnvironmentFile=/etc/default/demo\n")
    wrong(tree.settings(), "/etc/default/demo:1: export PPSHIM_TRUST=10.0.0.0/24 sets nothing")


def test_list_files_are_read_as_the_services_user(tree):
    as_root()
    tree.service(PRELOAD + "User=demo\nEnvironment=PPSHIM_TRUST=@/etc/trust\n")
    tree.root.chmod(0o755)
    trust = tree.put("/etc/trust", "10.0.0.0/24\n")
    assert tree.settings().status == 0
    trust.chmod(0o600)
    wrong(tree.settings(), "PPSHIM_TRUST=@/etc/trust: cannot be opened", "(read as user demo)")
    trust.unlink()
    wrong(tree.settings(), "PPSHIM_TRUST=@/etc/trust: cannot be opened")


def check_unit(tree, name="demo"):
    return ppshim("check", name, "--root", tree.root)


def test_a_unit_that_will_be_served_is_ok(tree):
    tree.service(TRUST + PRELOAD)
    answer = check_unit(tree)
    assert (answer.status, answer.because) == (0, "demo.service: its next start will be served"), answer
    assert answer.facts("restart") == []


@pytest.mark.parametrize("lines, why", [
    ("", "it is not given the library"),
    (TRUST, "it is not given the library"),
    (PRELOAD, "neither PPSHIM_TRUST nor PPSHIM_HEADER_OPTIONAL is set: the shim is off"),
    (PRELOAD + "Environment=PPSHIM_TRUST=none\n", "PPSHIM_TRUST is none: the shim is off on purpose"),
    (TRUST + "Environment=LD_PRELOAD=/opt/libppshim.so\n", "LD_PRELOAD names /opt/libppshim.so, and there is no such file"),
    (TRUST + PRELOAD + "ExecStart=\nExecStart=/usr/bin/nothing\n", "No such file"),
    (TRUST + PRELOAD + "EnvironmentFile=/etc/default/nothing\n", "EnvironmentFile=/etc/default/nothing is not there"),
])
def test_a_unit_that_would_not_be_served_is_refused(tree, lines, why):
    tree.service(lines)
    answer = check_unit(tree)
    assert (answer.status, answer.verdict) == (1, "no") and why in answer.because, answer


def test_a_masked_unit_is_refused(tree):
    tree.service(TRUST + PRELOAD)
    os.symlink("/dev/null", tree.path("/etc/systemd/system/demo.service"))
    answer = check_unit(tree)
    assert answer.status == 1 and "it is masked" in answer.because


def test_the_program_behind_a_shell_is_the_one_that_is_judged(tree):
    tree.service(TRUST + PRELOAD + 'ExecStart=\nExecStart=-/bin/sh -c "set -f; exec /usr/bin/demo $OPTIONS"\n')
    answer = check_unit(tree)
    assert answer.status == 0 and answer.facts("program")[0].startswith(str(tree.path("/usr/bin/demo"))), answer


@pytest.mark.parametrize("look", [lambda tree: tree.settings(), check_unit], ids=["--settings", "UNIT"])
def test_a_service_for_each_connection_needs_a_setting_and_need_not_accept(tree, look):
    compile_c(tree.path("/usr/bin/demo"), "int main(void) { return 0; }")
    tree.service(TRUST + PRELOAD)
    assert look(tree).verdict == "no" and "calls accept" in look(tree).because, look(tree)
    tree.service("StandardInput=socket\n")
    assert "it needs PPSHIM_INHERITED=on" in look(tree).out, look(tree)
    compile_c(tree.path("/usr/bin/demo"))
    answer = look(tree)
    assert answer.verdict == "unsure" and "it needs PPSHIM_INHERITED=on" in answer.because, answer
    tree.service("Environment=PPSHIM_INHERITED=on\n")
    assert look(tree).status == 0, look(tree)
    compile_c(tree.path("/usr/bin/demo"), "int main(void) { return 0; }")
    assert look(tree).status == 0, look(tree)
    tree.service("StandardInput=null\n")
    assert look(tree).verdict == "no", look(tree)


def test_a_list_that_the_sandbox_hides_is_refused(tree):
    for place, protection in (("/home/ops/trust", "ProtectHome=true"), ("/tmp/trust", "PrivateTmp=yes")):
        tree.put(place, "10.0.0.0/24\n")
        tree.service(f"{PRELOAD}Environment=PPSHIM_TRUST=@{place}\n")
        assert check_unit(tree).status == 0
        tree.service(protection + "\n")
        answer = check_unit(tree)
        assert answer.status == 1 and protection.partition("=")[0] in answer.because, answer
        tree.service(protection.partition("=")[0] + "=no\n")


def test_a_unit_that_may_restart_for_ever_is_warned_of(tree):
    tree.service(TRUST + PRELOAD.replace("RestartPrevent", "Unknown"))
    answer = check_unit(tree)
    assert answer.status == 0 and "RestartPreventExitStatus=78" in answer.facts("restart")[0]


# --- PostgreSQL's file ------------------------------------------------------------------------------------------------

POSTGRESQL = r"""# a comment
 PPSHIM_TRUST = '10.0.0.0/24'
PPSHIM_PORTS 5432
PPSHIM_LOG='/a''b\'c\\d e'   # why
PPSHIM_TIMEOUT=3s
LD_PRELOAD = '/usr/lib/libppshim.so'
PPSHIM_MAX_PENDING = 7 #
PPSHIM_VERSIONS = '2'
PPSHIM_VERSIONS = '1'
"""


def test_a_clusters_environment_is_read_as_its_start_script_reads_it(tree):
    tree.put("/usr/lib/systemd/system/postgresql@.service", "[Service]\nExecStart=-/usr/bin/pg_ctlcluster %i start\n")
    environment = tree.put("/etc/postgresql/15/main/environment", POSTGRESQL)
    ours = found(tree.settings("postgresql@15-main"))
    perl = "use PgCommon; my %e = PgCommon::read_conf_file($ARGV[0]); print map { \"$_=$e{$_}\\0\" } sort keys %e;"
    theirs = dict(line.partition("=")[::2] for line in
                  run(tool("perl"), "-I/usr/share/perl5", "-e", perl, environment).stdout.split("\0") if line)
    assert theirs.pop("LD_PRELOAD") == LIBRARY
    assert ours == theirs and len(ours) == 6


@pytest.mark.parametrize("line", ["PPSHIM_TRUST = 10.0.0.0/24, 10.0.1.0/24", "PPSHIM_LOG = /var/log/a",
                                  "PPSHIM_LOG = 'a", "PPSHIM_LOG", "PPSHIM_LOG = 'a'b"])
def test_a_line_of_a_clusters_environment_that_sets_nothing_is_named(tree, line):
    tree.put("/usr/lib/systemd/system/postgresql@.service", "[Service]\nExecStart=-/usr/bin/pg_ctlcluster %i start\n")
    tree.put("/etc/postgresql/15/main/environment", f"X = 1\n{line}\n")
    wrong(tree.settings("postgresql@15-main"), "/etc/postgresql/15/main/environment:2: PPSHIM_", " sets nothing")


# --- what the next start will load ------------------------------------------------------------------------------------

@pytest.mark.parametrize("look", [lambda tree: tree.settings(), check_unit], ids=["--settings", "UNIT"])
class TestPreload:
    """In the tree of the unit, as its dynamic linker will find it."""

    def refused(self, answer, *why):
        assert (answer.status, answer.verdict) == (1, "no") and all(one in answer.out for one in why), answer

    def preload(self, tree, value, more=""):
        tree.service(TRUST + f"RestartPreventExitStatus=78\nEnvironment=LD_PRELOAD={value}\n{more}")

    def test_a_bare_name_is_found_as_the_dynamic_linker_finds_it(self, tree, look):
        self.preload(tree, "libppshim.so")
        assert look(tree).status == 0, look(tree)
        tree.path(LIBRARY).unlink()
        tree.copy("/opt/lib/libppshim.so", SHIM)
        self.refused(look(tree), "LD_PRELOAD names libppshim.so, and there is no such file")
        (tree.root / "etc/ld.so.conf").write_text("/opt/lib\n")
        run(tool("ldconfig"), "-r", tree.root)
        assert look(tree).status == 0, look(tree)

    @pytest.mark.parametrize("name", ["/usr/lib/libpshim.so", "libppshim.so.1", "/usr/lib/libppshim", "/usr/lib/ibppshim.so"])
    def test_a_misspelt_name_is_told_with_the_right_one(self, tree, look, name):
        self.preload(tree, name)
        self.refused(look(tree), f"/etc/systemd/system/demo.service.d/00.conf:4: LD_PRELOAD names {name}, and there is no "
                                 f"such file: the library is {LIBRARY}")

    def test_another_library_that_is_missing_is_warned_of(self, tree, look):
        self.preload(tree, f"/usr/lib/libnothing.so:{LIBRARY}")
        answer = look(tree)
        assert answer.status == 0 and "LD_PRELOAD names /usr/lib/libnothing.so" in answer.facts("preload")[-1] + answer.out

    @pytest.mark.parametrize("later", ["Environment=LD_PRELOAD=/usr/lib/a.so\n", "EnvironmentFile=/etc/default/demo\n"])
    def test_one_that_is_replaced_later_is_told_with_both_places(self, tree, look, later):
        tree.put("/etc/default/demo", "A=1\nLD_PRELOAD=/usr/lib/a.so\n")
        self.preload(tree, LIBRARY)
        tree.service(later)
        place = "/etc/default/demo:2" if "File" in later else "/etc/systemd/system/demo.service.d/01.conf:2"
        self.refused(look(tree), f"LD_PRELOAD={LIBRARY} of /etc/systemd/system/demo.service.d/00.conf:4 is replaced by "
                                 f"LD_PRELOAD=/usr/lib/a.so of {place}")

    @pytest.mark.parametrize("later", ["Environment=\n" + TRUST, "UnsetEnvironment=LD_PRELOAD\n"])
    def test_one_that_is_taken_away_later_is_told(self, tree, look, later):
        self.preload(tree, LIBRARY)
        tree.service(later)
        self.refused(look(tree), f"LD_PRELOAD={LIBRARY} of ", " is taken away by a later Environment= or UnsetEnvironment=")

    @pytest.mark.parametrize("place, sandbox, why", [
        ("/home/ops", "ProtectHome=yes", "ProtectHome= hides it"),
        ("/tmp", "PrivateTmp=yes", "PrivateTmp= gives the service another one"),
        ("/opt/lib", "InaccessiblePaths=-/opt", "InaccessiblePaths="),
        ("/opt/lib", "TemporaryFileSystem=/opt:ro", "InaccessiblePaths= or TemporaryFileSystem="),
        ("/opt/lib", "NoExecPaths=/\nExecPaths=/usr/lib /usr/bin/demo", "NoExecPaths="),
    ])
    def test_one_outside_of_what_its_sandbox_shows_is_refused(self, tree, look, place, sandbox, why):
        tree.copy(f"{place}/libppshim.so", SHIM)
        self.preload(tree, f"{place}/libppshim.so")
        assert look(tree).status == 0, look(tree)
        tree.service(sandbox + "\n")
        self.refused(look(tree), f"LD_PRELOAD names {place}/libppshim.so, and {why}")

    def test_one_inside_of_it_is_not(self, tree, look):
        self.preload(tree, LIBRARY, "NoExecPaths=/\nExecPaths=/usr/lib /usr/bin/demo\nProtectHome=yes\nPrivateTmp=yes\n")
        assert look(tree).status == 0, look(tree)

    def test_one_that_its_user_cannot_read_is_refused(self, tree, look):
        as_root()
        tree.root.chmod(0o755)
        tree.copy("/root/build/libppshim.so", SHIM)
        self.preload(tree, "/root/build/libppshim.so", "User=demo\n")
        assert look(tree).status == 0, look(tree)
        tree.path("/root").chmod(0o700)
        self.refused(look(tree), "LD_PRELOAD names /root/build/libppshim.so, which its user demo cannot read")
        tree.service("SupplementaryGroups=builders\n")  # which may let it in
        assert look(tree).status == 0, look(tree)

    def test_one_in_a_root_of_the_services_own_is_looked_for_there(self, tree, look):
        self.preload(tree, LIBRARY, "RootDirectory=/srv/root\n")
        self.refused(look(tree), "there is no such file in its RootDirectory=")
        tree.copy("/srv/root" + LIBRARY, SHIM)
        assert "RootDirectory=" not in look(tree).because

    def test_what_is_in_an_image_is_not_known(self, tree, look):
        self.preload(tree, LIBRARY, "RootImage=/srv/demo.raw\n")
        answer = look(tree)
        assert answer.verdict == "unsure" and "RootImage=" in answer.because, answer

    def test_all_that_is_wrong_is_told(self, tree, look):
        tree.service("Environment=LD_PRELOAD=/usr/lib/libpshim.so PPSHIM_TRUST=10.1.2.3/8 PPSHIM_TIMEOUT=3 PPSHIM_PROTS=1\n")
        answer = look(tree)
        assert answer.status == 78
        told = [answer.because, *answer.facts("also")]
        for what in ("host bits", "bare number", "nearest is PPSHIM_PORTS", "no such file"):
            assert sum(what in one for one in told) == 1, answer
