# SPDX-License-Identifier: MIT
"""`ppshim run`: what the program gets, and every reason not to start it."""
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import TOOL, ppshim, refused, through
from harness import CLIENT, DEADLINE, ROOT, SHIM, clean_env, run, scratch, tool
from place import needs
from test_redis import Redis
from trees import make

BESIDE = TOOL.resolve().parent / SHIM.name  # the library that the tool takes by itself
REQUIRED = ["--trust", "10.108.0.0/24", "--ports", "5432"]

SETTINGS = re.findall(r'\bX\(\w+, "PPSHIM_(\w+)"', (ROOT / "include/ppshim/settings.h").read_text())
VALUES = {"TRUST": "10.0.0.0/8", "HEADER_OPTIONAL": "192.0.2.0/24", "PORTS": "80,8000-8010", "TIMEOUT": "500ms",
          "VERSIONS": "2", "DEFER_ACCEPT": "on", "UNTRUSTED": "reject", "CLIENT_ALLOW": "203.0.113.0/24",
          "CLIENT_DENY": "203.0.113.9", "INHERITED": "on", "LOCAL_ADDR": "header", "MAX_PENDING": "99",
          "CLIENT_RATE": "20/10s per /24,/56", "CLIENT_MAX": "50, dry-run", "LIMIT_EXEMPT": "192.0.2.7",
          "LOG": "stderr:debug", "STATS": "/run/ppshim", "LOG_TLVS": "0xEA,0xE0",
          "JOURNAL": "/run/ppshim/journal.sock"}


def environment_of(argv, **env):
    """/proc/PID/environ of a program started by the tool, once it is the program."""
    with subprocess.Popen([str(TOOL), "run", *argv, "cat"], env=clean_env(**env), stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        process.stdin.write(b"it runs\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"it runs\n"
        text = Path(f"/proc/{process.pid}/environ").read_text()
        assert os.path.basename(os.readlink(f"/proc/{process.pid}/exe")) == "cat"  # no process in between
        maps = Path(f"/proc/{process.pid}/maps").read_text()
        process.stdin.close()
        assert process.wait(DEADLINE) == 0
    return dict(entry.split("=", 1) for entry in text.split("\0") if entry), maps


def shim_settings(environment):
    return {name: value for name, value in environment.items() if name.startswith("PPSHIM_")}


def test_the_program_has_the_settings_and_the_library():
    environment, maps = environment_of(REQUIRED)
    assert shim_settings(environment) == {"PPSHIM_TRUST": "10.108.0.0/24", "PPSHIM_PORTS": "5432"}
    assert environment["LD_PRELOAD"] == str(BESIDE) and str(BESIDE) in maps


def test_every_setting_is_an_option():
    assert set(VALUES) == set(SETTINGS)
    options = [word for name in SETTINGS for word in (f"--{name.lower().replace('_', '-')}", VALUES[name])]
    assert shim_settings(environment_of(options)[0]) == {f"PPSHIM_{name}": VALUES[name] for name in SETTINGS}
    said = ppshim("run", "--help")[1].decode()
    assert all(f"  --{name.lower().replace('_', '-')} " in said for name in SETTINGS)


def test_an_option_wins_over_the_environment_which_counts_for_the_others():
    environment, _ = environment_of(REQUIRED, PPSHIM_TRUST="192.0.2.1", PPSHIM_TIMEOUT="1s")
    assert shim_settings(environment) == {"PPSHIM_TRUST": "10.108.0.0/24", "PPSHIM_PORTS": "5432",
                                          "PPSHIM_TIMEOUT": "1s"}


def test_the_library_comes_behind_other_preloads_and_once():
    libc = next(line.split()[2] for line in run("ldd", "/bin/sh").stdout.splitlines() if "libc" in line)
    for before, after in ((libc, f"{libc}:{BESIDE}"), ("", str(BESIDE)), (f"{BESIDE}:{libc}", f"{BESIDE}:{libc}"),
                          (f"{BESIDE}.d", f"{BESIDE}.d:{BESIDE}")):
        status, out, _ = ppshim("run", *REQUIRED, "sh", "-c", "echo $LD_PRELOAD", env=clean_env(LD_PRELOAD=before))
        assert (status, out.decode()) == (0, f"{after}\n")


def test_the_exit_status_and_the_signals_are_the_programs():
    assert ppshim("run", *REQUIRED, "--", "sh", "-c", "exit 42")[0] == 42
    assert ppshim("run", *REQUIRED, "--", "sh", "-c", "kill -9 $$")[0] == -signal.SIGKILL


def test_a_server_started_so_sees_the_client_behind_a_header():
    class ByTheTool(Redis):
        def argv(self):
            return [TOOL, "run", "--trust", "127.0.0.1", "--ports", self.port, "--log", "stderr:info", "--",
                    *super().argv()]
    with scratch("redis") as directory, ByTheTool(directory, None, None) as server:
        told = through(tool("redis-cli"), "-h", "127.0.0.1", "-p", server.port, "client", "info")
        assert f" addr={CLIENT[0]}:{CLIENT[1]} " in told
        assert [event.pid for event in server.log.events("active")] == [server.pid]


# --- settings ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("argv, why", [
    ([], "who sends headers? --trust LIST, or --header-optional LIST (try ppshim run --help)"),
    (["--ports", "80", "true"], "who sends headers? --trust LIST"),
    (["--trust", "10.0.0.0/8", "true"], "to which ports? --ports 5432, or --ports all (try ppshim run --help)"),
    (REQUIRED, "which program? (try ppshim run --help)"),
    ([*REQUIRED, "--ports", "80", "true"], "--ports is given twice"),
    ([*REQUIRED, "--timeuot", "1s", "true"], "no such option: --timeuot: the nearest is --timeout (try ppshim run --help)"),
    ([*REQUIRED, "--timeout"], "--timeout needs a value (try ppshim run --help)"),
], ids=" ".join)
def test_a_wrong_command_line_is_refused_in_one_line(argv, why):
    assert why in refused("run", *argv, env=clean_env(PPSHIM_TRUST="192.0.2.1", PPSHIM_PORTS="1"))


