# SPDX-License-Identifier: MIT
"""`ppshim connect`: the header is the first that a server reads, however the client connects, and the client notices
nothing. The clients are tests/tool/client.c, which tells what it did not expect, and Python."""
import re
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
from conftest import CONNECT, TOOL, accept, helper, in_network, listener, ppshim, receive, refused, through
from harness import DEADLINE, LOCAL, PROXY, clean_env, proxy_v1, proxy_v2, run, tool
from place import needs

FROM = ("203.0.113.7", 4711)
OPTIONS = ["--from", "203.0.113.7:4711"]

STYLES = ["blocking", "poll", "select", "epoll", "epoll-edge", "connect-again", "read-only", "getpeername", "write",
          "writev", "sendmsg", "sendmmsg", "sendfile", "splice", "fork", "dup", "mptcp", "fastopen-connect"]
SAYS_AT_ONCE = ["fastopen-sendto", "fastopen-nonblocking", "fastopen-sendmsg"]
CASES = [(style, first) for style in STYLES for first in ("client", "server")]
CASES += [(style, "client") for style in SAYS_AT_ONCE]
# Those that take a connection which is there at once as it comes, and ask the kernel for nothing it does not have.
CHOOSY = ("connect-again", "fastopen-nonblocking", "fastopen-connect")
TOLERANT = [(style, first) for style, first in CASES if style not in CHOOSY]


def serve(connection, header, first):
    """The server's side of client.c's talk. What is not the header, or not behind it, fails the test."""
    assert receive(connection, len(header)) == header
    if first == "server":
        connection.sendall(b"welcome")
    assert receive(connection, 5) == b"hello"
    if first == "client":
        connection.sendall(b"welcome")
    assert connection.recv(1) == b""


