# SPDX-License-Identifier: MIT
"""What bash, zsh and fish complete is what the tool's own --help says, in the shells themselves."""
import os
import re
import select
import subprocess
import time

import pytest
from harness import DEADLINE, ROOT, clean_env, run, scratch, tool
from place import needs

TOOL = ROOT / "build/ppshim"
FILES = {"bash": ROOT / "build/completion/bash/ppshim", "zsh": ROOT / "build/completion/zsh/_ppshim",
         "fish": ROOT / "build/completion/fish/ppshim.fish"}
HELP = run(TOOL, "--help").stdout
VERBS = re.findall(r"^  ([a-z]+) ", HELP, re.M)
OPTIONS = {verb: sorted(re.findall(r"^  (--[a-z0-9-]+)", run(TOOL, verb, "--help").stdout, re.M)) for verb in VERBS}


def in_bash(*words):
    """What its completion offers for the last of these words."""
    line = " ".join(f"'{word}'" for word in words)
    script = f"source {FILES['bash']}; COMP_WORDS=({line}) COMP_CWORD={len(words) - 1}; _ppshim; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    return sorted(filter(None, run(tool("bash"), "--norc", "-c", script).stdout.split("\n")))


def in_fish(*words):
    """The same; fish keeps a list of descriptions behind a tab."""
    with scratch("fish") as home:
        told = run(tool("fish"), "--no-config", "-c", f"source {FILES['fish']}; complete -C '{' '.join(words)}'",
                   env=clean_env() | {"HOME": str(home)}).stdout
    return sorted(line.partition("\t")[0] for line in told.splitlines())


@pytest.mark.parametrize("ask", [in_bash, in_fish])
def test_every_verb_is_offered(ask):
    assert set(VERBS) <= set(ask("ppshim", ""))


@pytest.mark.parametrize("ask", [in_bash, in_fish])
@pytest.mark.parametrize("verb", VERBS)
def test_every_option_of_a_verb_is_offered_and_no_other(ask, verb):
    assert ask("ppshim", verb, "--") == OPTIONS[verb]


@pytest.mark.parametrize("ask", [in_bash, in_fish])
@pytest.mark.parametrize("words, offered", [
    (("run", "--untrusted", ""), ["pass", "reject"]),
    (("unit", "demo", "--local-addr", ""), ["header", "socket"]),
    (("run", "--versions", ""), ["1", "1,2", "2"]),
    (("run", "--trust", ""), []),
])
def test_values_are_offered_where_they_are_few(ask, words, offered):
    assert ask("ppshim", *words) == offered


def test_zsh_is_given_every_option():
    text = FILES["zsh"].read_text()
    run(tool("zsh"), "-n", FILES["zsh"])
    for verb in VERBS:
        part = re.search(rf"^    {verb}\)\n(.*?);;$", text, re.M | re.S)[1]
        assert sorted(re.findall(r"'(--[a-z0-9-]+)\[", part)) == OPTIONS[verb]


# --- at a keyboard ----------------------------------------------------------------------------------------------------

class Typing:
    """A shell at a terminal."""

    def __init__(self, argv, **env):
        self.master, slave = os.openpty()
        self.shell = subprocess.Popen([str(word) for word in argv], stdin=slave, stdout=slave, stderr=slave,
                                      start_new_session=True, env=clean_env(TERM="dumb") | env)
        os.close(slave)
        self.shown = ""

    def expect(self, pattern):
        end = time.monotonic() + DEADLINE
        while not re.search(pattern, self.shown):
            assert select.select([self.master], [], [], max(0, end - time.monotonic()))[0], self.shown
            self.shown += os.read(self.master, 65536).decode(errors="replace")

    def type(self, text):
        os.write(self.master, text.encode())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shell.kill()
        self.shell.wait()
        os.close(self.master)


def bash(directory):
    """As a login with the package bash-completion, which finds the file by the command's name."""
    loads = "/usr/share/bash-completion/bash_completion"
    tool("bash_completion", loads)
    completions = directory / "bash-completion/completions"
    completions.mkdir(parents=True)
    (completions / "ppshim").write_text(FILES["bash"].read_text())
    (directory / "bashrc").write_text(f"source {loads}\nPS1='ready> '\n")
    return [tool("bash"), "--noprofile", "--rcfile", directory / "bashrc", "-i"], {"XDG_DATA_DIRS": str(directory)}


def zsh(directory):
    (directory / "_ppshim").write_text(FILES["zsh"].read_text())
    (directory / ".zshrc").write_text(f"fpath=({directory} $fpath)\nautoload -Uz compinit\ncompinit -u -D\nPS1='ready> '\n")
    return [tool("zsh"), "-i"], {"ZDOTDIR": str(directory), "TERM": "vt100"}


@pytest.mark.parametrize("shell", [bash, zsh])
def test_tab_completes_at_a_terminal(shell):
    """A verb, an option and a value, and then the command as it stands there."""
    needs("terminals")
    with scratch("completion") as directory:
        stand_in = directory / "bin/ppshim"
        stand_in.parent.mkdir()
        stand_in.write_text("#!/bin/sh\necho called with: \"$*\"\n")
        stand_in.chmod(0o755)
        argv, env = shell(directory)
        env |= {"HOME": str(directory), "PATH": f"{stand_in.parent}:{clean_env()['PATH']}"}
        with Typing(argv, **env) as terminal:
            terminal.expect("ready> ")
            terminal.type("ppshim un\tdemo --untr\tre\t\r")
            terminal.expect("called with: unit demo --untrusted reject\r\n")
