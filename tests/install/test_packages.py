# SPDX-License-Identifier: MIT
"""The release, and the packages that are made of it for other systems than Debian."""
import hashlib
import re
import tarfile
from pathlib import Path

import pytest
from harness import ROOT, clean_env, run, scratch, tool
from trees import copy_of_the_source, make

VERSION = re.search(r"^VERSION = (\S+)$", (ROOT / "Makefile").read_text(), re.M)[1]
RELEASE = f"build/libppshim-{VERSION}.tar.gz"
DATE = "2026-01-02T03:04:05Z"
AUTHOR = clean_env(GIT_AUTHOR_DATE=DATE, GIT_COMMITTER_DATE=DATE, GIT_CONFIG_GLOBAL="/dev/null",
                   **{f"GIT_{who}_{what}": "somebody@example.org" for who in ("AUTHOR", "COMMITTER")
                      for what in ("NAME", "EMAIL")})


def git(tree, *words):
    return run(tool("git"), "-C", tree, *words, env=AUTHOR).stdout


@pytest.fixture(scope="module")
def commit():
    """A repository of one commit, which is this tree."""
    with scratch("commit") as directory:
        tree = copy_of_the_source(directory / "tree")
        git(tree, "init", "--quiet")
        git(tree, "add", "--all")
        git(tree, "commit", "--quiet", "--message", "all of it")
        make(tree, "dist", env=AUTHOR)
        yield tree


def test_two_releases_of_a_commit_are_the_same_bytes(commit):
    with scratch("clone") as directory:
        run(tool("git"), "clone", "--quiet", commit, directory / "another-name", env=AUTHOR)
        make(directory / "another-name", "dist", env=AUTHOR)
        first, second = (hashlib.sha256((tree / RELEASE).read_bytes()).hexdigest()
                         for tree in (commit, directory / "another-name"))
    assert first == second


def test_the_release_holds_what_the_commit_does(commit):
    with tarfile.open(commit / RELEASE) as release:
        members = [member for member in release.getmembers() if not member.isdir()]
    assert sorted(member.name for member in members) == sorted(f"libppshim-{VERSION}/{name}"
                                                               for name in git(commit, "ls-files").split())
    assert {member.mode & 0o022 for member in members} == {0}


def test_what_is_not_committed_is_no_release(commit):
    (commit / "notes").write_text("to do\n")
    try:
        with pytest.raises(AssertionError, match="dist: commit first"):
            make(commit, "dist", env=AUTHOR)
    finally:
        (commit / "notes").unlink()


@pytest.mark.parametrize("path, pattern", [
    ("scripts/libppshim.spec", r"^Version: +(\S+)$"), ("scripts/APKBUILD", r"^pkgver=(\S+)$"),
    ("scripts/debian/changelog", r"\Alibppshim \((\S+)-\d+\)"), ("scripts/examples/kubernetes.yaml", r"/ppshim:(\S+)"),
    ("README.md", r"active version=(\S+)")])
def test_what_names_the_version_names_this_one(path, pattern):
    assert re.findall(pattern, (ROOT / path).read_text(), re.M) == [VERSION]


# --- packages ---------------------------------------------------------------------------------------------------------

EVERYWHERE = {"/usr/bin/ppshim", "/usr/share/bash-completion/completions/ppshim",
              "/usr/share/zsh/site-functions/_ppshim", "/usr/share/fish/vendor_completions.d/ppshim.fish",
              *(f"/usr/share/doc/libppshim/{name}" for name in ("README.md", "CHANGELOG.md")),
              *(f"/usr/share/doc/libppshim/examples/{path.name}" for path in (ROOT / "scripts/examples").iterdir())}


def test_an_rpm_is_built_of_the_release_and_holds_every_file(commit):
    rpm = tool("rpm")
    tool("rpmbuild")
    said = make(commit, "rpm", env=AUTHOR)
    [package] = [line for line in said.splitlines() if re.search(rf"/libppshim-{VERSION}-1\.[^/]*\.rpm$", line)]
    listed = {path.removesuffix(".gz") for path in run(rpm, "-qpl", commit / package).stdout.split()}
    library = run(rpm, "--eval", "%{_libdir}").stdout.strip()
    assert {*EVERYWHERE, f"{library}/libppshim.so", f"{library}/libppconnect.so", "/etc/ppshim",
            "/usr/share/man/man1/ppshim.1", "/usr/share/man/man8/libppshim.8"} <= listed
    assert [path for path in listed if "ppshim" not in path and "build-id" not in path] == [f"{library}/libppconnect.so"]
    assert not run(rpm, "-qp", "--scripts", commit / package).stdout


def kernel_headers(directory):
    """What Alpine has in linux-headers, for a compiler that has its libc's headers alone."""
    directory.mkdir()
    multiarch = run(tool("gcc"), "-print-multiarch").stdout.strip()
    for name, place in (("linux", ""), ("asm-generic", ""), ("asm", multiarch)):
        (directory / name).symlink_to(Path("/usr/include") / place / name)
    return directory


def test_the_apkbuild_builds_and_packages_with_musl(commit):
    """Its functions, as abuild calls them; with Debian's musl-gcc, and no Alpine."""
    compiler = tool("musl-gcc")
    with scratch("apk") as directory:
        with tarfile.open(commit / RELEASE) as release:
            release.extractall(directory)
        script = "set -e; . scripts/APKBUILD; cd $srcdir/$pkgname-$pkgver; build; package"
        run(tool("sh"), "-c", script, cwd=directory / f"libppshim-{VERSION}", timeout=300,
            env=clean_env(CC=f"{compiler} -idirafter {kernel_headers(directory / 'kernel')}", srcdir=str(directory), pkgdir=str(directory / "pkg")))
        there = {f"/{path.relative_to(directory / 'pkg')}" for path in (directory / "pkg").rglob("*") if path.is_file()}
        assert EVERYWHERE | {"/usr/lib/libppshim.so", "/usr/lib/libppconnect.so"} <= there
        interpreter = run(tool("readelf"), "-l", directory / "pkg/usr/lib/libppshim.so").stdout
        assert "ld-musl" in interpreter
        assert run(directory / "pkg/usr/bin/ppshim", "--version").stdout.strip().endswith(VERSION)