@pytest.mark.parametrize("options, why", [
    (["--trust", "10.0.0.0/33"], "PPSHIM_TRUST=10.0.0.0/33: an IPv4 prefix is /0 to /32"),
    (["--trust", ""], "PPSHIM_TRUST="),
    (["--ports", "0"], "PPSHIM_PORTS=0: nothing listens on port 0"),
    (["--timeout", "3"], "PPSHIM_TIMEOUT=3: a bare number has no unit: write 3s"),
    (["--header-optional", "10.108.0.9"], "PPSHIM_HEADER_OPTIONAL"),
    (["--client-allow", "@/no/such/file"], "PPSHIM_CLIENT_ALLOW=@/no/such/file"),
    (["--trust", "@/no/such/file"], "PPSHIM_TRUST=@/no/such/file: cannot be opened"),
], ids=" ".join)
def test_what_the_library_would_refuse_is_refused_before_the_program_is_started(options, why, tmp_path):
    given = {option: value for option, value in zip(REQUIRED[::2], REQUIRED[1::2])} | dict([options])
    argv = [word for pair in given.items() for word in pair]
    assert why in refused("run", *argv, "touch", tmp_path / "started", status=78)
    assert not (tmp_path / "started").exists()


def test_a_list_of_those_who_may_send_a_header_is_enough():
    environment, _ = environment_of(["--header-optional", "10.108.0.0/24", "--ports", "5432"])
    assert shim_settings(environment) == {"PPSHIM_HEADER_OPTIONAL": "10.108.0.0/24", "PPSHIM_PORTS": "5432"}


