# SPDX-License-Identifier: MIT
"""Go: net/http, static. What else must be true of such programs: test_go.py."""
from contract import Asked, BadHeaders, Counted, TheClient
from go_server import GoStatic

SERVER = GoStatic


class TestContract(TheClient, BadHeaders, Counted, Asked):
    pass
