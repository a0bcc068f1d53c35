# SPDX-License-Identifier: MIT
"""The examples for Prometheus: Debian's own scrapes the tool as the socket unit starts it, knows every name that the
dashboard and the alert rules ask for, and answers each of their queries."""
import json
import re
import shlex
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
import wire
import yaml
from counters import TOOL, directory, metrics, status
from harness import DEADLINE, ROOT, Process, exchange, reserve_port, run, scratch, tool, until
from program import Program, environment, helper
from wire import CLIENT_TEXT, TRUSTED

EXAMPLES = ROOT / "scripts/examples"
RULES = EXAMPLES / "alerts.yml"
DASHBOARD = json.loads((EXAMPLES / "grafana.json").read_text())
SOCKET, SERVICE = EXAMPLES / "ppshim-metrics.socket", EXAMPLES / "ppshim-metrics@.service"


# --- who takes part ---------------------------------------------------------------------------------------------------

class Answers(Process):
    """What the socket unit does: a process for each connection, with the service's own command."""
    name = "metrics"
    ready_line = r"^Listening on .* as 3\."

    def __init__(self, scratch_directory, stats):
        super().__init__(scratch_directory)
        self.port = reserve_port()
        [command] = re.findall(r"^ExecStart=(.*)$", SERVICE.read_text(), re.M)
        self.command = [str(TOOL) if word == "@BINDIR@/ppshim" else stats if word == "/run/ppshim" else word
                        for word in shlex.split(command)]
        assert TOOL.name in self.command[0] and stats in self.command

    def argv(self):
        return [tool("systemd-socket-activate"), "--accept", "--inetd", f"--listen=127.0.0.1:{self.port}", *self.command]


class Prometheus(Process):
    name = "prometheus"
    ready_line = r"Server is ready to receive web requests"

    def __init__(self, scratch_directory, target):
        super().__init__(scratch_directory)
        self.port = reserve_port()
        self.config = self.directory / "prometheus.yml"
        self.config.write_text(yaml.safe_dump({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": "ppshim", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}]}))

    def argv(self):
        return [tool("prometheus"), f"--config.file={self.config}", f"--web.listen-address=127.0.0.1:{self.port}",
                f"--storage.tsdb.path={self.directory}/data"]

    def api(self, path, **parameters):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=DEADLINE) as answer:
            told = json.load(answer)
        assert told["status"] == "success", told
        return told["data"]

    def query(self, expression):
        return self.api("query", query=expression)["result"]


@pytest.fixture(scope="module")
def counting():
    """A server that counts, and what it can be made to do."""
    with directory(0o755) as stats:
        server = Program([helper("server"), "--accept=poll", "--nonblock-listener"],
                         environment(trust=TRUSTED, header_optional="127.0.0.5", timeout="60s", stats=stats,
                                     log="stderr:error"))
        yield server, stats
        server.stop()


def some_of_each(server):
    server.serves(TRUSTED, wire.v2(), CLIENT_TEXT)
    server.serves()
    server.serves("127.0.0.5")
    server.peer().close()
    for opening in b"nonsense", wire.v2(bad_crc=True):
        with server.peer() as peer:
            peer.send(opening).rejected()


@pytest.fixture(scope="module")
def prometheus(counting):
    server, stats = counting
    some_of_each(server)
    with scratch("metrics") as directory, Answers(directory, stats) as answers:
        with Prometheus(directory, answers.port) as prometheus:
            until(lambda: [one["value"][1] for one in prometheus.query("up")] == ["1"],
                  lambda: f"it is scraped: {prometheus.api('targets')}")
            yield prometheus


# --- names and queries ------------------------------------------------------------------------------------------------

def expressions():
    """(panel, query) of the dashboard, with what Grafana puts in place of its variables."""
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            query = target["expr"].replace("$__rate_interval", "1m")
            query = query.replace("$unit", ".*").replace("$listener", ".*")
            assert "$" not in query
            yield panel["title"], query


def rules():
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


QUERIES = list(expressions())


def names(text):
    return set(re.findall(r"\bppshim_\w+", text))


def test_every_metric_is_in_the_dashboard_and_nothing_else():
    """Under the names that the format gives them."""
    suffixes = {"COUNTER": ["_total"], "GAUGE": [""], "HISTOGRAM": ["_bucket", "_sum", "_count"]}
    told = {f"ppshim_{name}{suffix}" for name, kind, *_ in metrics() for suffix in suffixes[kind]}
    assert names(" ".join(query for _, query in QUERIES)) == told
    assert set().union(*(names(rule["expr"]) for rule in rules())) <= told


@pytest.mark.parametrize("query", [query for _, query in QUERIES])
def test_each_query_of_the_dashboard_has_an_answer(counting, prometheus, query):
    server, _ = counting

    def answered():
        some_of_each(server)
        return prometheus.query(query)
    assert all(one["value"][1] != "NaN" for one in until(answered, query)), query


def test_variables_of_the_dashboard_are_labels(counting):
    server, stats = counting
    server.serves()
    lines = status(stats, "--openmetrics").splitlines()
    asked = [re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]).groups()
             for variable in DASHBOARD["templating"]["list"] if variable["type"] == "query"]
    assert len(asked) == 2
    for metric, label in asked:
        assert [line for line in lines if line.startswith(metric + "{") and f'{label}="' in line]


