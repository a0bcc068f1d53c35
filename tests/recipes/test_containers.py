# SPDX-License-Identifier: MIT
"""The examples Dockerfile and kubernetes.yaml, with a root file system of its own for the server instead of
a container engine: the library where the recipe puts it, the environment that the recipe gives, and nothing else of both."""
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from conftest import RedisSession
from harness import BALANCER, CLIENT, SHIM, clean_env, dial, example, proxy_v2, run, tool
from place import needs
from test_redis import Redis

POD = next(yaml.safe_load_all(example("kubernetes.yaml")))["spec"]["template"]["spec"]

# $1 the volume, $2 where the container has it, $3 where its files come from; the rest is run in it.
ENTER = """\
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$BASE"
mkdir "$BASE/upper" "$BASE/work" "$BASE/root"
mount -t overlay -o "lowerdir=/,upperdir=$BASE/upper,workdir=$BASE/work" overlay "$BASE/root"
volume=$1 mounted=$2 files=$3
shift 3
cp -a "$files/." "$BASE/root/"
mkdir -p "$BASE/root$mounted" "$BASE/root$HOME_OF_LOGS"
mount --bind "$volume" "$BASE/root$mounted"
mount --bind "$HOME_OF_LOGS" "$BASE/root$HOME_OF_LOGS"
mount --bind /proc "$BASE/root/proc"
mount --bind /dev "$BASE/root/dev"
exec env -i "$(command -v chroot)" "$BASE/root" "$@"
"""


class Contained(Redis):
    """Redis in a mount namespace and a root of its own."""

    def contain(self, environment, command):
        """The argv that runs a command as a container would: with this environment alone."""
        for name in ("base", "volume", "files"):
            (self.directory / name).mkdir(exist_ok=True)
        mounted = POD["containers"][0]["volumeMounts"][0]["mountPath"]
        self.env = {"BASE": str(self.directory / "base"), "HOME_OF_LOGS": str(self.directory)}
        return [tool("unshare"), "--mount", tool("sh"), "-c", ENTER, "contain", self.directory / "volume", mounted,
                self.directory / "files", tool("env"), *(f"{name}={value}" for name, value in environment.items()), *command]

    def argv(self):
        return self.contain(self.environment, super().argv())


def docker(server):
    """COPY and ENV of the image's last stage."""
    stages = re.split(r"^FROM .*$", example("Dockerfile"), flags=re.M)
    prefix, destination = re.search(r"PREFIX=(\S+) DESTDIR=(\S+)", stages[1]).groups()
    source, target = re.search(r"^COPY --from=shim (\S+) (\S+)$", stages[2], re.M).groups()
    assert source == f"{destination}{prefix}/lib/" and target == f"{prefix}/lib/"
    files = server.directory / "files" / target.strip("/") / run(tool("gcc"), "-print-multiarch").stdout.strip()
    files.mkdir(parents=True)
    shutil.copy(SHIM, files)  # where make install puts it: tests/install
    return dict(pair.split("=", 1) for line in re.findall(r"^ENV (.*)$", stages[2], re.M) for pair in shlex.split(line))


def kubernetes(server):
    """The init container's command, and then the server's environment."""
    [init] = POD["initContainers"]
    source = server.directory / "files" / init["command"][1].strip("/")
    source.parent.mkdir(parents=True)
    shutil.copy(SHIM, source)
    run(*server.contain({}, init["command"]), env=clean_env(**server.env))
    shutil.rmtree(server.directory / "files")
    assert [Path(path).name for path in os.listdir(server.directory / "volume")] == ["libppshim.so"]
    return {one["name"]: one["value"] for one in POD["containers"][0]["env"] if "value" in one}


@pytest.mark.parametrize("recipe", [docker, kubernetes])
def test_a_server_in_a_root_of_its_own_sees_the_client(make, recipe):
    needs("root", "overlay")
    server = make(Contained, None)
    for name in ("base", "volume", "files"):
        (server.directory / name).mkdir()
    server.environment = recipe(server)
    assert server.environment.keys() == {"LD_PRELOAD", "PPSHIM_TRUST", "PPSHIM_PORTS"}
    assert server.environment["LD_PRELOAD"] != str(SHIM)
    server.environment.update(PPSHIM_TRUST=BALANCER, PPSHIM_PORTS=str(server.port))
    with server:
        server.log.wait_event("active", listen=server.listens_on)
        with dial(server.endpoint, BALANCER) as sock:
            sock.sendall(proxy_v2() + b"CLIENT INFO\r\nQUIT\r\n")
            assert f" addr={CLIENT[0]}:{CLIENT[1]} ".encode() in b"".join(iter(lambda: sock.recv(65536), b""))
        with RedisSession(server.endpoint, "127.0.0.7") as direct:
            assert direct.who() == "127.0.0.7"
