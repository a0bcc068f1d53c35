# SPDX-License-Identifier: MIT
"""Wrong set-ups, each of which a server survives: neither `check` before the start, nor `check` after it, nor the log says
that it is served."""
import re
import shutil
from typing import NamedTuple

import pytest
from check_fixtures import LIBRARY, SHIM, as_root, check, compile_c, ppshim, running, server, tree
from harness import EndedAtStart, run, tool, until
from test_check_holders import master

__all__ = ["server", "tree", "master"]

TRUST = "PPSHIM_TRUST=10.0.0.0/24"
PRELOAD = f"Environment=LD_PRELOAD={LIBRARY}\nRestartPreventExitStatus=78\n"


class Setup(NamedTuple):
    why: str             # what check says before
    service: str         # lines of its drop-in
    files: dict = {}
    ends: bool = False   # the server does not start
    prepare: object = None  # (tree, other fixtures) -> what else is so
    hidden: bool = False  # the sandbox shows the process nothing of what is named


def given(*settings, preload=LIBRARY):
    return PRELOAD.replace(LIBRARY, preload) + "".join(f'Environment="{one}"\n' for one in settings)


def static(tree, master):
    shutil.copy(compile_c(tree.root / "static", flags=["-static"]), tree.path("/usr/bin/demo"))


def setuid(tree, master):
    tree.path("/usr/bin/demo").chmod(0o4755)


def capable(tree, master):
    run(tool("setcap"), "cap_net_bind_service=ep", tree.path("/usr/bin/demo"))


def masters(tree, master):
    shutil.copy(master, tree.path("/usr/bin/demo"))


def for_musl(tree, master):
    text = """const char ppshim_version[] = "0";
    const char interpreter[] __attribute__((section(".interp"))) = "/lib/ld-musl-x86_64.so.1";"""
    compile_c(tree.path(LIBRARY), text, flags=["-shared", "-fPIC"])


SETUPS = {
    "no preload": Setup("it is not given the library", f"Environment={TRUST}\n"),
    "a misspelt library": Setup("there is no such file", given(TRUST, preload="/usr/lib/libpshim.so")),
    "a library elsewhere": Setup("there is no such file", given(TRUST, preload="/opt/libppshim.so")),
    "no list": Setup("neither PPSHIM_TRUST nor PPSHIM_HEADER_OPTIONAL is set", PRELOAD),
    "an empty list": Setup("set but empty", given("PPSHIM_TRUST="), ends=True),
    "off on purpose": Setup("PPSHIM_TRUST is none", given("PPSHIM_TRUST=none")),
    "a misspelt setting": Setup("the nearest is PPSHIM_TRUST", given("PPSHIM_TURST=10.0.0.0/24"), ends=True),
    "a semicolon": Setup("separated by commas or spaces", given("PPSHIM_TRUST=10.0.0.0/8;192.168.0.0/16"), ends=True),
    "a word for everybody": Setup("0.0.0.0/0 ::/0", given("PPSHIM_TRUST=any"), ends=True),
    "host bits": Setup("host bits", given("PPSHIM_TRUST=10.1.2.3/8"), ends=True),
    "a time without a unit": Setup("write 3s", given(TRUST, "PPSHIM_TIMEOUT=3"), ends=True),
    "an address in both lists": Setup("is in PPSHIM_TRUST as well", given(TRUST, "PPSHIM_HEADER_OPTIONAL=10.0.0.7"),
                                      ends=True),
    "a list file that is missing": Setup("cannot be opened", given("PPSHIM_TRUST=@/etc/trust"), ends=True),
    "an empty list file": Setup("PPSHIM_TRUST=@", given("PPSHIM_TRUST=@/etc/trust"), {"/etc/trust": "# nobody\n"}, ends=True),
    "export in a file": Setup("sets nothing", PRELOAD + "EnvironmentFile=/etc/default/demo\n",
                              {"/etc/default/demo": f"export {TRUST}\n"}),
    "a file that is missing": Setup("is not there", PRELOAD + "EnvironmentFile=/etc/default/demo\n"),
    "another preload in a file": Setup("is replaced by", given(TRUST) + "EnvironmentFile=/etc/default/demo\n",
                                       {"/etc/default/demo": "LD_PRELOAD=/usr/lib/other.so\n"}),
    "another preload later": Setup("is replaced by", given(TRUST) + "Environment=LD_PRELOAD=/usr/lib/other.so\n"),
    "taken away later": Setup("is taken away", given(TRUST) + "UnsetEnvironment=LD_PRELOAD\n"),
    "a home that is hidden": Setup("ProtectHome=", given(TRUST, preload="/home/ops/libppshim.so") + "ProtectHome=yes\n",
                                   prepare=lambda t, m: t.copy("/home/ops/libppshim.so", SHIM), hidden=True),
    "paths not to be executed": Setup("NoExecPaths=", given(TRUST, preload="/opt/libppshim.so")
                                      + "NoExecPaths=/\nExecPaths=/usr\n",
                                      prepare=lambda t, m: t.copy("/opt/libppshim.so", SHIM), hidden=True),
    "a static program": Setup("statically linked", given(TRUST), prepare=static),
    "a setuid program": Setup("setuid", given(TRUST), prepare=setuid),
    "a program with capabilities": Setup("file capabilities", given(TRUST), prepare=capable),
    "a library for another libc": Setup("built for glibc, and the library for musl", given(TRUST), prepare=for_musl),
    "a master whose children get nothing": Setup("accept", given(TRUST), prepare=masters),
}


