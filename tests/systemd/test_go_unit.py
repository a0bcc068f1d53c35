# SPDX-License-Identifier: MIT
"""What `ppshim unit` writes for a static Go server, under a real systemd."""
import shutil
import sys

import pytest
from conftest import TESTS
from harness import proxy_v1, until

sys.path.append(str(TESTS / "servers"))

from go_programs import build  # noqa: E402

CLIENT = "203.0.113.7"


@pytest.mark.parametrize("user", ["root", "nobody"])
@pytest.mark.parametrize("kind", ["simple", "exec"])
def test_a_static_go_service_is_started_with_the_shim_in_it(machine, kind, user):
    """By ppshim run, in the process that systemd started, as what ppshim unit writes has it; and its guard sees that."""
    shutil.copy(build("server"), machine.path("/usr/bin/goserver"))
    machine.put("/etc/systemd/system/goserver.service", f"[Service]\nType={kind}\nUser={user}\n"
                "ExecStart=/usr/bin/goserver -listen 127.0.0.1:7778\n")
    answer = machine.ppshim("unit", "goserver", "--trust", "127.0.0.2", "--ports", "7778", "--install")
    assert answer.status == 0, answer
    try:
        for _ in range(3):
            machine.systemctl("reset-failed", "goserver", check=False)  # it is not meant to be started so often
            machine.systemctl("restart", "goserver")
            assert machine.show("goserver", "ActiveState") == "active"
        answer = until(lambda: (said := machine.ppshim("check", "goserver")).status == 0 and said, "it listens")
        assert answer.because == "goserver.service: it is served" and answer.facts("way")[-1].startswith("Go by injection")
        assert machine.send(7778, proxy_v1(src=(CLIENT, 4711), dst=("127.0.0.1", 7778)) + b"hello\n") == (
            f"{CLIENT}:4711 hello\n".encode())
    finally:
        machine.systemctl("stop", "goserver", check=False)
        machine.systemctl("reset-failed", "goserver", check=False)
