# SPDX-License-Identifier: MIT
"""The manual pages are well formed and say what the source and the tool say."""
import os
import re
import shutil
import warnings

import pytest
from source import ROOT, journal_fields, metrics, reasons, run, settings

LIBRARY_PAGE = ROOT / "shim/libppshim.8"
TOOL_PAGE = ROOT / "shim/tool/ppshim.1"
DROP_IN = ROOT / "scripts/examples/ppshim.conf"
TOOL = ROOT / "build/ppshim"
VERBS = re.findall(r"^\.SS ppshim (\S+)$", TOOL_PAGE.read_text(), re.M)


def tool(name):
    path = shutil.which(name)
    if not path and os.environ.get("CI"):
        pytest.fail(f"missing: {name}", pytrace=False)
    if not path:
        warnings.warn(f"NOT TESTED, missing: {name}")
        pytest.skip(f"missing: {name}")
    return path


@pytest.mark.parametrize("page", [LIBRARY_PAGE, TOOL_PAGE], ids=lambda page: page.name)
class TestForm:
    @pytest.mark.parametrize("program", [["groff", "-man", "-ww", "-Tutf8"], ["mandoc", "-Tlint"]], ids=lambda p: p[0])
    def test_formats_without_a_warning(self, page, program):
        told = run(tool(program[0]), *program[1:], page)
        assert (told.returncode, told.stderr, told.stdout if program[0] == "mandoc" else "") == (0, "", "")


# --- what the pages say -----------------------------------------------------------------------------------------------

def plain(text):
    """The words of a piece of page, as they are read."""
    text = re.sub(r'^\.\\".*\n', "", text, flags=re.M)
    text = re.sub(r"^\.(BI|IB|BR|RB|RI|IR) (.*)$", lambda m: alternating(m[2]), text, flags=re.M)
    text = re.sub(r"^\.[BI] (.*)$", lambda m: m[1].replace('"', ""), text, flags=re.M)
    text = re.sub(r"\\f.", "", text).replace("\\-", "-").replace("\\~", " ")
    return " ".join(text.split())


def alternating(arguments):
    """.BI a b: the words without what is between them, unless they are quoted."""
    return "".join(quoted or word for quoted, word in re.findall(r'"([^"]*)"|(\S+)', arguments))


def part(page, heading):
    """From .SH or .SS to the next of either."""
    return re.search(rf'^\.S[HS] {heading}\n(.*?)(?=^\.S[HS] |\Z)', page.read_text(), re.M | re.S)[1]


def entries(text):
    """[(tag, the text behind it)] of the tagged paragraphs."""
    found = []
    for entry in re.split(r"^\.TP\n", text, flags=re.M)[1:]:
        tag, _, rest = entry.partition("\n")
        found.append((plain(tag), plain(rest)))
    return found


def test_settings_are_those_of_settings_h():
    told = dict(entries(part(LIBRARY_PAGE, "ENVIRONMENT")))
    shown = {f"{name}={values if values.isupper() else '|'.join(values.split())}": (default, meaning)
             for name, values, default, meaning in settings()}
    assert list(told) == list(shown)
    for tag, (default, meaning) in shown.items():
        assert told[tag].startswith(meaning[0].upper() + meaning[1:] + "."), tag
        assert re.findall(r"Default: (.*)\.$", told[tag]) == ([default] if default else []), tag


def test_no_other_setting_is_named():
    known = {name for name, *_ in settings()} | journal_fields()
    for page in LIBRARY_PAGE, TOOL_PAGE, DROP_IN:
        assert set(re.findall(r"\bPPSHIM_[A-Z_]*[A-Z]\b", page.read_text())) <= known, page


def test_reasons_are_those_of_reason_h():
    assert entries(part(LIBRARY_PAGE, "Reasons")) == reasons()


def test_what_headers_say_is_that_of_header_tlv_h():
    words = re.findall(r'^ +X\(\w+, "([a-z-]+)", ', (ROOT / "include/ppshim/header_tlv.h").read_text(), re.M)
    assert [tag for tag, _ in entries(part(LIBRARY_PAGE, "What headers say"))] == [*words, "tlv.0xNN"]


def test_metrics_are_those_of_stats_h():
    told = dict(entries(part(LIBRARY_PAGE, "Metrics")))
    expected = {f"ppshim_{name}{'_total' if kind == 'COUNTER' else ''}": meaning for name, kind, _, meaning in metrics()}
    assert list(told) == list(expected)
    for name, meaning in expected.items():
        assert told[name].startswith(meaning + "."), name


def test_every_reason_has_its_like_in_haproxy_or_none():
    told = " ".join(text for _, text in entries(part(LIBRARY_PAGE, "Coming from HAProxy")))
    known = [word for word, _ in reasons()]
    assert [word for word in known if word not in re.findall(r"[\w-]+", told)] == []
    assert "PRX_BAD_HDR" in dict(entries(part(LIBRARY_PAGE, "Coming from HAProxy")))


def test_metrics_that_are_named_exist():
    suffixes = {"COUNTER": ["_total"], "GAUGE": [""], "HISTOGRAM": ["", "_bucket", "_sum", "_count"]}
    known = {f"ppshim_{name}{suffix}" for name, kind, *_ in metrics() for suffix in suffixes[kind]}
    for page in LIBRARY_PAGE, TOOL_PAGE:
        assert set(re.findall(r"\bppshim_[a-z_]+", page.read_text())) <= known, page


def test_events_are_words_that_the_library_writes():
    source = "".join(path.read_text() for path in (ROOT / "shim").glob("*/*.c")
                     if path.parent.name not in ("tool", "connect"))
    told = [event for tag, _ in entries(part(LIBRARY_PAGE, "LOG").partition("The events:")[2])
            for event in re.findall(r"[a-z-]{3,}", tag)]
    assert len(told) >= 8
    assert sorted(set(told)) == sorted(told), "one is told twice"
    assert [event for event in told if f'"{event}' not in source] == []


def test_every_event_that_the_library_writes_is_told():
    begun = {event for path in (ROOT / "shim").glob("*/*.c") if path.parent.name not in ("tool", "connect")
             for event in re.findall(r'pps_line_begin\([^,]*, "([^"]+)"', path.read_text())}
    assert len(begun) >= 4
    page = plain(part(LIBRARY_PAGE, "LOG"))
    assert {event for event in begun if event not in page} == set()


# --- the tool ---------------------------------------------------------------------------------------------------------

def options_in(text):
    return {re.match(r"(--[a-z0-9-]+)", tag)[1] for tag, _ in entries(text) if tag.startswith("--")}


def options_of(verb):
    """Those of its own part of the page, and of the part it refers to; those of settings stand in the other page."""
    text = part(TOOL_PAGE, f"ppshim {verb}")
    shared = re.search(r"takes the options of (\w+)", plain(text))
    if not shared:
        return options_in(text)
    return options_in(text) | (SETTING_OPTIONS if shared[1] == "Settings" else options_in(part(TOOL_PAGE, shared[1])))


SETTING_OPTIONS = {"--" + name.removeprefix("PPSHIM_").lower().replace("_", "-") for name, *_ in settings()}


@pytest.mark.parametrize("verb", VERBS)
def test_options_are_those_of_the_help(verb):
    told = run(TOOL, verb, "--help")
    assert told.returncode == 0, told.stderr
    assert options_of(verb) == set(re.findall(r"^  (--[a-z0-9-]+)", told.stdout, re.M)) - {"--help"}


def test_verbs_are_the_tools():
    assert sorted(re.findall(r"^  ([a-z]+) ", run(TOOL, "--help").stdout, re.M)) == sorted(VERBS)
