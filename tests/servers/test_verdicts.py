# SPDX-License-Identifier: MIT
"""Our parser's verdict and a real HAProxy's, as a receiver, on every vector and 10,000 mutants: they agree, but where
DIFFERENCES says why not."""
import contextlib
import ipaddress
import random
import select
import socket
from typing import NamedTuple

from harness import DEADLINE, ROOT, Process, dial, haproxy_version, listens, reserve_port, reset, run, scratch, tool
from wire import SIGNATURE

MUTANTS = 10000
SEED = 20
HELPERS = ROOT / "build" / "tests" / "tool"


# --- what each says ---------------------------------------------------------------------------------------------------

class Verdict(NamedTuple):
    """Client: of a header that is whole and good; "-": it names none."""
    client: str | None
    reason: str | None = None


def our_verdicts(samples):
    said = run(HELPERS / "verdicts", input="".join(f"{sample.hex()}\n" for sample in samples)).stdout.splitlines()
    return [Verdict(words[2]) if words[0] == "complete" else Verdict(None, words[-1]) for words in map(str.split, said)]


def unmapped(address, port):
    """As we write it: an IPv4 address in IPv6 clothes is one."""
    ip = ipaddress.ip_address(address)
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}"


class Receiver(Process):
    """HAProxy, that says to a listener of ours whom it took its client for."""
    name = "haproxy"

    def __init__(self, directory):
        super().__init__(directory)
        self.endpoint = "127.0.0.1", reserve_port()
        self.behind = socket.create_server(("127.0.0.1", 0))

    def argv(self):
        config = self.directory / "haproxy.cfg"
        config.write_text("defaults\n  mode tcp\n  retries 0\n  timeout connect 20s\n  timeout client 20s\n  timeout server 20s\n"
                          "listen receiver\n  bind {}:{} accept-proxy\n".format(*self.endpoint) +
                          "  server told {}:{} send-proxy\n".format(*self.behind.getsockname()))
        return [tool("haproxy"), "-db", "-f", config]

    def is_ready(self, mark):
        return listens(self.endpoint)

    def verdict(self, sample):
        with dial(self.endpoint) as client:
            here = "{}:{}".format(*client.getsockname())
            with contextlib.suppress(OSError):  # it may have reset before the end of a long one
                client.sendall(sample)
                client.shutdown(socket.SHUT_WR)
            poller = select.poll()
            for sock in client, self.behind:
                poller.register(sock, select.POLLIN)
            ready = {fd for fd, _ in poller.poll(DEADLINE * 1000)}
            assert ready, sample
            if self.behind.fileno() not in ready:
                return Verdict(None)
            connection, _ = self.behind.accept()
            with connection, connection.makefile("rb") as stream:
                words = stream.readline().decode().split()
                reset(connection)
            source = unmapped(words[2], words[4])
            return Verdict("-" if source == here else source)


# --- where they differ, and why ---------------------------------------------------------------------------------------

def family(sample):
    """Of a version 2 header with the command PROXY."""
    return sample[13] if sample.startswith(SIGNATURE + b"\x21") else None


def longest_tlv(sample):
    """Of those that stand in a version 2 header after its addresses."""
    at, longest = 16 + {0x11: 12, 0x21: 36}.get(sample[13], 0), 0
    while at + 3 <= 16 + int.from_bytes(sample[14:16], "big"):
        length = int.from_bytes(sample[at + 1:at + 3], "big")
        longest, at = max(longest, length), at + 3 + length
    return longest


# Whether it is this difference: (sample, ours, its).
DIFFERENCES = {
    "PROXY with a family that is not TCP's is taken, says the spec, without an address: HAProxy resets":
        lambda sample, ours, its: family(sample) not in (None, 0x11, 0x21) and (ours.client, its.client) == ("-", None),
    "what follows PROXY UNKNOWN is skipped up to the CRLF, says the spec: HAProxy takes the short line only":
        lambda sample, ours, its: sample.startswith(b"PROXY UNKNOWN ") and (ours.client, its.client) == ("-", None),
    "numbers of version 1 are exact: HAProxy reads leading zeros, octets over 255, ports over 65535 and none at all":
        lambda sample, ours, its: ours.reason in ("v1-bad-address", "v1-bad-port") and its.client,
    "a line of version 1 is exact: HAProxy reads over a NUL, an empty field and what follows the last one":
        lambda sample, ours, its: ours.reason in ("v1-bad-line", "v1-bad-spacing") and its.client,
    "of LOCAL all is skipped, says the spec: HAProxy 3.0 resets where it is no list of TLVs":
        lambda sample, ours, its: sample.startswith(SIGNATURE + b"\x20") and (ours.client, its.client) == ("-", None),
    "TLVs are as long as the header has room for, says the spec: HAProxy 3.0 resets for one of more than 1024 bytes":
        lambda sample, ours, its: family(sample) in (0x11, 0x21) and ours.client and longest_tlv(sample) > 1024,
    "a line of version 1 has 107 bytes at most: HAProxy takes longer ones":
        lambda sample, ours, its: ours.reason == "v1-too-long" and its.client,
}


# --- samples ----------------------------------------------------------------------------------------------------------

def vectors():
    return [bytes.fromhex(line.split()[5]) + b"x" for line in run(HELPERS / "vectors").stdout.splitlines()
            if len(line.split()) == 6]


def mutant(rng, sample):
    sample = bytearray(sample)
    for _ in range(rng.choice((1, 1, 2))):
        at = rng.randrange(min(len(sample), 120))
        how = rng.randrange(5)
        if how == 0:
            sample[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            sample[at] = rng.choice(b"\x00\x01\x0d\x0a 0159:.fT\x21\x20\xff")
        elif how == 2:
            del sample[at]
        elif how == 3:
            sample.insert(at, rng.choice(b"\x00 0159:.f\r\n\xff"))
        else:
            sample[at:at] = sample[at:at + rng.randrange(1, 8)]
    return bytes(sample)


def samples():
    seeds = [sample for sample in vectors() if len(sample) < 2000]
    rng = random.Random(SEED)
    return [*vectors(), *(mutant(rng, rng.choice(seeds)) for _ in range(MUTANTS))]


def test_haproxy_gives_the_same_verdict_but_where_it_is_known_why_not():
    """Where both take a header they name the same client, always."""
    seen, unknown, todo = set(), [], samples()
    with scratch("verdicts") as directory, Receiver(directory) as haproxy:
        for sample, ours in zip(todo, our_verdicts(todo)):
            its = haproxy.verdict(sample)
            if its.client == ours.client:
                continue
            known = {why for why, differs in DIFFERENCES.items() if differs(sample, ours, its)}
            seen |= known
            if not known:
                unknown.append((ours, its, sample[:160]))
    assert unknown == []
    new = {why for why in DIFFERENCES if "HAProxy 3.0" in why} if haproxy_version() < (3, 0) else set()
    assert seen == set(DIFFERENCES) - new, "a difference is no more"
