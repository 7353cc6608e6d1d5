"""The files of deploy/, in the tools that they are for."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import httpx
import jsonschema  # type: ignore[import-untyped]
import pytest
from ruamel.yaml import YAML

from tests.support import PATIENCE, Handler, Source, quiet_server, serving, source, until
from tests.test_cli import free_port
from tests.test_metrics import KEPT, SHARED
from tests.tools import DEPLOY, ROOT, UNPACKED, background, changed, run, tool
from ticker.bus.memory import MemoryBus

DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
PANELS: list[dict[str, Any]] = [p for p in DASHBOARD["panels"] if p["type"] != "row"]
EXPRESSIONS = [(p["title"], target["expr"]) for p in PANELS for target in p["targets"]]


def read(name: str) -> Any:
    """Return a YAML file of deploy/."""
    return YAML(typ="safe").load(DEPLOY / name)


RULES = [rule for group in read("alerts.yaml")["groups"] for rule in group["rules"]]
ALERTS = [rule["alert"] for rule in RULES]


# -- Prometheus


def test_the_rules_are_good() -> None:
    """By Prometheus's own judgement, with the config that loads them."""
    result = run(tool("promtool"), "check", "config", str(DEPLOY / "prometheus.yaml"))
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(RULES)} rules found" in result.stdout


def test_each_alert_fires_when_it_should() -> None:
    """And neither before its time nor while all is well: alerts.test.yaml."""
    result = run(tool("promtool"), "test", "rules", str(DEPLOY / "alerts.test.yaml"))
    assert result.returncode == 0, result.stdout + result.stderr
    first, *tests = read("alerts.test.yaml")["tests"]
    assert [case["alertname"] for case in first["alert_rule_test"]] == ALERTS
    assert [test["name"] for test in tests] == ALERTS


def test_each_alert_says_what_to_do() -> None:
    """In docs/alerts.md, where its annotation leads; and nothing else is there."""
    sections = re.findall(r"^### (\w+)\n\n\S", (ROOT / "docs/alerts.md").read_text(), re.MULTILINE)
    assert sections == ALERTS
    for rule in RULES:
        assert rule["annotations"]["docs"] == f"docs/alerts.md#{rule['alert'].lower()}"
        assert rule["annotations"].keys() == {"summary", "description", "docs"}
        assert rule["labels"]["severity"] in {"critical", "warning"}


FEED, BOARD = 'feed="f"', 'board="b"'
GAUGES: dict[str, dict[str, float]] = {
    "ticker_feed_quality": {'feed="f",quality="stale"': 1, 'feed="g",quality="down"': 1},
    "ticker_feed_last_success_timestamp_seconds": {FEED: 1_700_000_000},
    "ticker_feed_duration_seconds": {FEED: 0.2},
    "ticker_feed_rows": {FEED: 30},
    "ticker_feed_backoff_seconds": {FEED: 300},
    "ticker_board_rows": {BOARD: 30},
    "ticker_board_viewers": {BOARD: 9000},
    "ticker_viewers_most": {"": 10_000},
    "ticker_loop_lag_seconds": {'quantile="0.5"': 0.1, 'quantile="0.99"': 2, 'quantile="1"': 3},
    "ticker_config_last_reload_successful": {"": 0},
    "ticker_config_last_reload_success_timestamp_seconds": {"": 1_700_000_000},
    "ticker_draining": {"": 1},
    "ticker_store_up": {"": 0},
    "ticker_store_written_timestamp_seconds": {"": 1_700_000_000},
    "ticker_bus_up": {"": 0},
    "ticker_bus_members": {"": 2},
    "ticker_bus_config_differs": {"": 1},
    "ticker_bus_silence_seconds": {"": 90},
    "ticker_bus_behind_seconds": {"": 60},
    "ticker_build_info": {'version="1"': 1},
    "process_open_fds": {"": 950},
    "process_max_fds": {"": 1000},
    "process_resident_memory_bytes": {"": 1e8},
}
COUNTERS: dict[str, list[str]] = {
    "ticker_feed_reads_total": [f'{FEED},outcome="{o}"' for o in ("ok", "unchanged", "failed")],
    "ticker_feed_bytes_total": [FEED],
    "ticker_feed_rejected_total": [FEED],
    "ticker_feed_skipped_total": [FEED],
    "ticker_feed_held_total": [FEED],
    "ticker_board_seq": [BOARD],
    "ticker_board_changes_total": [BOARD],
    "ticker_board_flushes_total": [BOARD],
    "ticker_board_flush_seconds_total": [BOARD],
    "ticker_viewer_joins_total": [""],
    "ticker_viewer_leaves_total": ['code="1001"'],
    "ticker_viewers_refused_total": ['why="full"'],
    "ticker_viewers_dropped_total": ['reason="too slow"', 'reason="connection lost"'],
    "ticker_frames_sent_total": [""],
    "ticker_frames_conflated_total": [""],
    "ticker_sent_bytes_total": ['form="plain"', 'form="compressed"'],
    "ticker_uncompressed_bytes_total": [""],
    "ticker_config_reloads_total": ['outcome="ok"'],
    "ticker_store_failures_total": [""],
    "ticker_store_written_bytes_total": [""],
    "ticker_bus_terms_total": [""],
    "ticker_bus_entries_total": ['way="published"', 'way="read"'],
    "ticker_bus_bytes_total": ['way="published"', 'way="read"'],
    "ticker_bus_refused_total": [f'why="{why}"' for why in ("fenced", "elsewhere", "failed")],
    "ticker_bus_reloads_total": [""],
    "process_cpu_seconds_total": [""],
    "process_start_time_seconds": [""],
}
HISTOGRAMS = ["ticker_send_lag_seconds", "ticker_bus_publish_seconds"]
VARYING = {"ticker_viewers", "ticker_bus_poller"}


