# SPDX-License-Identifier: MIT
"""counters.py: a directory for PPSHIM_STATS, and what `ppshim status` says of it."""
import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter

from place import ROOT, lacks
from waiting import DEADLINE

TOOL = os.environ.get("PPSHIM_TOOL") or ROOT / "build/ppshim"
TMPFS = "/dev/shm"


@contextlib.contextmanager
def directory(mode=0o1777):
    """On a tmpfs, or nothing is counted."""
    with open("/proc/mounts") as mounts:
        if not any(line.split()[1:3] == [TMPFS, "tmpfs"] for line in mounts):
            lacks(f"a tmpfs at {TMPFS}")
    path = tempfile.mkdtemp(prefix="ppshim-stats-", dir=TMPFS)
    os.chmod(path, mode)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def status(path, *arguments, given="", check=True):
    """What the tool prints."""
    done = subprocess.run([TOOL, "status", "--stats", path, *map(str, arguments)], input=given, capture_output=True,
                          text=True, timeout=DEADLINE, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"})
    assert not check or (done.returncode, done.stderr) == (0, ""), done
    return done.stdout if check else done


def groups(path, *arguments):
    return json.loads(status(path, "--json", *arguments))["groups"]


def counted(path, *arguments):
    """{counter: n} of all groups together, without those that are zero, and without how long headers took."""
    total = Counter()
    for group in groups(path, *arguments):
        total.update(group["counters"])
    return {key: n for key, n in total.items() if n and not key.startswith("wait")}


def waits(path):
    """{upper bound: n} of those that are not zero, of all groups together."""
    total = Counter()
    for group in groups(path):
        total.update({key.removeprefix("wait."): n for key, n in group["counters"].items() if key.startswith("wait.")})
    return {bound: n for bound, n in total.items() if n}


# --- the table --------------------------------------------------------------------------------------------------------

_STRING = r'"((?:[^"\\]|\\.)*)"'


def _header(name):
    return (ROOT / "include/ppshim" / name).read_text().replace("\\\n", "\n")


def metrics():
    """(name, type, unit, help) of each, from include/ppshim/stats.h."""
    return re.findall(rf"\bX\(\w+,\s*{_STRING},\s*([A-Z]+),\s*{_STRING},\s*{_STRING}\)", _header("stats.h"))


def keys():
    """Of all counters, in the order in which they lie in the file."""
    plain = re.findall(rf"\bX\(\w+,\s*{_STRING},\s*\w+,\s*{_STRING}\)", _header("stats.h"))
    waits = re.findall(r'\bX\("([^"]*)", [\w]+\)', _header("stats.h"))
    reasons = re.findall(rf"\bX\(\w+,\s*{_STRING},\s*{_STRING}\)", _header("reason.h"))[1:]  # without "none"
    return [*(key for key, _ in plain), *(f"wait.{bound}" for bound in waits),
            *(f"rejected.{reason}" for reason, _ in reasons)]
