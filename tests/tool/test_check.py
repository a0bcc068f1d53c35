# SPDX-License-Identifier: MIT
"""`ppshim check` of programs and processes: it says yes only where the shim serves, and why where it does not."""
import json
import os
import re
import shutil
import subprocess

import pytest
from check_fixtures import (ROOT, SHIM, TOOL, as_root, check, check_json, compile_c, finished_process, ppshim, running, tool,
                            run, server)
from place import needs

__all__ = ["server"]


# --- programs ---------------------------------------------------------------------------------------------------------

def refused(answer, why):
    assert (answer.status, answer.verdict) == (1, "no") and why in answer.because, answer


def test_a_server_can_be_served(server):
    answer = check(server)
    assert (answer.status, answer.because) == (0, f"{server}: the library can serve it"), answer
    assert answer.facts("imports") == ["accept listen"]


def test_calls_by_their_other_names_are_told(tmp_path):
    text = """#include <poll.h>
    #include <sys/select.h>
    #include <sys/socket.h>
    int __poll(struct pollfd *, nfds_t, int), __select(int, fd_set *, fd_set *, fd_set *, struct timeval *);
    int main(void) { return __poll(0, 0, 0) + __select(0, 0, 0, 0, 0) + accept(0, 0, 0); }"""
    assert check(compile_c(tmp_path / "old", text)).facts("imports") == ["accept poll select"]


def test_a_program_is_found_in_path(server):
    env = {"PATH": f"/nonexistent:{server.parent}"}
    assert check("server", env=env).because == f"{server}: the library can serve it"


def test_a_program_that_accepts_nothing_is_refused(tmp_path):
    refused(check(compile_c(tmp_path / "hello", "int main(void) { return 0; }")), "nothing in it or its libraries")


def test_what_a_plugin_may_do_is_not_known(tmp_path):
    text = '#include <dlfcn.h>\nint main(int c, char **v) { return dlopen(v[c - 1], 1) != 0; }'
    answer = check(compile_c(tmp_path / "loader", text))
    assert (answer.status, answer.verdict) == (1, "unsure") and "plugin" in answer.because, answer


def test_a_library_of_its_own_that_accepts_is_named(tmp_path):
    library = "#include <sys/socket.h>\nint serve(int fd) { return accept(fd, 0, 0); }"
    compile_c(tmp_path / "libserve.so", library, flags=["-shared", "-fPIC"])
    (tmp_path / "far").mkdir()
    program = tmp_path / "far" / "program"
    program.with_suffix(".c").write_text("int serve(int); int main(void) { return serve(0); }")
    run(tool("gcc"), "-o", program, program.with_suffix(".c"), f"-L{tmp_path}", "-lserve", "-Wl,-rpath,$ORIGIN/..")
    answer = check(program)
    assert (answer.status, answer.verdict) == (1, "unsure") and "libserve.so" in answer.because, answer
    assert "libserve.so imports accept" in answer.facts("library")
    (tmp_path / "libserve.so").unlink()
    assert "libserve.so is not where libraries usually are: not looked at" in check(program).facts("library")


def test_a_static_program_is_refused(tmp_path):
    refused(check(compile_c(tmp_path / "static", flags=["-static"])), "statically linked")
    refused(check(compile_c(tmp_path / "static-pie", flags=["-static-pie"])), "statically linked")


@pytest.mark.parametrize("section", [".go.buildinfo", ".note.go.buildid"])
def test_a_go_program_is_known_by_its_section(tmp_path, server, section):
    program = shutil.copy(server, tmp_path / "go")
    content = tmp_path / "content"
    content.write_bytes(b"\xff Go buildinf:" + bytes(18))
    run(tool("objcopy"), f"--add-section={section}={content}", program)
    refused(check(program), "Go program")


def test_a_go_program_without_section_names_is_known_by_its_note(tmp_path):
    text = """asm(".section .note.whatever,\\"a\\",@note\\n.balign 4\\n.long 4, 8, 4\\n"
                  ".ascii \\"Go\\\\0\\\\0buildid1\\"\\n.previous");
              int main(void) { return 0; }"""
    program = compile_c(tmp_path / "go", text)
    image = bytearray(program.read_bytes())
    image[60:64] = bytes(4)  # e_shnum, e_shstrndx: no section is there
    program.write_bytes(image)
    refused(check(program), "Go program")


def test_a_musl_program_needs_a_library_for_musl(tmp_path):
    refused(check(compile_c(tmp_path / "musl", compiler="musl-gcc")), "it is built for musl, and the library for glibc")


def test_a_program_for_another_machine_is_refused(tmp_path, server):
    image = bytearray(server.read_bytes())
    image[18:20] = (183).to_bytes(2, "little")  # e_machine: aarch64
    program = tmp_path / "foreign"
    program.write_bytes(image)
    refused(check(program), "aarch64")


