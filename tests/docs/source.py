# SPDX-License-Identifier: MIT
"""source.py: what the documents are held against: the tables of the headers, and what programs of the tree print."""
import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STRING = r'"((?:[^"\\]|\\.)*)"'


def run(*argv, **options):
    """Without the variables of the make that runs the tests: its -n or -w is not ours."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(argv, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                          **options)


def x_table(header, columns):
    """The rows of an X macro table: its constants, each followed by `columns` strings."""
    text = (ROOT / "include/ppshim" / header).read_text().replace("\\\n", "\n")
    rows = re.findall(r"\bX\((\w+)" + rf",\s*{STRING}" * columns + r"\)", text)
    assert len(rows) == len(re.findall(r"\bX\(\w+,\s*\"", text)) > 0, f"a row of {header} was not understood"
    return rows


def settings():
    """(name, values, default, meaning) of each."""
    return [row[1:] for row in x_table("settings.h", 4)]


def journal_fields():
    """The names of a log line's fields in the journal: of every key that the source writes."""
    source = "".join(path.read_text() for path in (ROOT / "shim").glob("*/*.c"))
    facts = re.findall(r'^ +X\(\w+, "([a-z-]+)", ', (ROOT / "include/ppshim/header_tlv.h").read_text(), re.M)
    keys = {*facts, "event", *re.findall(r'\bpps_line_\w+\(&?l, "([a-z-]+)"', source)}
    ports = {f"{key}-port" for key in re.findall(r'\bpps_line_addr\(&?l, "([a-z-]+)"', source)}
    return {"PPSHIM_" + key.upper().replace("-", "_") for key in keys | ports}


def metrics():
    """(name, type, unit, help) of each."""
    text = (ROOT / "include/ppshim/stats.h").read_text().replace("\\\n", "\n")
    return re.findall(rf"\bX\(\w+,\s*{STRING},\s*([A-Z]+),\s*{STRING},\s*{STRING}\)", text)


def reasons():
    """(word, meaning) of each that a log line can have."""
    return [(word, meaning) for constant, word, meaning in x_table("reason.h", 2) if constant != "NONE"]
