# SPDX-License-Identifier: MIT
"""ppshim status: counters of servers under the preload, in each form it has; of processes that ended too, and never less
than before; and nothing that somebody else wrote is believed."""
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import wire
from conftest import TOOL, ppshim, refused
from counters import counted, directory, groups, keys, metrics, status
from harness import clean_env, run, tool
from place import lacks, missing, needs
from program import Program, environment, helper
from wire import CLIENT_TEXT, TRUSTED

NOBODY = 65534


@pytest.fixture
def stats():
    with directory(0o755) as path:
        yield Path(path)


@pytest.fixture
def serve(stats):
    """serve("--accept=poll", ...) runs tests/behaviour/server.c, with counters."""
    programs = []

    def starter(*arguments, program=None, **settings):
        programs.append(Program([program or helper("server"), *arguments],
                                environment(trust=TRUSTED, timeout="60s", stats=stats, log="stderr:error", **settings)))
        return programs[-1]

    yield starter
    for program in programs:
        program.stop()


def some_of_each(server, times=1):
    for _ in range(times):
        server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)
        server.serves()
        with server.peer() as peer:
            peer.send(b"nonsense").rejected()
    return server


SOME = {"connections": 3, "found.v2.inet": 1, "untrusted-passed": 1, "rejected.not-a-header": 1}


def file_of(stats, pid):
    [path] = stats.glob(f"{pid}.*")
    return path


@pytest.fixture
def ended(serve, stats):
    """The file of a server that ended."""
    server = some_of_each(serve("--accept=poll"))
    path = file_of(stats, server.pid)
    server.stop()
    return path


# --- forms ------------------------------------------------------------------------------------------------------------


def test_table_has_what_is_not_nothing(serve, stats):
    server = some_of_each(serve())
    assert re.fullmatch(rf"""server, listener :{server.port}, user \w+: 1 process \({server.pid}\)
  connections +3
  proxy proto found 2 inet +1
  untrusted passed +1
  rejected not-a-header +1  100\.0 % #{{20}}
(?:  parks +1
  parked max +1
)?  header wait seconds <= [\d.]+ +1
""", status(stats))


def test_json_has_every_counter(serve, stats):
    server = some_of_each(serve())
    [group] = groups(stats)
    assert (group["program"], group["listener"], group["processes"], group["ended"]) == (
        "server", f":{server.port}", [server.pid], 0)
    assert list(group["counters"]) == keys()


def families(text):
    """{name: family}, as the strictest reader of OpenMetrics takes them."""
    try:
        from prometheus_client.openmetrics import parser
    except ImportError:
        missing("python3-prometheus-client")
    return {family.name: family for family in parser.text_string_to_metric_families(text)}


def test_openmetrics_is_valid_and_says_of_each_metric_what_the_table_says(serve, stats):
    server = some_of_each(serve())
    told = families(status(stats, "--openmetrics"))
    assert {(name, family.type, family.unit, family.documentation) for name, family in told.items()} == {
        (f"ppshim_{name}", kind.lower(), unit, f"{meaning}.") for name, kind, unit, meaning in metrics()}
    labels = {"unit": "", "program": "server", "listener": f":{server.port}"}
    [connections] = told["ppshim_connections"].samples
    assert connections.value == 3 and labels.items() <= connections.labels.items()
    rejected = {sample.labels["reason"]: sample.value for sample in told["ppshim_rejected"].samples}
    assert {reason: n for reason, n in rejected.items() if n} == {"not-a-header": 1}
    assert len(rejected) == sum(key.startswith("rejected.") for key in keys())


def test_openmetrics_of_nothing_is_valid_too(stats):
    assert set(families(status(stats, "--openmetrics"))) == {f"ppshim_{name}" for name, *_ in metrics()}


def test_names_of_others_are_escaped_in_each_form(ended, stats):
    replace(ended, b"/server\0", b'/a"\n\\\xff\0')
    [connections] = families(status(stats, "--openmetrics"))["ppshim_connections"].samples
    assert connections.labels["program"] == 'a"' + r"\x0a" + "\\" + r"\xff"
    assert groups(stats)[0]["program"] == 'a"\n\\\ufffd'
    code, out, said = ppshim("status", "--stats", stats)
    assert (code, said) == (0, "") and out.startswith(b'a"' + rb"\x0a" + b"\\\xff, listener ")


def replace(path, old, new):
    """In a file of counters, where nothing moves."""
    data = path.read_bytes()
    assert data.count(old) == 1 and len(new) <= len(old) + 8
    at = data.index(old)
    path.write_bytes(data[:at] + new.ljust(len(old), b"\0") + data[at + max(len(old), len(new)):])


