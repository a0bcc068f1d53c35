# SPDX-License-Identifier: MIT
"""`ppshim header --decode`: it agrees with the parser on every named vector, and says what stands where."""
import re
import struct
import subprocess
from functools import cache
from typing import NamedTuple

import pytest
from conftest import header, helper, ppshim
from harness import proxy_v1, proxy_v2, tlv

CLIENT = ("203.0.113.7", 4711)


class Vector(NamedTuple):
    name: str
    verdict: str
    decided: int
    reason: str
    client: str
    bytes: bytes


@cache
def vectors():
    lines = subprocess.run([helper("vectors")], capture_output=True, text=True, check=True).stdout.splitlines()
    return [Vector(name, verdict, int(decided), reason, client, bytes.fromhex(data))
            for name, verdict, decided, reason, client, data in (line.split(" ") for line in lines)]


def decode(data):
    status, out, said = ppshim("header", "--decode", given=data)
    assert said == ""
    text = out.decode("ascii")
    return status, [line for line in text.splitlines() if not line.startswith(" ")], text


def fields(data):
    """{name: (offset, value)}, for headers in which no name comes twice."""
    rows = re.findall(r"^ *(\d+)  (.{17})  (.*)$", decode(data)[2], re.M)
    return {name.strip(): (int(offset), value) for offset, name, value in rows}


def test_the_vectors_are_many_and_of_every_kind():
    assert len(vectors()) > 100
    assert {vector.verdict for vector in vectors()} == {"valid", "invalid"}


def test_the_verdict_on_every_vector_is_the_parsers():
    for vector in vectors():
        status, verdict, _ = decode(vector.bytes)
        if vector.verdict == "valid":
            client = "the real TCP peer" if vector.client == "-" else vector.client
            assert status == 0, vector.name
            assert re.fullmatch(rf"valid: version [12], {vector.decided} bytes; the server's peer is "
                                rf"{re.escape(client)}", verdict[0]), vector.name
            assert verdict[1] == f"behind the header: {len(vector.bytes) - vector.decided} bytes", vector.name
        else:
            assert status == 1 and len(verdict) == 1, vector.name
            assert verdict[0].startswith(f"invalid: {vector.reason}, at offset "), vector.name


def test_the_fault_of_every_v1_vector_is_the_byte_that_decides():
    wrong = [v for v in vectors() if v.verdict == "invalid" and (v.reason.startswith("v1-") or
                                                                 v.reason == "not-a-header")]
    assert len(wrong) > 20
    for vector in wrong:
        at = int(re.search(r"at offset (\d+) ", decode(vector.bytes)[1][0])[1])
        assert at == vector.decided - 1, vector.name


def test_every_beginning_of_a_valid_header_is_incomplete():
    for whole in (proxy_v1(CLIENT), proxy_v2(CLIENT, crc=True)):
        for length in range(len(whole)):
            status, verdict, _ = decode(whole[:length])
            assert status == 1
            [(has, needs)] = re.findall(r"^incomplete: (\d+) bytes, and a header has at least (\d+)$", verdict[0])
            assert int(has) == length < int(needs) <= len(whole)


def test_fields_of_a_v1_line_are_told_with_their_places():
    line = proxy_v1(CLIENT, ("192.0.2.1", 443))
    told = fields(line)
    assert told["line"] == (0, r"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\x0d\x0a")
    assert {name: told[name] for name in told if name != "line"} == {
        "protocol": (6, "TCP4"), "source": (11, "203.0.113.7"), "destination": (23, "192.0.2.1"),
        "source port": (33, "4711"), "destination port": (38, "443")}


def test_fields_of_a_v2_header_are_told_with_their_places():
    told = fields(proxy_v2(("2001:db8::7", 4711)))
    assert told == {"signature": (0, "of version 2"), "version": (12, "2"),
                    "command": (12, "PROXY: on a client's behalf"), "family": (13, "0x21, TCP over IPv6"),
                    "length": (14, "36, so the header has 52 bytes"), "source": (16, "[2001:db8::7]:4711"),
                    "destination": (32, "[2001:db8::10]:3306")}


def test_tlvs_are_told_by_name():
    sub = struct.pack("!BI", 7, 0) + tlv(0x21, b"TLSv1.3") + tlv(0x22, b"app\n") + tlv(0x23, b"AES") + tlv(0x24, b"s")
    sub += tlv(0x25, b"k") + tlv(0x26, b"g") + tlv(0x27, b"m") + tlv(0x28, b"\x30\x82") + tlv(0x2f, b"?")
    told = fields(proxy_v2(CLIENT, tlvs=[
        (0x01, b"h2"), (0x02, b"db.example"), (0x04, b"\0\0"), (0x05, b"id"), (0x20, sub), (0x30, b"blue"),
        (0xEA, b"\x01vpce-1"), (0xEE, b"\x01" + struct.pack("<I", 258)), (0xE0, struct.pack("!Q", 258)),
        (0xE7, b"\xff"), (0xF1, b""), (0xFA, b""), (0x77, b"\0" * 40)], crc=True))
    values = {name: value for name, (_, value) in told.items()}
    expected = {
        "ALPN": '"h2"', "authority (SNI)": '"db.example"', "NOOP": "2 bytes of nothing", "unique id": '"id"',
        "SSL": "client 0x07 TLS, certificate, certificate in this session, verify 0", "cn": r'"app\x0a"',
        "cipher": '"AES"', "sig-alg": '"s"', "key-alg": '"k"', "group": '"g"', "sig-scheme": '"m"',
        "client-cert": "2 bytes: 3082", "0x2f": "1 bytes: 3f", "network namespace": '"blue"',
        "AWS endpoint": '"vpce-1"', "Azure endpoint": "link id 258", "GCP endpoint": "connection id 258",
        "0xe7 custom": "1 bytes: ff", "0xf1 experimental": "0 bytes", "0xfa future": "0 bytes",
        "0x77 unknown": "40 bytes: " + "00" * 32 + "..."}
    assert {name: values.get(name) for name in expected} == expected
    assert values["CRC32C"].endswith(", right")
    assert told["ALPN"][0] == 28 and told["authority (SNI)"][0] == 33


