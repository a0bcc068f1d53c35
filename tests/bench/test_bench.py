# SPDX-License-Identifier: MIT
"""make bench works: a short run of it, whose figures say nothing."""
import os
import re

import pytest
from harness import ROOT, clean_env, run

KEPT = {name: value for name, value in os.environ.items() if name in ("LIBPPSHIM", "BENCH_PROGRAMS")}


def bench(results, *arguments):
    env = clean_env(BENCH_ROUNDS="2", BENCH_SECONDS="0.05", BENCH_RESULTS=str(results), **KEPT)
    return run("/usr/bin/python3", ROOT / "tests/bench/bench.py", *arguments, check=False, timeout=120, env=env)


@pytest.mark.parametrize("cell", ["epoll/behind", "redis/short", "nginx/open", "blocking/late", "memcached/bulk"])
def test_every_way_is_measured(tmp_path, cell):
    done = bench(tmp_path, cell)
    assert done.returncode == 0, done.stdout + done.stderr
    server, use = cell.split("/")
    [row] = re.findall(rf"^### {use}: .*\n\n.*\n.*\n\| {server} (\|.*)$", (tmp_path / "table.md").read_text(), re.M)
    bare, *ratios = [word.strip() for word in row.strip("|").split("|")]
    assert int(bare.split()[0].replace(",", "")) > 0
    assert len(ratios) >= 3 and all(re.fullmatch(r"\d+\.\d\d \(\d+\.\d\d–\d+\.\d\d\)", ratio) for ratio in ratios), row
    assert (tmp_path / "table.svg").read_text().count("<path") > len(ratios)


def test_a_curve_is_measured_at_each_of_its_sizes(tmp_path):
    done = bench(tmp_path, "curves/threads")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\| threads \| 1 \| 2 \| 4 \| 8 \| 16 \|$", (tmp_path / "curves.md").read_text(), re.M)
    assert "</svg>" in (tmp_path / "curves.svg").read_text()


def test_a_cell_that_does_not_exist_is_named_with_those_that_do(tmp_path):
    done = bench(tmp_path, "redis/shrot")
    assert done.returncode == 1
    assert re.match(r"bench: no such cell: redis/shrot; there are: redis\[/short\|", done.stderr)
