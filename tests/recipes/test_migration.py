# SPDX-License-Identifier: MIT
"""From a HAProxy sidecar that hides the clients to one that names them: one restart of the server, and then reloads of
HAProxy, there and back, with clients that never stop asking and never fail."""
import pytest
from conftest import Load, PostgresSession, RedisSession, Sidecar
from contract import Refused
from harness import scratch, shim_env, until
from test_postgresql import PostgreSQL
from test_redis import Redis

SIDECAR, NAMED = "127.0.0.1", "127.0.0.2"  # where HAProxy connects from, without a header and with it
CLIENTS = ["127.0.0.7", "127.0.0.8"]
STRANGER = "127.0.0.9"

SETTINGS = {"TRUST": NAMED, "LOG": "stderr:info"}

HBA = """\
local all all     trust
host  all app {}/32 trust
"""


class Granted(PostgreSQL):
    """Lets the sidecar in as it always did, and the clients by their own addresses."""

    def __init__(self, *args):
        super().__init__(*args)
        (self.data / "pg_hba.conf").write_text("".join(HBA.format(one) for one in (SIDECAR, *CLIENTS)))


def without_header(server):
    return f"server db 127.0.0.1:{server.port}"


def with_header(server):
    return f"server db 127.0.0.1:{server.port} source {NAMED} send-proxy-v2"


def hidden(client):
    return SIDECAR


def real(client):
    return client


@pytest.mark.parametrize("kind, session", [(Redis, RedisSession), (Granted, PostgresSession)], ids=["redis", "postgresql"])
def test_cut_over_and_roll_back_are_reloads_of_haproxy_and_fail_no_request(make, kind, session):
    server = make(kind, None)
    with scratch("sidecar") as directory, Sidecar(directory, without_header(server)) as sidecar:
        with server, session(sidecar.endpoint, CLIENTS[0]) as before:
            assert before.who() == SIDECAR
        server.env = shim_env(**SETTINGS)
        with server, Load(session, sidecar.endpoint, CLIENTS) as load:  # the one restart
            server.log.wait_event("active", listen=server.listens_on)
            load.served(hidden)
            for _ in range(2):
                sidecar.reload(with_header(server))
                load.served(real)
                sidecar.reload(without_header(server))
                load.served(hidden)
            assert server.log.events("reject") == []
            assert server.accept_errors() == []
        server.env = {}  # uninstalled: the header is off already
        with server, session(sidecar.endpoint, CLIENTS[0]) as after:
            assert after.who() == SIDECAR
        assert "ppshim" not in server.log.tail(lines=3)


def test_clients_without_a_grant_of_their_own_are_lost_at_the_cut_over(make):
    server = make(Granted, SETTINGS)
    with server, scratch("sidecar") as directory, Sidecar(directory, without_header(server)) as sidecar:
        with PostgresSession(sidecar.endpoint, STRANGER) as session:
            assert session.who() == SIDECAR
        sidecar.reload(with_header(server))

        def lost():
            try:
                PostgresSession(sidecar.endpoint, STRANGER).close()
            except Refused as refused:
                return f'no pg_hba.conf entry for host "{STRANGER}"' in str(refused)
        until(lost, "pg_hba judges the client by its own address")
        with PostgresSession(sidecar.endpoint, CLIENTS[0]) as session:
            assert session.who() == CLIENTS[0]
