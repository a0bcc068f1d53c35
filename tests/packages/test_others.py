# SPDX-License-Identifier: MIT
"""The packages that are made of the release for other systems than Debian."""
import re
import tarfile
from pathlib import Path

import pytest
from conftest import standing
from harness import ROOT, clean_env, example, run, scratch, tool
from release import AUTHOR, RELEASE, VERSION, released
from trees import make

EVERYWHERE = {"/usr/bin/ppshim", "/usr/share/bash-completion/completions/ppshim",
              "/usr/share/zsh/site-functions/_ppshim", "/usr/share/fish/vendor_completions.d/ppshim.fish",
              *(f"/usr/share/doc/libppshim/{name}" for name in ("README.md", "CHANGELOG.md")),
              *(f"/usr/share/doc/libppshim/examples/{path.name}" for path in (ROOT / "scripts/examples").iterdir())}


@pytest.fixture(scope="module")
def commit():
    with released() as tree:
        yield tree


@pytest.fixture(scope="module")
def package(commit):
    """The rpm of the release."""
    tool("rpmbuild")
    said = make(commit, "rpm", env=AUTHOR)
    [built] = [line for line in said.splitlines() if re.search(rf"/libppshim-{VERSION}-1\.[^/]*\.rpm$", line)]
    return commit / built


def test_an_rpm_is_built_of_the_release_and_holds_every_file(package):
    rpm = tool("rpm")
    listed = {path.removesuffix(".gz") for path in run(rpm, "-qpl", package).stdout.split()}
    library = run(rpm, "--eval", "%{_libdir}").stdout.strip()
    assert {*EVERYWHERE, f"{library}/libppshim.so", f"{library}/libppconnect.so", "/etc/ppshim",
            "/usr/share/man/man1/ppshim.1", "/usr/share/man/man8/libppshim.8"} <= listed
    assert [path for path in listed if "ppshim" not in path and "build-id" not in path] == [f"{library}/libppconnect.so"]
    scripts = run(rpm, "-qp", "--scripts", package).stdout
    assert re.findall(r"^(\w+) (?:scriptlet|program)", scripts, re.M) == ["preuninstall"]
    assert (ROOT / "scripts/debian/libppshim.prerm").read_text() in scripts


def test_an_rpm_is_not_removed_while_something_names_it(package, debian):
    """In a Debian, where rpm knows of no package but this one."""
    name = "etc/xinetd.d/ssh-balanced"

    def rpm(*words, **options):
        return run(tool("rpm"), "--root", debian, *words, timeout=60, **options)
    rpm("--install", "--nodeps", package)
    try:
        with standing(debian, name, example("xinetd.conf")):
            refused = rpm("--erase", "libppshim", check=False)
            assert refused.returncode and f"  /{name}\n" in refused.stderr
            assert (debian / "usr/bin/ppshim").exists()
            rpm("--upgrade", "--force", "--nodeps", package)
        rpm("--erase", "libppshim")
        assert not (debian / "usr/bin/ppshim").exists()
    finally:
        rpm("--erase", "--noscripts", "libppshim", check=False)


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
