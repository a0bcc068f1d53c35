# SPDX-License-Identifier: MIT
"""make bench works: a short run of it, whose figures say nothing."""
import os
import re

import pytest
from harness import ROOT, clean_env, run
from measure import together

KEPT = {name: value for name, value in os.environ.items() if name in ("LIBPPSHIM", "BENCH_PROGRAMS")}


def bench(results, *arguments, **more):
    env = clean_env(**{"BENCH_ROUNDS": "2", "BENCH_SECONDS": "0.05", "BENCH_RESULTS": str(results), **KEPT, **more})
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


def test_what_was_started_more_than_once_is_measured_together(tmp_path):
    done = bench(tmp_path, "epoll/short", BENCH_ROUNDS="6")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"^epoll: start \d of \d$", done.stdout, re.M) == ["epoll: start 1 of 2", "epoll: start 2 of 2"]
    assert len(re.findall(r"^\| epoll \| [\d,]+ \|", (tmp_path / "table.md").read_text(), re.M)) == 1


def test_a_way_that_failed_in_one_start_is_out():
    assert together({"one": [1], "two": [2], "three": "failed"}, {"one": [3], "two": "failed", "three": [4]}) == {
        "one": [1, 3], "two": "failed", "three": "failed"}


def test_a_curve_is_measured_at_each_of_its_sizes(tmp_path):
    done = bench(tmp_path, "curves/threads")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\| threads \| 1 \| 2 \| 4 \| 8 \| 16 \|$", (tmp_path / "curves.md").read_text(), re.M)
    assert "</svg>" in (tmp_path / "curves.svg").read_text()


def test_another_preload_is_measured_beside_the_shim_and_left_out_where_no_server_starts_under_it(tmp_path):
    """The peer is the shim itself, set up well, and then wrong, so that the server does not start."""
    library = KEPT.get("LIBPPSHIM") or str(ROOT / "build/libppshim.so")
    done = bench(tmp_path, "epoll/short", PEER=library, PEER_ENV="PPSHIM_TRUST=127.0.2.0/24")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"epoll/short: shim \d.*, peer \d", done.stdout)
    done = bench(tmp_path, "epoll/short", PEER=library, PEER_ENV="PPSHIM_TRUST=nonsense")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"epoll/short: shim \d.*, peer failed", done.stdout)
    assert re.search(r"epoll/short: peer: did not start: .*ended at start, exit status 78", done.stdout)


@pytest.mark.parametrize("name, value, right", [("BENCH_ROUNDS", "many", "a whole number"),
                                                ("BENCH_SECONDS", "1s", "a number of seconds"),
                                                ("BENCH_HEADER", "v3", "v1 or v2")])
def test_a_wrong_setting_gets_one_line_that_says_what_is_right(tmp_path, name, value, right):
    done = bench(tmp_path, "epoll/short", **{name: value})
    assert (done.returncode, done.stderr) == (1, f"bench: {name}={value}: not {right}\n")


def test_a_cell_that_does_not_exist_is_named_with_those_that_do(tmp_path):
    done = bench(tmp_path, "redis/shrot")
    assert done.returncode == 1
    assert re.match(r"bench: no such cell: redis/shrot; there are: redis\[/short\|", done.stderr)
