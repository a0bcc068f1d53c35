# SPDX-License-Identifier: MIT
"""`ppshim check` and `ppshim unit` of services whose systemd keeps system calls or address families from them."""
import functools
import re

import pytest
from check_fixtures import LIBRARY, ROOT, TRUST, run, server, tool, tree
from go_programs import build

__all__ = ["server", "tree"]

GIVEN = TRUST + f"Environment=LD_PRELOAD={LIBRARY}\nRestartPreventExitStatus=78\n"
SOURCE = (ROOT / "shim/tool/check_filter.c").read_text()


def judged(tree, text):
    tree.service(GIVEN + text + "\n")
    return tree.settings()


# --- system calls -----------------------------------------------------------------------------------------------------

@functools.cache
def members(group):
    """Of a group of systemd's, with those of the groups in it."""
    lines = run(tool("systemd-analyze"), "--no-pager", "syscall-filter", group).stdout.splitlines()
    words = {line.strip() for line in lines[1:] if line.startswith("    ") and not line.strip().startswith("#")}
    return {word for word in words if word[0] != "@"}.union(*(members(word) for word in words if word[0] == "@"))


def test_groups_are_as_systemd_has_them():
    table = re.findall(r'\{"(\w+)", "([^"]+)"( SERVERS)?\}', SOURCE)
    assert len(table) > 15
    named = {group for _, groups, _ in table for group in groups.split()} | {"@system-service", "@known"}
    for call, groups, servers in table:
        told = set(groups.split()) | ({"@system-service", "@known"} if servers else set())
        assert told == {group for group in named if call in members(group)}, call


@pytest.mark.parametrize("text", [
    "", "SystemCallFilter=@system-service", "SystemCallFilter=@system-service\nSystemCallFilter=~@privileged @resources",
    "SystemCallFilter=~@mount @debug", "SystemCallFilter=~@timer\nSystemCallFilter=timerfd_create timerfd_settime",
    "SystemCallFilter=@basic-io\nSystemCallFilter=", "SystemCallFilter=@known",
    "SystemCallFilter=@basic-io @file-system @io-event @network-io @process @signal @timer",
    "SystemCallFilter=~@debug:EPERM",
])
def test_a_filter_with_all_that_it_needs_is_good(tree, text):
    answer = judged(tree, text)
    assert answer.verdict == "ok", answer


@pytest.mark.parametrize("text, names", [
    ("SystemCallFilter=@basic-io @file-system @io-event @network-io @process @signal", "timerfd_create timerfd_settime"),
    ("SystemCallFilter=~@timer", "timerfd_create timerfd_settime"),
    ("SystemCallFilter=@system-service\nSystemCallFilter=~epoll_create1", "epoll_create1"),
    ("SystemCallFilter=@system-service setsockopt:EPERM", "setsockopt"),
    ("SystemCallFilter=~shutdown:kill", "shutdown"),
])
def test_what_a_filter_forbids_is_named_and_how_it_is_mended(tree, text, names):
    answer = judged(tree, text)
    why = f"its SystemCallFilter= forbids {names}, which the library calls: let it have SystemCallFilter={names}"
    assert answer.status == 1 and why in answer.because, answer
    tree.service(f"SystemCallFilter={names}\n")
    assert tree.settings().verdict == "ok"


@pytest.mark.parametrize("setting, call, why", [
    ("CLIENT_MAX=50", "sendto", "PPSHIM_CLIENT_MAX needs"), ("JOURNAL=/run/j", "sendmsg", "PPSHIM_JOURNAL needs"),
    ("STATS=/run/ppshim", "fallocate", "PPSHIM_STATS needs")])
def test_what_a_setting_needs_is_asked_where_it_is_set(tree, setting, call, why):
    tree.service(f"SystemCallFilter=~{call}\n")
    assert judged(tree, "").verdict == "ok"
    answer = judged(tree, f"Environment=PPSHIM_{setting}")
    assert f"forbids {call}, which {why}" in answer.because, answer


@pytest.mark.parametrize("way, text, why", [
    ("static", "SystemCallFilter=@system-service",
     "forbids ptrace, which ppshim run needs to put the shim into a static Go program: let it have SystemCallFilter=ptrace"),
    ("dynamic", "SystemCallFilter=~pwrite64", "forbids pwrite64, which the library needs to put itself into a Go program"),
])
def test_of_a_go_program_is_looked_at_how_the_shim_comes_into_it(tree, way, text, why):
    tree.copy("/usr/bin/demo", build("server", way))
    tree.service(text + "\n")
    answer = tree.unit("--trust", "10.0.0.0/24", "--ports", "3306")
    assert answer.status == 1 and why in answer.err, answer
    tree.service("SystemCallFilter=ptrace pwrite64\n")
    answer = tree.unit("--trust", "10.0.0.0/24", "--ports", "3306")
    assert answer.status == 0, answer


# --- address families -------------------------------------------------------------------------------------------------

FAMILIES = [("", True), ("RestrictAddressFamilies=AF_INET AF_INET6", False), ("RestrictAddressFamilies=none", False),
            ("RestrictAddressFamilies=AF_INET\nRestrictAddressFamilies=", True),
            ("RestrictAddressFamilies=AF_INET\nRestrictAddressFamilies={}", True),
            ("RestrictAddressFamilies=~AF_PACKET", True), ("RestrictAddressFamilies=~{}", False),
            ("RestrictAddressFamilies=~{0}\nRestrictAddressFamilies={0}", True)]


@pytest.mark.parametrize("setting, family", [("CLIENT_MAX=50", "AF_NETLINK"), ("JOURNAL=/run/j", "AF_UNIX")])
@pytest.mark.parametrize("text, good", FAMILIES, ids=[text for text, _ in FAMILIES])
def test_an_address_family_that_a_setting_needs_must_be_there(tree, setting, family, text, good):
    text = text.format(family)
    assert judged(tree, text).verdict == "ok"  # without that setting
    answer = judged(tree, f"Environment=PPSHIM_{setting}")
    assert answer.verdict == ("ok" if good else "no"), answer
    if not good:
        assert answer.because.endswith(f"which its RestrictAddressFamilies= leaves out: let it have "
                                       f"RestrictAddressFamilies={family}"), answer
