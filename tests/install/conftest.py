# SPDX-License-Identifier: MIT
"""conftest.py: two copies of the source tree, one with what `make check-install` built here, one built itself."""
import shutil

import pytest
from harness import ROOT, scratch, tool
from trees import copy_of_the_source, make


@pytest.fixture(scope="session")
def trees():
    """Built with everything; they differ in where they are."""
    tool("musl-gcc")
    with scratch("trees") as directory:
        built = [copy_of_the_source(directory / name) for name in ("one", "another-with-a-longer-name")]
        shutil.copytree(ROOT / "build" / "check", built[0] / "build")
        for tree in built:
            make(tree, "all", "musl")
        yield built


@pytest.fixture(scope="session")
def tree(trees):
    """One to install from; that may build some of it again, for where it goes."""
    with scratch("tree") as directory:
        yield shutil.copytree(trees[0], directory / "tree", symlinks=True)
