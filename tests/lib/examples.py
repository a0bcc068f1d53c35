# SPDX-License-Identifier: MIT
"""examples.py: the files of scripts/examples, for tests that do what these say."""
from place import ROOT

EXAMPLES = ROOT / "scripts/examples"


def example(name, *replaced):
    """The text of one, with each (what is written there, what it is here) put in place."""
    text = (EXAMPLES / name).read_text()
    for written, here in replaced:
        assert written in text, f"{name} has no {written!r}"
        text = text.replace(written, here)
    return text
