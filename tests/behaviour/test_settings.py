# SPDX-License-Identifier: MIT
"""A bad setting stops a server at start with one line that says what would be right, and never a program that only
happens to be loaded into."""
import os
import re

import pytest
import wire
from harness import run
from program import Program, environment, helper

TRUST = wire.TRUSTED
EX_CONFIG = 78

# settings, the one named, what the line must suggest, the part of a list it complains of
BAD = [
    ({"trust": ""}, "TRUST", "none"),
    ({"trust": "10.1.2.3/8"}, "TRUST", "10.0.0.0/8"),
    ({"trust": "2001:db8::1/32"}, "TRUST", "2001:db8::/32"),
    ({"trust": "10.0.0.0/33"}, "TRUST", r"32"),
    ({"trust": "2001:db8::/129"}, "TRUST", r"128"),
    ({"trust": "10.0.0.256"}, "TRUST", "0 to 255"),
    ({"trust": "balancer.example"}, "TRUST", "address or a CIDR"),
    ({"trust": "10.0.0.0/8,,localhost"}, "TRUST", "address or a CIDR", "localhost"),
    ({"trust": "@"}, "TRUST", "@/"),
    ({"trust": "10.0.0.0/8,none"}, "TRUST", "none"),
    ({"trust": TRUST, "header_optional": "10.9.9.9/24"}, "HEADER_OPTIONAL", r"10\.9\.9\.0/24"),
    ({"trust": TRUST, "client_allow": "everyone"}, "CLIENT_ALLOW", "address or a CIDR"),
    ({"trust": TRUST, "client_deny": "1.2.3.4/0"}, "CLIENT_DENY", r"0\.0\.0\.0/0"),
    ({"trust": TRUST, "timeout": "3"}, "TIMEOUT", "3s"),
    ({"trust": TRUST, "timeout": "3000"}, "TIMEOUT", "3s|3000s|3000ms"),
    ({"trust": TRUST, "timeout": "50ms"}, "TIMEOUT", "100 ?ms"),
    ({"trust": TRUST, "timeout": "61s"}, "TIMEOUT", "60 ?s"),
    ({"trust": TRUST, "timeout": "soon"}, "TIMEOUT", "3s|500ms"),
    ({"trust": TRUST, "timeout": "-1s"}, "TIMEOUT", "100 ?ms|3s"),
    ({"trust": TRUST, "timeout": "99999999999999999999s"}, "TIMEOUT", "60 ?s|whole number"),
    ({"trust": TRUST, "ports": "mysql"}, "PORTS", "3306|all"),
    ({"trust": TRUST, "ports": "65536"}, "PORTS", "65535"),
    ({"trust": TRUST, "ports": "8010-8000"}, "PORTS", "8000-8010"),
    ({"trust": TRUST, "ports": "80,-90"}, "PORTS", "-90"),
    ({"trust": TRUST, "versions": "3"}, "VERSIONS", "1,2"),
    ({"trust": TRUST, "versions": "1,3"}, "VERSIONS", "1,2"),
    ({"trust": TRUST, "untrusted": "drop"}, "UNTRUSTED", "pass.*reject"),
    ({"trust": TRUST, "defer_accept": "yes"}, "DEFER_ACCEPT", "on"),
    ({"trust": TRUST, "inherited": "yes"}, "INHERITED", "on"),
    ({"trust": TRUST, "local_addr": "yes"}, "LOCAL_ADDR", "socket.*header"),
    ({"trust": TRUST, "max_pending": "0"}, "MAX_PENDING", "1"),
    ({"trust": TRUST, "max_pending": "many"}, "MAX_PENDING", r"\d"),
    ({"trust": TRUST, "client_rate": "20"}, "CLIENT_RATE", "20/10s"),
    ({"trust": TRUST, "client_rate": "20/10"}, "CLIENT_RATE", "20/10s"),
    ({"trust": TRUST, "client_rate": "20/10s per 24"}, "CLIENT_RATE", "per /24,/56"),
    ({"trust": TRUST, "client_rate": "20/10s, dryrun"}, "CLIENT_RATE", "dry-run"),
    ({"trust": TRUST, "client_max": "0"}, "CLIENT_MAX", "1 or more"),
    ({"trust": TRUST, "client_max": "50/10s"}, "CLIENT_MAX", "50"),
    ({"trust": TRUST, "limit_exempt": "10.9.9.9/24"}, "LIMIT_EXEMPT", r"10\.9\.9\.0/24"),
    ({"trust": TRUST, "log": "stdout"}, "LOG", "stderr"),
    ({"trust": TRUST, "log": "stderr:loud"}, "LOG", "error.*debug"),
    ({"trust": TRUST, "log": "ppshim.log"}, "LOG", "/"),
    # a typo must not fail open
    ({"trsut": TRUST}, "TRSUT", "PPSHIM_TRUST"),
    ({"trust": TRUST, "timout": "3s"}, "TIMOUT", "PPSHIM_TIMEOUT"),
    ({"trust": TRUST, "max_pendign": "3"}, "MAX_PENDIGN", "PPSHIM_MAX_PENDING"),
    ({"trust": TRUST, "port": "3306"}, "PORT", "PPSHIM_PORTS"),
    ({"trust": TRUST, "client_denied": "10.0.0.1"}, "CLIENT_DENIED", "PPSHIM_CLIENT_DENY"),
]


