# SPDX-License-Identifier: MIT
"""`ppshim unit` and `ppshim check` with Debian's own services under a real systemd: each gets the preload through its
distribution's start script or unit, sees the client, and is as before when it is taken away."""
import re
import shutil
from typing import NamedTuple

import pytest
from check_fixtures import FILE_LINES, IGNORED_LINES, TRUST, UNIT_LINES
from conftest import LIBRARY
from harness import ROOT, SHIM, example, proxy_v1, until

CLIENT = "203.0.113.7"


class Service(NamedTuple):
    unit: str
    port: int
    request: bytes      # behind the header
    refusal: str        # in which the server names the client, or says that it is not local
    where: str = "answer"
    shows_environment: bool = True  # /proc/PID/environ is as at its start


STARTUP = b"\0\3\0\0user\0somebody\0\0"  # PostgreSQL's, protocol 3.0

SERVICES = {
    "mariadb": Service("mariadb.service", 3306, b"", f"Host '{CLIENT}' is not allowed to connect"),
    "postgresql": Service("postgresql@15-main.service", 5432, (len(STARTUP) + 4).to_bytes(4, "big") + STARTUP,
                          f'no pg_hba.conf entry for host "{CLIENT}"'),
    "redis": Service("redis-server.service", 6379, b"PING\r\n", "DENIED Redis is running in protected mode",
                     shows_environment=False),
    "ssh": Service("ssh.service", 22, b"", f"closed by {CLIENT} port 4711", where="journal", shows_environment=False),
}


@pytest.fixture(params=SERVICES)
def service(request, machine):
    one = SERVICES[request.param]
    if "@" in one.unit:
        version = next(machine.path("/etc/postgresql").iterdir()).name
        one = one._replace(unit=f"postgresql@{version}-main.service")
    yield one
    machine.ppshim("unit", one.unit, "--remove")
    machine.systemctl("daemon-reload")
    machine.systemctl("reset-failed", one.unit, check=False)
    machine.systemctl("restart", one.unit)


def install(machine, service, *more):
    answer = machine.ppshim("unit", service.unit, "--trust", "127.0.0.2", "--ports", str(service.port), "--install", *more)
    assert answer.status == 0 and f"systemctl restart {service.unit}" in answer.out, answer


def main_pid(machine, service):
    return int(machine.show(service.unit, "MainPID"))


def mappings(machine, pid):
    """{permissions} of what the process has mapped of the library."""
    lines = machine.run("cat", f"/proc/{pid}/maps").stdout.splitlines()
    return {line.split()[1] for line in lines if "libppshim.so" in line}


def test_a_service_sees_the_client_once_it_was_restarted(machine, service):
    before = main_pid(machine, service)
    install(machine, service)
    assert main_pid(machine, service) == before, "it was restarted by the tool"
    answer = machine.ppshim("check", service.unit)
    assert (answer.status, answer.verdict) == (1, "no") and "a restart is needed" in answer.because, answer
    assert machine.ppshim("check", "--settings", service.unit).status == 0

    machine.systemctl("restart", service.unit)
    pid = main_pid(machine, service)
    assert "r-xp" in mappings(machine, pid)
    environment = machine.run("cat", f"/proc/{pid}/environ").stdout.split("\0")
    wanted = {f"LD_PRELOAD={LIBRARY}", "PPSHIM_TRUST=127.0.0.2", f"PPSHIM_PORTS={service.port}"}
    assert wanted.issubset(environment) == service.shows_environment
    answer = machine.ppshim("check", service.unit)
    assert (answer.status, answer.because) == (0, f"{service.unit}: it is served"), answer
    assert f"127.0.0.1:{service.port}, governed" in answer.facts("listener") or \
        f"0.0.0.0:{service.port}, governed" in answer.facts("listener")
    assert machine.ppshim("check", str(pid)).status == 0  # what cannot be seen in the environment is in its memory

    header = proxy_v1(src=(CLIENT, 4711), dst=("127.0.0.1", service.port))
    said = machine.send(service.port, header + service.request).decode(errors="replace")
    if service.where == "journal":
        until(lambda: service.refusal in machine.journal(service.unit), service.refusal)
    else:
        assert service.refusal in said


def test_settings_changed_after_the_start_need_a_restart(machine, service):
    install(machine, service)
    machine.systemctl("restart", service.unit)
    until(lambda: machine.ppshim("check", service.unit).status == 0, "it is served")
    machine.put("/etc/systemd/system/other.service", "")  # another file's time does not matter
    assert machine.ppshim("check", service.unit).status == 0
    install(machine, service, "--timeout", "7s")
    answer = machine.ppshim("check", service.unit)
    assert (answer.status, answer.verdict) == (1, "no") and "a restart is needed: " in answer.because, answer
    machine.systemctl("restart", service.unit)
    assert machine.ppshim("check", service.unit).status == 0