def exposition(scrape: int) -> bytes:
    """Return what a server says that is in bad shape in every respect, and that differs each time.

    Its viewers are many for 25 scrapes and few for the next 25; nobody reads the feeds, then two
    processes do.
    """
    values: dict[str, dict[str, float]] = {name: dict(samples) for name, samples in GAUGES.items()}
    for name, labels in COUNTERS.items():
        values[name] = dict.fromkeys(labels, scrape * 10)
    values["ticker_feed_reads_total"][f'{FEED},outcome="failed"'] = scrape * 100
    many = scrape // 25 % 2 == 0
    values["ticker_viewers"] = {
        'state="live"': 6000 if many else 600,
        'state="lagging"': 3000 if many else 300,
        'state="paused"': 500 if many else 50,
    }
    values["ticker_bus_poller"] = {"": 0 if many else 2}
    for bucket, share in (("0.05", 1), ("1", 5), ("5", 10), ("+Inf", 10)):
        for name in HISTOGRAMS:
            values.setdefault(f"{name}_bucket", {})[f'le="{bucket}"'] = scrape * share
    lines = [f"{n}{{{labels}}} {v}" for n, found in values.items() for labels, v in found.items()]
    return "\n".join([*lines, ""]).encode()


@contextmanager
def prometheus(source: Source, folder: Path) -> Iterator[str]:
    """Run Prometheus with the rules of deploy/, all times of which are shortened to seconds.

    It looks at ``source``, and at a port where nobody listens.
    """
    rules = changed((DEPLOY / "alerts.yaml").read_text(), ("offset 5m", "offset 4s"))
    rules = re.sub(r"\bfor: \w+", "for: 0s", re.sub(r"\[\d+m\]", "[4s]", rules))
    (folder / "alerts.yaml").write_text(rules)
    targets = f'"{source.url.removeprefix("http://")}", "127.0.0.1:{free_port()}"'
    config = changed(
        (DEPLOY / "prometheus.yaml").read_text(),
        ('"127.0.0.1:8000"', targets),
        ("_interval: 15s", "_interval: 200ms"),
    )
    (folder / "prometheus.yaml").write_text(config)
    address = f"127.0.0.1:{free_port()}"
    arguments = [
        f"--config.file={folder}/prometheus.yaml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}",
    ]
    with background(tool("prometheus"), *arguments, log=folder / "prometheus.log"):
        yield f"http://{address}/api/v1"


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a Prometheus that watches a server in bad shape."""
    folder = tmp_path_factory.mktemp("prometheus")
    with source() as server:

        def metrics(handler: Handler) -> None:
            handler.answer(200, exposition(server.asked("/metrics")), Content_Type="text/plain")

        server.script["/metrics"] = metrics
        with prometheus(server, folder) as api:
            until(lambda: server.asked("/metrics") > 5, what=f"scrapes ({folder})")
            yield api


def test_alerts_fire_in_prometheus(watched: str) -> None:
    """Each in a real one but TickerNotScraped, for which there would have to be no target."""
    fired: set[str] = set()
    expected = set(ALERTS) - {"TickerNotScraped"}

    def all_fired() -> bool:
        alerts = httpx.get(f"{watched}/alerts").json()["data"]["alerts"]
        fired.update(a["labels"]["alertname"] for a in alerts if a["state"] == "firing")
        return fired >= expected

    try:
        until(all_fired, patience=2 * PATIENCE)
    finally:
        assert fired == expected
    groups = httpx.get(f"{watched}/rules").json()["data"]["groups"]
    health = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
    assert health == dict.fromkeys(ALERTS, "ok")


def test_the_query_for_kubernetes_scaling_finds_viewers(watched: str) -> None:
    """As prometheus-adapter fills it in, but for pods, which only a cluster has."""
    (rule,) = read("kubernetes/monitoring/adapter.yaml")["rules"]["custom"]
    query = changed(
        rule["metricsQuery"],
        ("<<.Series>>", "ticker_viewers"),
        ("<<.LabelMatchers>>", 'job="ticker"'),
        ("<<.GroupBy>>", "instance"),
    )

    def found() -> Any:
        answer = httpx.get(f"{watched}/query", params={"query": query}).json()
        assert answer["status"] == "success", answer
        return answer["data"]["result"]

    (result,) = until(found)
    assert float(result["value"][1]) in {9500, 950}


# -- Grafana


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_every_query_of_the_dashboard_finds_something(
    title: str, expression: str, watched: str
) -> None:
    """In Prometheus, with the variables as Grafana fills them in."""
    for name, value in (("$job", ".*"), ("$instance", ".*"), ("$__rate_interval", "4s")):
        expression = expression.replace(name, value)
    assert "$" not in expression

    def found() -> Any:
        answer = httpx.get(f"{watched}/query", params={"query": expression}).json()
        assert answer["status"] == "success", answer
        return answer["data"]["result"]

    until(found, what=f"a value for '{title}'")


def test_every_metric_is_on_the_dashboard() -> None:
    """What is worth counting is worth a look; and nothing is asked for that nobody says."""
    shown = set(re.findall(r"\b(?:ticker|process)_\w+", " ".join(e for _, e in EXPRESSIONS)))
    known = {*GAUGES, *COUNTERS, *VARYING, *(f"{name}_bucket" for name in HISTOGRAMS)}
    assert shown == known
    ruled = set(re.findall(r"\b(?:ticker|process)_\w+", " ".join(r["expr"] for r in RULES)))
    assert ruled <= known


def test_the_server_says_what_the_dashboard_asks_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every metric by its name; those of the process where the system has them."""
    monkeypatch.setattr("ticker.runtime.connect", lambda _: MemoryBus())
    alone = tmp_path / "config.yaml"
    alone.write_text(KEPT)
    families = set()
    for config in SHARED, alone:
        with serving(config) as server:
            told = server.get("/metrics").text
        families |= set(re.findall(r"^# TYPE (\w+)", told, re.MULTILINE))
    asked = {*GAUGES, *COUNTERS, *VARYING, *HISTOGRAMS}
    missing = {n for n in asked if n not in families and n.removesuffix("_total") not in families}
    assert not missing


