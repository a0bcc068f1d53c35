# SPDX-License-Identifier: MIT
"""An HTTP server of several processes that tells its clients, and its log, whom they come from. Argument 1: the port.
Argument 2: how the workers come by their clients: "sent" (the parent accepts, and sends them the sockets), "executed"
(the same, but the workers are new images of the interpreter), "shared" (each accepts from the one listener)."""
import multiprocessing
import os
import signal
import socket
import sys
import threading
from itertools import cycle

WORKERS = 2


def serve(connection):
    with connection:
        peer = "{} {}".format(*connection.getpeername()[:2])
        request = b""
        while b"\r\n\r\n" not in request:
            piece = connection.recv(65536)
            if not piece:
                return
            request += piece
        if request.startswith(b"GET "):
            print(f"served {peer}", flush=True)
            connection.sendall(f"HTTP/1.1 200 OK\r\n\r\n{peer} {os.getpid()}\n".encode())
        else:
            print(f"refused {peer}", flush=True)


def accept_from(listener):
    """Connections as accept gives them; what it calls them must be what they say themselves."""
    while True:
        try:
            connection, told = listener.accept()
            if told != connection.getpeername():
                print(f"error: accept says {told}", flush=True)
            yield connection
        except OSError as error:
            print(f"error {error}", flush=True)


def receive(way):
    print("listening", flush=True)
    while True:
        _, [fd], _, _ = socket.recv_fds(way, 1, 1)
        threading.Thread(target=serve, args=(socket.socket(fileno=fd),), daemon=True).start()


def share(listener):
    print("listening", flush=True)
    for connection in accept_from(listener):
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


def start(context, work, given):
    context.Process(target=work, args=(given,), daemon=True).start()


def main(port, how):
    listener = socket.create_server(("::", int(port)), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024)
    context = multiprocessing.get_context("spawn" if how == "executed" else "fork")
    if how == "shared":
        for _ in range(WORKERS):
            start(context, share, listener)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        while True:
            signal.pause()
    ways = []
    for _ in range(WORKERS):
        ours, theirs = socket.socketpair()
        start(context, receive, theirs)
        ways.append(ours)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    for way, connection in zip(cycle(ways), accept_from(listener)):
        socket.send_fds(way, [b"x"], [connection.fileno()])
        connection.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