def test_a_misspelt_setting_in_the_environment_is_refused():
    said = refused("run", *REQUIRED, "true", status=78, env=clean_env(PPSHIM_TIMOUT="3s"))
    assert said == "PPSHIM_TIMOUT=3s: no such setting: the nearest is PPSHIM_TIMEOUT"


def test_a_broken_list_file_is_named_with_its_line(tmp_path):
    path = tmp_path / "trust"
    path.write_text("10.0.0.0/8\n10.0.0.0/33\n")
    said = refused("run", "--trust", f"@{path}", "--ports", "1", "true", status=78)
    assert said.startswith(f"PPSHIM_TRUST=@{path}: line 2: 10.0.0.0/33")
    path.write_text("10.0.0.0/8\n")
    assert ppshim("run", "--trust", f"@{path}", "--ports", "1", "true")[0] == 0


def test_an_off_shim_needs_no_files():
    assert ppshim("run", "--trust", "none", "--ports", "all", "--client-allow", "@/no/such/file", "true")[0] == 0


# --- programs ---------------------------------------------------------------------------------------------------------

def refused_program(*argv, status=126, **options):
    return refused("run", *REQUIRED, "--", *argv, status=status, **options)


def program(directory, name, content, mode=0o755):
    path = directory / name
    path.write_text(content)
    path.chmod(mode)
    return path


@pytest.fixture
def directory():
    """One that other users can reach."""
    with scratch("programs") as path:
        yield path


def compiled(directory, name, *flags, compiler="gcc"):
    source = directory / "main.c"
    source.write_text("int main(void) { return 0; }\n")
    path = directory / name
    run(tool(compiler), *flags, "-o", path, source, timeout=60)
    return path


def test_a_program_that_is_not_there(tmp_path):
    assert refused_program("no-such-program", status=127) == "no-such-program: no such program"
    assert refused_program(tmp_path / "none", status=127) == f"{tmp_path}/none: no such program"


def test_a_file_that_is_no_program(tmp_path):
    plain = program(tmp_path, "plain", "text\n", 0o644)
    assert refused_program(plain) == f"{plain}: Permission denied"
    assert refused_program(tmp_path) == f"{tmp_path}: Permission denied"


def test_a_script_whose_interpreter_is_missing(tmp_path):
    script = program(tmp_path, "script", "#!/no/such/interpreter\n")
    assert refused_program(script) == (f"{script} would not load libppshim.so: it is a script for "
                                       "/no/such/interpreter, and of that: /no/such/interpreter: No such file or "
                                       "directory")


STATIC = ("it is statically linked and no Go program: it loads no library, and makes its system calls at too many places "
          "to lead them through the shim")


def test_a_static_program(directory):
    path = compiled(directory, "static", "-static")
    assert refused_program(path) == f"{path} would not load libppshim.so: {STATIC}"


def test_a_program_of_another_libc(directory):
    path = compiled(directory, "musl", compiler="musl-gcc")
    assert refused_program(path) == f"{path} would not load libppshim.so: it is built for musl, and the library for glibc"


def test_a_program_of_another_processor(directory):
    path = compiled(directory, "other")
    image = bytearray(path.read_bytes())
    image[18:20] = b"\xb7\0"  # e_machine: aarch64
    path.write_bytes(image)
    assert "it is for another kind of processor" in refused_program(path)


def test_a_program_in_go(directory):
    """As the linker of Go marks it."""
    path = compiled(directory, "dynamic")
    run(tool("objcopy"), "--add-section", f".go.buildinfo={directory / 'main.c'}", path, directory / "go")
    assert refused_program(directory / "go") == (f"{directory / 'go'} is a Go program that cannot be served: neither its "
                                                 "build info nor its table of functions is there")


