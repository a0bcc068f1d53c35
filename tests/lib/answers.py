# SPDX-License-Identifier: MIT
"""answers.py: what `ppshim check` and its like say: the verdict, and the facts below it."""
import os
from pathlib import Path

from place import ROOT
from process import clean_env, run

TOOL = Path(os.environ.get("PPSHIM_TOOL") or ROOT / "build" / "ppshim")


class Answer:
    """What one run of the tool said."""

    def __init__(self, done):
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr
        first = self.out.partition("\n")[0]
        self.verdict, _, self.because = first.partition(": ")

    def facts(self, name):
        return [line.split(None, 1)[1] for line in self.out.splitlines()[1:] if line.split(None, 1)[:1] == [name]]

    def probes(self):
        """Right or wrong, in the order of the connections."""
        return [fact.partition(":")[0] for fact in self.facts("probe")]

    def __repr__(self):
        return f"status {self.status}\n{self.out}{self.err}"


def ppshim(*argv, env=None, **options):
    assert TOOL.exists(), f"{TOOL} is not built: run make"
    return Answer(run(TOOL, *argv, check=False, env=env or clean_env(), **options))
