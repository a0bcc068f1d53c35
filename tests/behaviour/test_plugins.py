# SPDX-License-Identifier: MIT
"""Plugins that a server loads, and that accept in its place."""
import subprocess

import pytest
import wire
from harness import tool
from program import environment
from wire import CLIENT_TEXT, TRUSTED

PLUGIN = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <unistd.h>
void serve(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (void *)&in, len) || listen(listener, 9) || getsockname(listener, (void *)&in, &len))
        return;
    printf("listening %d\n", ntohs(in.sin_port));
    fflush(stdout);
    for (;;) {
        int connection = accept(listener, 0, 0);
        char text[INET_ADDRSTRLEN];
        getpeername(connection, (void *)&in, &len);
        dprintf(connection, "peer=%s:%d\n", inet_ntop(AF_INET, &in.sin_addr, text, sizeof text), ntohs(in.sin_port));
        close(connection);
    }
}
"""

LOADER = r"""
#include <dlfcn.h>
int main(void)
{
    void *plugin = dlopen("plugin.so", RTLD_NOW | %s);
    void (*serve)(void) = plugin ? (void (*)(void))dlsym(plugin, "serve") : 0;
    if (!serve)
        return 1;
    serve();
}
"""


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    directory = tmp_path_factory.mktemp("plugins")
    (directory / "plugin.c").write_text(PLUGIN)
    subprocess.run([tool("gcc"), "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", directory / "plugin.so",
                    directory / "plugin.c"], check=True)
    return directory


@pytest.mark.parametrize("mode", ["RTLD_LOCAL", "RTLD_GLOBAL", "RTLD_DEEPBIND"])
def test_plugin_that_a_program_finds_beside_itself_knows_the_client(start, plugins, mode):
    """By DT_RUNPATH: it holds for whoever calls dlopen, and that is not the shim."""
    (plugins / "loader.c").write_text(LOADER % mode)
    loader = plugins / mode
    subprocess.run([tool("gcc"), "-D_GNU_SOURCE", "-o", loader, plugins / "loader.c", "-ldl", "-Wl,--enable-new-dtags",
                    "-Wl,-rpath,$ORIGIN"], check=True)
    server = start([loader], environment(trust=TRUSTED, timeout="30s"))
    assert server.peer().send(wire.v2()).report()["peer"] == CLIENT_TEXT
