# SPDX-License-Identifier: MIT
"""web.py: asks an HTTP server."""
from contract import Refused
from harness import exchange


def get(endpoint, path="/"):
    """The body of its answer; Refused if that is not 200, or none."""
    request = f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
    answer = exchange(endpoint, request.encode()).decode()
    head, _, body = answer.partition("\r\n\r\n")
    if not head.startswith("HTTP/1.1 200 "):
        raise Refused(answer)
    return body
