"""The server of a soak, the source that it polls, and the versions of its config."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import jwt
import orjson

from tests.support import Handler, Source

KEY = "the key of tokens in a soak, which opens nothing else"
ADMIN = "admin-token-of-the-soak"
PUSH = "push-token-of-the-soak"
MINUTE = 60.0
SICK_EVERY, SICK_SECONDS = 50.0, 5.0
"""How often the source is ill, and for how long."""

# the past is so short that it is full when the warm-up is over
CONFIG = """
server: {{host: 127.0.0.1, port: {port}, rotate: 10m, stall_timeout: 10s, subscribe_within: 5s}}
access:
  keys: [{{algorithm: HS256, key: "{key}"}}]
  viewers: token
  admin_tokens: ["{admin}"]
feeds:
  shares: {{kind: simulate, every: 250ms, seed: 1, symbols: {{{shares}}}}}
  more: {{kind: simulate, every: 500ms, seed: 2, symbols: {{{more}}}}}
  coins: {{kind: poll, every: 1s, timeout: 800ms, url: "{source}/coins", rows: rows, key: symbol,
           fields: {{last: last, volume: volume}}, {coins}}}
  desk: {{kind: push, every: 250ms, tokens: ["{push}"], fields: {{last: last}}, stale_after: 1m}}
  league: {{kind: simulate, model: scores, every: 1s, seed: 3, sport: football, speed: 60,
            teams: [Ashford, Brackley, Calder, Dunmore, Elmwood, Farley, Glenrock, Hartwell]}}
boards:
  prices: {{title: "{title}", feeds: [shares], history: 60, columns: {columns}}}
  mixed: {{feeds: [more, coins, desk], history: 60}}
  coins: {{feeds: [coins], history: 60, columns: [last, volume]}}
  wide: {{feeds: [shares, more], history: 60, flush: 250ms}}
  games: {{feeds: [league], layout: scores}}
{extra}
"""

EXTRA = "  passing: {feeds: [more], history: 60, columns: [last]}"


@dataclass(frozen=True)
class Version:
    """What differs from one config to the next."""

    title: str = "Prices"
    columns: str = "[last, change, change_pct, volume]"
    coins: str = "stale_after: 5s"
    extra: str = ""
    broken: bool = False


VERSIONS = (
    Version(),
    Version(title="Prices, with another title", extra=EXTRA),
    Version(columns="[last, bid, ask, change_pct]"),
    Version(coins="stale_after: 4s, max_rows: 2000", extra=EXTRA),
    Version(broken=True),
)
"""Loaded one after the other, again and again: a title, columns, a board that comes and goes, a
feed that begins anew, a mistake."""


def text(version: Version, port: int, source: str) -> str:
    """Return a config."""
    written = CONFIG.format(
        port=port,
        source=source,
        key=KEY,
        admin=ADMIN,
        push=PUSH,
        shares=", ".join(f"S{i}: {20 + i}" for i in range(100)),
        more=", ".join(f"M{i}: {30 + i}" for i in range(100)),
        title=version.title,
        columns=version.columns,
        coins=version.coins,
        extra=version.extra,
    )
    return written + ("boards_that: are not\n" if version.broken else "")


def token(seconds: float) -> str:
    """Return a token that lets in for so long."""
    return jwt.encode({"exp": time.time() + seconds}, KEY, "HS256")


class Reloads(threading.Thread):
    """Writes the next version of the config again and again."""

    def __init__(self, write: Callable[[Version], None], every: float) -> None:
        super().__init__(name="reloads", daemon=True)
        self._write, self._every = write, every
        self._over = threading.Event()
        self.count = 0

    def run(self) -> None:
        """Write until told to stop."""
        for version in itertools.cycle(VERSIONS[1:] + VERSIONS[:1]):
            if self._over.wait(self._every):
                return
            self._write(version)
            self.count += 1

    def stop(self) -> None:
        """Let the config be as it is."""
        self._over.set()
        self.join()


class Coins:
    """Answers polls: values wander, a row is away now and then, and so is the whole source."""

    def __init__(self, symbols: Sequence[str]) -> None:
        self._rng = random.Random(7)
        self._values = dict.fromkeys(symbols, 100.0)
        self._began = time.monotonic()
        self._ill = itertools.cycle([self._refuse, self._page, self._cut])
        self._was_ill = False
        self._now = next(self._ill)

    def serve(self, source: Source) -> None:
        """Be what ``source`` says at /coins."""
        source.script["/coins"] = self._answer

    def _answer(self, handler: Handler) -> None:
        handler.server.source.requests.clear()  # it keeps them all, which a soak would be full of
        age = time.monotonic() - self._began
        if age % SICK_EVERY > SICK_EVERY - SICK_SECONDS:
            self._was_ill = True
            self._now(handler)
            return
        if self._was_ill:
            self._was_ill, self._now = False, next(self._ill)
        handler.answer(200, orjson.dumps({"rows": list(self._rows(age))}))

    def _rows(self, age: float) -> Iterator[dict[str, object]]:
        away = int(age // 30) % len(self._values)
        for i, symbol in enumerate(self._values):
            if self._rng.random() < 0.5:
                self._values[symbol] = round(self._values[symbol] + self._rng.gauss(0, 0.1), 2)
            if i != away:
                yield {"symbol": symbol, "last": self._values[symbol], "volume": int(age)}

    def _refuse(self, handler: Handler) -> None:
        handler.answer(503, b"busy", Retry_After="1")

    def _page(self, handler: Handler) -> None:
        handler.answer(200, b"<html>maintenance</html>")

    def _cut(self, handler: Handler) -> None:
        handler.raw(b'HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n{"rows": [')


SYMBOLS = [f"C{i}" for i in range(60)]


def write(file: Path, version: Version, port: int, source: str) -> None:
    """Put a config into its place, in one step."""
    new = file.with_suffix(".new")
    new.write_text(text(version, port, source))
    new.replace(file)