@contextmanager
def client(*argv, options=OPTIONS):
    """client.c, started by the tool (options=None: without); it must end well."""
    prefix = [] if options is None else [str(TOOL), "connect", *options, "--"]
    process = subprocess.Popen([*prefix, str(helper("client")), *map(str, argv)], env=clean_env(), text=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        yield process
        said = process.communicate(timeout=DEADLINE)[0]
        assert (process.returncode, said) == (0, "")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def talk(style, first, host="127.0.0.1", options=OPTIONS, header=None):
    if style == "mptcp":
        needs("mptcp")
    with listener(host) as listening:
        to = listening.getsockname()[:2]
        expected = proxy_v2(FROM, to) if header is None else header
        with client(style, first, *to, options=options), accept(listening) as connection:
            serve(connection, expected, first)


@pytest.mark.parametrize("style, first", CASES)
def test_the_client_works_without_the_preload(style, first):
    """That what follows measures the preload and not the client."""
    talk(style, first, options=None, header=b"")


@pytest.mark.parametrize("style, first", CASES)
def test_the_header_comes_first(style, first):
    talk(style, first)


@pytest.mark.parametrize("style, first", TOLERANT)
def test_the_header_comes_first_where_the_kernel_does_not_queue_it(style, first):
    in_network(lambda: talk(style, first), tcp_fastopen=0)


@pytest.mark.parametrize("style", ["blocking", "read-only", "write"])
def test_the_header_comes_first_to_a_server_that_takes_data_with_the_syn(style):
    """Every listener does, and asks for no cookie (tcp_fastopen: client, server, 0x200, 0x400)."""
    def body():
        talk(style, "server")
        counted = run(tool("nstat"), "-az", "TcpExtTCPFastOpenPassive").stdout
        assert int(re.search(r"TCPFastOpenPassive +(\d+)", counted)[1]) == 1
    in_network(body, tcp_fastopen=0x603)


@pytest.mark.parametrize("style", ["blocking", "poll", "write"])
def test_a_header_larger_than_a_syn_is_sent_whole(style):
    def body():  # a small packet, as on a real network: the kernel takes only the first part with the SYN
        run("ip", "link", "set", "lo", "mtu", "1500")
        value = bytes(range(256)) * 15
        options = [*OPTIONS, "--to", "192.0.2.1:443", "--tlv", f"0xE0={value.hex()}"]
        talk(style, "server", options=options, header=proxy_v2(FROM, ("192.0.2.1", 443), tlvs=[(0xE0, value)]))
    in_network(body)


@pytest.mark.parametrize("style", ["blocking", "poll", "fastopen-sendto"])
def test_ipv6(style):
    with listener("::1") as listening:
        to = listening.getsockname()[:2]
        with client(style, "client", *to, options=["--from", "[2001:db8::7]:4711"]), accept(listening) as connection:
            serve(connection, proxy_v2(("2001:db8::7", 4711), to), "client")


def test_an_ipv4_client_of_an_ipv6_server_is_mapped():
    with listener("::1") as listening:
        to = listening.getsockname()[:2]
        with client("poll", "client", *to), accept(listening) as connection:
            serve(connection, proxy_v2(("::ffff:203.0.113.7", 4711), to), "client")


@pytest.mark.parametrize("options, header", [
    (["--local"], proxy_v2(None, command=LOCAL)),
    (["--unknown"], proxy_v2(None, command=PROXY)),
    (["--unknown", "--v1"], b"PROXY UNKNOWN\r\n"),
    ([*OPTIONS, "--to", "192.0.2.9:1"], proxy_v2(FROM, ("192.0.2.9", 1))),
    ([*OPTIONS, "--to", "192.0.2.9:1", "--v1"], proxy_v1(FROM, ("192.0.2.9", 1))),
    ([*OPTIONS, "--to", "192.0.2.9:1", "--crc", "--sni", "x"], proxy_v2(FROM, ("192.0.2.9", 1), tlvs=[(2, b"x")],
                                                                      crc=True)),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_the_header_is_the_one_described(options, header):
    talk("poll", "server", options=options, header=header)


def test_tlvs_and_checksum_are_kept_when_the_destination_is_filled_in():
    with listener() as listening:
        to = listening.getsockname()
        options = [*OPTIONS, "--crc", "--sni", "x", "--tlv", "4=00"]
        with client("poll", "server", *to, options=options), accept(listening) as connection:
            serve(connection, proxy_v2(FROM, to, tlvs=[(2, b"x"), (4, b"\0")], crc=True), "server")


def test_v1_names_the_address_connected_to():
    with listener() as listening:
        to = listening.getsockname()
        with client("poll", "server", *to, options=[*OPTIONS, "--v1"]), accept(listening) as connection:
            serve(connection, proxy_v1(FROM, to), "server")


def test_v1_cannot_name_an_ipv4_client_of_an_ipv6_server_and_says_so():
    with listener("::1") as listening:
        to = listening.getsockname()[:2]
        done = run(TOOL, "connect", *OPTIONS, "--v1", helper("client"), "blocking", "client", *to, check=False)
        assert done.returncode == 1 and "Address family not supported" in done.stdout
        assert done.stderr == (f"libppconnect: not connected to [::1]:{to[1]}: a version 1 header names a client of "
                               "the other family; use --v2 or --to\n")


@pytest.mark.parametrize("style", ["pending", "interrupted", "send-timeout"])
def test_a_server_that_is_slow_to_take_the_connection_gets_the_header_all_the_same(style):
    """The first SYN is lost: the listener's queue is full. A non-blocking connect stays one, and a blocking one that
    is given up goes on in the kernel: with the header."""
    with listener(backlog=0) as listening, socket.create_connection(listening.getsockname()):
        to = listening.getsockname()
        with client(style, "server", *to) as process:
            assert process.stdout.readline() == "pending\n"
            listening.accept()[0].close()
            with accept(listening) as connection:
                serve(connection, proxy_v2(FROM, to), "server")


@pytest.mark.parametrize("style", ["refused", "refused-later"])
def test_a_refusal_is_the_clients_own(style):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with client(style, "client", *nobody.getsockname()):
            pass


def test_a_refusal_is_the_clients_own_where_the_kernel_does_not_queue_the_header():
    in_network(lambda: test_a_refusal_is_the_clients_own("refused"), tcp_fastopen=0)


def test_threads_each_open_with_a_header():
    with listener() as listening:
        to = listening.getsockname()
        with client("threads", "server", *to):
            for _ in range(8):
                with accept(listening) as connection:
                    serve(connection, proxy_v2(FROM, to), "server")


def test_a_socket_that_is_disconnected_and_connected_again_opens_with_a_header_again():
    with listener() as listening:
        to = listening.getsockname()
        with client("disconnect", "client", *to):
            with accept(listening) as first:
                assert receive(first, 33) == proxy_v2(FROM, to) + b"hello"
                first.sendall(b"welcome")
                with pytest.raises(ConnectionResetError):
                    first.recv(1)
            with accept(listening) as second:
                serve(second, proxy_v2(FROM, to), "client")


def test_datagrams_are_left_alone():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(DEADLINE)
        with client("udp", "client", *receiver.getsockname()):
            assert receiver.recv(100) == b"hello"


def test_unix_sockets_are_left_alone(tmp_path):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        listening.settimeout(DEADLINE)
        script = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.send(b'hello')"
        through(sys.executable, "-c", script, tmp_path / "s")
        assert receive(accept(listening), 5) == b"hello"


@pytest.mark.parametrize("only, opens", [
    ("{host}:{port}", True), ("*:{port}", True), ("{host}:*", True), ("*:*", True), ("localhost:{port}", True),
    ("127.0.0.3:{port}", False), ("{host}:1", False), ("[::1]:{port}", False), ("[::1]:*", False)])
def test_only_says_which_connections_open_with_a_header(only, opens):
    with listener() as listening:
        host, port = listening.getsockname()
        options = [*OPTIONS, "--only", "192.0.2.1:1", "--only", only.format(host=host, port=port)]
        with client("poll", "client", host, port, options=options), accept(listening) as connection:
            serve(connection, proxy_v2(FROM, (host, port)) if opens else b"", "client")


def test_only_takes_ipv6_addresses():
    with listener("::1") as listening:
        to = listening.getsockname()[:2]
        options = [*OPTIONS, "--only", f"[::1]:{to[1]}"]
        with client("poll", "client", *to, options=options), accept(listening) as connection:
            serve(connection, proxy_v2(("::ffff:203.0.113.7", 4711), to), "client")


HAPPY = """
import asyncio, socket, sys
port, here = int(sys.argv[1]), socket.getaddrinfo
def both(host, port, *rest, **more):
    return [one for name in ("::1", "127.0.0.1") for one in here(name, port, type=socket.SOCK_STREAM)]
socket.getaddrinfo = both
async def main():
    reader, writer = await asyncio.open_connection("localhost", port, happy_eyeballs_delay=float(sys.argv[2]))
    print((await reader.read(7)).decode())
    writer.write(b"hello")
    writer.close()
    await writer.wait_closed()
asyncio.run(main())
"""


@pytest.mark.parametrize("delay", ["0", "0.25"])
def test_a_client_that_tries_two_addresses_opens_the_one_it_gets(delay):
    """asyncio's happy eyeballs: ::1, where nobody listens, and 127.0.0.1."""
    with listener() as listening:
        to = listening.getsockname()
        served = threading.Thread(target=lambda: serve(accept(listening), proxy_v2(FROM, to), "server"))
        served.start()
        assert through("/usr/bin/python3", "-c", HAPPY, to[1], delay) == "welcome\n"
        served.join(DEADLINE)
        assert not served.is_alive()


def test_programs_the_client_starts_open_likewise():
    with listener() as listening:
        to = listening.getsockname()
        command = f"{helper('client')} poll client {to[0]} {to[1]}; true"
        process = subprocess.Popen([str(TOOL), "connect", *OPTIONS, "sh", "-c", command], env=clean_env())
        with accept(listening) as connection:
            serve(connection, proxy_v2(FROM, to), "client")
        assert process.wait(DEADLINE) == 0


def test_the_clients_exit_status_and_output_are_its_own():
    status, out, said = ppshim("connect", *OPTIONS, "sh", "-c", "echo out; echo err >&2; exit 42")
    assert (status, out, said) == (42, b"out\n", "err\n")


def test_the_preload_comes_behind_others():
    libc = next(line.split()[2] for line in run("ldd", "/bin/sh").stdout.splitlines() if "libc" in line)
    status, out, _ = ppshim("connect", "--local", "--", "sh", "-c", "echo $LD_PRELOAD", env=clean_env(LD_PRELOAD=libc))
    assert (status, out.decode()) == (0, f"{libc}:{CONNECT}\n")


def test_a_client_whose_environment_was_tampered_with_does_not_go_on_without_its_header():
    for name, value in (("HEADER", "00"), ("HEADER", "zz"), ("HEADER", ""), ("HEADER", proxy_v2(FROM).hex() + "00"),
                        ("ONLY", "x"), ("ONLY", ""), ("ONLY", "1.2.3.4:66000"), ("DESTINATION", "x")):
        env = {"LIBPPCONNECT_HEADER": proxy_v2(FROM).hex(), f"LIBPPCONNECT_{name}": value}
        done = run("/bin/true", check=False, env=clean_env(LD_PRELOAD=str(CONNECT), **env))
        assert (done.returncode, done.stderr) == (78, f"libppconnect: LIBPPCONNECT_{name} is not what ppshim connect "
                                                      "writes\n")


def test_without_its_environment_the_preload_does_nothing():
    with listener() as listening:
        process = subprocess.Popen([str(helper("client")), "poll", "client", *map(str, listening.getsockname())],
                                   env=clean_env(LD_PRELOAD=str(CONNECT)))
        serve(accept(listening), b"", "client")
        assert process.wait(DEADLINE) == 0


def test_only_what_it_takes_is_exported():
    symbols = run("nm", "-D", "--defined-only", CONNECT).stdout
    assert {line.split()[-1] for line in symbols.splitlines()} == {"connect", "sendto", "sendmsg"}
    needed = run("readelf", "-d", CONNECT).stdout
    libraries = {line.partition("[")[2][:-1] for line in needed.splitlines() if "NEEDED" in line}
    assert libraries <= {"libc.so.6", "libdl.so.2"}


@pytest.mark.parametrize("argv, why", [
    ([], "which client?"),
    (OPTIONS, "which client? (try ppshim connect --help)"),
    (["true"], "who is the client? --from ADDR[:PORT], or --local or --unknown (try ppshim connect --help)"),
    ([*OPTIONS, "--v1", "--crc", "true"], "--crc and --v1"),
    ([*OPTIONS, "--only", "db", "true"], "--only db: write HOST:PORT, [2001:db8::7]:PORT, HOST:* or *:PORT"),
    ([*OPTIONS, "--only", "db:x", "true"], "--only db:x: write HOST:PORT"),
    ([*OPTIONS, "--only", "::1:80", "true"], "--only ::1:80: write HOST:PORT"),
    ([*OPTIONS, "--only", ":80", "true"], "--only :80: write HOST:PORT"),
    ([*OPTIONS, *["--only", "*:1"] * 65, "true"], "--only: more than 64 addresses"),
    ([*OPTIONS, "--tlv", "4=" + "00" * 5000, "true"], "the header would be longer than 4096 bytes"),
], ids=lambda value: "" if isinstance(value, str) else " ".join(value)[:60])
def test_nonsense_is_refused_in_one_line(argv, why):
    assert why in refused("connect", *argv)


def test_a_name_in_only_that_is_none_is_told():
    assert refused("connect", *OPTIONS, "--only", "no-such-name.invalid:80", "true", status=1).startswith(
        "--only no-such-name.invalid:80: ")
