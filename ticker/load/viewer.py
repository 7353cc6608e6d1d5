"""One simulated viewer: the raw protocol on a bare transport, as cheap as a viewer can be.

A *sampled* viewer inflates and applies everything, by the rules of the wire; the others count
frames and bytes only, so that one core can simulate thousands.
"""

from __future__ import annotations

import asyncio
import base64
import math
import os
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from time import time
from typing import Any, cast
from urllib.parse import urlencode

import orjson

from ticker.load.histogram import Histogram

# The judge shares no code with the judged: this module has its own idea of frames and diffs.
TAIL = b"\x00\x00\xff\xff"
OFFER = "permessage-deflate; client_max_window_bits"
MESSAGE_LIMIT = 64_000_000
STEPS_KEPT = 1_000
"""Last steps of which it is remembered what was told, to compare what others are told."""

Rows = dict[str, dict[str, Any]]


@dataclass
class Counts:
    """What the viewers of one process saw; everything only ever grows."""

    connected: int = 0
    refused: int = 0
    lost: int = 0
    frames: int = 0
    bytes: int = 0
    diffs: int = 0
    conflated: int = 0
    snapshots: int = 0
    gaps: int = 0
    duplicates: int = 0
    resyncs: int = 0
    errors: int = 0
    moves: int = 0
    reconnected: int = 0
    resumed: int = 0
    resnapshots: int = 0
    backwards: int = 0
    contradictions: int = 0
    closes: dict[str, int] = field(default_factory=dict)
    words: dict[str, int] = field(default_factory=dict)
    latency: Histogram = field(default_factory=Histogram)
    connecting: Histogram = field(default_factory=Histogram)

    def word(self, text: str) -> None:
        """Count a reason in words; a bounded number of different ones is kept."""
        if text in self.words or len(self.words) < 50:
            self.words[text] = self.words.get(text, 0) + 1


class Steps:
    """What viewers were told of each step of a board, whoever told it; bounded."""

    def __init__(self) -> None:
        self._rows: OrderedDict[tuple[str, int], Any] = OrderedDict()

    def contradict(self, epoch: str, seq: int, rows: Any) -> bool:
        """Return whether another viewer was told something else of the step to ``seq``."""
        known = self._rows.setdefault((epoch, seq), rows)
        if len(self._rows) > STEPS_KEPT:
            self._rows.popitem(last=False)
        return known is not rows and known != rows


@dataclass(frozen=True, slots=True)
class Target:
    """Where viewers connect, and what they ask for."""

    host: str
    port: int
    path: str = "/ws"
    board: str | None = None
    deflate: bool = True
    protocol: bool = True
    """Whether it is this program's protocol; without it only frames are counted."""
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    """What else is sent with the upgrade, such as a token."""
    url: str = ""
    """Where it answers over HTTP."""


