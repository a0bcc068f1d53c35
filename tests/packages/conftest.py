# SPDX-License-Identifier: MIT
"""conftest.py: the packages, built twice, and a fresh Debian."""
from contextlib import contextmanager

import pytest
from harness import clean_env, run, scratch, tool
from place import needs
from trees import copy_of_the_source, make

BOOTSTRAP_DEADLINE = 600

# Where and how each of the builds is made: none of it may be seen in what comes out.
CIRCUMSTANCES = {"one": ({"TZ": "UTC"}, 0o022), "another-with-a-longer-name": ({"TZ": "Pacific/Auckland"}, 0o027)}


@pytest.fixture(scope="session")
def builds():
    """The build/deb of each."""
    with scratch("debs") as directory:
        trees = []
        for name, (env, umask) in CIRCUMSTANCES.items():
            trees.append(copy_of_the_source(directory / name))
            make(trees[-1], "deb", env=clean_env(**env), umask=umask)
        yield [tree / "build" / "deb" for tree in trees]


@pytest.fixture(scope="session")
def package(builds):
    [found] = builds[0].glob("libppshim_*.deb")
    return found


def mirror():
    """The release that apt uses here, and from where."""
    targets = run(tool("apt-get"), "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Component: main").stdout
    return targets.splitlines()[0].split()


@pytest.fixture(scope="session")
def debian():
    """The root directory of one, with nothing but what every Debian has."""
    needs("root")
    with scratch("debian") as directory:
        run(tool("debootstrap"), "--variant=minbase", "--include=libmnl0", mirror()[0], directory / "root", mirror()[1],
            timeout=BOOTSTRAP_DEADLINE)
        yield directory / "root"


@contextmanager
def standing(root, name, text):
    """While a file of this name and text is there."""
    path = root / name
    made = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    try:
        yield
    finally:
        path.unlink()
        for directory in made:
            directory.rmdir()
