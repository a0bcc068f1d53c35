# SPDX-License-Identifier: MIT
"""Tells who asks it, by WSGI."""


def application(environment, start_response):
    told = "{} {}".format(environment["REMOTE_ADDR"], environment.get("REMOTE_PORT", ""))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(told)))])
    return [told.encode()]
