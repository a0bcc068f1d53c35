# SPDX-License-Identifier: MIT
"""What the tool says of a command line that is nearly right, and where it says what may be written."""
import re
import shutil

import pytest
from conftest import clean_env, ppshim, refused

VERBS = re.findall(r"^  ([a-z]+) ", ppshim("--help")[1].decode(), re.M)


@pytest.mark.parametrize("argv, nearest", [
    (["chek"], "no such verb: chek: the nearest is check (try ppshim --help)"),
    (["help", "unti"], "no such verb: unti: the nearest is unit (try ppshim --help)"),
    (["conect", "--from", "192.0.2.1"], "no such verb: conect: the nearest is connect (try ppshim --help)"),
    (["--versoin"], "no such option: --versoin: the nearest is --version (try ppshim --help)"),
    (["-x"], "no such option: -x (try ppshim --help)"),
    (["abc"], "no such verb: abc (try ppshim --help)"),
    (["xyzzy"], "no such verb: xyzzy (try ppshim --help)"),
    (["check", "--seting", "x"], "no such option: --seting: the nearest is --settings (try ppshim check --help)"),
    (["unit", "x", "--insatll"], "no such option: --insatll: the nearest is --install (try ppshim unit --help)"),
    (["unit", "x", "--trsut=10.0.0.1"], "no such option: --trsut=10.0.0.1: the nearest is --trust (try ppshim unit --help)"),
    (["unit", "--foo"], "no such option: --foo (try ppshim unit --help)"),
    (["unit", "--lag", "x"], "no such option: --lag: the nearest is --log (try ppshim unit --help)"),
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
    assert ppshim("help") == ppshim("help", "--help") == ppshim("help", "-h") == ppshim("--help")
    said = ppshim("help")[1].decode()
    assert all(f"\n  {verb} " in said for verb in VERBS) and "man libppshim" in said


def test_every_form_of_check_is_in_its_usage():
    usage = ppshim("check", "--help")[1].decode().partition("\n\n")[0]
    for form in ("--settings [OPTION]... UNIT|FILE", "--loaded [PID]", "--probe UNIT|PID|HOST:PORT"):
        assert f"\n       ppshim check {form}" in usage, usage


@pytest.mark.parametrize("what", ["localhost:18085", "127.0.0.1:0", "127.0.0.1", "[::1]"])
def test_a_host_is_probed_by_its_address(what):
    assert refused("check", "--probe", what, status=1) == (
        f"{what}: no such service runs here; HOST:PORT is an address, like 127.0.0.1:5432")
    assert refused("check", "--probe", "nothing", status=1) == "nothing: no such service runs here"


def test_a_program_is_no_unit_and_what_starts_it_is_said():
    def said(name, status):
        return refused("unit", name, "--trust", "10.0.0.0/24", "--ports", "1", status=status)
    sh = shutil.which("sh", path=clean_env()["PATH"])
    assert said("sh", 1) == f"sh.service: there is no such unit; {sh} is a program: ppshim run starts it"
    assert said(sh, 2) == f"{sh}: no service can have that name; {sh} is a program: ppshim run starts it"
    assert said("no-such-thing", 1) == "no-such-thing.service: there is no such unit"
    for name in ("/etc/passwd", "/etc"):
        assert said(name, 2) == f"{name}: no service can have that name"


def test_run_and_unit_offer_the_settings_in_the_same_form():
    def settings(verb):
        said = ppshim(verb, "--help")[1].decode()
        assert "LIST is addresses and CIDRs" in said and "TIME has its unit: 3s" in said and "man libppshim" in said
        return [re.sub(" +", " ", line) for line in said.splitlines() if re.match(r"  --(trust|timeout|ports|log) ", line)]
    assert settings("run") == settings("unit") and len(settings("run")) == 4
