# SPDX-License-Identifier: MIT
"""log.py: a file that a program writes to, and the shim's lines in it."""
import re
import time
from pathlib import Path
from typing import NamedTuple

from waiting import until

LINES_A_SECOND = 10          # what the shim writes at most
_CLOCK_MONOTONIC_COARSE = 6  # the clock it counts by
_window = [0, 0]             # a second of that clock, and the lines promised in it


def room_in_the_log(lines):
    """The shim leaves out what is more than ten lines a second: waits for a second in which so many more fit. Tests
    that count lines call it first, so that what they miss was never written rather than left out."""
    def fits():
        second = int(time.clock_gettime(_CLOCK_MONOTONIC_COARSE))
        if second != _window[0]:
            _window[:] = second, 0
        return _window[1] + lines <= LINES_A_SECOND
    until(fits, "a new second")
    _window[1] += lines


class Event(NamedTuple):
    """One line of the shim: `ppshim[PID]: reject peer=... reason=...`."""
    pid: int
    name: str
    fields: dict
    line: str

    def __getattr__(self, field):
        try:
            return self.fields[field]
        except KeyError:
            raise AttributeError(f"no {field}= in: {self.line}") from None


EVENT = re.compile(r"ppshim\[(\d+)\]: (\S+)(.*)")
FIELD = re.compile(r'([a-zA-Z0-9_.-]+)=("[^"]*"|\S*)')


class Log:
    """A file that a server appends to."""

    def __init__(self, path):
        self.path = Path(path)
        self.path.touch()

    def mark(self):
        """Where the log ends now: give it as `since`."""
        return self.path.stat().st_size

    def _raw(self, since=0):
        with self.path.open("rb") as file:
            file.seek(since)
            return file.read().decode(errors="backslashreplace")

    @property
    def lines(self):
        """Those that have their end, as they were written."""
        return self._raw().split("\n")[:-1]

    def text(self, since=0):
        return self._raw(since).replace("\r\n", "\n")

    def find(self, pattern, since=0):
        return re.findall(pattern, self.text(since), re.MULTILINE)

    def matching(self, pattern, since=0):
        """The lines, whole, in which the pattern is found."""
        return [line for line in self.text(since).split("\n")[:-1] if re.search(pattern, line)]

    def wait(self, pattern, since=0, count=1):
        """The first `count` of them, when they are there."""
        def enough():
            found = self.matching(pattern, since)
            return found[:count] if len(found) >= count else None
        return until(enough, lambda: f"{count} lines with /{pattern}/ in {self.path}:\n{self.tail(since)}")

    def events(self, name=None, since=0):
        found = []
        for line in self.text(since).splitlines():
            match = EVENT.search(line)
            if match and name in (None, match[2]):
                found.append(Event(int(match[1]), match[2], dict(FIELD.findall(match[3])), line))
        return found

    def wait_event(self, name, since=0, **fields):
        """The one event of that name with those fields; it is an error if there are two."""
        def matching():
            return [e for e in self.events(name, since) if fields.items() <= e.fields.items()]
        found = until(matching, f"event {name} {fields} in {self.path}")
        assert len(found) == 1, found
        return found[0]

    def tail(self, since=0, lines=60):
        return "\n".join(self.text(since).splitlines()[-lines:])
