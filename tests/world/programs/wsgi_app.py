# SPDX-License-Identifier: MIT
"""Tells who asks it, by WSGI."""


def application(environment, start_response):
    if environment["REQUEST_METHOD"] != "GET":
        start_response("400 Bad Request", [])
        return []
    told = "{} {}".format(environment["REMOTE_ADDR"], environment.get("REMOTE_PORT", ""))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(told)))])
    return [told.encode()]