def answer(stats, request, *arguments):
    done = status(stats, "--http", *arguments, given=request, check=False)
    head, _, body = done.stdout.partition("\n\n")  # as text, \r\n is \n
    assert f"Content-Length: {len(body)}" in head
    return head.splitlines()[0], head, body


def test_http_answers_a_request_with_the_same(serve, stats):
    some_of_each(serve())
    first, head, body = answer(stats, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert first == "HTTP/1.1 200 OK"
    assert "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8" in head
    assert body == status(stats, "--openmetrics")


@pytest.mark.parametrize("request_, first", [
    ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found"),
    ("GET /metricsx HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found"),
    ("POST /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found"),
    ("GET /metrics", "HTTP/1.1 400 Bad Request"),
    ("", "HTTP/1.1 400 Bad Request"),
    ("GET /metrics HTTP/1.1\r\n" + "x: y\r\n" * 5000, "HTTP/1.1 400 Bad Request"),
])
def test_http_refuses_what_is_no_such_request(stats, request_, first):
    assert answer(stats, request_)[0] == first


def test_http_says_what_is_wrong_here(stats):
    first, _, body = answer(stats / "none", "GET /metrics HTTP/1.1\r\n\r\n")
    assert first == "HTTP/1.1 500 Internal Server Error" and "none cannot be read" in body


def watched(stats, tables, terminal=False, **env):
    """The first tables that --watch prints."""
    master, slave = pty.openpty() if terminal else os.pipe()
    given = {"env": {**clean_env(), "LC_ALL": "C.UTF-8", "TERM": "xterm", **env}, "stdout": slave}
    with subprocess.Popen([TOOL, "status", "--stats", stats, "--watch"], stdin=subprocess.DEVNULL, **given) as process:
        os.close(slave)
        text = ""
        while text.count(", listener ") <= tables:
            text += os.read(master, 65536).decode()
        process.terminate()
    os.close(master)
    return text


def test_watch_has_rates_and_a_line_of_new_connections(serve, stats):
    some_of_each(serve())
    text = watched(stats, 2)
    first, second = text.split("\n\n")[:2]
    assert "/s" not in first
    assert re.search(r"^  connections +3 +0\.0/s$", second, re.M)
    assert re.search(r"^  rejected not-a-header +1 +0\.0/s  100\.0 % #+$", second, re.M)
    assert re.search(r"^  new connections +_ 1/s at most$", second, re.M)
    assert "\033" not in text


def test_watch_stands_still_on_a_terminal(serve, stats):
    needs("terminals")
    some_of_each(serve())
    text = watched(stats, 2, terminal=True)
    assert text.count("\033[H\033[2J") >= 2 and "█" in text and "▁" in text


def test_colour_can_be_refused(serve, stats):
    needs("terminals")
    some_of_each(serve())
    assert "\033[1m" not in watched(stats, 1, terminal=True, NO_COLOR="1")


# --- whose ------------------------------------------------------------------------------------------------------------


def test_process_is_asked_for_by_its_number(serve, stats):
    one, other = some_of_each(serve()), some_of_each(serve(), 2)
    assert counted(stats, one.pid)["connections"] == 3
    assert counted(stats, other.pid)["connections"] == 6
    assert len(groups(stats)) == 2


def test_master_is_asked_for_with_its_workers(serve, stats):
    server = some_of_each(serve("--accept=fork=2"), 5)
    some_of_each(serve())
    assert counted(stats, server.pid)["connections"] == 15


def test_worker_whose_name_has_a_line_break_is_its_masters(serve, stats, tmp_path):
    odd = shutil.copy(helper("server"), tmp_path / "odd) R 1\nname")
    server = some_of_each(serve("--accept=fork=2", program=odd), 5)
    assert counted(stats, server.pid)["connections"] == 15


def in_unit(path, unit):
    """As if its process had been in that service: nobody can make one here."""
    data = bytearray(path.read_bytes())
    start = data.index(b"pid:[") + 32 + 128  # pid_namespace, program, unit: include/ppshim/stats.h
    data[start:start + 128] = unit.encode().ljust(128, b"\0")
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["demo", "demo.service"])
def test_service_is_asked_for_by_its_name(ended, serve, stats, name):
    in_unit(ended, "demo.service")
    some_of_each(serve())
    [group] = groups(stats, name)
    assert (group["unit"], group["ended"]) == ("demo.service", 1)
    assert status(stats, name).startswith("demo.service server, listener :")


def in_cgroups(command, *arguments):
    """A shell command among the control groups of version 2, mounted for it alone."""
    return run(tool("unshare"), "--mount", "sh", "-c", f'mount -t cgroup2 none /mnt && cd /mnt && {command}', "sh",
               *arguments, check=False)


