# SPDX-License-Identifier: MIT
"""described.py: what the servers of the world have in common, so that each is told in a few words: its configuration, its
command line, and where it says who its client is."""
import itertools
import os
import re
import socket
import ssl
import struct
import threading
from ipaddress import ip_address
from pathlib import Path
from unittest.mock import ANY

from contract import Peer, Refused, Server, own_lines
from harness import DEADLINE, ROOT, Log, dial, read_to_end, tool
from place import for_everybody, needs
from waits import listeners

PROGRAMS = for_everybody(Path(__file__).with_name("programs"))
UNPACKED = ROOT / "build" / "world"  # packages that cannot be installed beside others
_words = itertools.count(1)


def new_word():
    """One that nobody else says to a server: by it a session is found in the log."""
    return f"w{os.getpid()}x{next(_words)}w"  # and none begins as another does


class Described(Server):
    """The shim writes into the server's log by its path: many a daemon closes its standard error."""
    programs = ()  # what must be installed: the first is what is started
    places = ()  # glob patterns of where it may be, if not in PATH
    needs_root = False
    names = r"^{address} {port} "  # the line of client_log that names a client
    tells_ports = True
    own_log = None  # the file of client_log, if that is not the log

    @classmethod
    def make_template(cls, directory):
        if cls.needs_root:
            needs("root")
        for name in cls.programs:
            cls.program(name)

    @classmethod
    def program(cls, name=None):
        found = Path(tool(name or cls.programs[0], *cls.places))
        return for_everybody(found) if UNPACKED in found.parents else found

    def __init__(self, directory, template, settings, host="127.0.0.1"):
        if settings is not None:
            level = settings["LOG"].partition(":")[2]
            settings = {**settings, "LOG": f"{directory / self.name}.log:{level}"}
        super().__init__(directory, template, settings, host)
        self.client_log = Log(self.directory / self.own_log) if self.own_log else self.log
        for log in self.log, self.client_log:
            log.path.chmod(0o666)
        self.turn = threading.Lock()

    @property
    def host(self):
        return self.endpoint[0]

    def listens(self):
        """For those that do not say when they are ready."""
        return listeners(self.port)

    def file(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return path

    def login(self, endpoint):
        """Refused, or the Peer it is taken for."""
        word, mark = new_word(), self.client_log.mark()
        self.say(endpoint, word)
        return self.named(self.told_of(word), mark)

    def say(self, endpoint, word):
        """Says the word to the server as its protocol lets one; Refused, if it was not understood."""
        raise NotImplementedError

    def told_of(self, word):
        """The pattern of what the server logs of who said this: the address, and the port if it tells that."""
        raise NotImplementedError

    def named(self, pattern, since):
        [line, *_] = self.client_log.wait(pattern, since)
        return peer(*re.search(pattern, line).groups())

    def direct_login(self):
        return self.login(self.endpoint)

    def log_names(self, peer, since):
        port = peer[1] if self.tells_ports and peer[1] is not ANY else r"\d+"
        return self.client_log.find(self.names.format(address=re.escape(peer[0]), port=port), since)

    def accept_errors(self, since=0):
        """In what it says itself."""
        return re.findall(self.accept_error, own_lines(self, since), re.MULTILINE)

    def log_names_refused(self, peer, since):
        """By its port it is no other's; since is another log's mark."""
        return self.log_names(peer, 0)


def peer(address, port=ANY):
    return Peer(str(ip_address(address.strip("[]").removeprefix("::ffff:"))), port if port is ANY else int(port))


class InTurn(Described):
    """A server that says who its client is, but not who said a word: one at a time, who is the next it names."""

    def login(self, endpoint):
        with self.turn:
            mark = self.client_log.mark()
            self.say(endpoint, new_word())
            return self.named(self.told_of(None), mark)


class Unlogged(Described):
    """A server without a log of its clients: what it told them stands for that."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.client_log = Log(self.directory / "told.log")

    def told(self, client):
        with self.client_log.path.open("a") as log:
            log.write(f"{client.address} {0 if client.port is ANY else client.port} told\n")
        return client


# --- HTTP -------------------------------------------------------------------------------------------------------------

class Http(Described):
    """Says in its log which client asked for what. A page that is not there will do."""
    own_log = "access.log"
    nonsense = b"\0\r\n\r\n"
    statuses = ("200", "404")

    def url(self, word):
        return f"/{word}"

    def ask(self, endpoint, path):
        """The answer's body. This side stays open: there are servers that give up who has said all that he will."""
        with dial(endpoint) as sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            answer = read_to_end(sock).decode()
        head, _, body = answer.partition("\r\n\r\n")
        if not re.match(rf"HTTP/1\.[01] ({'|'.join(self.statuses)}) ", head):
            raise Refused(answer)
        return body

    def say(self, endpoint, word):
        self.ask(endpoint, self.url(word))

    def told_of(self, word):
        return rf"^(\S+) (\d+) .*{word}"


class Answers(Http):
    """Says in its answer who asks: the address, and the port if it tells that."""
    statuses = ("200",)
    path = "/"

    def login(self, endpoint):
        return peer(*self.ask(endpoint, self.path).split()[:2])


# --- others -----------------------------------------------------------------------------------------------------------

def converse(endpoint, *turns):
    """Says each of these bytes when the server has ended an answer that begins with what stands before it: the last."""
    with dial(endpoint) as sock, sock.makefile("rwb") as lines:
        try:
            for expected, said in turns:
                answer = line = lines.readline()
                while line[3:4] == b"-":
                    line = lines.readline()
                    answer += line
                if not line.startswith(expected):
                    raise Refused(answer)
                lines.write(said)
                lines.flush()
            return answer
        except ConnectionError as error:
            raise Refused(error) from None


class Dns(Described):
    """Over TCP; `name` is what is asked for."""
    nonsense = b"\0\x0c" + b"\0\1\1\0" + b"\0\0" * 4 + b"\0\0"  # no question, and a message of no bytes
    zone = "test"

    def query(self, endpoint, name, kind=1):
        """The answer's bytes."""
        labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
        message = struct.pack("!6H", 0x5150, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1)
        with dial(endpoint) as sock:
            try:
                sock.sendall(struct.pack("!H", len(message)) + message)
                length = struct.unpack("!H", receive(sock, 2))[0]
                answer = receive(sock, length)
            except ConnectionError as error:
                raise Refused(error) from None
        if answer[:2] != message[:2]:
            raise Refused(answer)
        return answer

    def say(self, endpoint, word):
        self.query(endpoint, f"{word}.{self.zone}")


def receive(sock, count):
    received = sock.recv(count, socket.MSG_WAITALL)
    if len(received) < count:
        raise Refused(received)
    return received


def over_tls(endpoint):
    """What the server says on a connection of TLS."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with dial(endpoint) as sock, context.wrap_socket(sock) as tls:
            tls.settimeout(DEADLINE)
            return read_to_end(tls).decode()
    except (ssl.SSLError, ConnectionError) as error:
        raise Refused(error) from None
