# SPDX-License-Identifier: MIT
"""conftest.py: a copy of the source tree, with what `make check-install` built here."""
import shutil

import pytest
from harness import ROOT, scratch, tool
from trees import copy_of_the_source, make


@pytest.fixture(scope="session")
def tree():
    """To install from; that may build some of it again, for where it goes."""
    tool("musl-gcc")
    with scratch("tree") as directory:
        copy = copy_of_the_source(directory / "tree")
        shutil.copytree(ROOT / "build" / "check", copy / "build")
        make(copy, "all", "musl")
        yield copy