def environment_of(tree, answer, hidden):
    """What the unit gives its process, as check tells it, in the tree."""
    env = dict(re.findall(r"^  (?:setting|preload) +(LD_PRELOAD|PPSHIM_\w+)=(.*) \(/", answer.out, re.M))
    env = {name: re.sub(r"(^|[@:])/", rf"\1{tree.root}/", value) for name, value in env.items()}
    if hidden:
        env["LD_PRELOAD"] = "/nonexistent" + env["LD_PRELOAD"]
    return env


@pytest.mark.parametrize("name", SETUPS)
def test_nothing_says_ok(tmp_path, tree, server, master, name):
    as_root()
    setup = SETUPS[name]
    for path, text in setup.files.items():
        tree.put(path, text)
    if setup.prepare:
        setup.prepare(tree, master)
    tree.service(setup.service)

    before = ppshim("check", "demo", "--root", tree.root)
    assert before.verdict in ("no", "unsure") and setup.why in before.out, before
    settings = ppshim("check", "--settings", "demo", "--root", tree.root)
    assert settings.verdict in ("no", "unsure", "config"), settings

    env = environment_of(tree, before, setup.hidden)
    command = [tree.path("/usr/bin/demo"), *(["1"] if setup.prepare is masters else [])]
    if setup.prepare in (setuid, capable):  # to whoever is not root they mean something
        program = tree.path("/usr/bin/demo").rename(server.with_name("privileged"))
        command = [tool("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", "env",
                   *(f"{key}={value}" for key, value in env.items()), program]
        env = {}
    process = running(tmp_path, *command, library=None)
    process.env = {**process.env, **env}
    if setup.ends:
        with pytest.raises(EndedAtStart) as ended, process:
            pass
        assert ended.value.status == 78 and "error: " in ended.value.log and "active" not in ended.value.log
        return
    with process:
        if setup.prepare is masters:
            until(lambda: "worker" in check(process.pid).out, "the worker holds the listener")
        after = check(process.pid)
        assert after.verdict == "no" or (setup.prepare is for_musl and after.verdict == "unsure"), after
        stand_in = setup.prepare is masters  # it is no real one; the master alone has it
        assert "ppshim[" not in process.log.text() or stand_in


def test_there_are_twenty():
    assert len(SETUPS) >= 20
