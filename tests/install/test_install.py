# SPDX-License-Identifier: MIT
"""make install puts it where it belongs, under the feet of servers that run; make uninstall takes all of it away."""
import functools
import os
import re
import shutil
from contextlib import ExitStack

import pytest
from harness import CLIENT, ROOT, clean_env, run, scratch, tool
from small_server import Server
from trees import make


@pytest.fixture
def root():
    with scratch("root") as directory:
        yield directory


def files(root):
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


@pytest.mark.parametrize("name", ["libppshim.so", "libppshim-musl.so", "libppconnect.so", "ppshim"])
def test_nothing_names_the_directory_it_was_built_in(tree, name):
    built = (tree / "build" / name).read_bytes()
    assert bytes(tree) not in built and bytes(ROOT) not in built


def multiarch():
    return run(tool("cc"), "-print-multiarch").stdout.strip()


# PREFIX, where the libraries go
PREFIXES = [("/usr/local", "usr/local/lib"), ("/usr", f"usr/lib/{multiarch()}"), ("/opt/ppshim", "opt/ppshim/lib")]


@pytest.fixture(scope="module")
def installed(tree):
    """installed(PREFIX): where that was done, and what make said of it; once for all tests that only look."""
    with ExitStack() as scope:
        @functools.cache
        def install(prefix):
            root = scope.enter_context(scratch("root"))
            return root, make(tree, "install", f"DESTDIR={root}", f"PREFIX={prefix}")
        yield install


@pytest.mark.parametrize("prefix, libraries", PREFIXES, ids=[prefix for prefix, _ in PREFIXES])
def test_everything_goes_where_the_prefix_says(installed, prefix, libraries):
    root, _ = installed(prefix)
    share = f"{prefix[1:]}/share"
    expected = {f"{prefix[1:]}/bin/ppshim", f"{share}/man/man1/ppshim.1", f"{share}/man/man8/libppshim.8",
                f"{share}/bash-completion/completions/ppshim", f"{share}/zsh/site-functions/_ppshim",
                f"{share}/fish/vendor_completions.d/ppshim.fish",
                *(f"{libraries}/{name}" for name in ("libppshim.so", "libppshim-musl.so", "libppconnect.so")),
                *(f"{share}/doc/libppshim/{name}" for name in ("README.md", "CHANGELOG.md", "LICENSE")),
                *(f"{share}/doc/libppshim/examples/{path.name}" for path in (ROOT / "scripts/examples").iterdir()),
                *(f"{prefix[1:]}/lib/systemd/system/ppshim-journal.{kind}" for kind in ("service", "socket")),
                "etc/logrotate.d/ppshim-journal"}
    assert files(root) == expected
    assert list((root / "etc/ppshim").iterdir()) == []  # a place for list files


def test_every_directory_can_be_named(tree, root):
    named = {"LIBDIR": "/a", "BINDIR": "/b", "MANDIR": "/c", "DOCDIR": "/d", "SYSCONFDIR": "/e",
             "BASHCOMPDIR": "/f", "ZSHCOMPDIR": "/g", "FISHCOMPDIR": "/h", "UNITDIR": "/i"}
    make(tree, "install", f"DESTDIR={root}", *(f"{name}={directory}" for name, directory in named.items()))
    assert {path.split("/")[0] for path in files(root)} <= set("abcdefghi")
    assert (root / "a/libppshim.so").exists() and (root / "d/README.md").exists() and (root / "e/ppshim").is_dir()
    assert not (root / "etc").exists() and not (root / "usr").exists()


def test_uninstall_leaves_no_file_of_ours_and_every_other(tree, root):
    make(tree, "install", f"DESTDIR={root}")
    others = {"usr/local/lib/libother.so", "usr/local/share/doc/libppshim/notes", "etc/ppshim/trust"}
    for path in others:
        (root / path).write_text("somebody else's")
    make(tree, "uninstall", f"DESTDIR={root}")
    assert files(root) == others
    for path in others:
        (root / path).unlink()
    make(tree, "uninstall", f"DESTDIR={root}")  # again, when nothing is there
    assert not (root / "usr/local/share/doc/libppshim").exists()
    assert not (root / "etc/ppshim").exists()


