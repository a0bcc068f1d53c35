# SPDX-License-Identifier: MIT
"""fail2ban's own filter finds real clients in the log of an sshd behind HAProxy, and the example's action bans them."""
import re

import pytest
from contract import Refused, refused
from harness import BALANCER, ROUTES, Balancer, Certificates, example, run, scratch, tool, until
from test_sshd import Sshd

STRANGER = ROUTES["stranger"]


def found_by_filter(log, mark):
    """The addresses that the filter of Debian's sshd jail would count, from the server's own lines as syslog has them."""
    lines = log.with_suffix(".syslog")
    lines.write_text("".join(f"Jan  1 00:00:00 host sshd[1]: {line}\n" for line in log.read_text()[mark:].splitlines()
                             if "ppshim[" not in line))
    told = run(tool("fail2ban-regex"), "-o", "ip", lines, "sshd[mode=aggressive]").stdout
    return set(told.split())


@pytest.mark.parametrize("shim", [True, False], ids=["with_the_shim", "without"])
def test_a_failed_login_is_counted_against_the_client_and_not_the_balancer(make, shim):
    settings = {"TRUST": BALANCER, "LOG": "stderr:info"} if shim else None
    server = make(Sshd, settings)
    with scratch("certificates") as made, server, scratch("haproxy") as directory:
        routes = {"stranger": STRANGER._replace(mode="send-proxy-v2" if shim else "")}
        with Balancer(directory, server.endpoint, Certificates(made), routes) as balancer:
            mark = server.log.mark()
            with pytest.raises(Refused, match="Permission denied"):
                server.session("true", balancer["stranger"], key="host")
            server.log.wait(r"^Connection closed by authenticating user", mark)
            assert found_by_filter(server.log.path, mark) == {STRANGER.client[0] if shim else BALANCER}


def action(name, list_file, address):
    """The command that fail2ban would run."""
    command = re.search(rf"^{name} = (.*)$", example("fail2ban-action.conf"), re.M)[1]
    assert "/etc/ppshim/banned" in command
    run(tool("sh"), "-c", command.replace("/etc/ppshim/banned", str(list_file)).replace("<ip>", address))


def test_the_action_keeps_a_client_out_and_lets_it_in_again(make):
    with scratch("banned") as directory, scratch("certificates") as made, scratch("haproxy") as haproxy:
        banned = directory / "banned"
        action("actionstart", banned, "")
        assert banned.read_text() == "192.0.2.1\n"
        server = make(Sshd, {"TRUST": BALANCER, "CLIENT_DENY": f"@{banned}", "LOG": "stderr:info"})
        routes = {name: ROUTES[name] for name in ("stranger", "send-proxy-v2")}
        with server, Balancer(haproxy, server.endpoint, Certificates(made), routes) as balancer:
            assert server.login(balancer["stranger"]) == ROUTES["stranger"].client
            action("actionban", banned, ROUTES["stranger"].client[0])
            until(lambda: refused(server.login, balancer["stranger"]), "the client is kept out", 3)
            assert {event.reason for event in server.log.events("reject")} == {"client-denied"}
            assert server.login(balancer["send-proxy-v2"]) == ROUTES["send-proxy-v2"].client
            action("actionunban", banned, ROUTES["stranger"].client[0])
            until(lambda: not refused(server.login, balancer["stranger"]), "the client is let in again", 3)
