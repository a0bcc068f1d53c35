# SPDX-License-Identifier: MIT
"""The same source is the same bytes, wherever it is built."""
import hashlib


def products(tree):
    """{name: hash} of what installs."""
    found = [*(tree / "build").glob("*.so"), *(tree / "build").glob("ppshim")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def test_two_builds_in_different_directories_are_the_same(trees):
    one, another = map(products, trees)
    assert {"libppshim.so", "libppshim-musl.so"} <= one.keys()
    assert one == another


def test_nothing_names_the_directory_it_was_built_in(trees):
    for tree in trees:
        for name in products(tree):
            assert bytes(tree) not in (tree / "build" / name).read_bytes()