def test_usr_local_is_warned_of(installed):
    """Services whose sandbox cannot map it start without the shim."""
    assert "redis-server" in installed("/usr/local")[1]
    assert "redis-server" not in installed("/usr")[1]


def test_service_that_answers_prometheus_names_the_tool_that_was_installed(installed):
    root, _ = installed("/usr")
    service = (root / "usr/share/doc/libppshim/examples/ppshim-metrics@.service").read_text()
    assert (root / re.search(r"^ExecStart=/(\S+) ", service, re.M)[1]).exists()


def test_readme_leads_to_the_examples_that_were_installed(installed):
    root, _ = installed("/usr")
    documents = root / "usr/share/doc/libppshim"
    links = re.findall(r"\]\(([^)]*examples/[^)]*)\)", (documents / "README.md").read_text())
    assert links and [link for link in links if not (documents / link).exists()] == []


def test_journals_unit_names_the_tool_that_was_installed(installed):
    root, _ = installed("/usr")
    unit = (root / "usr/lib/systemd/system/ppshim-journal.service").read_text()
    program = re.search(r"^ExecStart=(\S+) journal ", unit, re.M)[1]
    assert (root / program.lstrip("/")).exists()
    assert "@" not in unit


@pytest.mark.parametrize("destdir", [False, True], ids=["into the system", "below DESTDIR"])
def test_linker_cache_is_renewed_for_what_goes_into_the_system(tree, root, destdir):
    """With a stand-in for ldconfig, and a directory of the test's own for the system."""
    stand_in = root / "programs" / "ldconfig"
    stand_in.parent.mkdir()
    stand_in.write_text(f"#!/bin/sh\necho called >>{root}/calls\n")
    stand_in.chmod(0o755)
    env = clean_env()
    env["PATH"] = f"{stand_in.parent}:{env['PATH']}"
    where = [f"PREFIX={root}/usr", f"SYSCONFDIR={root}/etc", f"DESTDIR={root}/dest" if destdir else "DESTDIR="]
    for target, calls in ("install", 1), ("uninstall", 2):
        make(tree, target, *where, env=env)
        expected = 0 if destdir or os.geteuid() else calls
        assert (root / "calls").exists() == bool(expected)
        assert not expected or len((root / "calls").read_text().split()) == expected


def mapped(pid, library):
    """Whether the file that a process has mapped under this name is still the one that stands there."""
    lines = [line for line in open(f"/proc/{pid}/maps", encoding="utf-8") if str(library) in line]
    assert lines, f"{library} is not mapped"
    return not any(line.endswith(" (deleted)\n") for line in lines)


def test_server_that_runs_goes_on_when_its_library_is_installed_anew_and_removed(tree, root):
    make(tree, "install", f"DESTDIR={root}")
    library = root / "usr/local/lib/libppshim.so"
    with Server(root, LD_PRELOAD=library) as server:
        assert server.ask() == CLIENT
        assert mapped(server.pid, library)
        make(tree, "install", f"DESTDIR={root}")
        assert not mapped(server.pid, library), "the file was written over"
        assert server.ask() == CLIENT
        make(tree, "uninstall", f"DESTDIR={root}")
        assert not library.exists()
        assert server.ask() == CLIENT


def test_install_that_fails_leaves_the_old_library(tree, root):
    make(tree, "install", f"DESTDIR={root}")
    library = root / "usr/local/lib/libppshim.so"
    before = library.stat().st_ino
    (root / "usr/local/lib/libppshim.so.new").mkdir()  # where the new one would be written
    (root / "usr/local/lib/libppshim.so.new/libppshim.so").mkdir()
    with pytest.raises(AssertionError):
        make(tree, "install", f"DESTDIR={root}")
    assert library.stat().st_ino == before
    assert os.access(library, os.X_OK)
    shutil.rmtree(root / "usr/local/lib/libppshim.so.new")
