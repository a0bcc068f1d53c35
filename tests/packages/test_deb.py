# SPDX-License-Identifier: MIT
"""make deb: what the package holds, that it is the same bytes everywhere, and that a fresh Debian runs with it."""
import hashlib
import re
import shutil

import pytest
from conftest import standing
from harness import CLIENT, ROOT, example, run, scratch, tool
from small_server import Server

LIBRARIES = f"usr/lib/{run(tool('dpkg-architecture'), '-qDEB_HOST_MULTIARCH').stdout.strip()}"

UNITS = "usr/lib/systemd/system"


def hashes(directory):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.glob("*.deb")}


def test_two_builds_in_different_directories_are_the_same(builds):
    """make deb also failed if lintian had found anything."""
    one, another = map(hashes, builds)
    assert len(one) == 2 and any(name.startswith("libppshim-dbgsym_") for name in one)
    assert one == another


def control(package, field):
    return run(tool("dpkg-deb"), "--field", package, field).stdout.strip()


def test_it_is_of_the_makefiles_version_and_needs_little(package):
    version = re.search(r"^VERSION = (\S+)$", (ROOT / "Makefile").read_text(), re.M)[1]
    assert re.fullmatch(rf"{re.escape(version)}-\d+", control(package, "Version"))
    assert re.fullmatch(r"libc6 \(>= [\d.]+\), libmnl0 \(>= [\d.~-]+\)", control(package, "Depends"))


def test_its_one_script_looks_and_does_nothing(package, tmp_path):
    """Nothing is restarted, started or enabled when it comes, changes or goes."""
    run(tool("dpkg-deb"), "--control", package, tmp_path / "control")
    assert {path.name for path in (tmp_path / "control").iterdir()} == {"conffiles", "control", "md5sums", "triggers", "prerm"}
    script = (tmp_path / "control/prerm").read_text()
    assert not re.search(r"systemctl|invoke-rc|deb-systemd|service ", script)


def test_everything_is_where_debian_looks_for_it(package):
    listing = run(tool("dpkg-deb"), "--contents", package).stdout
    files = {line.split()[5].removeprefix("./") for line in listing.splitlines() if not line.startswith("d")}
    documents = {f"usr/share/doc/libppshim/{name}" for name in
                 ("README.md.gz", "changelog.gz", "changelog.Debian.gz", "copyright",
                  *(f"examples/{path.name}" for path in (ROOT / "scripts/examples").iterdir()))}
    completions = {"usr/share/bash-completion/completions/ppshim", "usr/share/zsh/vendor-completions/_ppshim",
                   "usr/share/fish/vendor_completions.d/ppshim.fish"}
    libraries = {f"{LIBRARIES}/{name}" for name in ("libppshim.so", "libppshim-musl.so", "libppconnect.so")}
    journal = {"etc/logrotate.d/ppshim-journal",
               *(f"{UNITS}/ppshim-journal.{kind}" for kind in ("service", "socket"))}
    assert files == {"usr/bin/ppshim", "usr/share/man/man1/ppshim.1.gz", "usr/share/man/man8/libppshim.8.gz",
                     "usr/share/lintian/overrides/libppshim", *libraries, *documents, *completions, *journal}
    assert re.search(r"^d.* \./etc/ppshim/$", listing, re.M)


# --- in a fresh Debian ------------------------------------------------------------------------------------------------

def inside(root, *argv):
    return run(tool("chroot"), root, *argv, timeout=60).stdout


@pytest.fixture
def installed(debian, package):
    """The fresh Debian with the package; without it afterwards."""
    shutil.copy(package, debian / "package.deb")
    inside(debian, "dpkg", "--install", "/package.deb")
    yield debian
    inside(debian, "dpkg", "--purge", "libppshim")


@pytest.mark.parametrize("library", ["libppshim.so", f"/{LIBRARIES}/libppshim.so"], ids=["by name", "by path"])
def test_server_there_sees_the_client(installed, library):
    with scratch("server") as directory, Server(directory, inside=installed, LD_PRELOAD=library) as server:
        assert server.ask() == CLIENT
        assert server.log.wait_event("active").version == control(installed / "package.deb", "Version").split("-")[0]


def test_library_there_prints_its_version(installed):
    assert inside(installed, f"/{LIBRARIES}/libppshim.so").startswith("libppshim ")


def test_server_that_runs_goes_on_when_the_package_is_installed_anew_and_removed(installed):
    with scratch("server") as directory, Server(directory, inside=installed, LD_PRELOAD="libppshim.so") as server:
        assert server.ask() == CLIENT
        inside(installed, "dpkg", "--install", "/package.deb")
        assert server.ask() == CLIENT
        inside(installed, "dpkg", "--purge", "libppshim")
        assert not (installed / LIBRARIES / "libppshim.so").exists()
        assert server.ask() == CLIENT


@pytest.mark.parametrize("name, text", [
    ("etc/systemd/system/db.service.d/ppshim.conf", "[Service]\nEnvironment=LD_PRELOAD=libppshim.so\n"),
    ("etc/postgresql/15/main/environment", "LD_PRELOAD = '/usr/lib/libppshim.so'\n"),
    ("etc/default/db", "LD_PRELOAD=libppshim-musl.so\n"),
    ("etc/xinetd.d/ssh-balanced", example("xinetd.conf")),
])
def test_it_is_not_removed_while_something_names_it(installed, name, text):
    with standing(installed, name, text):
        refused = run(tool("chroot"), installed, "dpkg", "--remove", "libppshim", check=False, timeout=60)
        assert refused.returncode and f"  /{name}\n" in refused.stderr and "ppshim unit NAME --remove" in refused.stderr
        assert "(/etc/xinetd.d ...): take LD_PRELOAD out." in refused.stderr
        assert (installed / LIBRARIES / "libppshim.so").exists()
        inside(installed, "dpkg", "--install", "/package.deb")  # an upgrade goes on


@pytest.mark.parametrize("name", ["ppshim-metrics.socket", "ppshim-metrics@.service"])
def test_it_is_removed_though_something_speaks_of_it(installed, name):
    with standing(installed, f"etc/systemd/system/{name}", example(name)):
        inside(installed, "dpkg", "--remove", "libppshim")
        assert not (installed / LIBRARIES / "libppshim.so").exists()


def test_purge_leaves_no_file(debian, package):
    def files():
        return {path for top in ("usr", "etc", "var/lib") for path in (debian / top).rglob("*ppshim*")}
    assert files() == set()
    shutil.copy(package, debian / "package.deb")
    inside(debian, "dpkg", "--install", "/package.deb")
    assert files() != set()
    inside(debian, "dpkg", "--purge", "libppshim")
    assert files() == set()
