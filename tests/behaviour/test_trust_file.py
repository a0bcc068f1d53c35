# SPDX-License-Identifier: MIT
"""PPSHIM_TRUST=@/file: re-read when it changes; what cannot be used leaves the old list in force."""
import os
import re

import pytest
import wire
from harness import run, until
from program import environment, helper
from place import needs
from wire import CLIENT_TEXT, TRUSTED

OTHER = "127.0.0.3"


@pytest.fixture
def listed(serve, tmp_path):
    """A server whose trust list is a file, and the file; it trusts TRUSTED."""
    path = tmp_path / "trust.list"
    path.write_text(f"# balancers\n\n{TRUSTED}   # the first one\n")
    return serve(trust=f"@{path}"), path


def trusts(server, source):
    with server.peer(source) as peer:
        return peer.send(wire.v2()).report()["peer"] == CLIENT_TEXT


def replace(path, text):
    new = path.with_name("new")
    new.write_text(text)
    os.replace(new, path)


def rewrite(path, text):
    path.write_text(text)


def news(server):
    """What the server says of its file, beyond being active; a client makes it look."""
    trusts(server, OTHER)
    return server.log.matching("trust.list")


def test_list_file_is_read(listed):
    server, _ = listed
    assert server.logged("active", trust="1-prefixes")
    assert trusts(server, TRUSTED)
    assert not trusts(server, OTHER)
    assert not news(server)


def test_lines_may_hold_several_entries_comments_and_exceptions(serve, tmp_path):
    path = tmp_path / "trust.list"
    path.write_text(f"# one\r\n127.0.0.0/8, 2001:db8::/32\t10.0.0.1 # two\n!{OTHER}\n \n!127.0.0.4/32")
    server = serve(trust=f"@{path}")
    assert trusts(server, TRUSTED)
    assert not trusts(server, OTHER) and not trusts(server, "127.0.0.4")


def test_file_stands_beside_entries_of_its_own(serve, tmp_path):
    path = tmp_path / "trust.list"
    path.write_text(OTHER + "\n")
    server = serve(trust=f"{TRUSTED} @{path}")
    assert trusts(server, TRUSTED) and trusts(server, OTHER)


def in_force_within_two_seconds(now, condition, what):
    """However slow the machine, whoever comes later than that must find it so."""
    changed = now()

    def tried():
        began = now()
        found = condition()
        assert found or began - changed < 2, f"not in force: {what}"
        return found
    until(tried, what)


@pytest.mark.parametrize("change", [replace, rewrite])
def test_changed_list_is_in_force_within_two_seconds(listed, now, change):
    server, path = listed
    assert trusts(server, TRUSTED)
    for new, old in (OTHER, TRUSTED), (TRUSTED, OTHER):
        change(path, new + "\n")
        in_force_within_two_seconds(now, lambda: trusts(server, new), "the new list")
        assert not trusts(server, old)
    server.stop()
    assert len(server.log.matching(r": reloaded PPSHIM_TRUST prefixes=1$")) == 2
    assert not server.log.matching(": reject ")


@pytest.mark.parametrize("text, why", [
    (f"{OTHER}\n10.1.2.3/8\n", r"10\.1\.2\.3/8"),
    ("", "empty|no "),
    ("# nobody\n", "empty|no "),
    (None, "No such file|cannot|not"),
], ids=["bad-entry", "empty", "comments-only", "removed"])
def test_list_that_cannot_be_used_leaves_the_old_one_in_force(listed, text, why):
    server, path = listed
    assert trusts(server, TRUSTED)
    path.unlink() if text is None else replace(path, text)
    line = until(lambda: news(server), "it says what is wrong")[0]
    assert re.search(why, line) and str(path) in line
    assert trusts(server, TRUSTED)
    assert not trusts(server, OTHER)
    replace(path, OTHER + "\n")
    until(lambda: trusts(server, OTHER), "the mended list is in force")
    assert not trusts(server, TRUSTED)


def test_broken_list_is_told_once_not_at_every_look(listed, now):
    server, path = listed
    replace(path, "nonsense\n")
    until(lambda: news(server), "it says what is wrong")
    start = now()
    while now() - start < 2.2:  # two more looks
        assert len(news(server)) == 1


def test_server_that_changed_its_root_keeps_its_list(start, now, tmp_path):
    """A file that is out of reach after chroot is one that cannot be read: the old list stays."""
    path = tmp_path / "trust.list"
    path.write_text(TRUSTED + "\n")
    code = """
import os, socket
listener = socket.create_server(("127.0.0.1", 0))
os.chroot("/proc/self")
print("listening", listener.getsockname()[1], flush=True)
while True:
    connection, peer = listener.accept()
    connection.sendall(b"conn peer=%s:%d\\n" % (peer[0].encode(), peer[1]))
    connection.close()
"""
    needs("root")
    server = start(["/usr/bin/python3", "-c", code], environment(trust=f"@{path}"))
    begin = now()
    while now() - begin < 1.5:  # it looks once a second
        assert trusts(server, TRUSTED)
    assert not trusts(server, OTHER)


def test_every_list_may_be_a_file(serve, tmp_path):
    for name, entry in ("optional", "127.0.0.5"), ("allow", "203.0.113.0/24"), ("deny", "203.0.113.9"):
        (tmp_path / name).write_text(entry + "\n")
    server = serve(header_optional=f"@{tmp_path}/optional", client_allow=f"@{tmp_path}/allow",
                   client_deny=f"@{tmp_path}/deny")
    assert trusts(server, TRUSTED) and trusts(server, "127.0.0.5")
    for client in ("198.51.100.1", 1), ("203.0.113.9", 1):
        with server.peer() as peer:
            peer.send(wire.v2(client)).rejected()
            server.log.wait(f"reject peer={peer.text} .*reason=client-denied")


def test_address_in_both_files_stops_the_server(tmp_path):
    (tmp_path / "trust").write_text("10.0.0.0/8\n")
    (tmp_path / "optional").write_text("10.9.0.0/16\n")
    answer = run(helper("server"), check=False,
                 env=environment(trust=f"@{tmp_path}/trust", header_optional=f"@{tmp_path}/optional"))
    assert answer.returncode == 78 and answer.stdout == ""
    assert re.fullmatch(r"[^\n]*PPSHIM_[^\n]*10\.9\.[^\n]*\n", answer.stderr)
