"""What sources do when they are ill. What an answer means is told to the oracle first."""

from __future__ import annotations

import asyncio
import gzip
import random
from collections.abc import Callable, Sequence
from email.utils import formatdate
from time import time
from typing import TYPE_CHECKING, Any

import orjson

from tests.faults.oracle import KEEP, UNNAMED, Row
from tests.faults.schedule import fault
from tests.faults.sources import Exchange, Mood, Source, head, written

if TYPE_CHECKING:
    from tests.faults.world import World

FAILS = (r"feed '\w+' failed: ",)
REJECTED = (*FAILS, r"feed '\w+' is incomplete: ")

SILENT = 10.0
"""Longest time without anything good, in seconds: by then everything is old, and says so."""

Make = Callable[[Source], Mood]


async def behave(world: World, rng: random.Random, seconds: float, make: Make) -> None:
    """Let one source, or all, behave as ``make`` says for so long."""
    sources = list(world.sources.values())
    sources = rng.choice([[source] for source in sources] + [sources])
    moods = [(source, make(source)) for source in sources]
    for source, mood in moods:
        source.moods.append(mood)
    try:
        await asyncio.sleep(seconds)
    finally:
        for source, mood in moods:
            source.moods.remove(mood)


def lying(source: Source) -> bytes:
    """Return a document that is well made and untrue: nothing of it may be shown."""
    return orjson.dumps({"rows": source.lies()})


# -- nothing comes, or not all of it


@fault("upstream: refused", logs=FAILS, longest=SILENT)
async def refused(world: World, rng: random.Random, seconds: float) -> None:
    """Nobody listens."""
    source = rng.choice(list(world.sources.values()))
    await source.close()
    try:
        await asyncio.sleep(seconds)
    finally:
        await source.open()


@fault("upstream: resets", logs=FAILS, longest=SILENT)
async def resets(world: World, rng: random.Random, seconds: float) -> None:
    """Connections are taken, and end without a word."""

    def make(source: Source) -> Mood:
        async def mood(exchange: Exchange) -> None:
            if rng.random() < 0.5:
                await asyncio.sleep(rng.uniform(0, 0.2))
            exchange.reset()

        return mood

    await behave(world, rng, seconds, make)


@fault("upstream: hangs", logs=FAILS, longest=SILENT)
async def hangs(world: World, rng: random.Random, seconds: float) -> None:
    """Requests are taken, and never answered, or with a head alone."""

    def make(source: Source) -> Mood:
        async def mood(exchange: Exchange) -> None:
            if rng.random() < 0.5:
                await exchange.raw(head(200, 1000))
            await asyncio.sleep(2)
            exchange.reset()

        return mood

    await behave(world, rng, seconds, make)


@fault("upstream: drips", logs=FAILS)
async def drips(world: World, rng: random.Random, seconds: float) -> None:
    """Good answers come in small pieces, in time or not."""

    def make(source: Source) -> Mood:
        async def mood(exchange: Exchange) -> None:
            source.step()
            rows = source.table()
            body = written(rows)
            data = head(200, len(body), ETag=source.etag) + body
            offer = source.oracle.offered(source.name, rows, source.etag)
            pieces = rng.randrange(5, 30)
            pause = rng.uniform(0.05, 0.5) / pieces
            size = len(data) // pieces + 1
            for start in range(0, len(data), size):
                if start + size >= len(data):
                    offer.sent()
                await exchange.raw(data[start : start + size])
                await asyncio.sleep(pause)

        return mood

    await behave(world, rng, seconds, make)


@fault("upstream: late", logs=FAILS)
async def late(world: World, rng: random.Random, seconds: float) -> None:
    """Good answers come late, sometimes when nobody waits any more."""

    def make(source: Source) -> Mood:
        async def mood(exchange: Exchange) -> None:
            await asyncio.sleep(rng.uniform(0, 0.3))
            await source.honest(exchange)

        return mood

    await behave(world, rng, seconds, make)


