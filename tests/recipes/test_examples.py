# SPDX-License-Identifier: MIT
"""Every file of scripts/examples, and every command of README.md, is taken for what it is by the program it is for. (That it
does what is said of it is seen elsewhere: the index of the examples says where.)"""
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from conftest import README
from harness import EXAMPLES, ROOT, SHIM, clean_env, example, reserve_port, run, scratch, shim_env, tool

FILES = sorted(path.name for path in EXAMPLES.iterdir())
INDEX = example("README.md")
TOOL = ROOT / "build/ppshim"
PAGES = {"README.md": README, "examples/README.md": INDEX, "from-a-sidecar.md": example("from-a-sidecar.md")}


# --- the files and their index ----------------------------------------------------------------------------------------

def test_the_index_names_every_file_and_no_other():
    assert sorted({*re.findall(r"\]\(([^)]*)\)", INDEX), "README.md"}) == FILES


@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith((".md", ".json"))])
def test_a_file_begins_with_its_licence_and_its_name(name):
    head = "".join(example(name).splitlines(keepends=True)[:5])
    assert "SPDX-License-Identifier: MIT\n" in head and f" {name}: " in head


# --- the shell --------------------------------------------------------------------------------------------------------

BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.M | re.S)


@pytest.mark.parametrize("text", BLOCKS, ids=range(1, len(BLOCKS) + 1))
def test_shell_commands_of_the_readme_parse(text):
    run(tool("bash"), "-n", "-c", text)


def test_package_lists_are_fetched_before_the_first_package():
    commands = "".join(BLOCKS)
    assert 0 <= commands.find("apt-get update") < commands.find("apt-get install")


COMMANDS = re.findall(r"(?<!lib)ppshim ([a-z]+) ([^`#\n|&]*)", "\n".join(
    [*BLOCKS, *(code for page in PAGES.values() for code in re.findall(r"`([^`]*)`|^ {4}(ppshim .*)$", page, re.M)
                for code in code),
     *(example(name) for name in FILES if not name.endswith((".md", ".json")))]))


@pytest.mark.parametrize("verb", sorted({verb for verb, _ in COMMANDS}))
def test_the_tool_has_the_verbs_and_options_that_are_named(verb):
    told = run(TOOL, verb, "--help").stdout
    for option in (word for one, words in COMMANDS if one == verb for word in words.split() if word.startswith("--")):
        assert re.search(rf"{re.escape(option)}\b", told), option


# --- balancers --------------------------------------------------------------------------------------------------------

def checked_by_haproxy(text):
    with scratch("snippet") as directory:
        config = directory / "haproxy.cfg"
        config.write_text(text)
        said = run(tool("haproxy"), "-c", "-f", config)
        return said.stdout + said.stderr


def test_haproxy_reads_its_file_without_a_warning():
    assert "[WARNING]" not in checked_by_haproxy(example("haproxy.cfg"))


SERVERS = sorted({line for page in PAGES.values() for line in re.findall(r"`(server [^`]*send-proxy[^`]*)`", page)})
LISTEN = re.search(r"^listen postgresql\n.*?(?=^END$)", README, re.M | re.S)[0]


@pytest.mark.parametrize("text", [LISTEN, *(f"listen l\n  mode tcp\n  bind :6432\n  {line}\n" for line in SERVERS)],
                         ids=range(1, len(SERVERS) + 2))
def test_haproxy_reads_the_lines_of_the_pages(text):
    checked_by_haproxy(f"defaults\n  timeout connect 5s\n  timeout client 5s\n  timeout server 5s\n{text}")


def test_nginx_reads_its_file():
    module = Path(tool("ngx_stream_module.so", "/usr/lib/nginx/modules/ngx_stream_module.so"))
    with scratch("snippet") as directory:
        config = directory / "nginx.conf"
        config.write_text(f"load_module {module};\npid {directory}/pid;\nerror_log stderr;\nevents {{}}\n"
                          + example("nginx.conf", ("listen 5432;", f"listen 127.0.0.1:{reserve_port()};")))
        run(tool("nginx"), "-t", "-c", config)


def with_stand_in(name, script, **env):
    """What the command of this name was called with, a line a word, by a script that knows no other."""
    with scratch("cloud") as directory:
        stand_in = directory / name
        stand_in.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" >>{directory}/called\n")
        stand_in.chmod(0o755)
        run(tool("sh"), EXAMPLES / script, env=clean_env(**env) | {"PATH": f"{directory}:/usr/bin:/bin"})
        return (directory / "called").read_text().splitlines()