def test_help_type_and_unit_arrive(prometheus):
    told = prometheus.api("metadata")
    for name, kind, unit, meaning in metrics():
        [one] = told[f"ppshim_{name}"]
        assert (one["type"], one["unit"], one["help"]) == (kind.lower(), unit, f"{meaning}.")


# --- alerts -----------------------------------------------------------------------------------------------------------

def test_rules_are_good_and_loaded(prometheus):
    run(tool("promtool"), "check", "rules", RULES)

    def evaluated():
        told = [rule for group in prometheus.api("rules")["groups"] for rule in group["rules"]]
        return told and all(rule["health"] != "unknown" for rule in told) and told
    told = until(evaluated, "they are evaluated")
    assert [(rule["name"], rule["health"]) for rule in told] == [(rule["alert"], "ok") for rule in rules()]


LABELS = 'instance="h:1",unit="db.service",program="db",user="db",listener=":1"'
ALARMING = {  # the series that make each fire, as promtool writes them: first value + step x times
    "PpshimCountersGone": {'up{job="ppshim",instance="h:1"}': "0x60"},
    "PpshimHeadersMalformed": {f'ppshim_rejected_total{{{LABELS},reason="v2-bad-crc"}}': "0+60x60"},
    "PpshimHeadersMissing": {f'ppshim_rejected_total{{{LABELS},reason="timeout"}}': "0+60x60"},
    "PpshimBalancerUntrusted": {f"ppshim_untrusted_passed_total{{{LABELS}}}": "0+60x60",
                                f'ppshim_proxy_proto_found_total{{{LABELS},version="2",family="inet"}}': "7x60"},
    "PpshimPendingFull": {f'ppshim_rejected_total{{{LABELS},reason="too-many-pending"}}': "0+1x60"},
    "PpshimHeadersSlow": {f'ppshim_header_wait_seconds_bucket{{{LABELS},le="1.0"}}': "0+1x60",
                          f'ppshim_header_wait_seconds_bucket{{{LABELS},le="3.0"}}': "0+60x60",
                          f'ppshim_header_wait_seconds_bucket{{{LABELS},le="+Inf"}}': "0+60x60"},
}
QUIET = {  # and a healthy hour, in which none does
    'up{job="ppshim",instance="h:1"}': "1x60",
    f'ppshim_rejected_total{{{LABELS},reason="v2-bad-crc"}}': "7x60",
    f'ppshim_rejected_total{{{LABELS},reason="timeout"}}': "7x60",
    f'ppshim_rejected_total{{{LABELS},reason="too-many-pending"}}': "0x60",
    f'ppshim_rejected_total{{{LABELS},reason="client-denied"}}': "0+600x60",
    f"ppshim_untrusted_passed_total{{{LABELS}}}": "0+60x60",
    f'ppshim_proxy_proto_found_total{{{LABELS},version="2",family="inet"}}': "0+600x60",
    f'ppshim_header_wait_seconds_bucket{{{LABELS},le="0.001"}}': "0+600x60",
    f'ppshim_header_wait_seconds_bucket{{{LABELS},le="+Inf"}}': "0+600x60",
}


def fires(directory, alert, series):
    """Whether it does after half an hour of them, by promtool's word."""
    test = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [{
        "interval": "1m", "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": "30m", "alertname": alert, "exp_alerts": []}]}]}
    path = Path(directory) / "test.yml"
    path.write_text(yaml.safe_dump(test))
    done = run(tool("promtool"), "test", "rules", path, check=False)
    assert "got:" in done.stdout + done.stderr or done.returncode == 0, done
    return done.returncode != 0


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_alert_fires_where_it_should_and_not_where_all_is_well(tmp_path, rule):
    assert fires(tmp_path, rule["alert"], ALARMING[rule["alert"]])
    assert not fires(tmp_path, rule["alert"], QUIET)


# --- the units --------------------------------------------------------------------------------------------------------

def test_systemd_finds_nothing_wrong_with_the_pair():
    with scratch("units") as directory:
        for path in SOCKET, SERVICE:
            (directory / path.name).write_text(path.read_text().replace("@BINDIR@/ppshim", "/bin/true"))
        told = run(tool("systemd-analyze"), "verify", "--man=no", directory / SOCKET.name, check=False)
        assert [line for line in told.stderr.splitlines() if "ppshim" in line] == []


def test_request_that_is_cut_off_costs_nobody_else(counting):
    _, stats = counting
    with scratch("metrics") as directory, Answers(directory, stats) as answers:
        endpoint = ("127.0.0.1", answers.port)
        assert exchange(endpoint, b"GET /met").startswith(b"HTTP/1.1 400 ")
        assert exchange(endpoint, b"GET /metrics HTTP/1.0\r\n\r\n").endswith(b"# EOF\n")
