# SPDX-License-Identifier: MIT
"""`ppshim header`: the bytes it writes, against Python's own."""
import os
import pty
import struct
import subprocess

import harness
import pytest
from conftest import TOOL, header, ppshim, refused
from harness import DEADLINE, LOCAL, PROXY, TCP6, clean_env, tlv
from place import needs

FROM4, FROM6 = "203.0.113.7:4711", "[2001:db8::7]:4711"
CLIENT4, CLIENT6 = ("203.0.113.7", 4711), ("2001:db8::7", 4711)


def unless_told(client):
    """Where --from's client connected to."""
    return ("2001:db8::1" if ":" in client[0] else "192.0.2.1", 443) if client else None


def proxy_v1(client, to=None):
    return harness.proxy_v1(client, to or unless_told(client))


def proxy_v2(client, to=None, **more):
    return harness.proxy_v2(client, to or unless_told(client), **more)


def ssl(client, verify, **fields):
    kinds = {"version": 0x21, "cn": 0x22, "cipher": 0x23}
    value = struct.pack("!BI", client, verify)
    return 0x20, value + b"".join(tlv(kinds[name], text.encode()) for name, text in fields.items())


@pytest.mark.parametrize("options, expected", [
    (["--from", FROM4], proxy_v2(CLIENT4)),
    (["--from", FROM4, "--v2"], proxy_v2(CLIENT4)),
    (["--from", FROM6], proxy_v2(CLIENT6)),
    (["--from", FROM4, "--v1"], proxy_v1(CLIENT4)),
    (["--from", FROM6, "--v1"], proxy_v1(CLIENT6)),
    (["--from", "203.0.113.7"], proxy_v2(("203.0.113.7", 50000))),
    (["--from", "2001:db8::7"], proxy_v2(("2001:db8::7", 50000))),
    (["--from", "[2001:db8::7]"], proxy_v2(("2001:db8::7", 50000))),
    (["--from", "203.0.113.7:0"], proxy_v2(("203.0.113.7", 0))),
    (["--from", FROM4, "--to", "10.0.0.5:5432"], proxy_v2(CLIENT4, ("10.0.0.5", 5432))),
    (["--from", FROM4, "--to", "10.0.0.5"], proxy_v2(CLIENT4, ("10.0.0.5", 443))),
    (["--from", FROM4, "--to", "10.0.0.5:5432", "--v1"], proxy_v1(CLIENT4, ("10.0.0.5", 5432))),
    (["--from", FROM4, "--to", "[2001:db8::9]:1"], proxy_v2(("::ffff:203.0.113.7", 4711), ("2001:db8::9", 1))),
    (["--from", FROM6, "--to", "10.0.0.5:1"], proxy_v2(CLIENT6, ("::ffff:10.0.0.5", 1), family=TCP6)),
    (["--local"], proxy_v2(None, command=LOCAL)),
    (["--unknown"], proxy_v2(None, command=PROXY)),
    (["--unknown", "--v1"], b"PROXY UNKNOWN\r\n"),
    (["--from", FROM4, "--crc"], proxy_v2(CLIENT4, crc=True)),
    (["--local", "--crc"], proxy_v2(None, command=LOCAL, crc=True)),
    (["--from", FROM4, "--alpn", "h2"], proxy_v2(CLIENT4, tlvs=[(1, b"h2")])),
    (["--from", FROM4, "--sni", "db.example"], proxy_v2(CLIENT4, tlvs=[(2, b"db.example")])),
    (["--from", FROM4, "--unique-id", "x" * 128], proxy_v2(CLIENT4, tlvs=[(5, b"x" * 128)])),
    (["--from", FROM4, "--tlv", "0xEA=01aAFf", "--tlv", "4="],
     proxy_v2(CLIENT4, tlvs=[(0xEA, b"\1\xaa\xff"), (4, b"")])),
    (["--from", FROM4, "--ssl"], proxy_v2(CLIENT4, tlvs=[ssl(1, 1, version="TLSv1.3")])),
    (["--from", FROM4, "--ssl", "--cn", "app"], proxy_v2(CLIENT4, tlvs=[ssl(7, 0, version="TLSv1.3", cn="app")])),
    (["--from", FROM4, "--ssl", "--cn", "app", "--ssl-version", "TLSv1.2", "--cipher", "AES"],
     proxy_v2(CLIENT4, tlvs=[ssl(7, 0, version="TLSv1.2", cn="app", cipher="AES")])),
    (["--crc", "--unique-id", "i", "--sni", "s", "--alpn", "a", "--ssl", "--tlv", "0xE0=00", "--from", FROM4],
     proxy_v2(CLIENT4, tlvs=[(1, b"a"), (2, b"s"), (5, b"i"), ssl(1, 1, version="TLSv1.3"), (0xE0, b"\0")], crc=True)),
], ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "")
def test_header_is_that_of_another_builder(options, expected):
    assert header(*options) == expected