def test_aws_is_told_all_three_attributes_of_the_target_group():
    called = with_stand_in("aws", "aws-nlb.sh", ARN="arn:aws:tg", NAME="balancer")
    assert called[:5] == ["elbv2", "modify-target-group-attributes", "--target-group-arn", "arn:aws:tg", "--attributes"]
    assert called[5:8] == ["Key=proxy_protocol_v2.enabled,Value=true", "Key=preserve_client_ip.enabled,Value=false",
                           "Key=proxy_protocol_v2.client_to_server.header_placement,Value=on_first_ack"]
    assert "Name=description,Values=ELB net/balancer/*" in called


def test_google_cloud_is_told_to_send_headers():
    assert with_stand_in("gcloud", "google-cloud.sh", PROXY="db") == [
        "compute", "target-tcp-proxies", "update", "db", "--proxy-header=PROXY_V1"]


OVH = """
class Client:
    def put(self, path, **fields): print("PUT", path, fields)
    def post(self, path): print("POST", path)
    def get(self, path): return [{"ip": ["192.0.2.7/32", "192.0.2.8/32"]}]
"""


def test_ovhcloud_is_told_the_version_and_asked_where_it_comes_from():
    with scratch("cloud") as directory:
        (directory / "ovh.py").write_text(OVH)
        env = clean_env(PYTHONPATH=str(directory), PYTHONDONTWRITEBYTECODE="1", SERVICE="ip-1", FARM="2", SERVER="3")
        said = run("/usr/bin/python3", EXAMPLES / "ovhcloud.py", env=env).stdout.splitlines()
    assert said == ["PUT /ipLoadbalancing/ip-1/tcp/farm/2/server/3 {'proxyProtocolVersion': 'v2'}",
                    "POST /ipLoadbalancing/ip-1/refresh", "192.0.2.7/32", "192.0.2.8/32"]


# --- units ------------------------------------------------------------------------------------------------------------

def complaints(*units):
    """What systemd has to say of units, {name: text}, in a directory of their own."""
    with scratch("unit") as directory:
        for name, text in units:
            (directory / name).parent.mkdir(exist_ok=True)
            (directory / name).write_text(text)
        said = run(tool("systemd-analyze"), "verify", "--man=no", directory / units[0][0], check=False,
                   env=clean_env(SYSTEMD_UNIT_PATH=f"{directory}:"))
        return "\n".join(line for line in said.stderr.splitlines() if str(directory) in line or units[0][0] in line)


PROBE = "[Unit]\nDescription=probe\n[Service]\nExecStart=/bin/true\n"


def active(text):
    """The lines of a unit that say something, without quotes."""
    return [line.replace('"', "") for line in text.splitlines() if line and not line.startswith("#")]