@pytest.mark.parametrize("verify, name", [(0, "cn"), (1, "cn-unverified")])
def test_the_name_of_a_certificate_that_was_not_verified_is_told_as_such(verify, name):
    told = fields(proxy_v2(CLIENT, tlvs=[(0x20, struct.pack("!BI", 3, verify) + tlv(0x22, b"admin"))]))
    assert {key: value for key, (_, value) in told.items() if key.startswith("cn")} == {name: '"admin"'}


def test_clouds_tlvs_of_another_shape_are_told_as_bytes():
    told = fields(proxy_v2(CLIENT, tlvs=[(0xEA, b"\x02x"), (0xEE, b"\x01"), (0xE0, b"\0")]))
    assert [told[name][1] for name in ("0xea AWS", "0xee Azure", "0xe0 GCP")] == ["2 bytes: 0278", "1 bytes: 01", "1 bytes: 00"]


def test_a_malformed_ssl_tlv_is_told_and_does_not_make_the_header_invalid():
    data = proxy_v2(CLIENT, tlvs=[(0x20, b"\1\0\0")])
    assert decode(data)[0] == 0 and "malformed" in fields(data)["SSL"][1]


def test_a_wrong_checksum_is_told_with_the_right_one():
    wrong, right = proxy_v2(CLIENT, bad_crc=True), proxy_v2(CLIENT, crc=True)
    status, verdict, _ = decode(wrong)
    assert status == 1
    assert verdict == ["invalid: v2-bad-crc, at offset 28 (byte 0x03): CRC32C TLV of wrong length or value"]
    assert fields(wrong)["CRC32C"] == (28, f"0x{wrong[-4:].hex()}, wrong: it is 0x{right[-4:].hex()}")


@pytest.mark.parametrize("place, value, reason", [
    (12, 0x11, "v2-bad-version"), (12, 0x2f, "v2-bad-command"), (13, 0x41, "v2-bad-family"),
    (14, None, "v2-short-block")])
def test_a_fault_in_the_fixed_part_is_told_with_its_place(place, value, reason):
    data = bytearray(proxy_v2(CLIENT))
    if value is None:
        data[14:16] = b"\0\x0b"
    else:
        data[place] = value
    assert decode(bytes(data))[1][0].startswith(f"invalid: {reason}, at offset {place} ")


def test_the_tlv_that_runs_past_the_end_is_told():
    good, bad = tlv(4, b"ab"), b"\x05\0\x09id"
    data = bytearray(proxy_v2(CLIENT) + good + bad)
    data[15] += len(good + bad)
    assert decode(bytes(data))[1][0].startswith("invalid: v2-tlv-overrun, at offset 33 (byte 0x05): ")
    assert fields(bytes(data))["TLV"] == (33, "0x05 of 9 bytes, and 2 are left")


def test_what_an_unspec_header_holds_is_told_if_it_is_a_list_of_tlvs():
    fixed = proxy_v2(CLIENT)[:12] + b"\x21\x00"
    assert fields(fixed + b"\0\x05" + tlv(5, b"id"))["unique id"] == (16, '"id"')
    status, verdict, _ = decode(fixed + b"\0\x06" + tlv(5, b"id") + b"!")
    assert (status, verdict[0]) == (0, "valid: version 2, 22 bytes; the server's peer is the real TCP peer")
    assert fields(fixed + b"\0\x06" + tlv(5, b"id") + b"!")["rest"] == (16, "6 bytes that do not count")
    assert fields(b"".join([fixed[:12], b"\x20\x00\0\x05", tlv(5, b"id")]))["rest"] == (16, "5 bytes that do not count")


def test_what_follows_the_largest_header_is_counted():
    data = header("--from", "203.0.113.7", "--tlv", "4=" + "00" * 60000) + bytes(100000)
    assert decode(data)[1][1] == "behind the header: 100000 bytes"


def test_control_bytes_never_reach_the_terminal():
    for data in (b"\x1b[31mGET /\r\n", b"PROXY UNKNOWN \x1b[31m\r\n", proxy_v2(CLIENT, tlvs=[(2, b"\x1b[31m\r\n")])):
        assert "\x1b" not in decode(data)[2]


def test_what_header_writes_decode_finds_valid():
    for options in (["--local"], ["--unknown", "--v1"], ["--from", "::1", "--to", "192.0.2.1", "--ssl", "--crc"]):
        assert decode(header(*options))[0] == 0
