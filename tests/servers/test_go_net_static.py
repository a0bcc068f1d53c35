# SPDX-License-Identifier: MIT
"""Go: net, static. What else must be true of such programs: test_go.py."""
from contract import Asked, BadHeaders, TheClient, Waiting
from go_server import RawStatic

SERVER = RawStatic


class TestContract(TheClient, BadHeaders, Waiting, Asked):
    pass
