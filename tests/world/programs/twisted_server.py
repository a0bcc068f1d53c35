# SPDX-License-Identifier: MIT
"""Tells who asks it, by Twisted: twisted_server.py HOST PORT"""
import sys

from twisted.internet import reactor
from twisted.web import resource, server


class Who(resource.Resource):
    isLeaf = True

    def render_GET(self, request):
        client = request.getClientAddress()
        print("served", client.host, client.port, flush=True)
        return f"{client.host} {client.port}".encode()


reactor.listenTCP(int(sys.argv[2]), server.Site(Who()), interface=sys.argv[1])
reactor.callWhenRunning(lambda: print("listening", flush=True))
reactor.run()
