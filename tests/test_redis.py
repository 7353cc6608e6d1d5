"""The bus on Redis: how it is reached, what it needs there, and what it says when it is ill."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.buses import Redis, Sentinel, redis
from tests.support import until
from tests.test_bus import LONG, NEW, at, beat, eventually, led, step, works
from tests.test_cli import free_port
from ticker.bus import Bus, BusError, Fenced, Untaken
from ticker.bus.connect import connect
from ticker.config import Bus as Settings

SCALING = Path(__file__).parent.parent / "docs" / "scaling.md"
PASSWORD = "p@ss/w:rd#?%2"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Redis]:
    """Return a server of the test's own."""
    with redis(tmp_path) as found:
        yield found


Reach = Callable[..., Bus]


@pytest.fixture
async def reach() -> AsyncIterator[Reach]:
    """Return a function that makes a bus at a URL."""
    made: list[Bus] = []

    def one_more(url: str, *, lease: float = 1.0) -> Bus:
        made.append(connect(Settings(url=url, lease=lease)))
        return made[-1]

    yield one_more
    for bus in made:
        await bus.close()


async def all_work(bus: Bus) -> None:
    """Assert that everything works."""
    await bus.forget(await works(bus), ["b"])


async def said(bus: Bus, ask: Callable[[], Awaitable[object]] | None = None) -> str:
    """Return what a bus says that cannot do what it is asked."""
    with pytest.raises(BusError) as caught:
        await (ask or (lambda: bus.beat(beat("p"))))()
    return str(caught.value)


# -- ways to a server


async def test_one_server_has_many_names(server: Redis, tmp_path: Path, reach: Reach) -> None:
    """Of either kind, with a database, with a name and a password, and a socket."""
    socket = tmp_path / "s o.sock"
    with redis(tmp_path, "redis-server", "--unixsocket", str(socket)) as other:
        await all_work(reach(f"unix://{quote(str(socket))}"))
        await all_work(reach(f"unix://{quote(str(socket))}?db=2"))
        assert "db2" in other.tell("INFO", "keyspace")
    where = f"localhost:{server.port}"
    await all_work(reach(f"valkey://{where}"))
    await all_work(reach(f"redis://{where}/7"))
    assert "db7" in server.tell("INFO", "keyspace")
    server.tell("ACL", "SETUSER", "us/er", "on", f">{PASSWORD}", "~*", "+@all")
    await all_work(reach(f"redis://us%2Fer:{quote(PASSWORD, safe='')}@{where}/7"))
    await all_work(reach(f"redis://{where}?username=us/er&password={quote(PASSWORD, safe='')}"))
    server.tell("ACL", "SETUSER", "default", "resetpass", f">{PASSWORD}")
    await all_work(reach(f"redis://:{quote(PASSWORD, safe='')}@{where}"))
    for wrong in ("redis://:wrong-word@", "redis://us%2Fer:wrong-word@"):
        bus = reach(wrong + where)
        assert await said(bus) == "the server refuses the name or the password"
    bus = reach(f"redis://{where}")
    assert await said(bus) == "the server wants a name and a password"


