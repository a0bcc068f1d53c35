# SPDX-License-Identifier: MIT
"""go_programs.py: the Go programs of these tests, built by the Go that is installed, each once for all tests."""
import functools
import os
import shutil
import tempfile
from pathlib import Path

from harness import ROOT, run, tool

HERE = Path(__file__).with_name("go")
# How a program is linked: with cgo as Debian's are, as a position-independent one whose linker is libc's though it calls
# nothing of libc, and statically.
WAYS = {"dynamic": (["-race=false"], "1"), "pie": (["-buildmode=pie"], "0"), "static": ([], "0")}


@functools.cache
def _directory():
    """Kept beside what else is built: Go builds its standard library for each way of linking, which takes minutes."""
    directory = ROOT / "build" / "go"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@functools.cache
def build(name, way="static"):
    """The path of tests/servers/go/NAME, linked in that way."""
    options, cgo = WAYS[way]
    cache = _directory() / "cache"
    out = Path(tempfile.mkdtemp(dir=_directory())) / name
    run(tool("go", "/usr/lib/go-*/bin/go"), "build", *options, "-o", out, f"./{name}", cwd=HERE, timeout=1200,
        env={**os.environ, "CGO_ENABLED": cgo, "GOCACHE": str(cache), "GOFLAGS": "-mod=mod", "GOPROXY": "off",
             "HOME": str(_directory())})
    final = _directory() / f"{name}-{way}"
    os.replace(out, final)
    shutil.rmtree(out.parent)
    return final