@fault("upstream: truncated", logs=FAILS, longest=SILENT)
async def truncated(world: World, rng: random.Random, seconds: float) -> None:
    """Answers end in the middle, with an end of the connection that may look like a good one."""

    def make(source: Source) -> Mood:
        async def mood(exchange: Exchange) -> None:
            body = lying(source)
            part = body[: rng.randrange(1, len(body))]
            way = rng.choice(("length", "chunks", "end", "gzip"))
            if way == "length":
                await exchange.raw(head(200, len(body)) + part)
            elif way == "chunks":
                chunk = b"%x\r\n%s\r\n" % (len(part), part)
                await exchange.raw(head(200, None, Transfer_Encoding="chunked") + chunk)
            elif way == "end":
                await exchange.raw(head(200, None, Connection="close") + part)
            else:
                packed = gzip.compress(body)[:-9]
                await exchange.answer(200, packed, Content_Encoding="gzip")
            if rng.random() < 0.5:
                exchange.reset()
            exchange.writer.close()

        return mood

    await behave(world, rng, seconds, make)


# -- something else comes


@fault("upstream: a page of HTML", logs=FAILS, longest=SILENT)
async def html(world: World, rng: random.Random, seconds: float) -> None:
    """A page with status 200, as of a login or a proxy."""

    def make(source: Source) -> Mood:
        async def mood(exchange: Exchange) -> None:
            page = b"<!doctype html><title>Sign in</title><script>rows = %s</script>"
            await exchange.answer(200, page % lying(source), Content_Type="text/html")

        return mood

    await behave(world, rng, seconds, make)


@fault("upstream: asks to be left alone", logs=FAILS, longest=3.0)
async def alone(world: World, rng: random.Random, seconds: float) -> None:
    """429 and 503 with Retry-After: until then nothing may be asked."""

    def make(source: Source) -> Mood:
        async def mood(exchange: Exchange) -> None:
            wait = rng.choice((1, 1, 2, 3))
            dated = rng.random() < 0.3
            source.told = exchange.writer
            told = formatdate(int(time()) + wait, usegmt=True) if dated else str(wait)
            source.alone_until = int(time()) + wait if dated else time() + wait
            await exchange.answer(rng.choice((429, 503)), lying(source), Retry_After=told)

        return mood

    await behave(world, rng, seconds, make)


@fault("upstream: errors", logs=FAILS, longest=SILENT)
async def errors(world: World, rng: random.Random, seconds: float) -> None:
    """Statuses of all kinds, with bodies that could be read."""

    def make(source: Source) -> Mood:
        async def mood(exchange: Exchange) -> None:
            status = rng.choice((201, 203, 206, 400, 401, 403, 404, 408, 418, 429, 500, 502, 503))
            await exchange.answer(status, lying(source))

        return mood

    await behave(world, rng, seconds, make)


@fault("upstream: redirects", logs=FAILS)
async def redirects(world: World, rng: random.Random, seconds: float) -> None:
    """It sends whoever asks elsewhere, round in circles, or here at last."""

    def make(source: Source) -> Mood:
        async def mood(exchange: Exchange) -> None:
            choices = (
                "/elsewhere",
                source.url,
                "http://127.0.0.2:9/",
                "ftp://127.0.0.1/",
                "//",
                "%",
            )
            if rng.random() < 0.3:
                await source.honest(exchange)
            else:
                status = rng.choice((301, 302, 307, 308))
                await exchange.answer(status, lying(source), Location=rng.choice(choices))

        return mood

    await behave(world, rng, seconds, make)


@fault("upstream: no HTTP", logs=FAILS, longest=SILENT)
async def no_http(world: World, rng: random.Random, seconds: float) -> None:
    """What answers speaks another language, or this one badly."""

    def make(source: Source) -> Mood:
        async def mood(exchange: Exchange) -> None:
            body = lying(source)
            noise = (
                b"SSH-2.0-OpenSSH_9.6\r\n",
                rng.randbytes(300),
                b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + body,
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\n" + body,
                b"HTTP/1.1 2000 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body,
                b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200_000 + b"\r\n" + body,
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + body,
                head(200, len(body), Content_Encoding="gzip") + body,
            )
            await exchange.raw(rng.choice(noise))
            exchange.writer.close()

        return mood

    await behave(world, rng, seconds, make)


