# SPDX-License-Identifier: MIT
"""trees.py: copies of the source tree, to be built in directories of their own."""
import shutil

from harness import ROOT, run, tool

BUILD_DEADLINE = 300


def copy_of_the_source(directory):
    shutil.copytree(ROOT, directory, symlinks=True, ignore=shutil.ignore_patterns(".git", "build", "__pycache__"))
    return directory


def make(tree, *words, **options):
    """In the tree, with none of the variables of the make that runs the tests."""
    argv = [tool("make"), "--no-print-directory", "-j2", "-C", tree, *words]
    return run(*argv, timeout=BUILD_DEADLINE, **options).stdout
