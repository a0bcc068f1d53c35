# SPDX-License-Identifier: MIT
"""What a Go program is known by, whatever its build leaves out: it is served, or told that it cannot be (what that means:
test_go_unserved.py)."""
import pytest
from go_programs import altered, build
from harness import BALANCER, ROOT, Process, dial, environment, proxy_v2, read_to_end, run, shim_env
from seccomp import NOBODY_IS_ASKED

TOOL = ROOT / "build" / "ppshim"


class Server(Process):
    """By `ppshim run` with these options; else under the library with these settings, or without both."""
    name = "go"
    ready_line = r"^ready \S+:(\d+) \d+$"

    def __init__(self, directory, program, by_run=None, **settings):
        super().__init__(directory, shim_env(**settings) if settings else {})
        self.program, self.by_run = program, by_run

    def argv(self):
        run_by = [TOOL, "run", "--ports", "all", *self.by_run, "--"] if self.by_run else []
        return [*run_by, self.program, "-listen", "127.0.0.1:0"]

    @property
    def port(self):
        return int(self.log.find(self.ready_line)[0])

    def names_the_client(self):
        with dial(("127.0.0.1", self.port), BALANCER) as peer:
            peer.sendall(proxy_v2() + b"hello\n")
            return read_to_end(peer) == b"203.0.113.7:4711 hello\n"


DYNAMIC = pytest.mark.parametrize("way", ["dynamic", "pie"])
EVERY = pytest.mark.parametrize("way", ["dynamic", "pie", "static"])


def without_build_info(directory, way):
    return altered(directory, build("server", way), b"\xff Go buildinf:", b"\xff Go buildinf;")


def without_a_table(directory, way):
    """As obfuscators build it: no build info, and a magic of its own before the table of functions. (Theirs comes with a
    runtime that knows it; Go's own ends once it has looked.)"""
    known = without_build_info(directory, way)
    magic = next(m for m in (b"\xf0\xff\xff\xff\0\0\1\x08", b"\xf1\xff\xff\xff\0\0\1\x08") if m in known.read_bytes())
    return altered(directory, known, magic, b"\x12\x34\x56\x78" + magic[4:])


@EVERY
def test_a_program_without_its_build_info_is_served(tmp_path, way):
    program = without_build_info(tmp_path, way)
    with (Server(tmp_path, program, ["--trust", BALANCER]) if way == "static" else
          Server(tmp_path, program, TRUST=BALANCER)) as server:
        assert server.names_the_client()


@EVERY
def test_the_tool_says_so_of_a_program_without_its_build_info(tmp_path, way):
    said = run(TOOL, "check", without_build_info(tmp_path, way)).stdout
    assert said.startswith("ok: ") and "Go of a version that it does not tell" in said


WHY = "its table of functions does not confirm where it makes its system calls"


@DYNAMIC
def test_a_program_whose_table_of_functions_is_obfuscated_is_known_at_its_start(tmp_path, way):
    """It says so there where the kernel cannot ask about its first listen."""
    done = run(without_a_table(tmp_path, way), check=False, env=environment(TRUST=BALANCER, LOG="stderr"),
               preexec_fn=NOBODY_IS_ASKED)
    assert f"error: this Go program cannot be served, and so may not listen: {WHY}" in done.stderr


@EVERY
def test_the_tool_refuses_a_program_whose_table_of_functions_is_obfuscated(tmp_path, way):
    program = without_a_table(tmp_path, way)
    done = run(TOOL, "run", "--trust", BALANCER, "--ports", "all", "--", program, check=False)
    assert (done.returncode, done.stderr) == (
        126, f"ppshim run: {program} is a Go program that cannot be served: {WHY}\n")
    done = run(TOOL, "check", program, check=False)
    assert done.returncode == 1 and done.stdout.startswith(f"no: {program}: it is a Go program (") and WHY in done.stdout


def test_a_program_of_c_is_none(tmp_path):
    """Nothing in what tests run most is taken for a Go program's."""
    for program in "/bin/sh", "/usr/bin/python3", "/usr/sbin/haproxy", ROOT / "build/ppshim":
        said = run(TOOL, "check", program, check=False).stdout
        assert "preload: the library stands in for calls of libc" in said, said


def test_the_tool_refuses_a_program_for_another_processor(tmp_path):
    program = tmp_path / "foreign"
    image = bytearray(build("server").read_bytes())
    image[18:20] = (183).to_bytes(2, "little")  # e_machine: aarch64
    program.write_bytes(image)
    program.chmod(0o755)
    why = "it is for another processor than amd64, the only one where Go programs are served"
    done = run(TOOL, "run", "--trust", BALANCER, "--ports", "all", "--", program, check=False)
    assert (done.returncode, done.stderr) == (126, f"ppshim run: {program} is a Go program that cannot be served: {why}\n")
    assert why in run(TOOL, "check", program, check=False).stdout.partition("\n")[0]