@pytest.mark.parametrize("options, why", [
    ([], "who is the client? --from ADDR[:PORT], or --local or --unknown (try ppshim header --help)"),
    (["--crc"], "who is the client?"),
    (["--from", "db.example"], "--from db.example: not an address"),
    (["--from", "203.0.113.7:65536"], "not an address"),
    (["--from", "203.0.113.7:"], "not an address"),
    (["--from", "203.0.113.7:x"], "not an address"),
    (["--from", "203.0.113"], "not an address"),
    (["--from", ""], "not an address"),
    (["--from", "[2001:db8::7"], "not an address"),
    (["--from", "[2001:db8::7]4711"], "not an address"),
    (["--from", "[203.0.113.7]:4711"], "not an address"),
    (["--from", FROM4, "--to", "nowhere"], "--to nowhere: not an address"),
    (["--to", "10.0.0.5"], "--to says nothing without --from"),
    (["--from", FROM4, "--from", FROM4], "--from is given twice"),
    (["--from", FROM4, "--to", "::1", "--v1"], "both ends of a version 1 header are of one family"),
    (["--from", FROM4, "--v1", "--v2"], "--v1 and --v2"),
    (["--from", FROM4, "--local"], "LOCAL names no client"),
    (["--from", FROM4, "--unknown"], "UNKNOWN names no client"),
    (["--local", "--unknown"], "--local and --unknown"),
    (["--local", "--v1"], "LOCAL is version 2; version 1 has --unknown"),
    (["--from", FROM4, "--v1", "--crc"], "--crc and --v1: a version 1 header has room for addresses only"),
    (["--from", FROM4, "--v1", "--ssl"], "--ssl and --v1"),
    (["--from", FROM4, "--v1", "--tlv", "4="], "--tlv and --v1"),
    (["--from", FROM4, "--cn", "app"], "--cn says nothing without --ssl"),
    (["--from", FROM4, "--cipher", "AES"], "--cipher says nothing without --ssl"),
    (["--from", FROM4, "--unique-id", "x" * 129], "--unique-id: 128 bytes are the most"),
    (["--from", FROM4, "--tlv", "E0=00"], "--tlv E0=00: write TYPE=HEX, like 0xE0=0011aaff"),
    (["--from", FROM4, "--tlv", "256=00"], "write TYPE=HEX"),
    (["--from", FROM4, "--tlv", "4"], "write TYPE=HEX"),
    (["--from", FROM4, "--tlv", "4=0"], "behind = stand pairs of hex digits"),
    (["--from", FROM4, "--tlv", "4=0x"], "behind = stand pairs of hex digits"),
    (["--from", FROM4, "--tlv", "3=00000000"], "a checksum is made by --crc"),
    (["--from", FROM4, "--tlv", "4=" + "00" * 65521], "the header would be longer than 65551 bytes"),
    (["--from", FROM4, "word"], "takes no such word: word"),
    (["--decode", "--from", FROM4], "--decode reads a header, the other options make one"),
    (["--form", FROM4], "no such option: --form: the nearest is --from (try ppshim header --help)"),
    (["-x"], "no such option: -x (try ppshim header --help)"),
    (["--from"], "--from needs a value (try ppshim header --help)"),
    (["--v1=yes"], "--v1 takes no value"),
], ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "")
def test_nonsense_is_refused_in_one_line(options, why):
    assert why in refused("header", *options)


def test_the_largest_header_is_written_whole():
    value = bytes(0xFFFF - 12 - 3)  # behind the addresses and the TLV's own three bytes
    assert header("--from", FROM4, "--tlv", f"4={value.hex()}") == proxy_v2(CLIENT4, tlvs=[(4, value)])


def test_a_full_disk_is_told():
    with open("/dev/full", "wb") as full:
        done = subprocess.run([TOOL, "header", "--local"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "ppshim header: stdout: No space left on device\n")


@pytest.mark.parametrize("verb", ["header", "connect", "run"])
def test_help_is_aligned_plain_text_with_an_example(verb):
    for flag in ("--help", "-h"):
        status, out, said = ppshim(verb, flag)
        text = out.decode()
        assert (status, said) == (0, "")
        assert text.startswith(f"Usage: ppshim {verb} ") and "\nExample:\n  " in text and f"ppshim {verb} " in text
        assert "\033" not in text and max(map(len, text.splitlines())) <= 110
        rows = [line for line in text.splitlines() if line.startswith("  --")]
        width = max(len(row[2:].split("  ")[0]) for row in rows)
        assert len(rows) > 10 and all(row[width + 2:width + 4] == "  " and row[width + 4] != " " for row in rows)
        assert text.endswith("\n")


def on_a_terminal(**env):
    needs("terminals")
    ours, its = pty.openpty()
    with subprocess.Popen([TOOL, "header", "--help"], stdout=its, env=clean_env(**env)) as process:
        os.close(its)
        assert process.wait(DEADLINE) == 0
    with os.fdopen(ours, "rb", 0) as terminal:
        return terminal.read(65536)


def test_colour_is_for_terminals_that_want_it():
    assert b"\033[1mUsage:\033[0m" in on_a_terminal(TERM="xterm")
    for env in ({"TERM": "xterm", "NO_COLOR": "1"}, {"TERM": "dumb"}, {}):
        shown = on_a_terminal(**env)
        assert shown.startswith(b"Usage: ") and b"\033" not in shown


def test_the_tools_own_help_names_every_verb():
    status, out, _ = ppshim("--help")
    assert status == 0 and {"run", "connect", "header"} <= {line.split()[0] for line in out.decode().splitlines()
                                                          if line.startswith("  ")}
    assert ppshim()[0] == 2 and ppshim("no-such-verb")[0] == 2