def test_service_is_read_from_its_control_group(serve, stats):
    needs("root", "mounts")
    if in_cgroups("mkdir ppshim-test.service").returncode:
        lacks("control groups of version 2")
    server = serve()
    try:
        assert in_cgroups('echo "$1" >ppshim-test.service/cgroup.procs', server.pid).returncode == 0
        some_of_each(server)
        assert [one["unit"] for one in groups(stats)] == ["ppshim-test.service"]
    finally:
        server.stop()
        in_cgroups("rmdir ppshim-test.service")


def test_default_directory_is_that_of_the_environment(serve, stats):
    some_of_each(serve())
    code, out, said = ppshim("status", "--json", env={**clean_env(), "PPSHIM_STATS": str(stats)})
    assert (code, said) == (0, "") and json.loads(out)["groups"][0]["counters"]["connections"] == 3


def test_command_lines_that_make_no_sense_are_refused(stats):
    assert refused("status", "--json", "--watch") == "one of --watch, --json, --openmetrics and --http"
    assert refused("status", "1", "2") == "name one process or unit, or none (try ppshim status --help)"
    assert refused("status", "a/b") == "name one process or unit, or none (try ppshim status --help)"


def test_nothing_to_tell_is_told(stats):
    assert status(stats) == f"nothing was counted in {stats} yet\n"
    assert "have accepted no connection" in refused("status", "--stats", stats, "1", status=1)
    assert refused("status", "--stats", stats, "none.service", status=1).startswith("none.service has counted nothing")
    assert refused("status", "--stats", stats / "none", status=1) == (
        f"{stats}/none cannot be read: No such file or directory: name the directory of PPSHIM_STATS with --stats")


# --- processes that ended ---------------------------------------------------------------------------------------------


def test_process_that_ended_stays_readable_by_its_number(ended, stats):
    pid = ended.name.split(".")[0]
    assert without_parks(counted(stats, pid)) == SOME
    assert ended.exists()


def without_parks(told):
    return {key: n for key, n in told.items() if not key.startswith("park")}


def grow_old(stats, added=0):
    """Those that ended are known for an hour."""
    totals = stats / "totals"
    totals.write_text(re.sub(r"^(ended\t\S+)\t\d+\t\d$", rf"\1\t0\t{added}", totals.read_text(), flags=re.M))


def test_file_is_removed_an_hour_after_its_process_was_found_to_have_ended_and_no_total_falls(ended, serve, stats):
    some_of_each(serve("--accept=poll"))
    before = groups(stats)
    assert ended.exists()
    grow_old(stats)
    assert groups(stats) == before
    assert not ended.exists()
    assert groups(stats) == before, "and nothing is added twice"
    assert "ended" not in re.findall(r"^\w+", (stats / "totals").read_text(), re.M)


def test_totals_of_many_generations_add_up(serve, stats):
    """A service that is restarted on its port again and again."""
    for generation in range(1, 4):
        server = some_of_each(serve("--accept=poll"))
        server.stop()
        groups(stats)
        grow_old(stats)
        assert without_parks(counted(stats)) == {key: n * generation for key, n in SOME.items()}
        assert list(stats.glob("[0-9]*")) == []


def test_reader_that_was_stopped_between_adding_and_removing_adds_nothing_twice(ended, stats):
    before = counted(stats)
    kept = ended.read_bytes()
    grow_old(stats)
    counted(stats)
    assert not ended.exists()
    ended.write_bytes(kept)  # as it was when `totals` was replaced already
    totals = stats / "totals"
    totals.write_text(totals.read_text().replace("\n", f"\nended\t{ended.name}\t0\t1\n", 1))
    assert counted(stats) == before
    assert not ended.exists()


def test_more_than_256_that_ended_are_not_kept(ended, stats):
    data = ended.read_bytes()
    made = int(ended.name.split(".")[1])
    for number in range(1, 300):
        name = ended.name.replace(str(made), str(made + number))
        (stats / name).write_bytes(data.replace(*(n.to_bytes(8, sys.byteorder) for n in (made, made + number))))
    counted(stats)
    assert len(list(stats.glob("[0-9]*"))) == 256
    assert counted(stats)["connections"] == 3 * 300


def test_who_may_not_remove_files_reads_the_same(ended, stats):
    needs("root")
    before = groups(stats)
    grow_old(stats)
    done = subprocess.run([tool("setpriv"), f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", TOOL, "status",
                           "--stats", stats, "--json"], capture_output=True, text=True, env=clean_env())
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["groups"] == before and ended.exists()


def test_readers_at_once_tell_the_same(ended, stats):
    before = groups(stats)
    grow_old(stats)
    readers = [subprocess.Popen([TOOL, "status", "--stats", stats, "--json"], stdout=subprocess.PIPE, env=clean_env())
               for _ in range(20)]
    told = [json.loads(reader.communicate()[0])["groups"] for reader in readers]
    assert told == [before] * 20 and not ended.exists()


