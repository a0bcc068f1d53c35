# SPDX-License-Identifier: MIT
"""go_programs.py: the Go programs of these tests, built by the Go that is installed, each once for all tests."""
import fcntl
import functools
import os
from pathlib import Path

from harness import ROOT, run, tool
from place import missing

HERE = Path(__file__).with_name("go")
# How a program is linked: with cgo as Debian's are, as a position-independent one whose linker is libc's though it calls
# nothing of libc (and that is small, for Go compiles all that is in it once more), and statically.
WAYS = {"dynamic": ([], "1", []), "pie": (["-buildmode=pie"], "0", ["small"]), "static": ([], "0", [])}
LIBRARIES = Path("/usr/share/gocode")  # Debian's, which are no modules


@functools.cache
def _directory():
    """Kept beside what else is built: Go builds its standard library for each way of linking, which takes minutes."""
    directory = ROOT / "build" / "go"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _with(library):
    """The tag by which the sources know of it, and where Go finds it; or that there is none."""
    if not library:
        return [], {"GOFLAGS": "-mod=mod", "GOPROXY": "off"}
    found = LIBRARIES / "src" / library
    return [found.name], {"GO111MODULE": "off", "GOPATH": str(LIBRARIES)} if found.is_dir() else missing(found)


def _is_built(program, source):
    """Since its sources were changed."""
    changed = max(path.stat().st_mtime for path in [Path(__file__), HERE, *HERE.glob("go.*"), source, *source.iterdir()])
    return program.exists() and program.stat().st_mtime > changed


@functools.cache
def build(name, way="static", library=None):
    """The path of tests/servers/go/NAME, linked in that way; with what of it needs the library, by its import path.
    Whoever comes first builds it, and the others wait: one that was replaced would be a deleted program to those who
    run it."""
    options, cgo, small = WAYS[way]
    tags, env = _with(library)
    cache = _directory() / "cache"
    final = _directory() / "-".join([name, way, *tags])
    with open(f"{final}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_built(final, HERE / name):
            run(tool("go", "/usr/lib/go-*/bin/go"), "build", *options, "-tags", ",".join(small + tags),
                "-o", f"{final}.new", f"./{name}", cwd=HERE,
                timeout=1200, env={**os.environ, "CGO_ENABLED": cgo, "GOCACHE": str(cache), "HOME": str(_directory()),
                                   **env})
            os.replace(f"{final}.new", final)
    return final


def altered(directory, program, what, by):
    """A copy of a program in which these bytes, each time they stand there, are others."""
    copy = directory / "altered"
    text = program.read_bytes()
    assert what in text
    copy.write_bytes(text.replace(what, by))
    copy.chmod(0o755)
    return copy
