#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""budgets.py: the tables of budgets.md, and how each of their numbers is measured. Run by itself (`make budgets`) it
measures all and writes them anew."""
import math
import re
import sys
from pathlib import Path
from typing import NamedTuple

import counting

FILE = Path(__file__).resolve().parent / "budgets.md"


class Cell(NamedTuple):
    table: str
    row: str
    column: str
    held: int

    def __str__(self):
        return f"{self.table}: {self.row}, {self.column}".lower()


SETTINGS = {"nothing set": {}, "PPSHIM_TRUST set": counting.TRUSTING}


def program(row, column):
    measure = {"system calls": counting.start_up_calls, "instructions": counting.start_up_instructions,
               "bytes": counting.memory_of_a_process}
    return measure[column](SETTINGS[row])


def call(row, column):
    if column == "system calls":
        return counting.calls_of_call(row)
    return counting.call_instructions(row, int(re.search(r"\d+", column)[0]))


def instructions(row, column):
    if row == "getpeername":
        return counting.accept_instructions("there, and getpeername", column, "ask_name")
    return counting.accept_instructions(row, column)


def counters(row, column):
    return counting.counting_instructions(row, column)


# How a table's numbers are measured, and how near to the number here it must be: nothing, or a share of it.
MEASURED = {
    "System calls": (lambda row, column: counting.system_calls(row, column)[0], 0),
    "Four threads": (lambda row, column: counting.system_calls_of_threads(row), .5),
    "Instructions": (instructions, .1),
    "Counters": (counters, .1),
    "Other calls": (call, .1),
    "Other programs": (program, .1),
    "Silent peers": (lambda row, column: counting.memory_of_a_parked_peer(), .1),
}


def cells(text=None):
    """Every number of every table; a cell that holds none (a remark, or nothing) is left out."""
    table, columns = None, []
    for line in (text or FILE.read_text()).splitlines():
        words = [word.strip() for word in line.strip("|").split("|")]
        if line.startswith("## "):
            table, columns = line[3:].split(":")[0], []
        elif line.startswith("|") and not columns:
            columns = words
        elif line.startswith("|"):
            yield from (Cell(table, words[0], column, int(word)) for column, word in zip(columns[1:], words[1:])
                        if re.fullmatch(r"\d+", word))


def measured(cell):
    """How many there are, and as text why, where that is known."""
    if cell.table == "System calls":
        return counting.system_calls(cell.row, cell.column)
    return MEASURED[cell.table][0](cell.row, cell.column), ""


def allowed(cell):
    """The least and the most that the number may be taken for."""
    share = MEASURED[cell.table][1]
    return math.floor(cell.held * (1 - share)), math.ceil(cell.held * (1 + share))


def written(text, news):
    """budgets.md with other numbers: {(table, row, column): number}."""
    lines, table, columns = [], None, []
    for line in text.splitlines():
        words = [word.strip() for word in line.strip("|").split("|")]
        if line.startswith("## "):
            table, columns = line[3:].split(":")[0], []
        elif line.startswith("|") and not columns:
            columns = words
        elif line.startswith("|") and not line.startswith("|--"):
            words[1:] = [str(news.get((table, words[0], column), word)) for column, word in zip(columns[1:], words[1:])]
            line = "| " + " | ".join(words) + " |"
        lines.append(line)
    return "\n".join(lines) + "\n"


def main():
    news = {}
    for cell in cells():
        number = round(measured(cell)[0])
        low, high = allowed(cell)
        news[cell[:3]] = cell.held if low <= number <= high else number
        if news[cell[:3]] != cell.held:
            print(f"{cell}: {number} (was {cell.held})", flush=True)
    FILE.write_text(written(FILE.read_text(), news))
    return 0


if __name__ == "__main__":
    sys.exit(main())
