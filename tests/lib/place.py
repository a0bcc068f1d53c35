# SPDX-License-Identifier: MIT
"""place.py: what the machine that runs the tests can do, and the library where every user of it can map it.

A program that is not installed is an oversight: a loud skip, and in CI a failure. What the place itself cannot do (a
container without mounts, an ordinary user) nobody can mend from here: it is asked once, and the tests that need it are
skipped, in CI too. As a program, place.py names each of these: scripts/check begins and ends with that.
"""
import atexit
import ctypes
import functools
import os
import pwd
import resource
import shutil
import socket
import subprocess
import tempfile
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


# --- what it can do ---------------------------------------------------------------------------------------------------

def _succeeds(*argv):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          env={"PATH": PATH}).returncode == 0


def _has_terminals():
    for fd in os.openpty():
        os.close(fd)
    return True


def _speaks_mptcp():
    with socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262):
        return True


def foreign_address():
    """An address of this host that is not a loopback one; connecting a UDP socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.254", 9))
        return probe.getsockname()[0]


OPEN_FILES = 17000
_SOFT, _HARD = resource.getrlimit(resource.RLIMIT_NOFILE)
if _SOFT < min(_HARD, OPEN_FILES):  # 1,024 are few for who asks a server as hundreds of clients
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(_HARD, OPEN_FILES), _HARD))
_OWN_ROOT = ('mount -t tmpfs none "$0" && mkdir "$0/u" "$0/w" "$0/r" && '
             'mount -t overlay -o "lowerdir=/,upperdir=$0/u,workdir=$0/w" none "$0/r"')


def _has_root_file_systems():
    with tempfile.TemporaryDirectory() as directory:
        return _succeeds("unshare", "--mount", "sh", "-c", _OWN_ROOT, directory)


_LOOPBACK_UP = "ip", "link", "set", "lo", "up"
PIDFD_GETFD = 438


def _copies_descriptors():
    pidfd = os.pidfd_open(os.getpid())
    copy = ctypes.CDLL(None).syscall(PIDFD_GETFD, pidfd, pidfd, 0)
    for fd in pidfd, copy:
        if fd >= 0:
            os.close(fd)
    return copy >= 0


# The places' words for it, and how it is asked.
ABILITIES = {
    "root": ("root", lambda: os.geteuid() == 0),
    "mounts": ("mounts of its own (unshare --mount)", lambda: _succeeds("unshare", "--mount", "true")),
    "overlay": ("a root file system of its own (unshare --mount, overlay)", _has_root_file_systems),
    "network": ("a network of its own (unshare --net, its loopback up)",
                lambda: _succeeds("unshare", "--net", *_LOOPBACK_UP)),
    "cables": ("network devices that it makes (veth, /dev/net/tun)",
               lambda: _succeeds("unshare", "--net", "sh", "-c", "ip link add name one type veth peer name two && "
                                                                 "ip tuntap add dev three mode tun")),
    "namespaces": ("namespaces of its own (unshare --net --pid --mount-proc, loopback up)",
                   lambda: _succeeds("unshare", "--net", "--pid", "--mount", "--fork", "--mount-proc", *_LOOPBACK_UP)),
    "descriptors": ("leave to copy a descriptor of a process (pidfd_getfd)", _copies_descriptors),
    "users": ("a user namespace (unshare --user)",
              lambda: _succeeds("unshare", "--mount", "--user", "--map-root-user", "true")),
    "tracing": ("probes that a tracer can set (bpftrace)", lambda: _succeeds("bpftrace", "-e", "BEGIN { exit(); }")),
    "terminals": ("pseudo-terminals (/dev/ptmx)", _has_terminals),
    "mptcp": ("MPTCP in its kernel", _speaks_mptcp),
    "foreign": ("an address that is not a loopback one", foreign_address),
    "files": (f"{OPEN_FILES} open files (ulimit -Hn)",
              lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= OPEN_FILES),
}


@functools.lru_cache(maxsize=None)
def can(ability):
    try:
        return bool(ABILITIES[ability][1]())
    except OSError:
        return False


def needs(*abilities):
    """A loud skip where the place cannot do it."""
    for ability in abilities:
        if not can(ability):
            lacks(ABILITIES[ability][0])


def lacks(what):
    warnings.warn(f"NOT TESTED, this place has not: {what}")
    pytest.skip(f"this place has not: {what}")


def missing(what):
    """A loud skip; in CI, where everything should be installed, a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"missing: {what}", pytrace=False)
    warnings.warn(f"NOT TESTED, missing: {what}")
    pytest.skip(f"missing: {what}")


def tool(name, *places):
    """The path of a program: in PATH, in the sbin directories, or by one of the glob patterns `places` (the newest)."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")
    for pattern in places:
        for path in sorted(Path("/").glob(pattern.lstrip("/"))):
            found = str(path)
    return found or missing(name)


def unprivileged(*names):
    """Who a server that refuses to run as root runs as: the first of these users that exists. None: we are not root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in (*names, "nobody") if name in known)


# --- the library ------------------------------------------------------------------------------------------------------

@functools.lru_cache(maxsize=None)
def for_everybody(path):
    """A copy that servers of other users can map, or read: the tree may be in a home that is closed to them."""
    path = Path(path).resolve()
    if not path.exists():
        return path  # whoever uses it says so
    directory = Path(tempfile.mkdtemp(prefix="ppshim-copy-", dir="/tmp"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    directory.chmod(0o755)
    copy = directory / path.name
    if path.is_dir():
        shutil.copytree(path, copy)
    else:
        shutil.copy(path, copy)
    copy.chmod(0o755)
    return copy


SHIM = for_everybody(os.environ.get("LIBPPSHIM") or ROOT / "build" / "libppshim.so")

if __name__ == "__main__":
    for ability, (what, _) in ABILITIES.items():
        if not can(ability):
            print(what)
