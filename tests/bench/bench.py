#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""bench.py: what `make bench` runs: what the shim costs, beside what else there is, as ratios within one run.

    bench.py [CELL]     all of it; or of one server (redis), of one in one way of use (redis/short), curves, curves/open

In the environment: BENCH_ROUNDS (15), BENCH_SECONDS (0.15) a run, BENCH_HEADER (v2, v1), PEER=/another/preload.so with
PEER_ENV="NAME=VALUE ...", BENCH_RESULTS: the directory for tables and charts, instead of build/bench.
"""
import contextlib
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))

import curves  # noqa: E402
import report  # noqa: E402
import startup  # noqa: E402
from measure import (NOT_STARTED, ROUNDS_A_START, WAYS, behind_a_balancer, interleaved, load,  # noqa: E402
                     setting, spoken, start_ways, starts, together)
from servers import BENCH, SERVERS  # noqa: E402
from tables import USES, one_line, page, ratios, served, summary  # noqa: E402

ROUNDS = setting("BENCH_ROUNDS", 15, int, "a whole number")
SECONDS = setting("BENCH_SECONDS", .15, float, "a number of seconds")
RESULTS = Path(os.environ.get("BENCH_RESULTS") or BENCH).resolve()

OF_A_SERVER = {
    "redis": tuple(USES),
    "nginx": tuple(USES),
    "mariadb": ("short", "behind", "open", "bulk"),
    "postgresql": ("short", "behind", "open", "bulk"),
    "memcached": ("short", "behind", "open", "bulk"),
    "haproxy": ("short", "open"),
    "dovecot": ("short",),
    "go": ("short", "late", "open"),
    "go-static": ("short", "open"),
    "epoll": ("short", "late", "behind", "open", "bulk"),
    "blocking": ("short", "late", "behind"),
}
ONLY_FOR_NEW_CONNECTIONS = ("shim-defer",)


def ways_of(server, use):
    return [way for way in WAYS if (way != "native" or SERVERS[server].has_native)
            and (way not in ONLY_FOR_NEW_CONNECTIONS or use not in ("open", "bulk"))]


def options_for(kind, use, way):
    """The load's options: the dialogue, learnt on this way, and how it is had."""
    if use == "open":
        login, request = spoken(way, kind.login, kind.request)
        return {"login": login, "request": request, "open": 64, "flight": kind.flight}
    if use == "bulk":
        login, request = spoken(way, kind.login, kind.bulk)
        return {"login": login, "request": request, "open": 4, "flight": 4}
    [request] = spoken(way, kind.short)
    return {"request": request, "flight": kind.flight, "when": 50 if use == "late" else "with"}


def measure(server, use, ways, rounds):
    """{way: [Run, one for each of these rounds] or why there is none}"""
    kind = SERVERS[server]
    options, failed = {}, {}
    for name, way in ways.items():
        try:
            options[name] = options_for(kind, use, way)
        except (OSError, AssertionError) as error:
            failed[name] = f"failed: {error}"
    return {**interleaved(list(options), rounds, lambda name: load(ways[name], SECONDS, **options[name])), **failed}


def run_once_started(server, wanted, rounds):
    """{use: {way: [Run, one for each of these rounds] or why there is none}}"""
    results = {}
    with contextlib.ExitStack() as scope:
        direct, failed = start_ways(scope, SERVERS[server],
                                    [way for way in WAYS if any(way in those for those in wanted.values())])
        for use, names in wanted.items():
            ways = {name: direct[name] for name in names if name in direct}
            with contextlib.ExitStack() as use_scope:
                if use.startswith("behind"):
                    ways = behind_a_balancer(use_scope, ways, quick=use.endswith("quick"))
                results[use] = measure(server, use, ways, rounds)
            results[use] |= {name: f"did not start: {failed[name]}" for name in names if name in failed}
    return results


def run_server(server, uses, results):
    """Whether it could be measured."""
    wanted, whole = {use: ways_of(server, use) for use in uses}, {}
    for number, rounds in enumerate(starts(ROUNDS), 1):
        print(f"{server}: start {number} of {len(starts(ROUNDS))}", flush=True)
        try:
            runs = run_once_started(server, wanted, rounds)
        except NOT_STARTED as error:
            print(f"  {server} is left out, it did not start: {error}", flush=True)
            return False
        whole = {use: together(whole[use], runs[use]) for use in uses} if whole else runs
    for use, runs in whole.items():
        results[use][server] = runs
        print(f"  {server}/{use}: {one_line(use, runs)}", flush=True)
        for name, those in runs.items():
            if isinstance(those, str):
                print(f"  {server}/{use}: {name}: {those}", flush=True)
    return True