def wrong_documents(rows: Sequence[dict[str, Any]]) -> list[bytes]:
    """Return bodies of which no row can be read, though they come with status 200."""
    good = orjson.dumps({"rows": list(rows)})
    symbols = [str(row["symbol"]).encode() for row in rows]
    values: list[Any] = [{}, [1], "soon", True, None]
    untyped = [
        dict.fromkeys(row, values[n % len(values)]) | {"symbol": row["symbol"]}
        for n, row in enumerate(rows)
    ]
    numbers = [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 5_000, b"0x10", b"1.2.3", b"+1"]
    odd = [b'{"symbol":"%s","last":%s}' % pair for pair in zip(symbols, numbers, strict=False)]
    return [
        b"",
        b" \n ",
        b"null",
        b"[]",
        b"{}",
        b'"rows"',
        b"12",
        b'{"rows":null}',
        b'{"rows":[]}',
        b'{"rows":{}}',
        b'{"rows":"none"}',
        b'{"data":' + good + b"}",
        good + good,
        good + b"}",
        good.replace(b":", b"=", 1),
        good.replace(b"symbol", b"sym"),
        good.decode().encode("utf-16"),
        good.replace(b"rows", b"r\xffws"),
        b"[" * 50_000,
        b'{"rows":[' + b",".join(odd) + b"]}",
        orjson.dumps({"rows": untyped}),
        orjson.dumps({"rows": [1, "two", None, [3]]}),
        good[:-1] + b',"more":"' + b"x" * 300_000 + b'"}',
        orjson.dumps({"rows": [], "error": "quota"}),
    ]


@fault("upstream: wrong JSON", logs=FAILS, longest=SILENT)
async def wrong_json(world: World, rng: random.Random, seconds: float) -> None:
    """Documents that are not what was configured, each time another."""

    def make(source: Source) -> Mood:
        async def mood(exchange: Exchange) -> None:
            body = rng.choice(wrong_documents(source.lies()))
            await exchange.answer(200, body, ETag=source.other(), Content_Type="application/json")

        return mood

    await behave(world, rng, seconds, make)


@fault("upstream: gzip bombs", logs=FAILS, longest=3.0)
async def bombs(world: World, rng: random.Random, seconds: float) -> None:
    """Answers that are small, and endless once they are inflated."""
    bomb = gzip.compress(b" " * 30_000_000 + b"{}")

    def make(source: Source) -> Mood:
        async def mood(exchange: Exchange) -> None:
            await exchange.answer(200, bomb, Content_Encoding="gzip")

        return mood

    await behave(world, rng, seconds, make)


# -- rows are not as they were


@fault("upstream: some rows wrong", logs=REJECTED, longest=SILENT)
async def some_rows(world: World, rng: random.Random, seconds: float) -> None:
    """Some rows cannot be read, the others are good."""

    def make(source: Source) -> Mood:
        ill = rng.sample(sorted(source.rows), rng.randrange(1, len(source.rows)))
        last: dict[str, dict[str, Row]] = {}

        async def mood(exchange: Exchange) -> None:
            if exchange.etag in last and rng.random() < 0.5:
                source.oracle.confirmed(source.name, last[exchange.etag])
                await exchange.answer(304)
                return
            source.step()
            rows: dict[str, Row] = dict(source.table())
            told: list[Any] = []
            lies = {row["symbol"]: row for row in source.lies()}
            for symbol, row in list(rows.items()):
                if symbol not in ill:
                    told.append({"symbol": symbol, **row})
                    continue
                rows[symbol] = KEEP
                told.append(_unreadable(rng, lies[symbol]))
                if not (isinstance(told[-1], dict) and told[-1]):
                    rows[UNNAMED] = KEEP
            body, name = orjson.dumps({"rows": told}), source.other()
            last.clear()
            last[name] = rows
            await source.say(exchange, rows, body, ETag=name)

        return mood

    await behave(world, rng, seconds, make)


def _unreadable(rng: random.Random, row: dict[str, Any]) -> Any:
    """Return a row that says nothing that can be used, but perhaps whose it is."""
    needed = "last" if "last" in row else "home_score"
    value: Any = rng.choice(({"x": 1}, [1], "soon", True, "1e999", "1,2,3", None, ""))
    if rng.random() < 0.2:
        return rng.choice((None, 7, "row", [], {}))
    if rng.random() < 0.2:
        return {name: value for name, value in row.items() if name != needed}
    return {**row, needed: value}


@fault("upstream: rows come and go")
async def come_and_go(world: World, rng: random.Random, seconds: float) -> None:
    """Instruments vanish from the answers, others appear, and all of that back again."""
    source = world.sources["prices"]

    async def mood(exchange: Exchange) -> None:
        source.step()
        rows = source.table()
        for symbol in rng.sample(sorted(rows), rng.randrange(0, 12)):
            del rows[symbol]
        for number in range(rng.randrange(0, 4)):
            rows[f"N{number}"] = {"last": 5.5, "open": 5.0, "volume": 1, "time": _now()}
        await source.say(exchange, rows, ETag=source.other())

    source.moods.append(mood)
    try:
        await asyncio.sleep(seconds)
    finally:
        source.moods.remove(mood)


