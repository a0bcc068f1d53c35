# SPDX-License-Identifier: MIT
"""PPSHIM_CLIENT_ALLOW and _DENY know clients by what their headers say, where private addresses overlap."""
import os
import re

import pytest
import wire
from harness import run, until
from program import environment, helper
from wire import CLIENT_TEXT, TRUSTED

ENDPOINT, OTHER = (wire.tlv(wire.AWS, b"\x01vpce-08d2bf15fac5001c9"), wire.tlv(wire.AWS, b"\x01vpce-0f00"))


def certificate(name, verify=0):
    return wire.ssl_tlv(wire.tlv(wire.SSL_CN, name), client=3, verify=verify)


def lets_in(server, header):
    with server.peer() as peer:
        peer.send(header)
        while peer.receive() and b"\n" not in peer.buffer:
            pass
        return peer.buffer.startswith(b"conn ")


def refusal(server, header):
    """The fields of the line that says why."""
    with server.peer() as peer:
        peer.send(header).rejected()
        return wire.fields(server.log.wait(rf": reject peer={re.escape(peer.text)} ")[0])


def test_client_is_known_by_its_endpoint(serve):
    server = serve(client_allow="vpce:vpce-08d2bf15fac5001c9")
    assert lets_in(server, wire.v2(tlvs=ENDPOINT))
    line = refusal(server, wire.v2(tlvs=OTHER))
    assert (line["reason"], line["client"], line["name"]) == ("client-denied", CLIENT_TEXT, "vpce:vpce-0f00")
    line = refusal(server, wire.v1())
    assert (line["reason"], line["client"], line.get("name")) == ("client-denied", CLIENT_TEXT, None)


def test_deny_wins_by_any_name(serve):
    server = serve(client_allow="0.0.0.0/0 vpce:vpce-08d2bf15fac5001c9", client_deny="cn:J\\x20Doe,sni:DB.example")
    assert lets_in(server, wire.v2(tlvs=ENDPOINT))
    assert refusal(server, wire.v2(tlvs=ENDPOINT + certificate(b"J Doe")))["name"] == r"cn:J\x20Doe"
    assert lets_in(server, wire.v2(tlvs=certificate(b"J Doe", verify=1)))
    assert refusal(server, wire.v2(tlvs=wire.tlv(wire.AUTHORITY, b"db.EXAMPLE")))["name"] == "sni:db.EXAMPLE"


def test_headers_without_a_client_are_the_balancers_own_and_those_without_an_address_need_a_name(serve):
    server = serve(client_allow="vpce:vpce-08d2bf15fac5001c9")
    assert lets_in(server, wire.v2_raw(wire.LOCAL, wire.UNSPEC, b""))
    assert lets_in(server, wire.v2_raw(wire.LOCAL, wire.UNSPEC, OTHER))
    assert lets_in(server, wire.v2_raw(wire.PROXY, wire.UNSPEC, ENDPOINT))
    assert refusal(server, wire.v2_raw(wire.PROXY, wire.UNSPEC, OTHER))["name"] == "vpce:vpce-0f00"
    assert refusal(server, b"PROXY UNKNOWN\r\n")["reason"] == "client-denied"


def test_list_of_addresses_is_not_about_headers_without_one(serve):
    server = serve(client_allow="198.51.100.0/24")
    assert lets_in(server, b"PROXY UNKNOWN\r\n")
    assert lets_in(server, wire.v2_raw(wire.PROXY, wire.UNSPEC, OTHER))
    assert refusal(server, wire.v2())["reason"] == "client-denied"


def test_names_in_a_file_are_read_again(serve, tmp_path):
    path, new = tmp_path / "allow", tmp_path / "new"
    path.write_text("vpce:vpce-08d2bf15fac5001c9 # customer 1\n")
    server = serve(client_allow=f"@{path}")
    assert lets_in(server, wire.v2(tlvs=ENDPOINT))
    new.write_text("vpce:vpce-0f00\n")
    os.replace(new, path)
    until(lambda: lets_in(server, wire.v2(tlvs=OTHER)), "the new list is in force")
    assert not lets_in(server, wire.v2(tlvs=ENDPOINT))


@pytest.mark.parametrize("settings, told", [
    ({"trust": f"{TRUSTED} cn:app"}, r"PPSHIM_TRUST=cn:app: .*PPSHIM_CLIENT_ALLOW or .*, and here stand addresses"),
    ({"client_deny": "vpce:08d2"}, r"PPSHIM_CLIENT_DENY=vpce:08d2: .*write one like vpce:vpce-08d2bf15fac5001c9"),
    ({"client_allow": "!cn:app"}, r"PPSHIM_CLIENT_ALLOW=!cn:app: .*PPSHIM_CLIENT_DENY, which wins"),
])
def test_wrong_name_stops_the_server_with_one_line(settings, told):
    answer = run(helper("server"), env=environment(**{"trust": TRUSTED, **settings}), check=False)
    assert answer.returncode == 78 and answer.stdout == ""
    assert re.fullmatch(rf"ppshim\[\d+\]: error: {told}\n", answer.stderr), answer.stderr
