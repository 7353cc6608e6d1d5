"""Log lines: for people on a terminal, one JSON object a line for programs.

In both, what came from outside cannot break a line, known secrets are left out, and what repeats is
counted instead of written again. Modules log with `logging`, as ever.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import sys
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from threading import Lock
from time import monotonic
from typing import Any, TextIO
from urllib.parse import quote

import orjson
import structlog
from structlog.contextvars import bind_contextvars, merge_contextvars
from structlog.typing import EventDict

REPEATS_SECONDS = 60.0
"""An identical warning within this time is counted, not written."""

REPEATS_KEPT = 1_000
"""Different warnings remembered; the one not seen for longest is forgotten."""

LONGEST = 16_000
"""Characters of one value; what is longer is cut off."""

SECRETS_KEPT = 1_000
SHORTEST_SECRET = 4
"""Shorter ones are in so many words that nothing could be read any more."""

HIDDEN = "***"
QUIET = ("uvicorn", "uvicorn.error", "httpx", "httpcore", "watchfiles")
"""Libraries that tell more than ops want to know; one tells of every change in the config's folder,
where the log itself may be."""

FIRST_KEYS = ("time", "level", "event", "logger")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_STARTS = {"http.response.start", "websocket.accept", "websocket.http.response.start"}

Send = Callable[[dict[str, Any]], Awaitable[None]]


def configure(
    style: str | None = None, stream: TextIO | None = None, worker: int | None = None
) -> None:
    """Log to ``stream``, stderr by default, as `console` or `json`.

    Without a ``style``: as console where a person looks at it. Lines say which ``worker`` it is.
    """
    stream = sys.stderr if stream is None else stream
    person = stream.isatty()
    handler = Lines(stream)
    handler.addFilter(Repeats())
    if style == "console" or (style is None and person):
        handler.setFormatter(console(colors=person and "NO_COLOR" not in os.environ, worker=worker))
    else:
        handler.setFormatter(json_lines(worker))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


class Lines(logging.StreamHandler[TextIO]):
    """Writes lines. One that cannot be written is left out: so could no words about it be."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say nothing of it, where `logging` would write tracebacks; but tell of defects."""
        if not isinstance(sys.exc_info()[1], OSError | MemoryError):
            super().handleError(record)


def console(*, colors: bool, worker: int | None = None) -> logging.Formatter:
    """Return what makes lines for people; a traceback is set off below its line."""
    return _formatter(
        worker,
        structlog.processors.TimeStamper("%H:%M:%S", utc=False, key="time"),
        _set_off,
        structlog.dev.ConsoleRenderer(0, colors=colors, timestamp_key="time"),
    )


def json_lines(worker: int | None = None) -> logging.Formatter:
    """Return what makes one JSON object a line: time, level, event, logger, then the rest."""
    return _formatter(
        worker,
        structlog.processors.TimeStamper("iso", utc=True, key="time"),
        lambda _, __, event: {key: event[key] for key in sorted(event, key=_place)},
        structlog.processors.JSONRenderer(lambda event, **_: orjson.dumps(event).decode()),
    )


# -- secrets


class _Secrets:
    """Texts that no line may have; a bounded number, the latest."""

    def __init__(self) -> None:
        self._known: dict[str, None] = {}
        self._pattern: re.Pattern[str] | None = None

    def add(self, values: Iterable[str]) -> None:
        for value in values:
            if len(value) >= SHORTEST_SECRET:
                self._known.pop(value, None)
                self._known[value] = None
        while len(self._known) > SECRETS_KEPT:
            del self._known[next(iter(self._known))]
        forms = {form for value in self._known for form in (value, quote(value, safe=""))}
        longest_first = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def hidden(self, text: str) -> str:
        return self._pattern.sub(HIDDEN, text) if self._pattern else text


_secrets = _Secrets()  # as global as logging is


def hide(values: Iterable[str]) -> None:
    """Leave ``values`` out of every line from now on, as they are and as they are in URLs."""
    _secrets.add(values)


# -- whose line it is


def identified(scope: dict[str, Any], send: Send) -> Send:
    """Give a request its id: in log lines from here on, and in the response's `x-request-id`.

    A short plain id that the request brings is taken over. Returns what to send with.
    """
    if scope["type"] not in {"http", "websocket"}:
        return send
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    own = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8).encode()
    bind_contextvars(request=own.decode())

    async def send_with_id(message: dict[str, Any]) -> None:
        if message["type"] in _STARTS:
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", own)]
        await send(message)

    return send_with_id


def about_viewer(viewer_id: str) -> None:
    """Let the lines of the running task say that they are about this viewer."""
    bind_contextvars(viewer=viewer_id)


# -- what repeats


class Repeats(logging.Filter):
    """Passes a warning once a minute; the next one says how many were left out.

    The same are those of one logger, one template and one set of arguments.
    """

    def __init__(
        self,
        seconds: float = REPEATS_SECONDS,
        most: int = REPEATS_KEPT,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        super().__init__()
        self._seconds, self._most, self._clock = seconds, most, clock
        self._seen: OrderedDict[int, tuple[float, int]] = OrderedDict()  # when written, left out
        self._lock = Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write ``record``, which is told how many before it were not."""
        if record.levelno < logging.WARNING:
            return True
        defect = record.exc_info[0] if record.exc_info else None
        key = hash((record.name, str(record.msg), repr(record.args), defect))
        now = self._clock()
        with self._lock:
            written, left_out = self._seen.pop(key, (None, 0))
            if written is not None and now - written < self._seconds:
                self._seen[key] = written, left_out + 1
                return False
            self._seen[key] = now, 0
            if len(self._seen) > self._most:
                self._seen.popitem(last=False)
        if left_out:
            record.repeated = left_out
        return True


# -- from a record to a line


def _formatter(worker: int | None, *last: Any) -> logging.Formatter:
    def say_which(_logger: Any, _method: str, event: EventDict) -> EventDict:
        if worker is not None:
            event["worker"] = worker
        return event

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.ExtraAdder(),
            _add_logger,
            say_which,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _clean,
            *last,
        ],
    )


def _add_logger(_logger: Any, _method: str, event: EventDict) -> EventDict:
    event["logger"] = event["_record"].name
    event.pop("color_message", None)  # uvicorn's event once more, in colours
    return event


def _clean(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Make every value safe to write: no secret, no control character, not too long."""
    for key, value in event.items():
        if value is None or isinstance(value, bool | int | float):
            continue
        text = _secrets.hidden(str(value))[:LONGEST]
        lines = text.split("\n") if key == "exception" else [text]
        event[key] = "\n".join(map(_escaped, lines))
    return event


def _escaped(text: str) -> str:
    """Return ``text`` with what does not print as its escape: nobody forges lines or colours."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _set_off(_logger: Any, _method: str, event: EventDict) -> EventDict:
    if "exception" in event:
        event["exception"] = "    " + event["exception"].replace("\n", "\n    ")
    return event


def _place(key: str) -> tuple[int, str]:
    return (FIRST_KEYS.index(key) if key in FIRST_KEYS else len(FIRST_KEYS), key)
