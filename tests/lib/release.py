# SPDX-License-Identifier: MIT
"""release.py: this tree as a repository of one commit, and the release that make dist makes of it."""
import re
from contextlib import contextmanager

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


@contextmanager
def released():
    """The directory of that repository, RELEASE in it."""
    with scratch("commit") as directory:
        tree = copy_of_the_source(directory / "tree")
        git(tree, "init", "--quiet")
        git(tree, "add", "--all")
        git(tree, "commit", "--quiet", "--message", "all of it")
        make(tree, "dist", env=AUTHOR)
        yield tree
