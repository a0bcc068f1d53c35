# SPDX-License-Identifier: MIT
"""What the tool says of a command line that is nearly right, and where it says what may be written."""
import re

import pytest
from conftest import ppshim

VERBS = re.findall(r"^  ([a-z]+) ", ppshim("--help")[1].decode(), re.M)


@pytest.mark.parametrize("argv, nearest", [
    (["chek"], "no such verb: chek: the nearest is check (try ppshim --help)"),
    (["help", "unti"], "no such verb: unti: the nearest is unit (try ppshim --help)"),
    (["conect", "--from", "192.0.2.1"], "no such verb: conect: the nearest is connect (try ppshim --help)"),
    (["--versoin"], "no such option: --versoin: the nearest is --version (try ppshim --help)"),
    (["-x"], "no such option: -x (try ppshim --help)"),
    (["xyzzy"], "no such verb: xyzzy (try ppshim --help)"),
    (["check", "--seting", "x"], "no such option: --seting: the nearest is --settings (try ppshim check --help)"),
    (["unit", "x", "--insatll"], "no such option: --insatll: the nearest is --install (try ppshim unit --help)"),
    (["unit", "x", "--trsut=10.0.0.1"], "no such option: --trsut=10.0.0.1: the nearest is --trust (try ppshim unit --help)"),
    (["unit", "x", "--xyzzy"], "no such option: --xyzzy (try ppshim unit --help)"),
])
def test_the_nearest_word_is_named(argv, nearest):
    status, out, said = ppshim(*argv)
    assert (status, out) == (2, b"")
    assert re.sub(r"^ppshim( [a-z]+)?: ", "", said) == nearest + "\n"


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_is_its_help(verb):
    status, out, said = ppshim("help", verb)
    assert (status, said) == (0, "") and out == ppshim(verb, "--help")[1]


def test_help_alone_lists_the_verbs_and_the_manuals():
    assert ppshim("help") == ppshim("--help")
    said = ppshim("help")[1].decode()
    assert all(f"\n  {verb} " in said for verb in VERBS) and "man libppshim" in said


def test_run_and_unit_offer_the_settings_in_the_same_form():
    def settings(verb):
        said = ppshim(verb, "--help")[1].decode()
        assert "LIST is addresses and CIDRs" in said and "TIME has its unit: 3s" in said and "man libppshim" in said
        return [re.sub(" +", " ", line) for line in said.splitlines() if re.match(r"  --(trust|timeout|ports|log) ", line)]
    assert settings("run") == settings("unit") and len(settings("run")) == 4
