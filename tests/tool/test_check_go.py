# SPDX-License-Identifier: MIT
"""`ppshim check` of Go programs: how the shim comes into each, and whether it is in one that runs."""
import re
import shutil
import socket
import subprocess

import pytest
from check_fixtures import SHIM, TOOL, as_root, check, ppshim, run, shim_env
from go_programs import build
from harness import BALANCER, until
from place import needs
from test_go_known import Server, altered

VERSION = run(SHIM).stdout.split()[1]
OF_GO = r"go1\.\d+(\.\d+)?; "


def refused(answer, why):
    assert (answer.status, answer.verdict) == (1, "no") and why in answer.because, answer


# --- programs ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("way, told", [("dynamic", "Go by preload: "), ("pie", "Go by preload: "),
                                       ("static", "Go by injection: ")])
def test_of_a_program_is_told_how_the_shim_comes_into_it(way, told):
    answer = check(build("server", way))
    assert answer.verdict == "ok" and re.match(told + OF_GO, answer.facts("way")[0]), answer


# --- processes --------------------------------------------------------------------------------------------------------

TRUSTED = ["--trust", BALANCER]


def served(directory, way):
    program = build("server", way)
    return Server(directory, program, TRUSTED) if way == "static" else Server(directory, program, TRUST=BALANCER)


WAYS = pytest.mark.parametrize("way", ["dynamic", "pie", "static"])


@WAYS
def test_a_served_process_is_told_with_its_way_its_version_and_its_listeners(tmp_path, way):
    with served(tmp_path, way) as server:
        answer = check(server.pid)
        assert (answer.status, answer.verdict) == (0, "ok"), answer
        by = "injection" if way == "static" else "preload"
        assert re.match(rf"Go by {by}: {OF_GO}", answer.facts("way")[0]), answer
        loaded = f"put there by ppshim run, version {VERSION}" if way == "static" else f"{SHIM}, version {VERSION}, build "
        assert answer.facts("loaded")[0].startswith(loaded), answer
        assert answer.facts("listener") == [f"127.0.0.1:{server.port}, governed"]
        assert f"PPSHIM_TRUST={BALANCER}" in answer.facts("setting")


@WAYS
def test_whether_it_has_accepted_is_told(tmp_path, way):
    with served(tmp_path, way) as server:
        assert server.names_the_client()
        assert check(server.pid).facts("holders") == [f"127.0.0.1:{server.port}: 1 process, 1 has accepted: "
                                                      f"{server.program.name} {server.pid}"]


def test_it_can_be_probed(tmp_path):
    """Which settings are in force is read in its memory."""
    as_root()
    needs("descriptors")
    with served(tmp_path, "static") as server:
        answer = check("--probe", server.pid)
        assert answer.verdict == "ok", answer


@WAYS
def test_a_process_that_is_just_started_is_waited_for(tmp_path, way):
    """From `ppshim run`, or a program that has not mapped its libraries, to the server."""
    for number in range(5):
        directory = tmp_path / str(number)
        directory.mkdir()
        server = served(directory, way)
        server.is_ready = lambda mark: True
        with server:
            answer = ppshim("check", "--loaded", server.pid)
            assert (answer.status, answer.out) == (0, ""), answer
            assert check(server.pid).facts("way")[0].startswith("Go by")
            until(lambda: server.log.find(server.ready_line), "it is ready to end")


def test_a_static_process_that_was_not_started_by_the_tool_is_refused(tmp_path):
    why = "it is a static Go program, and was not started by ppshim run: no preload reaches it"
    with Server(tmp_path, build("server"), TRUST=BALANCER) as server:
        answer = check(server.pid)
        refused(answer, why)
        assert answer.facts("way") == ["none"]
        refused(ppshim("check", "--loaded", server.pid), f"process {server.pid} runs without the library: {why}")


def test_a_dynamic_process_without_the_library_is_refused(tmp_path):
    with Server(tmp_path, build("server", "dynamic")) as server:
        refused(check(server.pid), "the library is not loaded")
        refused(ppshim("check", "--loaded", server.pid), "the library is not loaded")


@pytest.mark.parametrize("way", ["dynamic", "static"])
def test_a_process_in_which_the_shim_is_off_is_refused(tmp_path, way):
    by_run = ["--trust", "none"] if way == "static" else None
    with Server(tmp_path, build("server", way), by_run, TRUST="none") as server:
        refused(check(server.pid), "the library is loaded but off")


def test_a_process_that_cannot_be_served_is_refused_with_the_reason(tmp_path):
    program = altered(tmp_path, build("client", "dynamic"), b"syscall.Syscall6\0", b"syscall.Syscall7\0")
    env = shim_env(TRUST=BALANCER)
    with socket.create_server((BALANCER, 0)) as silent:
        command = [program, "-to", "%s:%d" % silent.getsockname(), "-count", "1"]
        with subprocess.Popen([str(a) for a in command], env=env, stdout=subprocess.DEVNULL) as process:
            silent.accept()[0].detach()  # the program waits for what nobody sends
            answer, loaded = check(process.pid), ppshim("check", "--loaded", process.pid)
            process.kill()
    why = "it is a Go program that cannot be served: its table of functions does not confirm where it makes its system calls"
    refused(answer, why)
    refused(loaded, why)


def other_tool(directory, version):
    """This tool with an image of that version, or, if it is the same, of another build."""
    text = TOOL.read_bytes()
    mark = b"libppshim's gate" + VERSION.encode()
    assert text.count(mark) == 1 and text.count(b"ppshim-cannot-be-run") >= 1
    text = text.replace(mark, mark.replace(VERSION.encode(), version.encode()))
    text = text.replace(b"ppshim-cannot-be-run", b"ppshim-cannot-be-rum")
    tool = directory / "ppshim"
    tool.write_bytes(text)
    tool.chmod(0o755)
    shutil.copy(SHIM, directory)
    return tool


@pytest.mark.parametrize("version, would", [("9.9.9", VERSION), (VERSION, "another build of that")])
def test_a_process_that_another_tool_started_needs_a_restart(tmp_path, version, would):
    class Earlier(Server):
        def argv(self):
            return [other_tool(tmp_path, version), *super().argv()[1:]]
    with Earlier(tmp_path, build("server"), TRUSTED) as server:
        assert server.names_the_client()
        refused(check(server.pid), f"a restart is needed: the shim in it is version {version}, and this ppshim would put "
                                   f"{would} there")


def test_it_is_among_all_that_is_given_the_library(tmp_path):
    with served(tmp_path, "static") as server:
        for verb, line in (("check", "ok: process {} ({})"), ("doctor", "governed     ok: process {} ({})")):
            said = ppshim(verb, timeout=300).out
            assert line.format(server.pid, server.program) in said, said
