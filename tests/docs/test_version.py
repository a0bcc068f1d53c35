# SPDX-License-Identifier: MIT
"""One version and one day of its release, wherever the tree names them: the Makefile's, and the change log's."""
import re
from email.utils import parsedate_to_datetime

import pytest
from source import ROOT

PLACES = {
    "CHANGELOG.md": r"^## (?P<version>\S+) \((?P<day>\S+)\)$",
    "README.md": r"\bactive version=(?P<version>\S+) ",
    "shim/libppshim.8": r'^\.TH \w+ 8 (?P<day>\S+) "libppshim (?P<version>\S+)"$',
    "shim/tool/ppshim.1": r'^\.TH \w+ 1 (?P<day>\S+) "libppshim (?P<version>\S+)"$',
    "scripts/debian/changelog": r"^libppshim \((?P<version>\S+)-1\) .*?^ -- .*?>  (?P<date>.*?)$",
    "scripts/libppshim.spec": r"^Version: +(?P<version>\S+)$",
    "scripts/APKBUILD": r"^pkgver=(?P<version>\S+)$",
    "scripts/examples/kubernetes.yaml": r"/ppshim:(?P<version>\S+) ",
}


def told(path):
    """The first that stands there: of the change logs, the newest."""
    found = re.search(PLACES[path], (ROOT / path).read_text(), re.M | re.S)
    assert found, f"{path} names no version"
    return found.groupdict()


VERSION = re.search(r"^VERSION = (\S+)$", (ROOT / "Makefile").read_text(), re.M)[1]


@pytest.mark.parametrize("path", PLACES)
def test_the_version_is_the_makefiles(path):
    assert told(path)["version"] == VERSION


@pytest.mark.parametrize("path", [path for path, pattern in PLACES.items() if "day" in pattern or "date" in pattern])
def test_the_day_is_that_of_the_change_log(path):
    found = told(path)
    day = found.get("day") or parsedate_to_datetime(found["date"]).date().isoformat()
    assert day == told("CHANGELOG.md")["day"]