def test_the_drop_in_is_what_the_tool_writes():
    """But for the library's path."""
    with scratch("root") as root:
        library, server = "/usr/lib/libppshim.so", "/usr/bin/redis-server"
        for path, source in (library, SHIM), (server, tool("redis-server")), ("/usr/bin/ppshim", TOOL):
            (root / path[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, root / path[1:])
        (root / "usr/lib/systemd/system").mkdir(parents=True)
        (root / "usr/lib/systemd/system/probe.service").write_text(PROBE.replace("/bin/true", server))
        written = run(TOOL, "unit", "probe", "--root", root, "--print", "--trust", "10.108.0.0/24", "--ports", "3306").stdout
    assert active(example("ppshim.conf")) == active(written.replace(library, "libppshim.so"))


def test_systemd_finds_nothing_wrong_with_the_drop_in():
    text = example("ppshim.conf", ("/usr/bin/ppshim", str(TOOL)))
    assert complaints(("probe.service", PROBE), ("probe.service.d/ppshim.conf", text)) == ""
    assert "RestartPreventStatus" in complaints(
        ("probe.service", PROBE), ("probe.service.d/ppshim.conf", text.replace("PreventExit", "Prevent")))


def test_systemd_finds_nothing_wrong_with_the_units_of_sshd():
    tool("sshd")
    units = [(name, example(name)) for name in ("ssh.socket", "ssh@.service")]
    assert complaints(*units) == ""
    assert complaints(*reversed(units)) == ""
    assert "preserve mode" in complaints(("ssh@.service", units[1][1].replace("DirectoryPreserve=yes", "DirectoryPreserve=2")))


# --- settings ---------------------------------------------------------------------------------------------------------

def words(text):
    """NAME=value as an Environment=, ENV or env line has them."""
    return dict(re.findall(r"\b(LD_PRELOAD|PPSHIM_\w+)=(\S+)", re.sub(r"^\s*#.*$", "", text, flags=re.M)))


KUBERNETES = list(yaml.safe_load_all(example("kubernetes.yaml")))
COMPOSE = yaml.safe_load(example("compose.yaml"))
SETTINGS = {name: words(example(name)) for name in ("ppshim.conf", "ssh@.service", "xinetd.conf", "Dockerfile")}
SETTINGS["compose.yaml"] = {"LD_PRELOAD": SETTINGS["Dockerfile"]["LD_PRELOAD"], **COMPOSE["services"]["db"]["environment"]}
SETTINGS["kubernetes.yaml"] = {one["name"]: one["value"] for one in
                               KUBERNETES[0]["spec"]["template"]["spec"]["containers"][0]["env"] if "value" in one}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_the_library_accepts_the_settings_and_a_port_is_named(settings):
    """What it would refuse ends the process at its start, with 78."""
    assert {"LD_PRELOAD", "PPSHIM_TRUST", "PPSHIM_PORTS"} <= settings.keys()
    settings = {**settings, "LD_PRELOAD": shim_env()["LD_PRELOAD"]}
    run("/bin/true", env={**settings})
    wrong = run("/bin/true", env={**settings, "PPSHIM_PORTS": "no"}, check=False)
    assert wrong.returncode == 78


# --- containers: names that must agree do; nobody here can ask a cluster or an engine ---------------------------------

def test_the_deployment_loads_what_its_init_container_copies():
    pod = KUBERNETES[0]["spec"]["template"]["spec"]
    [init], [server] = pod["initContainers"], pod["containers"]
    [volume] = pod["volumes"]
    assert "emptyDir" in volume
    for container in (init, server):
        assert container["volumeMounts"][0]["name"] == volume["name"]
    library = Path(SETTINGS["kubernetes.yaml"]["LD_PRELOAD"])
    assert library.parent == Path(server["volumeMounts"][0]["mountPath"])
    copy, source, target = init["command"]
    assert (copy, Path(source).name, Path(target)) == ("cp", library.name, Path(init["volumeMounts"][0]["mountPath"]))


def test_the_service_finds_the_deployment_and_its_port_is_governed():
    deployment, service = KUBERNETES
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"] == labels
    [port] = service["spec"]["ports"]
    server = deployment["spec"]["template"]["spec"]["containers"][0]
    assert [{"containerPort": port["targetPort"]}] == server["ports"]
    assert SETTINGS["kubernetes.yaml"]["PPSHIM_PORTS"] == str(port["targetPort"])


def test_the_patch_of_the_services_status_sets_ip_mode_proxy():
    patch = json.loads(re.search(r"kubectl patch service (\w+) .*-p '(.*)'$", example("kubernetes.yaml"), re.M)[2])
    assert [one["ipMode"] for one in patch["status"]["loadBalancer"]["ingress"]] == ["Proxy"]


def test_compose_trusts_the_address_that_its_haproxy_has():
    services = COMPOSE["services"]
    assert services["db"]["environment"]["PPSHIM_TRUST"] == services["haproxy"]["networks"]["balanced"]["ipv4_address"]
    assert (EXAMPLES / services["db"]["build"]["context"] / services["db"]["build"]["dockerfile"]).exists()
    config = COMPOSE["configs"]["haproxy"]["content"]
    checked_by_haproxy(config)
    [(host, port)] = re.findall(r"server \w+ (\S+):(\d+)", config)
    assert host == services["db"]["networks"]["balanced"]["ipv4_address"]
    assert port == services["db"]["environment"]["PPSHIM_PORTS"]


# --- others -----------------------------------------------------------------------------------------------------------

def test_fail2ban_reads_the_action_and_the_jail():
    with scratch("fail2ban") as directory:
        run("cp", "-a", "/etc/fail2ban/.", directory)
        (directory / "jail.d").joinpath("defaults-debian.conf").unlink(missing_ok=True)
        for part in ("action", "jail"):
            (directory / f"{part}.d/ppshim.conf").write_text(example(f"fail2ban-{part}.conf"))
        told = run(tool("fail2ban-client"), "-c", directory, "-d").stdout
        assert "['add', 'sshd', 'systemd']" in told
        assert "'ppshim', [['actionstart'" in told and "/etc/ppshim/banned" in told


def test_apparmor_compiles_a_profile_with_the_abstraction():
    with scratch("apparmor") as directory:
        profile = directory / "profile"
        (directory / "libppshim").write_text(example("apparmor-abstraction"))
        profile.write_text("include <tunables/global>\nprofile probe /usr/sbin/probe {\n"
                           f'  include <abstractions/base>\n  include "{directory}/libppshim"\n}}\n')
        arguments = ("--skip-kernel-load", "--skip-cache", "--debug", profile)
        said = run(tool("apparmor_parser"), *arguments)
        assert "libppshim" in said.stdout
        (directory / "libppshim").write_text("  /etc/ppshim/** rk nonsense,\n")
        assert run(tool("apparmor_parser"), *arguments, check=False).returncode != 0


def test_the_dockerfile_is_of_stages_and_copies_what_was_installed():
    stages = re.split(r"^FROM .*$", example("Dockerfile"), flags=re.M)
    assert len(stages) == 3
    for line in "".join(stages[1:]).splitlines():
        assert not line or shlex.split(line)[0] in ("RUN", "COPY", "ENV"), line