def test_a_setuid_program_is_refused(tmp_path, server):
    program = tmp_path / "setuid"
    shutil.copy(server, program)
    program.chmod(0o4755)
    refused(check(program), "setuid")


def test_a_program_with_file_capabilities_is_refused(tmp_path, server):
    as_root()
    program = tmp_path / "capable"
    shutil.copy(server, program)
    run(tool("setcap"), "cap_net_bind_service=ep", program)
    refused(check(program), "file capabilities")


def test_something_else_is_no_library_to_preload(server):
    refused(ppshim("check", server, "--library", server), "is not libppshim")
    refused(ppshim("check", server, "--library", "/nonexistent.so"), "cannot be read")


def test_a_script_is_judged_by_its_interpreter(tmp_path):
    script = tmp_path / "script"
    for line, verdict in (("#!/usr/bin/python3", "ok"), ("#! /usr/bin/env -S python3 -u", "ok"), ("#!/bin/sh", "unsure")):
        script.write_text(line + "\n")
        answer = check(script)
        assert answer.verdict == verdict and "is run by" in answer.facts("script")[0], answer


def test_a_script_whose_interpreter_is_missing_is_refused(tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/nonexistent/sh\n")
    refused(check(script), "/nonexistent/sh: No such file")


def test_scripts_that_run_each_other_come_to_an_end(tmp_path):
    script = tmp_path / "script"
    script.write_text(f"#!{script}\n")
    refused(check(script), "neither an ELF program")


@pytest.mark.parametrize("content", [b"", b"#!", b"hello", b"\x7fELF", b"\x7fELF\x02\x01\x01" + bytes(57)])
def test_a_file_that_is_no_program_is_refused(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    assert check(tmp_path / "file").status == 1


def test_what_is_not_there_is_refused(tmp_path):
    refused(check(tmp_path / "nothing"), "No such file")
    refused(check(tmp_path), "is a directory")
    refused(check("/dev/null"), "not a regular file")
    answer = check("no-such-program-or-service")
    assert (answer.status, answer.out) == (1, "") and answer.err.count("\n") == 1


def test_broken_programs_are_read_within_their_bounds(tmp_path, server):
    """Every header byte of a real program changed, and the file cut at every place, under sanitizers."""
    program = tmp_path / "mutations"
    run(tool("gcc"), "-D_GNU_SOURCE", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
        "-o", program, ROOT / "tests/tool/elf_mutations.c", timeout=60)
    done = run(program, server, timeout=120)
    assert int(done.stdout) > 10000


# --- processes --------------------------------------------------------------------------------------------------------

def test_a_served_process_is_told_with_its_listeners(tmp_path, server):
    with running(tmp_path, server, TRUST="127.0.0.2") as process:
        answer = check(process.pid)
        assert (answer.status, answer.verdict) == (0, "ok"), answer
        assert answer.facts("listener") == [f"127.0.0.1:{process.port}, governed"]
        assert "PPSHIM_TRUST=127.0.0.2" in answer.facts("setting")
        version = run(SHIM).stdout.split()[1]
        assert re.fullmatch(rf"{SHIM}, version {version}, build [0-9a-f]{{40}}", answer.facts("loaded")[0])


@pytest.mark.parametrize("trust, nobody", [("10.0.0.0/8", True), ("10.0.0.0/8 ::1", True), ("127.0.0.2", False),
                                           ("10.0.0.0/8 127.0.0.0/24", False)])
def test_a_listener_that_nobody_in_the_lists_can_connect_to_is_warned_of(tmp_path, server, trust, nobody):
    """It listens on 127.0.0.1, where connections come from loopback alone."""
    with running(tmp_path, server, TRUST=trust) as process:
        warned = check(process.pid).facts("trust")
        assert [f"127.0.0.1:{process.port}" in line and "will never take a header" in line for line in warned] == [True] * nobody


def test_a_process_without_the_library_is_refused(tmp_path, server):
    with running(tmp_path, server, library=None) as process:
        refused(check(process.pid), "not loaded")


def test_a_library_that_was_not_there_is_told(tmp_path, server):
    with running(tmp_path, server, library="/nonexistent/libppshim.so", TRUST="127.0.0.2") as process:
        refused(check(process.pid), "LD_PRELOAD=/nonexistent/libppshim.so is in its environment, but")


@pytest.mark.parametrize("settings, why", [({"TRUST": "none"}, "loaded but off"), ({}, "loaded but off"),
                                           ({"TRUST": "127.0.0.2", "PORTS": "1"}, "listens on no port")])
def test_a_process_with_nothing_governed_is_refused(tmp_path, server, settings, why):
    with running(tmp_path, server, **settings) as process:
        refused(check(process.pid), why)


def test_a_process_that_overwrote_its_environment_is_asked_in_its_memory(tmp_path, server):
    as_root()
    with running(tmp_path, server, "overwrite", TRUST="127.0.0.2") as process:
        answer = check(process.pid)
        assert (answer.status, answer.verdict) == (0, "ok"), answer
        assert answer.facts("listener") == [f"127.0.0.1:{process.port}, governed"]
        assert "read in its memory" in answer.facts("setting")[0]
    with running(tmp_path, server, "overwrite", TRUST="127.0.0.2", PORTS="1") as process:
        refused(check(process.pid), "listens on no port")
    with running(tmp_path, server, "overwrite") as process:
        refused(check(process.pid), "loaded but off")


def other_build(path):
    """The library with another build-id."""
    build_id = bytes.fromhex(re.search(r"Build ID: (\w+)", run(tool("readelf"), "-n", SHIM).stdout)[1])
    image = SHIM.read_bytes()
    assert image.count(build_id) == 1
    path.write_bytes(image.replace(build_id, build_id[::-1]))


def test_a_replaced_library_needs_a_restart(tmp_path, server):
    as_root()
    library = tmp_path / "libppshim.so"
    shutil.copy(SHIM, library)
    with running(tmp_path, server, library=library, TRUST="127.0.0.2") as process:
        shutil.copy(SHIM, tmp_path / "new")
        os.replace(tmp_path / "new", library)
        answer = check(process.pid)
        assert answer.verdict == "ok" and "same build" in answer.facts("replaced")[0], answer
        other_build(tmp_path / "new")
        os.replace(tmp_path / "new", library)
        refused(check(process.pid), "a restart is needed: the library was replaced by version")
        library.unlink()
        refused(check(process.pid), "no longer installed")


def test_a_library_that_may_not_be_executed_is_told(tmp_path, server):
    needs("root", "mounts")
    place = tmp_path / "noexec"
    place.mkdir()
    start = f'mount -t tmpfs -o noexec none {place} && cp {SHIM} {place} && LD_PRELOAD={place}/{SHIM.name} exec {server}'
    with running(tmp_path, tool("unshare"), "--mount", "sh", "-c", start, library=None) as process:
        maps = [line.split() for line in open(f"/proc/{process.pid}/maps") if SHIM.name in line]
        assert maps and not any("x" in fields[1] for fields in maps)
        refused(check(process.pid), "mapped, but not executable")


def test_a_process_with_privileges_of_its_file_is_told(tmp_path, server):
    as_root()
    program = server.with_name("setuid")
    shutil.copy(server, program)
    program.chmod(0o4755)
    start = [tool("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", "env", f"LD_PRELOAD={SHIM}", program]
    with running(tmp_path, *start, library=None) as process:
        refused(check(process.pid), "AT_SECURE")


def test_a_process_that_is_no_more_is_refused():
    with finished_process() as pid:
        refused(check(pid), "no such process")


# --- how it is said ---------------------------------------------------------------------------------------------------

def test_json_says_the_same(tmp_path, server):
    status, said = check_json(server)
    assert (status, said["verdict"], said["status"], said["subject"]) == (0, "ok", 0, str(server))
    assert {"name": "imports", "warning": False, "text": "accept listen"} in said["facts"]
    status, said = check_json(tmp_path / "nothing")
    assert (status, said["verdict"], said["status"]) == (1, "no", 1) and "No such file" in said["because"]


def test_any_name_makes_valid_json_and_plain_text(tmp_path, server):
    name = os.fsencode(tmp_path) + b"/\x1b[31m \"\\\n\x80\xff\xc3\xa9"
    shutil.copy(server, name)
    done = subprocess.run([TOOL, "check", name, "--json"], capture_output=True)
    assert json.loads(done.stdout.decode())["subject"].endswith('/\x1b[31m "\\\n\ufffd\ufffd\u00e9')
    done = subprocess.run([TOOL, "check", name], capture_output=True)
    assert b"\x1b" not in done.stdout and done.stdout.startswith(b"ok: ")


def on_a_terminal(server, **env):
    needs("terminals")
    command = f"{TOOL} check {server}"
    return run(tool("script"), "-qec", command, "/dev/null", env={"PATH": "/bin", "TERM": "xterm", **env}).stdout


def test_colour_is_for_terminals_that_want_it(server):
    assert on_a_terminal(server).startswith("\x1b[32mok\x1b[0m: ")
    assert on_a_terminal(server, NO_COLOR="1").startswith("ok: ")
    assert "\x1b" not in check(server).out


@pytest.mark.parametrize("argv", [["a", "b"], ["--settings"], ["--loaded", "x"], ["--nonsense"], ["--library"]])
def test_a_wrong_command_line_is_status_2(argv):
    answer = ppshim("check", *argv)
    assert (answer.status, answer.out) == (2, "") and answer.err


def test_help_shows_an_example():
    answer = ppshim("check", "--help")
    assert answer.status == 0 and "Example" in answer.out and "ppshim check --settings" in answer.out
