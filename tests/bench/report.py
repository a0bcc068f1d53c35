# SPDX-License-Identifier: MIT
"""report.py: what was measured, as a page of tables and as charts that gnuplot draws. Measures nothing."""
import functools
import os
import platform
import re
import socket
import time
from pathlib import Path

from harness import ROOT, run, tool

LOAD_BEFORE = os.getloadavg()[0]
COLOURS = {"shim": "#0072b2", "shim-defer": "#56b4e9", "native": "#009e73", "haproxy": "#d55e00", "nginx": "#e69f00",
           "peer": "#999999", "bare": "#333333"}  # told apart also by the colour-blind


def where(versions=()):
    """Which tree, when, on what and with what."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    virtual = " (virtual)" if " hypervisor" in Path("/proc/cpuinfo").read_text() else ""
    revision = run("git", "-C", ROOT, "describe", "--always", "--dirty", check=False).stdout.strip() or "unknown"
    parts = [f"{os.cpu_count()} × {model[1].strip() if model else platform.machine()}{virtual}",
             f"Linux {platform.release().split('-')[0]}", " ".join(platform.libc_ver()), *dict.fromkeys(versions)]
    return f"Revision {revision}, {time.strftime('%Y-%m-%d', time.gmtime())}, {', '.join(filter(None, parts))}"


def machine(versions):
    """One paragraph: that, and how far it can be believed."""
    cost = ", ".join(f"{name} {value:.2f} µs" for name, value in prices().items())
    return (f"{where(versions)}. One of this machine's system calls: {cost}. Load average when it began: {LOAD_BEFORE:.1f}"
            f"{': BUSY WITH OTHER THINGS, figures are rough' if LOAD_BEFORE > os.cpu_count() / 2 else ''}.")


@functools.cache
def prices():
    """What the cheapest system call and a look at an empty socket cost here, in microseconds: the best of some."""
    a, b = socket.socketpair()
    b.setblocking(False)

    def peek():
        try:
            b.recv(1)
        except BlockingIOError:
            pass
    return {"getppid()": price(os.getppid), "an empty recv()": price(peek)}


def price(call, times=20000):
    def took(what):
        before = time.perf_counter()
        for _ in range(times):
            what()
        return time.perf_counter() - before
    return max(0.0, min(took(call) for _ in range(5)) - min(took(lambda: None) for _ in range(5))) / times * 1e6


def amount(value):
    return f"{value:,.0f}" if value < 1e6 else f"{value / 1e6:,.0f} M"


def cell(figure):
    if figure is None:
        return ""
    if isinstance(figure, str):
        return figure
    return f"{figure.median:.2f} ({figure.low:.2f}–{figure.high:.2f})"


def table(heading, rows):
    lines = [heading, ["---"] * len(heading), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def plot(path, size, script, data):
    """An SVG by gnuplot; data: {name: lines} become its here-documents."""
    blocks = "".join(f"${name} << EOD\n{lines}EOD\n" for name, lines in data.items())
    script = f'set terminal svg size {size} dynamic font "sans-serif,12" background "white"\n{blocks}{script}'
    drawn = run(tool("gnuplot"), input=script)
    assert "</svg>" in drawn.stdout, drawn.stderr + script
    path.write_text(drawn.stdout)


def quoted(text):
    return '"' + text.replace('"', "'").replace("`", "'").replace("\n", "\\n") + '"'


def titled(title):
    return quoted(f"{title}\n{where()}") + " font ',13'"


ONE = "set arrow 1 from graph 0, first 1 to graph 1, first 1 nohead lc '#333333' dt 2\n"
PANEL = 250  # pixels high


def bars(path, title, panels, ways):
    """panels: {heading: {server: {way: Figure}}}; a panel each, a group of bars a server, a bar a way."""
    ways = [way for way in ways if way != "bare" and any(
        isinstance(figures.get(way), tuple) for servers in panels.values() for figures in servers.values())]
    data, script = {}, (
        f"set multiplot layout {len(panels)},1 title {titled(title)}\n"
        "set style data histogram\nset style histogram errorbars gap 1.5 lw 1\nset style fill solid 0.9 noborder\n"
        "set grid ytics\nset errorbars 0.5 lc '#333333'\nset xtics nomirror scale 0\nset yrange [0:1.4]\n"
        "set key outside right top vertical\nset lmargin 6\nset rmargin 20\n" + ONE)
    for number, (heading, servers) in enumerate(panels.items()):
        data[f"P{number}"] = "".join(" ".join([quoted(server), *(numbers(figures.get(way)) for way in ways)]) + "\n"
                                     for server, figures in servers.items())
        shown = [(2 + 3 * i, way) for i, way in enumerate(ways)
                 if any(isinstance(figures.get(way), tuple) for figures in servers.values())]
        plots = [f"$P{number} using {i}:{i + 1}:{i + 2}:xtic(1) title {quoted(way)} lc rgb '{COLOURS[way]}'"
                 for i, way in shown]
        script += f"set title {quoted(heading)}\nplot {', '.join(plots)}\n" if plots else "set multiplot next\n"
    plot(path, f"1000,{PANEL * len(panels) + 70}", script + "unset multiplot\n", data)


def numbers(figure):
    return "{:.4f} {:.4f} {:.4f}".format(*figure) if isinstance(figure, tuple) else "NaN NaN NaN"


def curves(path, title, panels):
    """panels: {(heading, x's name): {line: [(x, Figure)]}}. A size of nothing stands at the left edge."""
    data, script = {}, (f"set multiplot layout {len(panels)},1 title {titled(title)}\n"
                        "set grid\nset key outside right top vertical\nset xtics nomirror\nset yrange [0:2<*]\n"
                        "set lmargin 6\nset rmargin 32\n" + ONE)
    for number, ((heading, xname), lines) in enumerate(panels.items()):
        sizes = [x for x, _ in next(iter(lines.values()))]
        ticks = ", ".join(f"'{x}' {max(x, .3)}" for x in sizes)
        script += (f"set title {quoted(heading)}\nset xlabel {quoted(xname)}\nset logscale x\n"
                   f"set xrange [{max(sizes[0], .3) * .8}:{sizes[-1] * 1.25}]\nset xtics ({ticks})\n")
        plots = []
        for index, (line, points) in enumerate(lines.items()):
            name = f"C{number}_{index}"
            data[name] = "".join(f"{max(x, .3)} {numbers(figure)}\n" for x, figure in points)
            colour = list(COLOURS.values())[index]
            plots.append(f"${name} using 1:2:3:4 with yerrorlines lw 2 pt 7 ps 0.6 lc rgb '{colour}' "
                         f"title {quoted(line)}")
        script += "plot " + ", ".join(plots) + "\n"
    plot(path, f"1000,{(PANEL + 30) * len(panels) + 70}", script + "unset multiplot\n", data)
