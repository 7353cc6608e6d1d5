"""What deploy/ has for several processes: Kubernetes, compose, proxies before a real cluster."""

from __future__ import annotations

import json
import random
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from socketserver import DatagramRequestHandler, ThreadingUDPServer
from typing import Any

import httpx
import jsonschema  # type: ignore[import-untyped]
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError
from ruamel.yaml import YAML
from websockets.exceptions import ConnectionClosed, WebSocketException

from tests.buses import START, Member, members, redis
from tests.support import PATIENCE, Follower, until
from tests.test_cli import free_port
from tests.test_cli import run as ticker
from tests.test_proxies import TRUSTED, caddy_with, follow, nginx
from tests.tools import DEPLOY, UNPACKED, changed, run, tool
from ticker import configfile
from ticker.config import Settings
from ticker.protocol import CloseCode

KUBERNETES, CLUSTER = DEPLOY / "kubernetes", DEPLOY / "cluster"
PASSWORD = "0123456789abcdef"
LEEWAY = 10.0
"""Seconds that ticker may take to end, beyond `drain_delay` and `drain`."""


def read(file: Path) -> list[dict[str, Any]]:
    """Return the documents of a YAML file."""
    return [document for document in YAML(typ="safe").load_all(file) if document]


KUSTOMIZATION = read(KUBERNETES / "kustomization.yaml")[0]
MANIFESTS = [m for name in KUSTOMIZATION["resources"] for m in read(KUBERNETES / name)]
COMPOSE = read(CLUSTER / "docker-compose.yaml")[0]["services"]


def manifest(kind: str, name: str = "ticker") -> dict[str, Any]:
    """Return what is to be known of one thing."""
    (found,) = [m for m in MANIFESTS if (m["kind"], m["metadata"]["name"]) == (kind, name)]
    return found


def pod(kind: str, name: str) -> dict[str, Any]:
    """Return a pod's specification."""
    found: dict[str, Any] = manifest(kind, name)["spec"]["template"]["spec"]
    return found


def settings(config: Path, folder: Path, secrets: str) -> Settings:
    """Return what a config of deploy/ says, with secrets as they are made by deploy/README.md."""
    for name, text in (("bus", f"redis://ticker:{PASSWORD}@valkey:6379/0"), ("admin", PASSWORD)):
        for ending in ("url", "token"):
            for between in "-_":
                (folder / f"{name}{between}{ending}").write_text(text)
    file = folder / "config.yaml"
    file.write_text(changed(config.read_text(), (secrets, f"{folder}/")))
    checked = ticker("check", str(file))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    loaded = configfile.load(file)
    assert not loaded.warnings
    return loaded.settings


# -- Kubernetes


@pytest.mark.parametrize("version", ["1.29", "1.37"])
def test_kubernetes_takes_each_manifest(version: str) -> None:
    """By the schemas of the oldest version that they are for, and of a new one."""
    for document in MANIFESTS:
        kubernetes_validate.validate(document, version, strict=True)


