# SPDX-License-Identifier: MIT
"""tables.py: what runs say, as tables in Markdown. Results are {use: {server: {way: [Run, one a round]}}}, with the
reason as text instead of the list where a way failed."""
import re

from measure import WAYS, Figure, Run
from report import amount, cell, table

USES = {  # in the order in which they are shown
    "short": "A connection for each request, the header there with it",
    "late": "A connection for each request, the header 50 µs late",
    "behind": "A connection for each request, through a balancer (HAProxy)",
    "behind-quick": "The same with `option tcp-smart-connect` in the balancer",
    "open": "Requests on open connections",
    "bulk": "Bytes, a megabyte an answer",
}
served = {use: Run.bytes.__get__ if use == "bulk" else Run.rate.__get__ for use in USES}


def ratios(runs, value):
    """{way: Figure} of what each did in a round, by what the bare server did in it."""
    def ratio(those):
        whole = isinstance(those, list) and isinstance(runs["bare"], list)
        return Figure.of_rounds(those, runs["bare"], value) if whole else "failed"
    return {name: ratio(those) for name, those in runs.items() if name != "bare"}


def one_line(use, runs):
    return ", ".join(f"{name} {cell(figure)}" for name, figure in ratios(runs, served[use]).items())


def page(results):
    return "".join(section(use, servers) for use, servers in results.items() if servers)


def section(use, servers):
    """What was served, by what processor time, and in what time, each in a table of its own."""
    ways = [way for way in WAYS if way != "bare" and any(way in runs for runs in servers.values())]

    def rows(value, written=cell):
        figures = {server: ratios(runs, value) for server, runs in servers.items()}
        return [[server, *(written(those.get(way)) for way in ways)] for server, those in figures.items()]

    def bare(runs):
        return amount(Figure.of(list(map(served[use], runs))).median) if isinstance(runs, list) else "failed"

    first = [[row[0], bare(servers[row[0]]["bare"]), *row[1:]] for row in rows(served[use])]
    half, most = rows(Run.p50.__get__, median), rows(Run.p99.__get__, median)
    waits = [[one[0], *map(both, one[1:], other[1:])] for one, other in zip(half, most)]
    return (f"### {use}: {USES[use]}\n\n{table(['server', 'bare, a second', *ways], first)}\n"
            f"Processor time at the server's side for each, as a ratio:\n\n"
            f"{table(['server', *ways], rows(Run.cpu.__get__))}\n"
            f"Time a request takes, half of them and 99 of 100, as ratios:\n\n{table(['server', *ways], waits)}\n")


def median(figure):
    return f"{figure.median:.2f}" if isinstance(figure, Figure) else ""


def both(one, other):
    return f"{one}, {other}" if one else ""


SUMMARY = [(use, way) for use in ("short", "open") for way in ("shim", "native", "haproxy", "nginx")]


def medians(text, use):
    """{server: {way: its median}} of what was served, as a page says it."""
    [section] = re.findall(rf"^### {use}: .*\n\n((?:\|.*\n)+)", text, re.M) or [""]
    head, _, *rows = [[one.strip() for one in line.strip("|").split("|")] for line in section.splitlines()] or [[], []]
    return {row[0]: dict(zip(head[2:], (one.partition(" ")[0] for one in row[2:]))) for row in rows}


def summary(text):
    """README.md's table, of a page."""
    figures = {use: medians(text, use) for use in ("short", "open")}
    rows = [[server, *(figures[use].get(server, {}).get(way, "") for use, way in SUMMARY)] for server in figures["short"]]
    heading = ["", "new connections: shim", "own support", "HAProxy", "nginx",
               "requests: shim", "own support", "HAProxy", "nginx"]
    return table(heading, rows)