def bad(settings, setting, right, entry=None):
    value = settings[setting.lower()]
    return pytest.param(settings, f"PPSHIM_{setting}={entry or value}", right, id=f"{setting}={value}")


def refused(settings):
    """One line on stderr; the server never came to listen."""
    answer = run(helper("server"), env=environment(**settings), check=False)
    assert answer.returncode == EX_CONFIG, answer
    assert answer.stdout == ""
    assert re.fullmatch(r"[^\n]*\n", answer.stderr), answer.stderr
    return answer.stderr


@pytest.mark.parametrize("settings, named, right", [bad(*case) for case in BAD])
def test_bad_setting_stops_the_server(settings, named, right):
    line = refused(settings)
    assert named in line
    assert re.search(right, line.partition(named)[2]), line


def test_address_in_both_lists_is_an_error():
    for trust, optional in ("10.0.0.0/8", "10.1.0.0/16"), ("10.1.2.3", "10.1.2.0/24"), ("::ffff:10.0.0.1", "10.0.0.1"):
        line = refused({"trust": trust, "header_optional": optional})
        assert "PPSHIM_TRUST" in line and "PPSHIM_HEADER_OPTIONAL" in line
        assert re.search(r"10\.\d+\.\d+\.\d+", line)


@pytest.mark.parametrize("setting", ["untrusted=reject", "client_deny=0.0.0.0/0", "ports=all", "log=auto"])
def test_setting_without_a_list_stops_the_server_for_it_would_not_do_what_it_says(setting):
    name, _, value = setting.partition("=")
    line = refused({name: value})
    assert f"PPSHIM_{name.upper()}={value}: without PPSHIM_TRUST or PPSHIM_HEADER_OPTIONAL the shim is off" in line
    assert run("/bin/true", env=environment(**{name: value, "trust": "none"})).stderr == ""


def test_value_cannot_forge_lines():
    line = refused({"trust": TRUST, "timeout": "3\nppshim[1]: active\x1b[2J"})
    assert "\x1b" not in line


def test_long_value_is_still_one_line():
    assert len(refused({"trust": "x" * 100000})) < 1000


