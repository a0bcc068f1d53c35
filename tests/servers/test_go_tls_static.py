# SPDX-License-Identifier: MIT
"""Go: crypto/tls, static. What else must be true of such programs: test_go.py."""
from contract import Asked, BadHeaders, TheClient, Waiting
from go_server import TLSStatic

SERVER = TLSStatic


class TestContract(TheClient, BadHeaders, Waiting, Asked):
    pass