def test_the_dashboard_s_panels_are_whole() -> None:
    """Each has a number, a place of its own, a unit and a sentence; all use the variables."""
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        across, down = range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])
        cells = {(x, y) for x in across for y in down}
        assert not cells & taken, panel["title"]
        assert across.stop <= 24
        taken |= cells
    for panel in PANELS:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert all('job=~"$job", instance=~"$instance"' in t["expr"] for t in panel["targets"])
    variables = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
    assert variables == ["datasource", "job", "instance"]


# -- systemd


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Return the unit with a program that is there."""
    text = changed(
        (DEPLOY / "ticker.service").read_text(),
        ("/opt/ticker/bin/ticker", f"{sys.executable} -m ticker"),
        ("# LoadCredential=", "LoadCredential="),
    )
    file = tmp_path / "ticker.service"
    file.write_text(text)
    return file


def test_the_unit_is_good(unit: Path) -> None:
    """By systemd's own judgement, without a warning."""
    result = run(tool("systemd-analyze"), "verify", "--man=no", str(unit))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_the_unit_is_confined(unit: Path) -> None:
    """Of ten points of exposure less than one and a half are left: the network, mostly."""
    options = ("security", "--offline=true", "--threshold=15", "--no-pager")
    result = run(tool("systemd-analyze"), *options, str(unit))
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"Overall exposure level for ticker.service: 1\.[0-4] ", result.stdout)