# --- what is not believed ---------------------------------------------------------------------------------------------


def left_out(stats, name, why):
    done = status(stats, "--json", check=False)
    assert done.stderr == f"ppshim status: {stats}/{name} is left out: {why}\n"
    return json.loads(done.stdout)["groups"]


def test_file_under_another_name_is_left_out(serve, stats):
    path = file_of(stats, some_of_each(serve()).pid)
    before = groups(stats)
    shutil.copy(path, stats / "1.5")
    assert left_out(stats, "1.5", "its name is another's") == before


def test_file_of_a_living_process_that_somebody_else_made_is_left_out(serve, stats):
    needs("root")
    path = file_of(stats, some_of_each(serve()).pid)
    os.chown(path, NOBODY, NOBODY)
    assert left_out(stats, path.name, "it was not made by that process") == []


def test_file_that_is_being_made_is_nothing_yet(serve, stats):
    server = some_of_each(serve())
    pid, made = file_of(stats, server.pid).name.split(".")
    (stats / f"{pid}.{int(made) + 1}").touch()
    assert without_parks(counted(stats)) == SOME


def test_empty_file_of_a_stranger_does_not_end_a_living_process(serve, stats):
    needs("root")
    server = some_of_each(serve())
    pid, made = file_of(stats, server.pid).name.split(".")
    name = f"{pid}.{int(made) + 1}"
    (stats / name).touch()
    os.chown(stats / name, NOBODY, NOBODY)
    [group] = left_out(stats, name, "it was not made by that process")
    assert group["processes"] == [server.pid]


def test_processes_of_one_number_in_two_containers_are_two(ended, stats):
    """Whether they live is not known here, and neither is the other's successor."""
    pid, made = ended.name.split(".")
    data = ended.read_bytes()
    at = data.index(b"pid:[")
    for later, namespace in enumerate((b"pid:[1]", b"pid:[2]")):
        number = int(made) + later
        one = bytearray(data.replace(int(made).to_bytes(8, sys.byteorder), number.to_bytes(8, sys.byteorder)))
        one[at:at + 32] = namespace.ljust(32, b"\0")
        (stats / f"{pid}.{number}").write_bytes(one)
    [group] = groups(stats)
    assert (group["processes"], group["ended"], group["counters"]["connections"]) == ([int(pid)] * 2, 0, 6)


@pytest.mark.parametrize("kind", ["symlink", "hardlink", "directory", "fifo"])
def test_what_is_no_plain_file_is_left_out(ended, stats, kind):
    data = ended.read_bytes()
    ended.unlink()
    (stats / "copy").write_bytes(data)
    if kind == "symlink":
        ended.symlink_to(stats / "copy")
    elif kind == "hardlink":
        ended.hardlink_to(stats / "copy")
    elif kind == "directory":
        ended.mkdir()
    else:
        os.mkfifo(ended)
    assert left_out(stats, ended.name, "it is no plain file") == []


@pytest.mark.parametrize("size, why", [(0, "it is none of this version's"), (100, "it is none of this version's"),
                                       (4096, "it is damaged"), (70000, "it is too large")])
def test_file_of_another_size_is_left_out(ended, stats, size, why):
    os.truncate(ended, size)
    assert left_out(stats, ended.name, why) == []


def test_random_bytes_in_a_file_do_no_harm(ended, stats):
    """Every byte of its beginning, turned round: left out, or counted, or in other words."""
    data = ended.read_bytes()
    for at in range(0, 400, 3):
        ended.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1:])
        done = status(stats, "--json", check=False)
        assert done.returncode == 0, at
        json.loads(done.stdout)
        (stats / "totals").unlink(missing_ok=True)


def test_totals_of_a_stranger_are_left_out(ended, stats):
    needs("root")
    before = groups(stats)
    text = (stats / "totals").read_text()
    (stats / "totals").write_text(text + "group\tserver\t\troot\t:1\t7\ncounter\tconnections\t1000\n")
    os.chown(stats / "totals", NOBODY, NOBODY)
    code, out, said = ppshim("status", "--stats", stats, "--json")
    assert json.loads(out)["groups"] == before
    assert (stats / "totals").owner() == "root", "and replaced"


def test_file_of_another_version_is_read_by_the_names_in_it(ended, stats):
    """One counter that is unknown here, and two that lie elsewhere."""
    data = ended.read_bytes()
    data = data.replace(b"\0untrusted-passed\0", b"\0some-new-counter\0")
    data = data.replace(b"\0found.v2.inet\0found.v2.inet6\0", b"\0found.v2.inet6\0found.v2.inet\0")
    ended.write_bytes(data)
    assert without_parks(counted(stats)) == {"connections": 3, "found.v2.inet6": 1, "rejected.not-a-header": 1}