def duration(cells):
    runs = sum(len(ways_of(server, use)) for server, use in cells)
    return runs * ROUNDS * (SECONDS * 1.1 + .06) + 8 * len(starts(ROUNDS)) * len({server for server, _ in cells})


def minutes(seconds):
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} minutes"


def say_if_busy():
    if report.LOAD_BEFORE > os.cpu_count() / 2:
        print(f"The load average is {report.LOAD_BEFORE:.1f}: let nothing else run, or take the figures as rough.")


def run_tables(cells):
    say_if_busy()
    servers = list(dict.fromkeys(server for server, _ in cells))
    print(f"{len(cells)} comparisons of {', '.join(WAYS)}; {ROUNDS} rounds of {SECONDS:g} s each, in turn. "
          f"About {minutes(duration(cells))}.", flush=True)
    results = {use: {} for use in USES}
    for server in servers:
        if run_server(server, [use for one, use in cells if one == server], results):
            keep(results)
    if not any(results.values()):
        sys.exit("bench: nothing was measured")
    if len(cells) == sum(map(len, OF_A_SERVER.values())):
        keep(results, start_up())
    text = (RESULTS / "table.md").read_text()
    print(f"\n{text}\n### In short, as README.md has it\n\n{summary(text)}\nIn {RESULTS}: table.md, table.svg")


def keep(results, more=""):
    """What there is so far."""
    measured = {server for servers in results.values() for server in servers}
    about = report.machine([kind.version() for server, kind in SERVERS.items() if server in measured])
    ways = "".join(f"- **{name}**: {what}\n" for name, what in WAYS.items())
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "table.md").write_text(
        f"# What it costs\n\n{about}\n\nRatios to the bare server in the same round: the median of {ROUNDS} rounds, with "
        f"all started anew after every {ROUNDS_A_START}, and, in parentheses, the quartiles. More is better; for "
        f"processor time and time a request, less.\n\n{ways}\n"
        f"{page(results)}{more}")
    panels = {USES[use]: {server: ratios(runs, served[use]) for server, runs in servers.items()}
              for use, servers in results.items() if servers}
    report.bars(RESULTS / "table.svg", "Served in the same time, as a ratio to the bare server (more is better)",
                panels, list(WAYS))


def start_up():
    print("true/start-up", flush=True)
    rows = [[name, f"{microseconds:.0f}", report.cell(ratio), str(kilobytes)]
            for name, microseconds, ratio, kilobytes in startup.measure(ROUNDS)]
    return ("### start-up: `true` from its start to its end, and the memory that `cat` has for itself\n\n"
            + report.table(["", "µs", "ratio", "KiB"], rows))


def run_curves(names):
    say_if_busy()
    print(f"Curves: {', '.join(names)}; {ROUNDS} rounds of {SECONDS:g} s each, in turn. "
          f"About {minutes(curves.duration(names, ROUNDS, SECONDS))}.")
    text, panels = "", {}
    for name in names:
        curve = curves.CURVES[name]
        print(f"{name}: {curve.heading}", flush=True)
        lines = panels[curve.heading, curve.xname] = curve.measure(ROUNDS, SECONDS)
        rows = [[line, *(report.cell(figure) for _, figure in points)] for line, points in lines.items()]
        sizes = map(str, curve.sizes)
        text += f"### {name}: {curve.heading}\n\n{report.table([curve.xname, *sizes], rows)}\n"
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "curves.md").write_text(
        f"# Cost against size\n\n{report.machine([])}\n\nRatios as in table.md.\n\n{text}")
    report.curves(RESULTS / "curves.svg", "Ratios: served in the same time (more is better), processor time (less is)",
                  panels)
    print(f"\n{(RESULTS / 'curves.md').read_text()}\nIn {RESULTS}: curves.md, curves.svg")


def main():
    what, _, part = (sys.argv[1] if len(sys.argv) > 1 else "").partition("/")
    began = time.monotonic()
    if what == "curves":
        run_curves([name for name in curves.CURVES if part in ("", name)] or unknown(curves.CURVES))
    else:
        run_tables([(server, use) for server, uses in OF_A_SERVER.items() for use in uses
                    if what in ("", server) and part in ("", use)] or unknown(
                        [f"{server}[/{'|'.join(uses)}]" for server, uses in OF_A_SERVER.items()]))
    print(f"Took {minutes(time.monotonic() - began)}.")


def unknown(known):
    sys.exit(f"bench: no such cell: {sys.argv[1]}; there are: {', '.join(known)}, curves")


if __name__ == "__main__":
    main()
