# SPDX-License-Identifier: MIT
"""Galera: a node without data joins, by a state transfer that starts rsync as a child, while the network that its nodes are
in is trusted."""
import shutil

import pytest
from harness import reserve_port, tool, until
from test_mariadb import MariaDB

PROVIDER = "/usr/lib/galera/libgalera_smm.so"
SETTINGS = {"TRUST": "127.0.0.0/24", "TIMEOUT": "500ms", "LOG": "stderr:info"}


class Node(MariaDB):
    """One of a cluster; `joins` is the node that it asks."""

    def __init__(self, directory, template, settings, joins=None):
        super().__init__(directory, template, settings)
        self.env["HOME"] = str(self.directory)
        self.group, self.transfer, self.increments = (reserve_port() for _ in range(3))
        self.joins = joins

    def argv(self):
        address = f"127.0.0.1:{self.joins.group}?pc.wait_prim_timeout=PT5S&pc.announce_timeout=PT1S" if self.joins else ""
        options = f"gmcast.listen_addr=tcp://127.0.0.1:{self.group};ist.recv_addr=127.0.0.1:{self.increments}"
        more = {"wsrep-on": "ON", "wsrep-provider": tool("libgalera_smm.so", PROVIDER), "wsrep-sst-method": "rsync",
                "wsrep-cluster-address": f"gcomm://{address}", "wsrep-provider-options": options,
                "wsrep-node-address": f"127.0.0.1:{self.group}", "wsrep-node-incoming-address": f"127.0.0.1:{self.port}",
                "wsrep-sst-receive-address": f"127.0.0.1:{self.transfer}", "binlog-format": "ROW",
                "innodb-autoinc-lock-mode": "2"}
        return [*super().argv(), *(f"--{name}={value}" for name, value in more.items())]


@pytest.fixture
def donor(make):
    tool("rsync")
    tool("lsof")

    def donor(all_ports):
        node = make(Node, SETTINGS)
        if not all_ports:
            node.env["PPSHIM_PORTS"] = str(node.port)
        return node
    return donor


def joining(make, donor):
    """A node of the donor's cluster that has no data yet."""
    node = make(Node, SETTINGS)
    node.env.update({name: value for name, value in donor.env.items() if name == "PPSHIM_PORTS"})
    if "PPSHIM_PORTS" in node.env:
        node.env["PPSHIM_PORTS"] = str(node.port)
    node.joins = donor
    shutil.rmtree(node.data)
    node.data.mkdir()
    shutil.chown(node.data, node.user or -1)
    return node


def test_a_node_without_data_joins_if_only_the_clients_port_is_named(make, donor):
    with donor(all_ports=False) as first:
        first.on_unix_socket("create database t; create table t.t (i int primary key); insert into t.t values (42)")
        with joining(make, first) as second:
            until(lambda: second.on_unix_socket("show status like 'wsrep_local_state_comment'").endswith("Synced"), "synced")
            assert second.on_unix_socket("select i from t.t") == "42"
            assert first.on_unix_socket("show status like 'wsrep_cluster_size'").endswith("\t2")
            for node in (first, second):
                assert [(event.name, event.fields.get("listen")) for event in node.log.events()
                        if event.name != "not-governed"] == [("active", node.listens_on)]


def test_with_all_ports_the_log_names_the_other_node_and_the_port(make, donor):
    with donor(all_ports=True) as first:
        second = joining(make, first)
        with pytest.raises(AssertionError):
            second.start()
        rejected = first.log.events("reject")
        assert rejected and {(event.local.rpartition(":")[2], event.reason, event.hint) for event in rejected} == {
            (str(first.group), "timeout", "peer-sent-nothing")}
