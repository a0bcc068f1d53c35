# SPDX-License-Identifier: MIT
"""conftest.py: copies of the source tree in directories of their own, built there."""
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

pytest.register_assert_rewrite("harness")

from harness import ROOT, run, scratch, tool  # noqa: E402

BUILD_DEADLINE = 300


def make(tree, *words):
    """In the tree, with none of the variables of the make that runs the tests."""
    return run(tool("make"), "--no-print-directory", "-j2", "-C", tree, *words, timeout=BUILD_DEADLINE).stdout


def copy_of_the_source(directory):
    shutil.copytree(ROOT, directory, symlinks=True, ignore=shutil.ignore_patterns(".git", "build", "__pycache__"))
    return directory


@pytest.fixture(scope="session")
def trees():
    """Two, built with everything, that differ in where they are."""
    tool("musl-gcc")
    with scratch("trees") as directory:
        built = [copy_of_the_source(directory / name) for name in ("one", "another-with-a-longer-name")]
        for tree in built:
            make(tree, "all", "musl")
        yield built


@pytest.fixture(scope="session")
def tree(trees):
    return trees[0]