def test_removing_it_makes_the_service_what_it_was(machine, service):
    install(machine, service)
    machine.systemctl("restart", service.unit)
    assert mappings(machine, main_pid(machine, service))
    answer = machine.ppshim("unit", service.unit, "--remove")
    assert answer.status == 0 and answer.out.startswith("removed from"), answer
    machine.systemctl("restart", service.unit)
    assert not mappings(machine, main_pid(machine, service))
    assert machine.ppshim("check", service.unit).status == 1


def test_a_wrong_setting_is_found_before_the_restart_and_stops_the_service_once(machine, service):
    install(machine, service, "--timeout", "5s")
    for place in (f"/etc/systemd/system/{service.unit}.d/ppshim.conf", "/etc/postgresql/15/main/environment"):
        path = machine.path(place)
        if path.exists() and "ppshim" in path.read_text():
            path.write_text(path.read_text().replace("5s", "5"))
    answer = machine.ppshim("check", "--settings", service.unit)
    assert answer.status == 78 and "PPSHIM_TIMEOUT=5: a bare number has no unit" in answer.because, answer
    machine.systemctl("daemon-reload")
    machine.systemctl("restart", service.unit, check=False)
    # Status 78 counts for the main process alone. ssh.service runs `sshd -t` before: there systemd's own limit ends it.
    until(lambda: machine.show(service.unit, "ActiveState") == "failed", "it is given up")
    assert int(machine.show(service.unit, "NRestarts")) <= (5 if "ssh" in service.unit else 0)


@pytest.mark.parametrize("fault", ["missing", "not to be executed", "off"])
def test_a_service_that_has_not_loaded_the_library_does_not_start(machine, service, fault):
    """The preload fails open; the guard that ppshim unit writes does not."""
    install(machine, service)
    machine.systemctl("restart", service.unit)
    library = machine.path(LIBRARY)
    environment = machine.path("/etc/postgresql/15/main/environment")
    cluster = environment.exists() and "postgresql" in service.unit
    settings = environment if cluster else machine.path(f"/etc/systemd/system/{service.unit}.d/ppshim.conf")
    text = settings.read_text()
    try:
        if fault == "missing":
            library.rename(library.with_name("away.so"))
        elif fault == "off":
            settings.write_text("".join(line for line in text.splitlines(True) if "PPSHIM_" not in line))
        else:
            machine.run("mount", "-t", "tmpfs", "-o", "noexec", "none", "/mnt")
            shutil.copy(SHIM, machine.path("/mnt/libppshim.so"))
            settings.write_text(text.replace(LIBRARY, "/mnt/libppshim.so"))
        machine.systemctl("daemon-reload")
        machine.systemctl("restart", service.unit, check=False)
        until(lambda: machine.show(service.unit, "ActiveState") in ("failed", "activating"), "it does not run")
        assert machine.show(service.unit, "ActiveState") != "active"
        until(lambda: "runs without the library" in machine.journal(service.unit), "its journal says why")
    finally:
        machine.systemctl("stop", service.unit, check=False)
        if fault == "missing":
            library.with_name("away.so").rename(library)
        if fault == "not to be executed":
            machine.run("umount", "/mnt")
        settings.write_text(text)
        machine.systemctl("daemon-reload")
    machine.systemctl("reset-failed", service.unit, check=False)
    machine.systemctl("start", service.unit)
    assert machine.ppshim("check", service.unit).status == 0


def test_the_guard_can_be_left_out(machine):
    service = SERVICES["redis"]
    install(machine, service, "--no-guard")
    library = machine.path(LIBRARY)
    library.rename(library.with_name("away.so"))
    try:
        machine.systemctl("restart", service.unit)
        assert machine.show(service.unit, "ActiveState") == "active"
        assert machine.ppshim("check", service.unit).status == 1
    finally:
        library.with_name("away.so").rename(library)
        machine.ppshim("unit", service.unit, "--remove")
        machine.systemctl("restart", service.unit)


SIMPLE = """[Service]
Type={kind}
ExecStart=/usr/bin/redis-server --port 7777 --bind 127.0.0.1 --save ''
"""