def test_a_setuid_program_for_whoever_is_not_its_owner(directory):
    needs("root")
    path = compiled(directory, "setuid")
    path.chmod(0o4755)
    assert ppshim("run", *REQUIRED, path)[0] == 0
    os_level = {"user": 65534, "group": 65534, "extra_groups": [], "cwd": "/"}
    tool_of_all = shutil.copy(TOOL, directory / "ppshim")
    shutil.copy(SHIM, directory / "libppshim.so")

    def as_nobody():
        done = subprocess.run([tool_of_all, "run", *REQUIRED, path], env=clean_env(), capture_output=True, text=True,
                              **os_level)
        return done.returncode, done.stderr.partition(": it ")[2]
    assert as_nobody() == (126, "is setuid, and the dynamic linker then ignores LD_PRELOAD\n")
    path.chmod(0o2755)
    assert as_nobody() == (126, "is setgid, and the dynamic linker then ignores LD_PRELOAD\n")
    path.chmod(0o755)
    assert as_nobody() == (0, "")
    run(tool("setcap"), "cap_net_bind_service=ep", path)
    assert as_nobody() == (126, "has file capabilities, and the dynamic linker then ignores LD_PRELOAD\n")
    assert ppshim("run", *REQUIRED, path)[0] == 0


def test_scripts_are_judged_by_their_interpreter(directory):
    static = compiled(directory, "static", "-static")
    good = program(directory, "good", "#!/bin/sh\nexit 7\n")
    nested = program(directory, "nested", f"#!{good}\n")
    bad = program(directory, "bad", f"#! {static} -x\n")
    by_env = program(directory, "by-env", "#!/usr/bin/env static\n")
    assert ppshim("run", *REQUIRED, good)[0] == 7
    assert ppshim("run", *REQUIRED, nested)[0] == 7
    assert refused_program(bad) == f"{bad} would not load libppshim.so: it is a script for {static}, and of that: {STATIC}"
    env = clean_env()
    env["PATH"] += f":{directory}"
    assert f"it is a script for {static}" in refused_program(by_env, env=env)


def test_a_script_without_an_interpreters_name_is_run_by_the_shell(directory):
    assert ppshim("run", *REQUIRED, program(directory, "plain", "exit 7\n"))[0] == 7


# --- the library ------------------------------------------------------------------------------------------------------

def test_a_library_that_is_not_there_or_none(tmp_path):
    assert refused("run", *REQUIRED, "--library", tmp_path / "none", "true",
                   status=126) == f"{tmp_path}/none: No such file or directory"
    plain = program(tmp_path, "plain", "text\n")
    assert refused("run", *REQUIRED, "--library", plain, "true", status=126) == f"{plain}: not a library"


def test_a_library_in_a_place_that_ld_preload_cannot_name(tmp_path):
    for name in ("with space", "with:colon", "with$dollar"):
        (tmp_path / name).mkdir()
        path = shutil.copy(SHIM, tmp_path / name)
        assert refused("run", *REQUIRED, "--library", path, "true", status=126) == (
            f"{path}: LD_PRELOAD cannot hold a path with a space, a colon or a $")


def test_the_tool_finds_the_libraries_where_they_are_installed(tmp_path):
    """Also when they were built before it was known where."""
    prefix, library_directory = tmp_path / "prefix", tmp_path / "libraries"
    places = (f"B={tmp_path}/build", f"PREFIX={prefix}", f"LIBDIR={library_directory}", f"SYSCONFDIR={tmp_path}/etc")
    shutil.copytree(ROOT / "build" / "check", tmp_path / "build")
    make(ROOT, "install", *places)
    for verb, options, library in (("run", REQUIRED, "libppshim.so"), ("connect", ["--local"], "libppconnect.so")):
        done = run(prefix / "bin/ppshim", verb, *options, "sh", "-c", "echo $LD_PRELOAD")
        assert done.stdout == f"{library_directory}/{library}\n"
    make(ROOT, "uninstall", *places)
    assert [path for place in (prefix, library_directory) for path in place.rglob("*") if path.is_file()] == []
