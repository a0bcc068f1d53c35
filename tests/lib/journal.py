# SPDX-License-Identifier: MIT
"""journal.py: `ppshim journal` as a program that runs beside a test, and what it wrote."""
import json
import os
import signal
import time
from datetime import datetime

from place import ROOT, for_everybody
from process import Process, clean_env, run
from waiting import until

TOOL = for_everybody(os.environ.get("PPSHIM_TOOL") or ROOT / "build" / "ppshim")
ENDLESS = {"journal-start", "journal-stop", "lost"}  # events that are of no connection


def seconds(text):
    """Of a time in the journal, since the epoch."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Journal(Process):
    name = "journal"

    def __init__(self, directory, output="journal.jsonl"):
        super().__init__(directory)
        self.socket = self.directory / "journal.sock"
        self.file = self.directory / output
        self.ports = set()  # empty: all

    def argv(self):
        return [TOOL, "journal", "--socket", self.socket, "--output", self.file]

    def is_ready(self, mark):
        return self.file.exists() and [e for e in self.of("journal-start") if e["time"] >= self.begun]

    def start(self):
        self.begun = datetime.utcfromtimestamp(time.time() - 0.001).isoformat(timespec="milliseconds") + "Z"
        return super().start()

    def lines(self, file=None):
        """All that it wrote of ours, as dicts; each line must be whole, but for one that it is writing."""
        text = (file or self.file).read_text()
        if self.process and self.process.poll() is None:
            text = text[:text.rfind("\n") + 1]
        return list(filter(self.is_ours, map(json.loads, text.splitlines())))

    def is_ours(self, entry):
        """It hears of all that is under the shim on this host, and so of what other tests run."""
        return not self.ports or "local" not in entry or int(entry["local"].rpartition(":")[2]) in self.ports

    def of(self, event, **wanted):
        return [e for e in self.lines() if e["event"] == event and wanted.items() <= e.items()]

    def wait(self, event, count=1, **wanted):
        """The first `count` such lines, when they are there, and no more."""
        def enough():
            found = self.of(event, **wanted)
            return found if len(found) >= count else None
        found = until(enough, lambda: f"{count} of {event} {wanted} in:\n{self.file.read_text()[-6000:]}")
        assert len(found) == count, found
        return found

    def kill_at_once(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.kill()


def query(*arguments, status=0):
    done = run(TOOL, "journal", "--query", *arguments, check=False, env=clean_env())
    assert done.returncode == status, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