@pytest.mark.parametrize("kind", ["simple", "exec"])
def test_a_service_that_says_nothing_of_itself_is_waited_for(machine, kind):
    """systemd asks the guard at once: before the program is executed, or its libraries mapped."""
    machine.put("/etc/systemd/system/quiet.service", SIMPLE.format(kind=kind))
    answer = machine.ppshim("unit", "quiet", "--trust", "127.0.0.2", "--ports", "7777", "--install")
    assert answer.status == 0, answer
    library = machine.path(LIBRARY)
    try:
        for _ in range(5):
            machine.systemctl("reset-failed", "quiet", check=False)  # it is not meant to be started so often
            machine.systemctl("restart", "quiet")
            assert machine.show("quiet", "ActiveState") == "active"
        library.rename(library.with_name("away.so"))
        machine.systemctl("reset-failed", "quiet", check=False)
        try:
            assert machine.systemctl("restart", "quiet", check=False).returncode != 0
        finally:
            library.with_name("away.so").rename(library)
        assert "runs without the library" in machine.journal("quiet")
    finally:
        machine.systemctl("stop", "quiet", check=False)
        machine.systemctl("reset-failed", "quiet", check=False)


def test_a_library_that_the_sandbox_keeps_from_being_executed_is_told(machine):
    """redis-server.service executes nothing outside of /usr/lib: the preload fails open."""
    machine.path("/usr/local/lib").mkdir(exist_ok=True)
    shutil.copy(SHIM, machine.path("/usr/local/lib/libppshim.so"))
    answer = machine.ppshim("unit", "redis-server", "--trust", "127.0.0.2", "--ports", "6379", "--library",
                            "/usr/local/lib/libppshim.so")
    assert answer.status == 1 and "outside /usr/lib" in answer.err, answer
    dropin = "/etc/systemd/system/redis-server.service.d/hand.conf"
    machine.put(dropin, "[Service]\nEnvironment=LD_PRELOAD=/usr/local/lib/libppshim.so PPSHIM_TRUST=127.0.0.2\n")
    try:
        machine.systemctl("daemon-reload")
        machine.systemctl("restart", "redis-server")
        assert mappings(machine, main_pid(machine, SERVICES["redis"])) == {"r--p"}
        answer = machine.ppshim("check", "redis-server.service")
        assert answer.status == 1 and "NoExecPaths= keeps the service from executing it" in answer.because, answer
        assert any("is mapped, but not executable" in fact for fact in answer.facts("also")), answer
    finally:
        machine.path(dropin).unlink()
        machine.systemctl("daemon-reload")
        machine.systemctl("restart", "redis-server")


def test_a_service_is_counted_and_prometheus_answered(machine):
    """By the pair of the examples, in its sandbox: what it reads, and that it clears away what is left behind."""
    mariadb = SERVICES["mariadb"]
    machine.run("install", "-d", "-m", "1777", "/run/ppshim")
    for name in "ppshim-metrics.socket", "ppshim-metrics@.service":
        machine.put(f"/etc/systemd/system/{name}",
                    (ROOT / "scripts/examples" / name).read_text().replace("@BINDIR@", "/usr/bin"))
    install(machine, mariadb, "--stats", "/run/ppshim")
    machine.systemctl("daemon-reload")
    machine.systemctl("start", "ppshim-metrics.socket")
    machine.systemctl("restart", mariadb.unit)

    def told(metric):
        answer = machine.send(9147, b"GET /metrics HTTP/1.1\r\n\r\n").decode()
        assert answer.startswith("HTTP/1.1 200 OK\r\n") and answer.endswith("# EOF\n"), answer
        labels = 'unit="mariadb.service",program="mariadbd",user="mysql",listener=":3306"'
        return [int(line.split()[-1]) for line in answer.splitlines() if line.startswith(f"ppshim_{metric}{{{labels}")]

    try:
        machine.send(mariadb.port, proxy_v1(src=(CLIENT, 4711), dst=("127.0.0.1", mariadb.port)))
        assert (told("connections_total"), told("processes"), told("processes_ended_total")) == ([1], [1], [0])
        assert re.search(r"^  proxy proto found 1 inet +1$", machine.ppshim("status", "mariadb").out, re.M)
        machine.systemctl("stop", mariadb.unit)
        assert (told("connections_total"), told("processes"), told("processes_ended_total")) == ([1], [0], [1])
        totals = machine.path("/run/ppshim/totals")
        totals.write_text(re.sub(r"^(ended\t\S+)\t\d+", r"\1\t0", totals.read_text(), flags=re.M))
        assert told("connections_total") == [1] and list(machine.path("/run/ppshim").glob("[0-9]*")) == []
        assert told("connections_total") == [1]
    finally:
        machine.systemctl("stop", "ppshim-metrics.socket")
        machine.ppshim("unit", mariadb.unit, "--remove")
        machine.systemctl("daemon-reload")
        machine.systemctl("restart", mariadb.unit)