@fault("upstream: said again")
async def again(world: World, rng: random.Random, seconds: float) -> None:
    """The same answer comes again, with 200, under its own name, another, or none."""

    def make(source: Source) -> Mood:
        async def mood(exchange: Exchange) -> None:
            if rng.random() < 0.3:
                source.step()
            name = rng.choice((source.etag, source.other()))
            await source.say(exchange, source.table(), ETag=name)

        return mood

    await behave(world, rng, seconds, make)


@fault("upstream: older answers")
async def older(world: World, rng: random.Random, seconds: float) -> None:
    """Answers of a moment ago come after newer ones, as from several caches."""

    def make(source: Source) -> Mood:
        async def mood(exchange: Exchange) -> None:
            source.step()
            rows = rng.choice([*source.old, source.table()])
            await source.say(exchange, rows, ETag=source.other())

        return mood

    await behave(world, rng, seconds, make)


@fault("upstream: clocks jump")
async def clocks(world: World, rng: random.Random, seconds: float) -> None:
    """The times in its rows jump forth and back, by seconds or years."""
    source = world.sources["prices"]
    offset = rng.choice((-2e9, -86_400, -3_600, -20, -3, 3, 20, 3_600, 86_400, 2e9)) * 1000

    async def mood(exchange: Exchange) -> None:
        source.step()
        shifts = rng.random() < 0.8
        rows = {
            symbol: {**row, "time": round(row["time"] + offset * shifts)}
            for symbol, row in source.table().items()
        }
        await source.say(exchange, rows, ETag=source.other())

    source.moods.append(mood)
    try:
        await asyncio.sleep(seconds)
    finally:
        source.moods.remove(mood)


@fault("upstream: scores flap")
async def flaps(world: World, rng: random.Random, seconds: float) -> None:
    """Scores fall and games go back, for one answer or several, and rise again."""
    source = world.sources["scores"]

    async def mood(exchange: Exchange) -> None:
        if rng.random() < 0.5:
            source.step()
        rows = source.table()
        for game in rng.sample(sorted(rows), rng.randrange(0, 4)):
            back: dict[str, Any] = rng.choice(
                ({"home_score": 0}, {"away_score": 0}, {"status": "scheduled"}, {"status": "live"})
            )
            rows[game] = {**rows[game], **back}
            if rng.random() < 0.3:
                source.rows[game] = dict(rows[game])  # it stays so
        await source.say(exchange, rows, ETag=source.other())

    source.moods.append(mood)
    try:
        await asyncio.sleep(seconds)
    finally:
        source.moods.remove(mood)


# -- HTTP as it may be


@fault("upstream: keeps no connection", logs=FAILS)
async def keeps_none(world: World, rng: random.Random, seconds: float) -> None:
    """After each answer the connection ends, and nothing told so."""

    def make(source: Source) -> Mood:
        async def mood(exchange: Exchange) -> None:
            await source.honest(exchange)
            await asyncio.sleep(rng.choice((0, 0, 0.05, 0.15)))
            exchange.writer.close()

        return mood

    await behave(world, rng, seconds, make)


@fault("upstream: other forms")
async def forms(world: World, rng: random.Random, seconds: float) -> None:
    """Good answers in chunks, compressed, after news that it is coming, named by a date or not."""

    def make(source: Source) -> Mood:
        async def mood(exchange: Exchange) -> None:
            source.step()
            rows, way = source.table(), rng.randrange(4)
            if way == 0:
                await exchange.raw(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
            if way == 1:
                await source.say(
                    exchange, rows, gzip.compress(written(rows)), Content_Encoding="gzip"
                )
            elif way == 2:
                source.others += 1
                date = formatdate(1_700_000_000 + source.others, usegmt=True)
                await source.say(exchange, rows, ETag="", Last_Modified=date)
            else:
                await source.say(exchange, rows, ETag=rng.choice(("", source.etag)))

        return mood

    await behave(world, rng, seconds, make)


def _now() -> int:
    return round(time() * 1000)
