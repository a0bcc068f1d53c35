# SPDX-License-Identifier: MIT
"""Go: gRPC, dynamic. What else must be true of such programs: test_go.py."""
from contract import Asked, BadHeaders, TheClient, Waiting
from go_server import GRPC

SERVER = GRPC


class TestContract(TheClient, BadHeaders, Waiting, Asked):
    pass
