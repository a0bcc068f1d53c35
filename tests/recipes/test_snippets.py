# SPDX-License-Identifier: MIT
"""Every snippet of README.md is taken for what it is by the program it is for. (That it does what is said of it is seen
elsewhere.)"""
import re
import shlex
from pathlib import Path

import pytest
import yaml
from conftest import README, blocks
from harness import ROOT, reserve_port, run, scratch, shim_env, tool

LANGUAGES = {"sh", "ini", "haproxy", "nginx", "dockerfile", "console"}
POD = ROOT / "scripts/examples/kubernetes.yaml"


def each(language):
    return pytest.mark.parametrize("text", blocks(language), ids=names(language))


def names(language):
    return [f"{language}-{number}" for number, _ in enumerate(blocks(language), 1)]


def test_every_block_says_what_it_is_and_is_tried_here():
    assert set(re.findall(r"^ *```(\S*)\n", README, re.M)) - {""} == LANGUAGES
    assert all(blocks(language) for language in LANGUAGES)


@each("sh")
def test_shell_commands_parse(text):
    run(tool("bash"), "-n", "-c", text)
    assert len(shlex.split(text, comments=True)) > 2


def test_from_a_fresh_machine_it_takes_five_commands():
    [commands] = [text.strip().splitlines() for text in blocks("sh") if "apt-get" in text]
    assert [line.split()[0] for line in commands] == ["apt-get", "git", "make", "ppshim", "systemctl"]


SERVERS = re.findall(r"`(server [^`]*send-proxy[^`]*)`", README)  # those named in sentences
BACKENDS = [*blocks("haproxy"), *(f"backend b\n  mode tcp\n  {server}\n" for server in SERVERS)]


COMMANDS = re.findall(r"(?<!lib)ppshim ([a-z]+) ([^`#\n|&]*)", "\n".join(
    [*blocks("sh"), *re.findall(r"`([^`]*)`", README), *re.findall(r"^ {4}(ppshim .*)$", README, re.M)]))


@pytest.mark.parametrize("verb", sorted({verb for verb, _ in COMMANDS}))
def test_the_tool_has_the_verbs_and_options_that_are_named(verb):
    told = run(ROOT / "build/ppshim", verb, "--help").stdout
    for option in (word for one, words in COMMANDS if one == verb for word in words.split() if word.startswith("--")):
        assert re.search(rf"{option}\b", told), option


@pytest.mark.parametrize("text", BACKENDS, ids=range(1, len(BACKENDS) + 1))
def test_haproxy_reads_its_snippets(text):
    with scratch("snippet") as directory:
        config = directory / "haproxy.cfg"
        config.write_text("defaults\n  timeout connect 5s\n  timeout client 5s\n  timeout server 5s\n"
                          f"frontend f\n  mode tcp\n  bind 127.0.0.1:{reserve_port()}\n{text}")
        run(tool("haproxy"), "-c", "-f", config)


@each("nginx")
def test_nginx_reads_its_snippets(text):
    module = Path(tool("ngx_stream_module.so", "/usr/lib/nginx/modules/ngx_stream_module.so"))
    with scratch("snippet") as directory:
        config = directory / "nginx.conf"
        config.write_text(f"load_module {module};\npid {directory}/pid;\nerror_log stderr;\nevents {{}}\n"
                          + re.sub(r"listen \d+;", f"listen 127.0.0.1:{reserve_port()};", text))
        run(tool("nginx"), "-t", "-c", config)


DROP_INS = [text for text in blocks("ini") if "LD_PRELOAD" in text]


@pytest.mark.parametrize("text", DROP_INS, ids=range(1, len(DROP_INS) + 1))
def test_systemd_finds_nothing_wrong_with_a_drop_in(text):
    with scratch("unit") as directory:
        start = "" if "ExecStart" in text else "ExecStart=/bin/true\n"
        unit = directory / "probe.service"

        def complaints(text):
            unit.write_text(f"[Unit]\nDescription=probe\n{text}{start}")
            return "\n".join(line for line in run(tool("systemd-analyze"), "verify", "--man=no", unit,
                                                  check=False).stderr.splitlines() if "probe.service" in line)
        assert complaints(text) == ""
        assert "RestartPreventStatus" in complaints(text + "RestartPreventStatus=78\n")


def settings_of(text):
    """NAME=value as an Environment= or ENV line has them."""
    return dict(re.findall(r"\b(LD_PRELOAD|PPSHIM_\w+)=(\S+)", text))


SETTINGS = [settings_of(text) for text in (*DROP_INS, *blocks("dockerfile"))]
SETTINGS.append({one["name"]: one["value"] for one in yaml.safe_load(POD.read_text())["spec"]["containers"][0]["env"]})


@pytest.mark.parametrize("settings", SETTINGS, ids=range(1, len(SETTINGS) + 1))
def test_the_library_accepts_the_settings_and_a_port_is_named(settings):
    """What it would refuse ends the process at its start, with 78."""
    assert {"LD_PRELOAD", "PPSHIM_TRUST", "PPSHIM_PORTS"} <= settings.keys()
    settings = {**settings, "LD_PRELOAD": shim_env()["LD_PRELOAD"]}
    run("/bin/true", env={**settings})
    wrong = run("/bin/true", env={**settings, "PPSHIM_PORTS": "no"}, check=False)
    assert wrong.returncode == 78


def test_the_pod_is_one():
    """Names that must agree do; nobody here can ask a cluster."""
    pod = yaml.safe_load(POD.read_text())
    [init], [server] = pod["spec"]["initContainers"], pod["spec"]["containers"]
    [volume] = pod["spec"]["volumes"]
    assert "emptyDir" in volume
    for container in (init, server):
        assert container["volumeMounts"][0]["name"] == volume["name"]
    env = {one["name"]: one["value"] for one in server["env"]}
    library, directory = Path(env["LD_PRELOAD"]), Path(server["volumeMounts"][0]["mountPath"])
    assert library.parent == directory
    copy, source, target = init["command"]
    assert (copy, Path(source).name, Path(target)) == ("cp", library.name, Path(init["volumeMounts"][0]["mountPath"]))