GOOD = [
    {"trust": "10.0.0.0/8 192.0.2.1, 2001:db8::/32"},
    {"trust": "10.0.0.0/8,!10.0.5.0/28"},
    {"trust": "none"},
    {"trust": "none", "header_optional": "127.0.0.9", "client_deny": "::/0 0.0.0.0/0"},
    {"header_optional": "127.0.0.3"},
    {"trust": TRUST, "header_optional": "127.0.0.3"},
    {"trust": TRUST, "timeout": "100ms"},
    {"trust": TRUST, "timeout": "60s"},
    {"trust": TRUST, "ports": "all"},
    {"trust": TRUST, "ports": "3306,5432,8000-8010"},
    {"trust": TRUST, "versions": "1"},
    {"trust": TRUST, "max_pending": "1"},
    {"trust": TRUST, "defer_accept": "on", "untrusted": "reject", "log": "stderr:debug"},
    # what Kubernetes makes for a service called ppshim
    {"trust": TRUST, "port": "tcp://10.0.0.1:3306", "port_3306_tcp": "tcp://10.0.0.1:3306",
     "port_3306_tcp_proto": "tcp", "port_3306_tcp_addr": "10.0.0.1", "service_host": "10.0.0.1", "service_port": "3306",
     "service_port_mysql": "3306"},
]


@pytest.mark.parametrize("settings", GOOD, ids=str)
def test_good_setting_starts_the_server(start, settings):
    server = start([helper("server")], environment(**settings))
    server.serves("127.0.0.9" if settings.get("untrusted") != "reject" else TRUST,
                  wire.v2() if settings.get("untrusted") == "reject" else b"",
                  wire.CLIENT_TEXT if settings.get("untrusted") == "reject" else None)
    assert server.stop() == 0


# --- lists in files ---------------------------------------------------------------------------------------------------


@pytest.fixture(params=["missing", "empty", "bad entry"])
def broken_list(request, tmp_path):
    path = tmp_path / "trust.list"
    if request.param == "empty":
        path.write_text("# nobody\n")
    if request.param == "bad entry":
        path.write_text("10.0.0.0/8\n10.1.2.3/8\n")
    return path


def test_broken_list_file_stops_a_server(broken_list):
    line = refused({"trust": f"@{broken_list}"})
    assert "PPSHIM_TRUST" in line and str(broken_list) in line


def test_bad_entry_of_a_list_file_is_named(tmp_path):
    path = tmp_path / "trust.list"
    path.write_text("10.0.0.0/8 # fine\n\n10.1.2.3/8\n")
    line = refused({"trust": f"@{path}"})
    assert "10.1.2.3/8" in line and re.search(r"\b3\b", line) and "10.0.0.0/8" in line


def test_program_that_listens_to_nothing_is_let_be(broken_list):
    for argv in ["/bin/true"], ["/bin/sh", "-c", "/bin/ls / | /bin/cat >/dev/null"]:
        answer = run(*argv, env=environment(trust=f"@{broken_list}"), check=False)
        assert (answer.returncode, answer.stderr) == (0, "")


def test_client_is_let_be(serve, broken_list):
    server = serve()
    code = f"import socket; s = socket.create_connection(('127.0.0.1', {server.port})); s.getpeername(); s.recv(9)"
    answer = run("/usr/bin/python3", "-c", code, env=environment(trust=f"@{broken_list}"), check=False)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_server_on_a_port_that_is_not_governed_is_let_be(start, broken_list):
    server = start([helper("server")], environment(trust=f"@{broken_list}", ports="1"))
    server.serves()
    assert server.stop() == 0
    only, = server.log.lines
    assert f" not-governed listen=0.0.0.0:{server.port} hint=PPSHIM_PORTS-names-others" in only


def test_server_of_a_unix_socket_is_let_be(broken_list, tmp_path):
    code = f"import socket; s = socket.socket(socket.AF_UNIX); s.bind('{tmp_path}/s'); s.listen()"
    answer = run("/usr/bin/python3", "-c", code, env=environment(trust=f"@{broken_list}"), check=False)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_exit_status_is_that_of_sysexits():
    assert EX_CONFIG == os.EX_CONFIG
    with pytest.raises(AssertionError, match="exit status 78.*PPSHIM_TIMEOUT=3"):
        Program([helper("server")], environment(trust=TRUST, timeout="3"))