class LoadViewer(asyncio.Protocol):
    """A viewer from the upgrade to its end. ``ended`` is called once, with the viewer."""

    def __init__(
        self,
        target: Target,
        counts: Counts,
        *,
        sampled: bool,
        ended: Callable[[LoadViewer], None],
        before: LoadViewer | None = None,
        steps: Steps | None = None,
    ) -> None:
        """Go on from what the viewer had on its connection ``before``, if there was one.

        Those that share ``steps`` are compared with each other.
        """
        self.target, self._counts, self._ended, self._steps = target, counts, ended, steps
        self.sampled = sampled
        self.transport: asyncio.Transport
        self.upgraded = False
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[bool] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()
        self.paused = False
        self.received = 0
        self.heartbeat = math.inf  # seconds, as the welcome says; only sampled viewers know
        self.epoch: str = before.epoch if before else ""
        self.seq: int = before.seq if before else -1
        self.rows: Rows = before.rows if before else {}
        self.epochs: set[str] = before.epochs if before else set()
        self._resumes = self.seq >= 0
        self.fragile = False  # whether it will be ended on purpose
        self.trail: list[tuple[int, dict[str, Any]]] | None = None
        self._buffer = b""
        self._inflater: Any = None
        self._started = time()
        self._first = True
        self._goodbye = False

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self.transport = cast("asyncio.Transport", transport)
        query: dict[str, Any] = {"board": self.target.board} if self.target.board else {}
        if self.seq >= 0:
            query |= {"epoch": self.epoch, "seq": self.seq}
        path = f"{self.target.path}?{urlencode(query)}" if query else self.target.path
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {self.target.host}:{self.target.port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Version: 13",
        ]
        lines += [f"{name}: {value}" for name, value in self.target.headers.items()]
        if self.target.deflate:
            lines.append(f"Sec-WebSocket-Extensions: {OFFER}")
        self.transport.write("\r\n".join([*lines, "", ""]).encode())

    def data_received(self, data: bytes) -> None:
        """Take what came: the end of the upgrade, then frames."""
        if not self.upgraded:
            self._buffer += data
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                if len(self._buffer) > 65_536:
                    self._refuse("the answer to the upgrade does not end")
                return
            self._buffer = b""
            if not self._upgrade(head.decode("latin-1")):
                return
            data = rest
        self._counts.bytes += len(data)
        self.received += len(data)
        if self._buffer:
            data = self._buffer + data
        start, size = 0, len(data)
        while size - start >= 2:
            length, body = data[start + 1], start + 2
            if length == 126:
                body = start + 4
                length = int.from_bytes(data[start + 2 : body], "big") if size >= body else size
            elif length == 127:
                body = start + 10
                length = int.from_bytes(data[start + 2 : body], "big") if size >= body else size
                if length > MESSAGE_LIMIT:
                    self._refuse("a frame of absurd length")
                    return
            if size < body + length:
                break
            self._frame(data[start], data, body, body + length)
            start = body + length
        self._buffer = data[start:]

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note of the end."""
        if self.upgraded:
            self._counts.connected -= 1
            if not self.fragile:
                self._counts.lost += 1
                if not self._goodbye:
                    self._counts.closes["1006"] = self._counts.closes.get("1006", 0) + 1
        elif not self.ready.done():
            self._counts.refused += 1
            self._counts.word(str(exc) if exc else "closed before the upgrade")
        if not self.ready.done():
            self.ready.set_result(False)
        if not self.gone.done():  # whoever waited for it may have been cancelled
            self.gone.set_result(None)
        self._ended(self)

    # -- what a viewer says

    def pause(self) -> None:
        """Ask for heartbeats only."""
        self.paused = True
        self.say(type="pause")

    def resume(self) -> None:
        """Ask for what was missed, and to go on."""
        self.paused, self._first = False, True
        self.say(type="resume")

    def leave(self) -> None:
        """Go, as a page does that goes elsewhere: say so, and wait for nothing."""
        self.fragile = True
        self._send(0x88, b"\x03\xe8")
        self.transport.close()

    def say(self, **message: Any) -> None:
        """Send a message; its mask is zeros (RFC 6455, 5.3: clients must mask)."""
        self._send(0x81, orjson.dumps(message))

    def close(self) -> None:
        """Close politely; the server answers and cuts the connection."""
        self.fragile = True
        self._send(0x88, b"\x03\xe8")

    def _send(self, first: int, payload: bytes) -> None:
        if self.transport.is_closing():  # it was left or cut off, which is heard of a moment later
            return
        size = len(payload)
        if size < 126:
            head = bytes((first, 0x80 | size))
        else:
            head = bytes((first, 0x80 | 126)) + size.to_bytes(2, "big")
        self.transport.write(head + b"\x00\x00\x00\x00" + payload)

    # -- inside

    def _upgrade(self, head: str) -> bool:
        status = head.split("\r\n", 1)[0]
        if " 101" not in status:
            self._refuse(f"the upgrade was answered with '{status[:80]}'")
            return False
        self.upgraded = True
        self._counts.connected += 1
        if self.sampled:
            if "permessage-deflate" in head:
                self._inflater = zlib.decompressobj(-15)
        else:
            self.ready.set_result(True)
            self._counts.connecting.add((time() - self._started) * 1000)
        return True

    def _refuse(self, why: str) -> None:
        self._counts.refused += 1
        self._counts.word(why)
        self.fragile = True
        if not self.ready.done():
            self.ready.set_result(False)
        self.transport.abort()

    def _frame(self, first: int, data: bytes, start: int, end: int) -> None:
        counts = self._counts
        if first & 0x08:  # a control frame
            self._control(first & 0x0F, data[start:end])
            return
        counts.frames += 1
        if not self.sampled:
            return
        payload = data[start:end]
        if first & 0x40:
            payload = self._inflater.decompress(payload + TAIL, MESSAGE_LIMIT)
        if self.target.protocol:
            self._follow(orjson.loads(payload))
        else:
            self._measure(orjson.loads(payload)["at"])

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == 0x9:
            self._send(0x8A, payload)
        elif opcode == 0x8:
            code = str(int.from_bytes(payload[:2], "big")) if payload else "1005"
            self._counts.closes[code] = self._counts.closes.get(code, 0) + 1
            self._goodbye = True
            self._send(0x88, payload[:2])
            self.transport.close()

    def _measure(self, at: int) -> None:
        self._arrive()
        self._counts.latency.add(time() * 1000 - at)

    def _follow(self, message: dict[str, Any]) -> None:
        """Apply a message by the rules of the wire, counting whatever breaks them."""
        counts = self._counts
        match message["type"]:
            case "diff":
                self._answered()
                if message["prev"] == self.seq:
                    counts.diffs += 1
                    # a first diff and one that skips ticks tell of the past: no latency in them
                    if message["seq"] != message["prev"] + 1:
                        counts.conflated += 1
                    else:
                        self._compare(message)
                        if not self._first:
                            self._measure(message["at"])
                    self._apply(message)
                elif message["seq"] <= self.seq:
                    counts.duplicates += 1
                else:
                    counts.gaps += 1
                    counts.resyncs += 1
                    self.say(
                        type="subscribe", board=message["board"], epoch=self.epoch, seq=self.seq
                    )
            case "snapshot":
                counts.snapshots += 1
                counts.resyncs += self.seq >= 0
                counts.resnapshots += self._resumes
                self._resumes = False
                counts.backwards += self._goes_back(message)
                self.epochs.add(message["epoch"])
                self.epoch, self.seq = message["epoch"], message["seq"]
                self.rows = message["rows"]
                self.trail = None
                self._arrive()
            case "welcome":
                self.heartbeat = message.get("heartbeat", math.inf)
            case "status":
                self._answered()
                self._arrive()
            case "pong" | "heartbeat":
                self._arrive()
            case "error":
                counts.errors += 1
                counts.word(f"{message['code']}: {message['message']}")
                if not self.ready.done():
                    self.ready.set_result(False)

    def _answered(self) -> None:
        """Take note that the viewer goes on where it was."""
        self._counts.resumed += self._resumes
        self._resumes = False

    def _goes_back(self, snapshot: dict[str, Any]) -> bool:
        """Whether a snapshot is of the past: of a lower seq, or of an epoch that was over."""
        if snapshot["epoch"] == self.epoch:
            return bool(snapshot["seq"] < self.seq)
        return snapshot["epoch"] in self.epochs

    def _compare(self, step: dict[str, Any]) -> None:
        if self._steps is not None:
            told = self._steps.contradict(self.epoch, step["seq"], step["rows"])
            self._counts.contradictions += told

    def _arrive(self) -> None:
        self._first = False
        if not self.ready.done():
            self.ready.set_result(True)
            self._counts.connecting.add((time() - self._started) * 1000)

    def _apply(self, message: dict[str, Any]) -> None:
        self._arrive()
        self.seq = message["seq"]
        apply(self.rows, message["rows"])
        if self.trail is not None:
            self.trail.append((self.seq, message["rows"]))


def apply(rows: Rows, patch: dict[str, Any]) -> None:
    """Apply a diff in place (RFC 7396); row dictionaries are replaced, never changed."""
    for symbol, change in patch.items():
        if change is None:
            rows.pop(symbol, None)
        else:
            row = {**rows.get(symbol, {}), **change}
            rows[symbol] = {name: value for name, value in row.items() if value is not None}
