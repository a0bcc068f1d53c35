# SPDX-License-Identifier: MIT
"""Go: gRPC, static. What else must be true of such programs: test_go.py."""
from contract import Asked, BadHeaders, TheClient, Waiting
from go_server import GRPCStatic

SERVER = GRPCStatic


class TestContract(TheClient, BadHeaders, Waiting, Asked):
    pass
