# SPDX-License-Identifier: MIT
"""README.md and `make help` say what the source and the manual say. A table that differs is shown as it should be, ready to
paste."""
import re
import sys

import pytest
from source import ROOT, journal_fields, run, settings

sys.path += [str(ROOT / "tests/lib"), str(ROOT / "tests/bench")]

from tables import summary  # noqa: E402

README = (ROOT / "README.md").read_text()


def test_no_other_setting_is_named():
    known = {name for name, *_ in settings()} | journal_fields()
    assert set(re.findall(r"\bPPSHIM_[A-Z_]*[A-Z]\b", README)) <= known


def makefile_targets():
    rules = "".join((ROOT / name).read_text() for name in ("Makefile", "tests/tests.mk"))
    return {target for line in re.findall(r"^\.PHONY:(.*)$", rules, re.M) for target in line.split()
            if not target.startswith(("$", "fuzz-"))}


def test_make_targets_named_here_exist():
    named = set(re.findall(r"(?:^ *|[`$(] ?|&& |sudo )make +([a-z][a-z-]*)", README, re.M))
    assert {"demo", "check"} <= named <= makefile_targets()


def test_make_help_lists_every_target():
    listed = re.findall(r"^make (\S+) +\S", run("make", "help").stdout, re.M)
    assert sorted(listed) == sorted(makefile_targets())


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?:)([^)]*)\)", README))))
def test_links_lead_somewhere(link):
    path, _, anchor = link.partition("#")
    headings = [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.*)$", README, re.M)]
    assert not anchor or anchor in headings
    assert not path or (ROOT / path).exists()


def test_the_contents_are_its_sections():
    """But for the last: a licence is found."""
    contents = README[:README.index("\n## ")]
    listed = [" ".join(title.split()) for title in re.findall(r"\[([^\]]*)\]\(#", contents)]
    assert listed == re.findall(r"^## (.*)$", README, re.M)[:-1]


def test_parts_of_the_manual_named_here_exist():
    """The page that is read as text is found in by its headings."""
    manual = (ROOT / "shim/libppshim.8").read_text()
    headings = set(re.findall(r'^\.S[HS] "?(.*?)"?$', manual, re.M))
    table = README.partition("| what you look for | where |")[2].partition("\n\n")[0]
    named = [name for cell in re.findall(r"\| ([^|]*) \|$", table, re.M) for name in cell.split(", ")]
    assert len(named) >= 5
    assert set(named) - headings == set()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"(?:^ {4}|\s|`)((?:include|shim|tests|scripts|\.ci)/[\w./]*)",
                                                       README, re.M))))
def test_paths_named_here_exist(path):
    assert (ROOT / path).exists()


def test_the_demo_prints_what_is_shown_here():
    shown = re.search(r"```console\n\$ make demo\n(.*?)```", README, re.S)[1]
    printed = run("scripts/demo")
    assert printed.returncode == 0, printed.stderr

    def without_date(text):
        return re.sub(r"\[\d\d/\w+/\d+ [\d:]+\]", "[now]", text)
    assert without_date(printed.stdout) == without_date(shown)


def test_what_it_costs_is_what_was_measured():
    kept = (ROOT / "tests/bench/results/table.md").read_text()
    table = summary(kept)
    [revision] = re.findall(r"^Revision (\S+),", kept, re.M)
    assert table in README, f"README.md should have this table:\n\n{table}"
    assert f"revision {revision}" in README