def test_the_unit_s_signals_and_limits() -> None:
    """As the program understands them, and with files for every viewer of the default config."""
    lines = (DEPLOY / "ticker.service").read_text().splitlines()
    for line in (
        "Type=notify",
        "KillSignal=SIGTERM",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "ExecStart=/opt/ticker/bin/ticker serve --config /etc/ticker/config.yaml",
        "LimitNOFILE=65536",
        "CapabilityBoundingSet=",
    ):
        assert line in lines


# -- Docker


def test_the_dockerfile_is_good() -> None:
    """By hadolint's judgement, down to matters of style."""
    result = run(tool("hadolint"), "--failure-threshold", "style", str(DEPLOY / "Dockerfile"))
    assert (result.returncode, result.stdout) == (0, "")


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, each on one line."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def test_the_image_runs_as_nobody_and_takes_signals() -> None:
    """By number, in exec form, so that SIGTERM reaches the program itself."""
    *_, last = [n for n, (word, _) in enumerate(instructions()) if word == "FROM"]
    final = dict(instructions()[last:])
    assert final["USER"] == "10001:10001"
    assert final["STOPSIGNAL"] == "SIGTERM"
    command = json.loads(final["ENTRYPOINT"]) + json.loads(final["CMD"])
    assert command == ["ticker", "serve", "--host", "0.0.0.0", "--port", "8000"]
    assert "RUN" not in final


def test_the_image_is_asked_whether_it_is_ready() -> None:
    """By the command of the Dockerfile itself: 0 when it is, otherwise not."""
    health = next(rest for word, rest in instructions() if word == "HEALTHCHECK")
    command = json.loads(health.partition("CMD")[2])
    assert command[0] == "python"
    with quiet_server() as server:
        asked = [part.replace("http://127.0.0.1:8000", server.url) for part in command]
        asked[0] = sys.executable
        assert run(*asked).returncode == 0
        server.ticker.hub.draining = True
        assert run(*asked).returncode == 1
        server.ticker.hub.draining = False
    assert run(*asked).returncode == 1


def test_the_image_is_made_of_what_it_needs() -> None:
    """Nothing that the build takes from the checkout is left out; nothing private gets in."""
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    sent = {rule[1:] for rule in rules if rule.startswith("!")}
    assert sent >= {"ticker", "web", "config.yaml", "hatch_build.py", "pyproject.toml"}
    assert sent >= {"README.md", "LICENSE", "constraints.txt"}
    assert all((ROOT / name).exists() for name in sent)
    for private in (".git", ".venv", "tests", "deploy", ".env", "coins-token"):
        assert not any(fnmatch(private, name) for name in sent)


def test_the_compose_file_is_one() -> None:
    """By the schema of the Compose Specification."""
    found = list(UNPACKED.glob("docker-compose/**/compose_spec.json"))
    if not found:
        pytest.skip("compose_spec.json is not here: scripts/install-test-tools brings it")
    schema = json.loads(found[0].read_text())
    jsonschema.Draft201909Validator(schema).validate(read("docker-compose.yaml"))


def test_the_container_can_change_nothing() -> None:
    """Neither itself nor its config, but what it keeps; only a proxy on the machine reaches it."""
    service = read("docker-compose.yaml")["services"]["ticker"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["ports"] == ["127.0.0.1:8000:8000"]
    volumes = [(v["target"], v.get("read_only", False)) for v in service["volumes"]]
    assert volumes == [("/etc/ticker", True), ("/var/lib/ticker", False)]
    assert "STATE_DIRECTORY=/var/lib/ticker" in (DEPLOY / "Dockerfile").read_text()
    build = service["build"]
    assert (DEPLOY / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()
    assert service["stop_grace_period"] == "45s"
