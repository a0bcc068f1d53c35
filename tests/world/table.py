# SPDX-License-Identifier: MIT
"""table.py: what the servers of the world answered, as the table in tests/servers/README.md. A run holds each row to it;
with WORLD_TABLE=write (make servers-table) the rows are written anew."""
import os
import re
from itertools import zip_longest

from harness import ROOT, run

FILE = ROOT / "tests" / "servers" / "README.md"
BEGIN, END = "<!-- written by make servers-table -->\n", "<!-- end -->\n"
WRITES = os.environ.get("WORLD_TABLE") == "write"

# A column, and the questions that its answer is made of.
COLUMNS = {
    "v1, v2": ("a_session_serves_the_client_behind_the_balancer", "the_servers_log_names_the_client_behind_the_balancer",
               "clients_at_the_same_time_are_not_mixed_up",
               "without_the_shim_no_client_gets_through_the_balancer"),
    "IPv6": ("an_ipv6_client_is_seen_on_an_ipv4_listener_or_refused",),
    "direct": ("a_direct_client_keeps_its_own_address",),
    "untrusted header": ("a_header_from_an_untrusted_peer_is_the_servers_to_refuse",),
    "split": ("a_header_that_comes_in_pieces_is_a_header",),
    "late": ("a_header_may_come_late_while_others_are_served",),
    "300 silent": ("three_hundred_silent_peers_delay_nobody",),
    "probe first": ("a_probe_as_the_first_peer_leaves_the_server_able_to_stop",),
    "under load": ("a_new_configuration_or_start_under_load_costs_no_client_its_address",),
    "stop": ("it_stops_as_without_the_shim_while_a_header_is_waited_for",),
}
HEAD = ["server", "version", "waits with", *COLUMNS, "says who it was"]
VERSION = HEAD.index("version")


def answer(cls, column, outcomes):
    """A cell; None while it is not known."""
    if column in cls.NOT_ASKED:
        return cls.NOT_ASKED[column]
    told = [outcomes.get(f"test_{question}") for question in COLUMNS[column]
            if getattr(cls, f"test_{question}", None)]
    if not told or set(told) != {"passed"}:
        return None
    if column == "IPv6" and not cls.SERVER.ipv6_routes:
        return "refused"
    if column == "late" and not cls.SERVER.keeps_waiting:
        return "DEFER_ACCEPT"
    if column == "under load":
        return "restart" if not cls.SERVER.reload_signal else "gap" if cls.SERVER.reload_refuses else "reload"
    return "yes"


def version(package):
    """Debian's, without its own part; apt's word where the package is but unpacked."""
    told = run("dpkg-query", "-W", "-f", "${Version}", package, check=False).stdout
    told = told or re.search(r"^Version: (\S+)$", run("apt-cache", "show", "--no-all-versions", package).stdout, re.M)[1]
    return re.sub(r"^\d+:|[+~-].*", "", told)


def row(cls):
    outcomes = getattr(cls, "outcomes", {})
    return [cls.LABEL, version(cls.PACKAGE), cls.__dict__.get("waits"),
            *(answer(cls, column, outcomes) for column in COLUMNS), cls.WORD]


def rows():
    """Those in the file, by the server's name."""
    table = FILE.read_text().partition(BEGIN)[2].partition(END)[0]
    cells = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()[2:]]
    return {row[0]: row for row in cells}


def differences(answered, kept):
    """What was answered and stands there in other words, but for the version, which is Debian's affair."""
    return {name: (now, before) for at, (name, now, before) in enumerate(zip_longest(HEAD, answered, kept))
            if at != VERSION and now is not None and now != before}


def write(answered):
    lines = [HEAD, ["---"] * len(HEAD), *sorted(answered.values(), key=lambda row: row[0].lower())]
    before, _, rest = FILE.read_text().partition(BEGIN)
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    FILE.write_text(before + BEGIN + table + END + rest.partition(END)[2])


# --- what pytest tells ------------------------------------------------------------------------------------------------

_answered = {}


def take(item, report):
    """Of each question its worst outcome, where the class of tests keeps it."""
    if hasattr(item.cls, "LABEL") and (report.when == "call" or report.outcome != "passed"):
        outcomes = item.cls.__dict__.get("outcomes")
        if outcomes is None:
            item.cls.outcomes = outcomes = {}
        if outcomes.get(item.originalname, "passed") == "passed":
            outcomes[item.originalname] = report.outcome


def collect(report):
    for name, value in report.user_properties:
        if name == "row":
            _answered[value[0]] = value


def finish():
    if WRITES and _answered:
        write({**rows(), **_answered})