def test_systemd_finds_nothing_wrong_with_the_drop_ins(machine):
    for name in ("mariadb", "redis-server", "ssh"):
        quiet = machine.run("systemd-analyze", "verify", "--man=no", f"{name}.service")
        machine.ppshim("unit", name, "--trust", "127.0.0.2", "--ports", "1", "--install")
        verified = machine.run("systemd-analyze", "verify", "--man=no", f"{name}.service")
        machine.ppshim("unit", name, "--remove")
        assert verified.stdout + verified.stderr == quiet.stdout + quiet.stderr


# --- the units of scripts/examples -------------------------------------------------------------------------------------

@pytest.fixture
def sshd_by_socket(machine):
    """sshd started for each connection, as the example has it, in place of ssh.service."""
    units = {"ssh.socket": example("ssh.socket"), "ssh@.service": example("ssh@.service", ("10.108.0.0/24", "127.0.0.2"))}
    for name, text in units.items():
        machine.put(f"/etc/systemd/system/{name}", text)
    [commands] = re.findall(r"^#   (systemctl daemon-reload && .*)$", units["ssh.socket"], re.M)
    machine.run("sh", "-c", commands)
    yield
    machine.systemctl("disable", "--now", "ssh.socket")
    for name in units:
        machine.path(f"/etc/systemd/system/{name}").unlink()
    machine.systemctl("daemon-reload")
    machine.systemctl("enable", "--now", "ssh.service")


def sessions(machine):
    return machine.systemctl("list-units", "--plain", "--no-legend", "--state=running", "ssh@*").stdout.splitlines()


def test_sshd_by_socket_sees_its_clients_and_the_first_to_end_takes_nothing_from_the_others(machine, sshd_by_socket):
    def header(port):
        return proxy_v1(src=(CLIENT, port), dst=("127.0.0.1", 22))
    with machine.connect(22) as first:
        first.stdin.write(header(4711))
        first.stdin.flush()
        assert first.stdout.readline().startswith(b"SSH-2.0-")
        assert machine.send(22, header(4712)).startswith(b"SSH-2.0-")
        until(lambda: len(sessions(machine)) == 1, "the second session has ended")
        assert machine.path("/run/sshd").is_dir()
    until(lambda: not sessions(machine), "the first has ended")
    lines = machine.run("journalctl", "-b", "-o", "cat").stdout
    assert re.search(rf"closed by {CLIENT} port 4711", lines), lines[-2000:]
    for port in 4711, 4712:
        assert re.search(rf"accept .*client={CLIENT}:{port}", lines), lines[-2000:]
    assert machine.systemctl("list-units", "--failed", "--plain", "--no-legend", "ssh@*").stdout == ""


# --- systemd itself says how it reads what tests/tool has us read -----------------------------------------------------

SHOWS_ENVIRONMENT = "[Service]\nType=oneshot\nExecStart=/bin/bash -c 'env -0'\nStandardOutput=truncate:/run/shown\n"


def shown(machine, unit="demo"):
    machine.systemctl("daemon-reload")
    machine.systemctl("start", unit)
    return dict(line.partition("=")[::2] for line in machine.path("/run/shown").read_text().split("\0"))


def test_the_cases_of_environment_files_are_systemds(machine):
    machine.put("/etc/systemd/system/demo.service", SHOWS_ENVIRONMENT + "EnvironmentFile=/etc/default/demo\n")
    got = []
    for line, _ in FILE_LINES:
        machine.path("/etc/default/demo").write_bytes(line.encode() + b"\n")
        got.append((line, shown(machine).get("PPSHIM_LOG")))
    assert got == FILE_LINES


def test_the_cases_of_unit_lines_are_systemds(machine):
    machine.put("/etc/systemd/system/demo.service", SHOWS_ENVIRONMENT)
    machine.put("/etc/default/demo", "PPSHIM_LOG=/file\n")
    got = []
    for lines, _ in UNIT_LINES + IGNORED_LINES:
        machine.put("/etc/systemd/system/demo.service.d/00.conf", f"[Service]\n{TRUST}{lines}\n")
        got.append((lines, shown(machine).get("PPSHIM_LOG")))
    machine.path("/etc/systemd/system/demo.service.d/00.conf").unlink()
    assert got == UNIT_LINES + IGNORED_LINES


def test_systemd_reads_back_what_was_to_be_written(machine):
    path = '/var/log/100%n "odd" \\x41 $HOME \'quoted\''
    machine.put("/etc/systemd/system/demo.service", SHOWS_ENVIRONMENT)
    machine.path("/etc/default/demo").unlink(missing_ok=True)
    answer = machine.ppshim("unit", "demo", "--trust", "127.0.0.2", "--ports", "1", "--log", path, "--install")
    assert answer.status == 0, answer
    got = shown(machine)
    assert (got["PPSHIM_LOG"], got["LD_PRELOAD"]) == (path, LIBRARY)
