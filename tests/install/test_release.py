# SPDX-License-Identifier: MIT
"""The release: the same bytes of the same commit, and all that it holds."""
import hashlib
import tarfile

import pytest
from harness import run, scratch, tool
from release import AUTHOR, RELEASE, VERSION, git, released
from trees import make


@pytest.fixture(scope="module")
def commit():
    with released() as tree:
        yield tree


def test_two_releases_of_a_commit_are_the_same_bytes(commit):
    with scratch("clone") as directory:
        run(tool("git"), "clone", "--quiet", commit, directory / "another-name", env=AUTHOR)
        make(directory / "another-name", "dist", env=AUTHOR)
        first, second = (hashlib.sha256((tree / RELEASE).read_bytes()).hexdigest()
                         for tree in (commit, directory / "another-name"))
    assert first == second


def test_the_release_holds_what_the_commit_does(commit):
    with tarfile.open(commit / RELEASE) as release:
        members = [member for member in release.getmembers() if not member.isdir()]
    assert sorted(member.name for member in members) == sorted(f"libppshim-{VERSION}/{name}"
                                                               for name in git(commit, "ls-files").split())
    assert {member.mode & 0o022 for member in members} == {0}


def test_what_is_not_committed_is_no_release(commit):
    (commit / "notes").write_text("to do\n")
    try:
        with pytest.raises(AssertionError, match="dist: commit first"):
            make(commit, "dist", env=AUTHOR)
    finally:
        (commit / "notes").unlink()