def _signed(
    name: str, folder: Path, issuer: tuple[x509.Name, ec.EllipticCurvePrivateKey] | None = None
) -> tuple[x509.Name, ec.EllipticCurvePrivateKey]:
    """Write a key and a certificate, signed by an issuer or itself; return its name and key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    above, signs = issuer or (subject, key)
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder(above, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    certificate = builder.sign(signs, hashes.SHA256())
    pem = serialization.Encoding.PEM
    (folder / f"{name}.crt").write_bytes(certificate.public_bytes(pem))
    form, open_ = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / f"{name}.key").write_bytes(key.private_bytes(pem, form, open_))
    return subject, key


async def test_a_server_is_reached_over_tls(tmp_path: Path, reach: Reach) -> None:
    """With our own authority and certificate; who cannot be trusted gets nothing."""
    authority = _signed("authority", tmp_path)
    _signed("stranger", tmp_path)
    for name in "localhost", "ticker":
        _signed(name, tmp_path, authority)

    def file(name: str) -> str:
        return str(tmp_path / name)

    options = ["--tls-auth-clients", "yes", "--tls-ca-cert-file", file("authority.crt")]
    options += ["--tls-cert-file", file("localhost.crt"), "--tls-key-file", file("localhost.key")]
    port = free_port()
    with redis(tmp_path, "redis-server", "--tls-port", str(port), *options):
        own = f"ssl_certfile={file('ticker.crt')}&ssl_keyfile={file('ticker.key')}"
        trusts = f"ssl_ca_certs={file('authority.crt')}"
        await all_work(reach(f"rediss://localhost:{port}?{trusts}&{own}"))
        await all_work(
            reach(f"valkeys://localhost:{port}/0?{trusts}&{own}&ssl_check_hostname=true")
        )
        await all_work(reach(f"rediss://127.0.0.1:{port}?{trusts}&{own}&ssl_check_hostname=false"))
        await all_work(reach(f"rediss://127.0.0.1:{port}?ssl_cert_reqs=none&{own}"))
        for query, words in (
            (f"ssl_ca_certs={file('stranger.crt')}&{own}", "certificate verify failed"),
            (own, "certificate verify failed"),
            (trusts, "certificate required|Connection closed|reset"),
        ):
            bus = reach(f"rediss://localhost:{port}?{query}")
            assert re.search(words, await said(bus), re.IGNORECASE)
        bus = reach(f"rediss://127.0.0.1:{port}?{trusts}&{own}")
        assert "IP address mismatch" in await said(bus)
        bus = reach(f"redis://localhost:{port}")
        assert await said(bus)


async def test_a_name_needs_no_more_rights_than_we_say(server: Redis, reach: Reach) -> None:
    """Those of docs/scaling.md: everything works, and not one command can be left out."""
    (line,) = re.findall(r"^ACL SETUSER ticker on (.*)$", SCALING.read_text(), re.MULTILINE)
    rights = [word for word in line.split() if word.startswith("+")]
    rules = [word for word in line.split() if word.startswith("~")]
    assert rules == ["~{ticker}:*"]
    url = f"redis://ticker:secret-word@127.0.0.1:{server.port}"
    allow = ("on", ">secret-word", *rules)
    server.tell("ACL", "SETUSER", "ticker", *allow, *rights)
    await all_work(reach(url))
    for right in rights:
        server.tell("FLUSHALL")
        server.tell("SCRIPT", "FLUSH")
        server.tell("ACL", "SETUSER", "ticker", f"-{right[1:]}")
        try:
            async with asyncio.timeout(1.0):
                await all_work(reach(url))
            worked = True
        except (BusError, TimeoutError):
            worked = False
        assert worked is (right == "+info"), right
        server.tell("ACL", "SETUSER", "ticker", right)
    server.tell("ACL", "SETUSER", "ticker", "resetkeys", "~{other}:*")
    bus = reach(url)
    assert "no permissions to access one of the keys" in await said(bus)


# -- several servers


@contextmanager
def sentinel(directory: Path, *watched: Redis) -> Iterator[Redis]:
    """Run a Sentinel that watches a primary and its replicas."""
    guard = Sentinel(directory, watched[0])
    guard.start()

    def knows_all() -> bool:
        about = guard.tell("SENTINEL", "MASTERS")[0]
        told = dict(zip(about[::2], about[1::2], strict=True))
        return bool(told["num-slaves"] == str(len(watched) - 1))

    try:
        until(knows_all, what="a look at all servers")
        yield guard
    finally:
        guard.kill()


@contextmanager
def copied(directory: Path) -> Iterator[tuple[Redis, Redis]]:
    """Run a server and a replica of it."""
    with redis(directory) as primary, redis(directory) as replica:
        replica.tell("REPLICAOF", "127.0.0.1", primary.port)
        until(lambda: "master_link_status:up" in replica.tell("INFO", "replication"))
        yield primary, replica


def leads(server: Redis) -> bool:
    """Whether a server is a primary."""
    return "role:master" in server.tell("INFO", "replication")


@pytest.mark.parametrize("ends", ["changed", "stopped", "dead"])
async def test_sentinels_say_where_the_primary_is(tmp_path: Path, reach: Reach, ends: str) -> None:
    """After a fail-over, whatever became of the old one; of the Sentinels one may be dead."""
    with copied(tmp_path) as servers, sentinel(tmp_path, *servers) as guard:
        first, second = servers
        hosts = f"127.0.0.1:{free_port()},127.0.0.1:{guard.port}"
        bus = reach(f"redis+sentinel://{hosts}/boards/0")
        memory = (await bus.beat(beat("p", await works(bus)))).memory
        until(lambda: second.tell("EXISTS", "{ticker}:state:b"))
        if ends == "changed":
            guard.tell("SENTINEL", "FAILOVER", "boards")
        else:
            first.signal(signal.SIGSTOP if ends == "stopped" else signal.SIGKILL)
        try:
            until(lambda: leads(second), what="a fail-over")
            if ends == "changed":
                until(lambda: not leads(first))
            term = await works(bus)
        finally:
            first.signal(signal.SIGCONT)
        assert second.tell("GET", "{ticker}:lease") == term
        assert (await bus.beat(beat("p", term))).memory != memory


async def test_a_service_that_no_sentinel_knows_is_said_so(
    server: Redis, tmp_path: Path, reach: Reach
) -> None:
    """By its name."""
    with sentinel(tmp_path, server) as guard:
        stranger = reach(f"redis+sentinel://127.0.0.1:{guard.port}/others")
        assert "no Sentinel knows a primary of 'others'" in await said(stranger)
    dead = reach(f"redis+sentinel://127.0.0.1:{guard.port}/boards")
    assert "no Sentinel knows a primary of 'boards'" in await said(dead)


def node_options() -> list[str]:
    """Return what makes a server a node of a cluster."""
    port = str(free_port())
    return ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-port", port]


@contextmanager
def cluster(directory: Path, count: int) -> Iterator[list[Redis]]:
    """Run a cluster of so many nodes, each with a part of the slots."""
    with ExitStack() as stack:
        nodes = []
        for i in range(count):
            place = directory / f"node-{i}"
            place.mkdir()
            nodes.append(stack.enter_context(redis(place, "redis-server", *node_options())))
        bounds = [16384 * i // count for i in range(count + 1)]
        for node, low, high in zip(nodes, bounds, bounds[1:], strict=False):
            node.tell("CLUSTER", "ADDSLOTSRANGE", low, high - 1)
            meet(node, nodes[0])
        until(lambda: all(well(node, count) for node in nodes), what="a cluster")
        yield nodes


def meet(node: Redis, other: Redis) -> None:
    """Let a node know another."""
    port = int(other.tell("CONFIG", "GET", "cluster-port")[1])
    node.tell("CLUSTER", "MEET", "127.0.0.1", other.port, port)


def well(node: Redis, known: int) -> bool:
    """Whether a node finds its cluster well, and knows so many nodes."""
    about = node.tell("CLUSTER", "INFO")
    return "cluster_state:ok" in about and f"cluster_known_nodes:{known}" in about


def owner(nodes: list[Redis]) -> Redis:
    """Return the node that has the keys of our prefix."""
    return next(node for node in nodes if node.tell("DBSIZE"))


def move(nodes: list[Redis], source: Redis, target: Redis) -> None:
    """Move our keys to another node, as one does with a cluster that serves."""
    slot = source.tell("CLUSTER", "KEYSLOT", "{ticker}")
    ids = {node: node.tell("CLUSTER", "MYID") for node in nodes}
    target.tell("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
    source.tell("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
    keys = source.tell("CLUSTER", "GETKEYSINSLOT", slot, 100)
    source.tell("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
    for node in (target, source, *nodes):
        node.tell("CLUSTER", "SETSLOT", slot, "NODE", ids[target])


async def test_a_cluster_is_one_place(tmp_path: Path, reach: Reach) -> None:
    """Whichever node is asked first, and when the keys move to another."""
    with cluster(tmp_path, 3) as nodes:
        for node in nodes:
            await all_work(reach(f"redis+cluster://127.0.0.1:{node.port}"))
        bus = reach(f"redis+cluster://127.0.0.1:{nodes[0].port},127.0.0.1:{nodes[1].port}")
        term = await works(bus)
        before = await bus.load("b")
        source = owner(nodes)
        move(nodes, source, next(node for node in nodes if node is not source))
        assert owner(nodes) is not source
        assert await bus.load("b") == before
        await bus.publish(term, step(1))
        found = await bus.read({"b": before.cursor}, LONG)
        assert [data for _, data in found["b"]] == [b"entry 1"]


async def test_a_node_of_a_cluster_may_die(tmp_path: Path, reach: Reach) -> None:
    """Its replica takes over, and the bus finds it."""
    place = tmp_path / "replica"
    place.mkdir()
    with cluster(tmp_path, 3) as nodes, redis(place, "redis-server", *node_options()) as replica:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        bus = reach(f"redis+cluster://{hosts}", lease=0.5)
        await works(bus)
        dies = owner(nodes)
        meet(replica, nodes[0])
        until(lambda: all(well(node, 4) for node in [*nodes, replica]))
        replica.tell("CLUSTER", "REPLICATE", dies.tell("CLUSTER", "MYID"))
        until(lambda: "master_link_status:up" in replica.tell("INFO", "replication"))
        until(lambda: replica.tell("DBSIZE") == dies.tell("DBSIZE"))
        dies.kill()
        until(lambda: "role:master" in replica.tell("INFO", "replication"), what="a fail-over")
        await works(bus)


# -- a server that is ill


async def both(server: Redis, reach: Reach) -> tuple[Bus, Bus, str]:
    """Return a poller, another process, and the term."""
    poller, other = reach(server.url), reach(server.url)
    return poller, other, await works(poller)


@pytest.mark.parametrize(
    ("ill", "well_again", "words"),
    [
        (
            ["CONFIG SET maxmemory 1"],
            ["CONFIG SET maxmemory 0"],
            "the server takes nothing: it is out of memory (maxmemory)",
        ),
        (
            ["REPLICAOF 127.0.0.1 1"],
            ["REPLICAOF NO ONE"],
            "the server takes nothing: it is a replica",
        ),
        (
            ["CONFIG SET min-replicas-to-write 1"],
            ["CONFIG SET min-replicas-to-write 0"],
            "the server takes nothing: it has too few replicas",
        ),
    ],
)
async def test_a_server_that_takes_nothing_is_said_so(
    server: Redis, ill: list[str], well_again: list[str], words: str, reach: Reach
) -> None:
    """In words, to all processes; nothing is done by half, and it works again when it does."""
    poller, other, term = await both(server, reach)
    before = await poller.load("b")
    for command in ill:
        server.tell(*command.split())
    for ask in (
        lambda: poller.beat(beat("p", term)),
        lambda: other.beat(beat("o")),
        lambda: poller.publish(term, step(1, state=True)),
        lambda: poller.say(b"hear"),
    ):
        with pytest.raises(Untaken) as caught:
            await ask()
        assert str(caught.value) == words
    assert await other.load("b") == before
    for command in well_again:
        server.tell(*command.split())
    await works(poller)
    await works(other)


async def test_a_disk_that_is_gone_is_said_so(tmp_path: Path, reach: Reach) -> None:
    """Where the server refuses to go on without it."""
    with redis(tmp_path, "redis-server", "--enable-protected-configs", "yes") as server:
        await _loses_its_disk(server, tmp_path, reach)


async def _loses_its_disk(server: Redis, tmp_path: Path, reach: Reach) -> None:
    poller, other, term = await both(server, reach)
    server.tell("CONFIG", "SET", "save", "3600 1")
    place = tmp_path / "gone"
    place.mkdir()
    server.tell("CONFIG", "SET", "dir", str(place))
    place.rmdir()
    server.tell("BGSAVE")
    until(lambda: "rdb_last_bgsave_status:err" in server.tell("INFO", "persistence"))
    words = "the server takes nothing: it cannot write to its disk"
    assert await said(poller, lambda: poller.publish(term, step(1))) == words
    assert await said(other) == words
    place.mkdir()
    server.tell("CONFIG", "SET", "dir", str(place))
    server.tell("BGSAVE")
    until(lambda: "rdb_last_bgsave_status:ok" in server.tell("INFO", "persistence"))
    await works(other)


async def test_a_prefix_of_another_program_is_said_so(server: Redis, reach: Reach) -> None:
    """Nothing of it is changed."""
    bus = reach(server.url)
    server.tell("SET", "{ticker}:members", "mine")
    assert await said(bus) == "the prefix is in use for something else"
    assert server.tell("GET", "{ticker}:members") == "mine"
    server.tell("DEL", "{ticker}:members")
    await works(bus)


async def test_a_server_that_forgot_the_scripts_is_told_again(server: Redis, reach: Reach) -> None:
    """Nobody notices."""
    bus = reach(server.url)
    term = await led(bus, 1)
    memory = (await bus.beat(beat("p", term))).memory
    server.tell("SCRIPT", "FLUSH")
    await bus.publish(term, step(2))
    server.tell("SCRIPT", "FLUSH")
    assert (await bus.load("b")).position == at(2)
    server.tell("SCRIPT", "FLUSH")
    assert (await bus.beat(beat("p", term))).memory == memory


async def test_a_server_that_may_have_forgotten_is_another_memory(
    server: Redis, reach: Reach
) -> None:
    """After a restart, or when it was emptied; terms are others, too."""
    bus, seen = reach(server.url), set[str]()
    for lose in (lambda: server.tell("FLUSHALL"), server.kill, lambda: None):
        pulse = await bus.beat(beat("p"))
        seen |= {pulse.term, pulse.memory}
        assert (await bus.beat(beat("p", pulse.term))).memory == pulse.memory
        lose()
        if server.process.poll() is not None:
            server.start()
            await eventually(lambda: _answers(bus))
            server.tell("FLUSHALL")
    assert len(seen) == 6


async def _answers(bus: Bus) -> bool:
    try:
        await bus.latest()
    except BusError:
        return False
    return True


async def test_a_memory_needs_no_right_to_info(server: Redis, reach: Reach) -> None:
    """Another server, or one that was restarted, is known by having forgotten the scripts."""
    server.tell("ACL", "SETUSER", "default", "-info")
    one, other = reach(server.url), reach(server.url)
    pulse = await one.beat(beat("a"))
    assert (await other.beat(beat("b"))).memory == pulse.memory
    server.tell("SCRIPT", "FLUSH")  # as a restart does
    with pytest.raises(Fenced):
        await one.publish(pulse.term, replace(NEW, memory=pulse.memory))
    again = await other.beat(beat("b"))
    assert again.memory != pulse.memory
    assert (await one.beat(beat("a", pulse.term))).memory == again.memory
    await one.publish(pulse.term, replace(NEW, memory=again.memory))


# -- what it costs


def calls(server: Redis) -> dict[str, int]:
    """Return how often each command was called by somebody."""
    told = server.tell("INFO", "commandstats")
    return {name: int(n) for name, n in re.findall(r"cmdstat_(\S+):calls=(\d+)", told)}


async def test_a_step_and_a_beat_are_one_message_each(server: Redis, reach: Reach) -> None:
    """However many boards there are, and whoever reads."""
    poller = reach(server.url)
    term = await led(poller)
    server.tell("CONFIG", "RESETSTAT")
    for seq in range(1, 51):
        await poller.publish(term, step(seq, state=seq % 10 == 0))
    for _ in range(7):
        await poller.beat(beat("p", term))
    asked = calls(server)
    assert asked["evalsha"] == 57
    assert {"eval", "hello", "client", "ping", "select", "command"}.isdisjoint(asked)
    assert asked["xadd"] == 50


async def test_boards_share_few_connections(server: Redis, reach: Reach) -> None:
    """Many are published at the same time, and beats do not wait for them."""
    poller = reach(server.url)
    term = await led(poller)

    async def publish(board: str) -> None:
        for seq in range(20):
            before = at(seq - 1) if seq else None
            one = step(seq + 1)
            await poller.publish(term, type(one)(board, before, at(seq), b"e", b"s"))

    async with asyncio.TaskGroup() as tasks:
        for i in range(100):
            tasks.create_task(publish(f"board-{i}"))
    assert len((await poller.beat(beat("p", term))).positions) == 101
    assert len(server.tell("CLIENT", "LIST").splitlines()) <= 12