def test_the_schemas_find_what_is_wrong() -> None:
    """A key that does not exist, at least."""
    wrong = {**manifest("PodDisruptionBudget"), "spec": {"maxUnavailible": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.37", strict=True)


def test_kustomize_makes_one_whole_of_it() -> None:
    """The ConfigMap is made of the config; its name stays, so that pods load it by themselves."""
    built = run(tool("kustomize"), "build", str(KUBERNETES))
    assert built.returncode == 0, built.stderr
    documents = list(YAML(typ="safe").load_all(built.stdout))
    assert len(documents) == len(MANIFESTS) + 1
    (made,) = [d for d in documents if d["kind"] == "ConfigMap"]
    assert made["metadata"]["name"] == "ticker"
    assert made["data"] == {"config.yaml": (KUBERNETES / "config.yaml").read_text()}
    for document in documents:
        kubernetes_validate.validate(document, "1.37", strict=True)
        assert document["kind"] == "Namespace" or document["metadata"]["namespace"] == "ticker"


def test_every_manifest_is_of_the_kustomization() -> None:
    """But for what needs something else to be there: monitoring/."""
    files = {file.name for file in KUBERNETES.glob("*.yaml")}
    assert files - {"kustomization.yaml", "config.yaml"} == set(KUSTOMIZATION["resources"])


def test_pods_end_in_their_time(tmp_path: Path) -> None:
    """Nobody is cut off who could have been told goodbye."""
    server = settings(KUBERNETES / "config.yaml", tmp_path, "/etc/ticker-secrets/").server
    grace = pod("Deployment", "ticker")["terminationGracePeriodSeconds"]
    assert server.drain_delay + server.drain + LEEWAY <= grace
    readiness = pod("Deployment", "ticker")["containers"][0]["readinessProbe"]
    noticed = (readiness["failureThreshold"] + 1) * readiness["periodSeconds"]
    assert server.drain_delay > noticed


def test_an_upgrade_takes_no_place_away() -> None:
    """There is a new pod before an old one goes."""
    strategy = manifest("Deployment")["spec"]["strategy"]
    assert strategy["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert "replicas" not in manifest("Deployment")["spec"]  # or each apply would undo the HPA


def test_pods_can_change_nothing() -> None:
    """As the image: a number for a user, nothing to write to but /tmp, no capability, no token."""
    for kind, name, user in ("Deployment", "ticker", 10001), ("StatefulSet", "valkey", 999):
        spec = pod(kind, name)
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == user
        assert spec["automountServiceAccountToken"] is False
        (container,) = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        secrets = [v["secret"] for v in spec["volumes"] if "secret" in v]
        assert [secret["defaultMode"] for secret in secrets] == [0o440]
        assert "memory" in container["resources"]["limits"]


def test_probes_ask_what_they_should() -> None:
    """A pod that cannot reach the bus gets no viewers, and is not killed for it."""
    (container,) = pod("Deployment", "ticker")["containers"]
    asked = {name: container[name]["httpGet"]["path"] for name in container if "Probe" in name}
    assert asked == {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
    }


def test_everything_is_about_the_same_pods() -> None:
    """Selectors, names and ports meet."""
    labels = {"app.kubernetes.io/name": "ticker"}
    spec = manifest("Deployment")["spec"]
    assert spec["template"]["metadata"]["labels"] == spec["selector"]["matchLabels"] == labels
    assert manifest("Service")["spec"]["selector"] == labels
    assert manifest("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert manifest("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == "ticker"
    (monitor,) = read(KUBERNETES / "monitoring/podmonitor.yaml")
    assert monitor["spec"]["selector"]["matchLabels"] == labels
    for constraint in pod("Deployment", "ticker")["topologySpreadConstraints"]:
        assert constraint["labelSelector"]["matchLabels"] == labels
    bus = manifest("NetworkPolicy", "valkey")["spec"]
    assert bus["ingress"][0]["from"] == [{"podSelector": {"matchLabels": labels}}]
    assert bus["podSelector"] == manifest("StatefulSet", "valkey")["spec"]["selector"]
    backend = manifest("Ingress")["spec"]["rules"][0]["http"]["paths"][0]["backend"]
    assert backend == {"service": {"name": "ticker", "port": {"name": "http"}}}


def test_the_secret_that_is_told_is_the_one_that_is_used() -> None:
    """By deploy/README.md; the bus gets no admin token, the pods no list of users."""
    told = re.findall(r"--from-literal=([\w.-]+)=", (DEPLOY / "README.md").read_text())
    used = [
        item["key"]
        for kind, name in (("Deployment", "ticker"), ("StatefulSet", "valkey"))
        for volume in pod(kind, name)["volumes"]
        for item in volume.get("secret", {}).get("items", [])
    ]
    assert told == used == ["bus-url", "admin-token", "users.acl"]


def test_pods_are_added_before_they_are_full(tmp_path: Path) -> None:
    """By the metric that the adapter makes of ours, well below what a pod takes."""
    (metric,) = manifest("HorizontalPodAutoscaler")["spec"]["metrics"]
    (rule,) = read(KUBERNETES / "monitoring/adapter.yaml")[0]["rules"]["custom"]
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"] == "ticker_viewers"
    average = int(metric["pods"]["target"]["averageValue"])
    most = settings(KUBERNETES / "config.yaml", tmp_path, "/etc/ticker-secrets/").server.max_viewers
    assert average * 1.5 <= most


# -- compose


def test_the_compose_file_is_one() -> None:
    """By the schema of the Compose Specification."""
    found = list(UNPACKED.glob("docker-compose/**/compose_spec.json"))
    if not found:
        pytest.skip("compose_spec.json is not here: scripts/install-test-tools brings it")
    schema = json.loads(found[0].read_text())
    jsonschema.Draft201909Validator(schema).validate(read(CLUSTER / "docker-compose.yaml")[0])


def test_containers_end_in_their_time(tmp_path: Path) -> None:
    """And what they mount is there, or made by deploy/README.md."""
    server = settings(CLUSTER / "config/config.yaml", tmp_path, "/run/secrets/").server
    service = COMPOSE["ticker"]
    assert service["stop_grace_period"] == f"{server.drain_delay + server.drain + 25:g}s"
    for mount in (*service["volumes"], COMPOSE["caddy"]["volumes"][0]):
        assert (CLUSTER / mount["source"]).exists()
    secrets = read(CLUSTER / "docker-compose.yaml")[0]["secrets"]
    told = (DEPLOY / "README.md").read_text()
    assert all(secret["file"].removeprefix("./") in told for secret in secrets.values())


def test_only_the_processes_reach_the_bus() -> None:
    """It is on a network of its own, without a way out."""
    reach = {name for name, service in COMPOSE.items() if "back" in service["networks"]}
    assert reach == {"ticker", "valkey"}
    assert "ports" not in COMPOSE["valkey"]
    assert "ports" not in COMPOSE["ticker"]
    assert read(CLUSTER / "docker-compose.yaml")[0]["networks"]["back"] == {"internal": True}


# -- the bus as it is started there

COMMANDS = {
    "compose": COMPOSE["valkey"]["command"],
    "kubernetes": pod("StatefulSet", "valkey")["containers"][0]["args"],
}
CONFIG = f"""
server: {{{{{TRUSTED}presence: 0s}}}}
bus: {{{{url: "{{url}}"}}}}
feeds:
  f: {{{{kind: simulate, every: 100ms, symbols: {{{{A: 10, B: 20}}}}}}}}
boards:
  b: {{{{feeds: [f]}}}}
"""


@pytest.mark.parametrize("where", COMMANDS)
def test_the_bus_lets_ticker_do_its_work_and_nothing_else(where: str, tmp_path: Path) -> None:
    """With the users of deploy/: strangers nothing, ticker what it needs under its prefix."""
    command = COMMANDS[where]
    assert command[0] == "valkey-server"
    acl = tmp_path / "users.acl"
    acl.write_text(changed((CLUSTER / "users.acl").read_text(), ("PASSWORD", PASSWORD)))
    options = [str(acl) if part.endswith("/users.acl") else part for part in command[1:]]
    options = [str(acl) if part == "/run/secrets/users_acl" else part for part in options]
    with redis(tmp_path, "redis-server", *options) as bus:
        url = bus.url.replace("://", f"://ticker:{PASSWORD}@")
        file = tmp_path / "ticker.yaml"
        file.write_text(changed(CONFIG, ('{url}"', '{url}", lease: 2s')).format(url=url))
        with members(file, 2) as both:
            for member in both:
                with member.follow("b") as viewer:
                    viewer.follow_until(lambda v: v.seqs.get("b", 0) > 5)
            ours = Redis.from_url(url)

            def calls() -> int:
                return int(ours.info("commandstats").get("cmdstat_pexpire", {}).get("calls", 0))

            until(lambda: calls() >= 3, what="a lease that is renewed")
            assert not [m.said for m in both if "the bus does not answer" in m.said]
        with pytest.raises(AuthenticationError):
            Redis.from_url(bus.url).ping()
        assert ours.ping()
        for forbidden in (ours.flushall, ours.keys, ours.config_get, ours.acl_list):
            with pytest.raises(NoPermissionError):
                forbidden()
        with pytest.raises(NoPermissionError):
            ours.set("of others", 1)


# -- proxies before several processes


def viewers(member: Member) -> int:
    """Return how many viewers a process has."""
    text = httpx.get(f"{member.url}/metrics", timeout=PATIENCE).text
    return int(sum(map(float, re.findall(r"^ticker_viewers\{.*\} (\S+)$", text, re.MULTILINE))))


@pytest.fixture
def three(tmp_path: Path) -> Iterator[list[Member]]:
    """Run three processes on one bus."""
    with redis(tmp_path) as bus:
        file = tmp_path / "ticker.yaml"
        file.write_text(CONFIG.format(url=bus.url))
        with members(file, 3) as all_three:
            yield all_three


@contextmanager
def nginx_before(members: list[Member], folder: Path) -> Iterator[str]:
    """Run deploy/nginx.conf before several processes."""
    first, *others = members
    line = "# server 127.0.0.1:8001 max_fails=0;"
    lines = [line[2:].replace("127.0.0.1:8001", m.url.removeprefix("http://")) for m in others]
    several = (("# least_conn;", "least_conn;"), (line, "\n".join(lines)))
    (folder / "nginx").mkdir()
    with nginx(first, folder / "nginx", *several) as url:
        yield url


def test_viewers_go_on_elsewhere_through_nginx(three: list[Member], tmp_path: Path) -> None:
    """They spread; the poller is killed, and who it had is led on by a diff from another."""
    with nginx_before(three, tmp_path) as url:
        go_on(url, three)


class Names(DatagramRequestHandler):
    """A name server that knows every name, and three addresses."""

    def handle(self) -> None:
        """Answer one question: what it says of A, and nothing of AAAA."""
        asked = self.rfile.read()
        question = asked[12 : asked.index(b"\0", 12) + 5]
        of_a = question.endswith(b"\0\1\0\1")
        answers = [b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + bytes((127, 0, 0, last)) for last in (1, 2, 3)]
        count = bytes((0, len(answers) if of_a else 0))
        head = asked[:2] + b"\x81\x80\0\1" + count + b"\0\0\0\0"
        self.wfile.write(head + question + (b"".join(answers) if of_a else b""))


@contextmanager
def names() -> Iterator[int]:
    """Run a name server; the value is its port."""
    with ThreadingUDPServer(("127.0.0.1", 0), Names) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_viewers_go_on_elsewhere_through_caddy(tmp_path: Path) -> None:
    """The same by the Caddyfile of compose, which finds processes by their common name."""
    with redis(tmp_path) as bus, names() as dns, ExitStack() as running:
        file = tmp_path / "ticker.yaml"
        file.write_text(CONFIG.format(url=bus.url))
        port = free_port()
        three = []
        for host in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
            member = Member(file, "--host", host, "--port", str(port))
            running.callback(lambda m=member: m.kill() if m.process.poll() is None else None)  # type: ignore[misc]
            member.port, member.url = port, f"http://{host}:{port}"
            three.append(member)
        for member in three:
            until(lambda m=member: m.ready, what="a member's start", patience=START)  # type: ignore[misc]
        (folder := tmp_path / "caddy").mkdir()
        site = changed(
            (CLUSTER / "Caddyfile").read_text(),
            ("port 8000", f"port {port}"),
            ("refresh 2s", f"refresh 2s\n\t\t\tresolvers udp/127.0.0.1:{dns}"),
        )
        with caddy_with(site, folder) as url:
            go_on(url, three)


def go_on(url: str, three: list[Member]) -> None:
    """Let nine viewers watch by way of a proxy; kill the poller; see that all of them go on."""
    with ExitStack() as watching:
        nine = [watching.enter_context(follow(url)) for _ in range(9)]
        for viewer in nine:
            viewer.follow_until(lambda v: v.seqs.get("b", 0) > 5)
        assert [viewers(member) for member in three] == [3, 3, 3]
        (poller,) = (m for m in three if m.polls)
        poller.kill()
        lost = [viewer for viewer in nine if ended(viewer)]
        assert len(lost) == 3
        for viewer in lost:
            at = {"epoch": viewer.epochs["b"], "seq": viewer.seqs["b"]}
            query = "&".join(f"{key}={value}" for key, value in at.items())
            back = follow(url, f"b&{query}")
            back.rows, back.seqs = dict(viewer.rows), dict(viewer.seqs)
            watching.enter_context(back)
            back.follow_until(lambda v, seq=viewer.seqs["b"]: v.seqs["b"] > seq + 5)  # type: ignore[misc]
            assert not [m for m in back.messages if m["type"] == "snapshot"]
        left = [viewers(member) for member in three if member is not poller]
        assert sorted(left) in ([4, 5], [3, 6])


def ended(viewer: Follower) -> bool:
    """Whether a viewer's connection ends, now that a process was killed."""
    seq = viewer.seqs["b"]
    try:
        viewer.follow_until(lambda v: v.seqs["b"] > seq + 20)
    except ConnectionClosed:
        return True
    return False


class Roamer(threading.Thread):
    """A viewer that comes back with what it has whenever its connection ends, as the page does."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.seq = self.snapshots = 0
        self.codes: list[int | None] = []
        """With which code each connection ended."""
        self.trouble: list[str] = []
        """What should not have happened."""
        self._over = threading.Event()

    def run(self) -> None:
        """Watch until told to stop."""
        last: Follower | None = None
        while not self._over.is_set():
            query = f"b&epoch={last.epochs['b']}&seq={self.seq}" if last is not None else "b"
            try:
                viewer = follow(self.url, query)
                if last is not None:
                    viewer.rows, viewer.seqs, viewer.epochs = last.rows, last.seqs, last.epochs
                with viewer:
                    last = self._watch(viewer)
            except (OSError, AssertionError, WebSocketException) as error:
                self.trouble.append(repr(error))
                return

    def _watch(self, viewer: Follower) -> Follower:
        """Return the viewer when its connection has ended, after the wait that it was told."""
        wait = 0.0
        try:
            while not self._over.is_set():
                message = viewer.next()
                self.snapshots += message["type"] == "snapshot"
                self.seq = viewer.seqs.get("b", 0)
                if message["type"] == "goodbye":
                    wait = random.uniform(*message["retry"])
        except ConnectionClosed as closed:
            self.codes.append(closed.rcvd.code if closed.rcvd is not None else None)
        self._over.wait(wait)
        return viewer

    def stop(self) -> None:
        """Leave."""
        self._over.set()
        self.join(PATIENCE)


@contextmanager
def roaming(url: str, count: int) -> Iterator[list[Roamer]]:
    """Let so many viewers watch by way of a proxy; each must have come without trouble so far."""
    roamers = [Roamer(url) for _ in range(count)]
    try:
        for roamer in roamers:
            roamer.start()
        until(lambda: all(r.seq > 5 or r.trouble for r in roamers), what="the first diffs")
        yield roamers
    finally:
        for roamer in roamers:
            roamer.stop()


UPGRADED = changed(
    CONFIG, ("presence: 0s", "presence: 0s, drain_delay: 500ms, drain: 10s, return_within: 1s")
)


def test_nobody_notices_a_rolling_upgrade(tmp_path: Path) -> None:
    """Each of three processes is replaced: all viewers move, by goodbyes, and get diffs alone."""
    with redis(tmp_path) as bus, ExitStack() as running:
        file = tmp_path / "ticker.yaml"
        file.write_text(UPGRADED.format(url=bus.url))
        three = running.enter_context(members(file, 3))
        with nginx_before(three, tmp_path) as url, roaming(url, 9) as roamers:
            for old in three:
                old.signal(signal.SIGTERM)
                assert old.process.wait(START) == 0
                old.kill()
                new = Member(file, "--port", str(old.port))
                running.callback(new.kill)
                new.port, new.url = old.port, old.url
                until(lambda m=new: m.ready, what="the new one's start", patience=START)  # type: ignore[misc]
            seqs = [roamer.seq for roamer in roamers]
            until(lambda: all(r.seq > s + 5 for r, s in zip(roamers, seqs, strict=True)))
        for roamer in roamers:
            assert roamer.trouble == []
            assert set(roamer.codes) == {CloseCode.DRAINING}
            assert roamer.snapshots == 1


def test_viewers_spread_over_a_process_that_is_added(tmp_path: Path) -> None:
    """By `rotate`: each comes back at once, where the fewest are, and gets a diff."""
    with redis(tmp_path) as bus, ExitStack() as running:
        file = tmp_path / "ticker.yaml"
        file.write_text(
            changed(CONFIG, ("presence: 0s", "presence: 0s, rotate: 1s")).format(url=bus.url)
        )
        two = running.enter_context(members(file, 2))
        added = Member(file)
        running.callback(added.kill)
        added.signal(signal.SIGSTOP)
        with nginx_before([*two, added], tmp_path) as url, roaming(url, 6) as roamers:
            added.signal(signal.SIGCONT)
            until(lambda: added.ready, patience=START)
            until(lambda: viewers(added) >= 2, what="viewers on the added process")
        for roamer in roamers:
            assert roamer.trouble == []
            assert set(roamer.codes) <= {CloseCode.ROTATED}
            assert roamer.snapshots == 1
