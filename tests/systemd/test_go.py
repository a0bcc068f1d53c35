# SPDX-License-Identifier: MIT
"""Go servers, dynamic and static, in the sandbox that careful units have: what of it the shim bears, and what it does not
is told before the server starts."""
import re
import shutil
import sys

import pytest
from conftest import TESTS
from harness import proxy_v1, proxy_v2, until

sys.path.append(str(TESTS / "servers"))

from go_programs import build  # noqa: E402

PORT = 7070
UNIT = """[Service]
User=nobody
NoNewPrivileges=yes
CapabilityBoundingSet=
MemoryDenyWriteExecute=yes
SystemCallFilter=@system-service
{more}
SystemCallArchitectures=native
LockPersonality=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
ProtectSystem=strict
ProtectHome=yes
ProtectProc=invisible
PrivateTmp=yes
PrivateDevices=yes
PrivateUsers=yes
ExecStart=/usr/bin/go-{way} -listen 127.0.0.1:{port} -mode raw
"""


@pytest.fixture
def begin(machine):
    """Starts a server: its unit, and the program. `later`: what a drop-in says that came after ppshim unit."""
    begun = []

    def begin(way, name, later=None):
        unit, program = f"go-{way}-{name}", machine.path(f"/usr/bin/go-{way}")
        begun.append(unit)
        shutil.copy(build("server", way), program)
        machine.put(f"/etc/systemd/system/{unit}.service", UNIT.format(way=way, port=PORT, more="SystemCallFilter=ptrace" if way == "static" else ""))
        answer = machine.ppshim("unit", unit, "--trust", "127.0.0.2", "--ports", str(PORT), "--install")
        assert answer.status == 0, answer
        if later is not None:
            machine.put(f"/etc/systemd/system/{unit}.service.d/zz-later.conf", f"[Service]\n{later}\n")
            machine.systemctl("daemon-reload")
        machine.systemctl("restart", unit, check=False)
        return unit, program
    yield begin
    for unit in begun:
        machine.systemctl("stop", unit, check=False)
        machine.systemctl("reset-failed", unit, check=False)


@pytest.mark.parametrize("way", ["dynamic", "static"])
def test_a_go_server_is_served_in_a_sandbox(machine, begin, way):
    """Where a static one's lets ptrace."""
    unit, program = begin(way, "sandboxed")
    until(lambda: "ready 127.0.0.1:" in machine.journal(unit), lambda: machine.journal(unit))
    for header in proxy_v1, proxy_v2:
        said = machine.send(PORT, header(src=("203.0.113.7", 4711), dst=("127.0.0.1", PORT)) + b"hello\n")
        assert said == b"203.0.113.7:4711 hello\n"
    pid = machine.show(unit, "MainPID")
    assert machine.run("readlink", f"/proc/{pid}/exe").stdout == f"/usr/bin/go-{way}\n"
    status = machine.run("cat", f"/proc/{pid}/status").stdout
    assert re.findall(r"^(?:NoNewPrivs|Seccomp|TracerPid|CapBnd):\t(.*)$", status, re.M) == ["0", "0000000000000000", "1", "2"]
    assert not re.search(r" .?wx", machine.run("cat", f"/proc/{pid}/maps").stdout)
    assert program.read_bytes() == build("server", way).read_bytes()


FILTER = "SystemCallFilter=\nSystemCallFilter=@system-service\n"


@pytest.mark.parametrize("name, how", [("killed", FILTER), ("refused", FILTER + "SystemCallErrorNumber=EPERM")])
def test_a_static_one_whose_filter_refuses_ptrace_is_not_started_and_its_journal_says_why(machine, begin, name, how):
    unit, _ = begin("static", name, how)
    until(lambda: machine.show(unit, "ActiveState") == "failed", "it is given up")
    assert machine.show(unit, "ExecMainStatus") == "126"
    journal = machine.journal(unit)
    assert "go-static is a static Go program, and the shim cannot be put into it: " in journal
    assert "(it needs ptrace: a SystemCallFilter= must let it," in journal
    assert "ready 127.0.0.1:" not in journal
