"""Every message of the wire, version 1, in both directions, and every close code.

Server messages become bytes here, each at most once: a `Frame` goes as it is to every viewer.
Times on the wire (`at`, `since`) are epoch milliseconds.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ticker.frame import Frame

VERSION = 1
SUBPROTOCOL = "ticker.v1"


class CloseCode(enum.IntEnum):
    """Why the server ends a connection; below 4500 the viewer comes back on its own."""

    DRAINING = 4000
    TOO_SLOW = 4001
    SILENT = 4002
    ROTATED = 4003
    BAD_MESSAGE = 4500
    NOT_ALLOWED = 4501
    REMOVED = 4502
    LIMIT = 4503

    @property
    def final(self) -> bool:
        """Whether the viewer must not come back on its own."""
        return self >= 4500

    @property
    def reason(self) -> str:
        """The words that go with the code, below the 123 bytes of RFC 6455."""
        return self.name.lower().replace("_", " ")


class ErrorCode(enum.StrEnum):
    """Why a viewer's message was not carried out; the connection goes on."""

    UNKNOWN_BOARD = "unknown_board"
    BAD_MESSAGE = "bad_message"
    LIMIT = "limit"
    NOT_ALLOWED = "not_allowed"


def ms(seconds: float | None) -> int | None:
    """Return a time or duration in seconds as the wire has it."""
    return None if seconds is None else round(seconds * 1000)


# -- what the server says


def welcome(
    viewer: str,
    heartbeat: float,
    boards: Sequence[str],
    page: str = "",
    *,
    until: int | None = None,
) -> Frame:
    """Greet: who you are, how many quiet seconds make a heartbeat, which boards there are for you.

    ``page`` is the version of the page that the server has, ``until`` the end of your token.
    """
    ends = {} if until is None else {"until": until}
    return _frame(
        type="welcome",
        protocol=VERSION,
        viewer=viewer,
        heartbeat=heartbeat,
        boards=boards,
        page=page,
        **ends,
    )


def snapshot(
    board: str,
    *,
    epoch: str,
    seq: int,
    at: int,
    title: str,
    layout: str,
    columns: Sequence[Mapping[str, Any]],
    rows: Mapping[str, Any],
    feeds: Mapping[str, Any],
) -> Frame:
    """Say the whole state of a board."""
    text = orjson.dumps(
        {
            "type": "snapshot",
            "board": board,
            "epoch": epoch,
            "seq": seq,
            "at": at,
            "title": title,
            "layout": layout,
            "columns": columns,
            "rows": rows,
            "feeds": feeds,
        }
    )
    return Frame(text, epoch=epoch, seq=seq)


def diff(board: str, *, epoch: str, prev: int, seq: int, at: int, rows: Mapping[str, Any]) -> Frame:
    """Say what leads from seq ``prev`` to ``seq``; the viewer knows the epoch."""
    text = orjson.dumps(
        {"type": "diff", "board": board, "prev": prev, "seq": seq, "at": at, "rows": rows}
    )
    return Frame(text, epoch=epoch, prev=prev, seq=seq)


def status(board: str, feeds: Mapping[str, Any]) -> Frame:
    """Say how far each feed of a board can be trusted."""
    return _frame(type="status", board=board, feeds=feeds)


def viewers(board: str, count: int) -> Frame:
    """Say how many watch a board."""
    return _frame(type="viewers", board=board, viewers=count)


def boards(names: Sequence[str]) -> Frame:
    """Say which boards there are now."""
    return _frame(type="boards", boards=names)


def heartbeat(at: int, seqs: Mapping[str, int]) -> Frame:
    """Say that the connection lives, and where its boards are."""
    return _frame(type="heartbeat", at=at, seqs=seqs)


def error(code: ErrorCode, message: str, board: str | None = None) -> Frame:
    """Say that a message was not carried out; ``board`` is the one it was about, if any."""
    about = {} if board is None else {"board": board}
    return _frame(type="error", code=code.value, message=message, **about)


def notice(
    notice_id: str, text: str, *, level: str, at: int, until: int, board: str | None
) -> Frame:
    """Tell people something, from ``at`` to ``until``; ``board`` is the one it is about, if any."""
    about = {} if board is None else {"board": board}
    return _frame(type="notice", id=notice_id, text=text, level=level, at=at, until=until, **about)


def withdrawn(notice_id: str) -> Frame:
    """Take a notice back."""
    return _frame(type="notice", id=notice_id, text=None)


def goodbye(code: CloseCode, retry: tuple[float, float] | None) -> Frame:
    """Announce the close; ``retry`` is the range of seconds in which to come back, None: never."""
    return _frame(type="goodbye", code=int(code), retry=retry)


def pong(at: int) -> Frame:
    """Answer a ping."""
    return _frame(type="pong", at=at)


def token(until: int | None) -> Frame:
    """Say that a new token counts, and until when; None when none is needed any more."""
    return _frame(type="token", until=until)


def _frame(**message: Any) -> Frame:
    return Frame(orjson.dumps(message))


# -- what viewers say


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


BoardName = Annotated[str, Field(min_length=1, max_length=64)]


class Subscribe(_Message):
    """Watch a board, from ``seq`` of ``epoch`` on where that is still known.

    ``rate`` is the most frames per second that the viewer wants.
    """

    type: Literal["subscribe"] = "subscribe"
    board: BoardName
    epoch: Annotated[str, Field(max_length=64)] | None = None
    seq: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    rate: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | None = None


class Unsubscribe(_Message):
    """Stop watching a board."""

    type: Literal["unsubscribe"] = "unsubscribe"
    board: BoardName


class Pause(_Message):
    """Send only heartbeats until resume."""

    type: Literal["pause"] = "pause"


class Resume(_Message):
    """Go on after a pause, with one diff to the present."""

    type: Literal["resume"] = "resume"


class Ping(_Message):
    """Ask for a pong."""

    type: Literal["ping"] = "ping"


class Token(_Message):
    """Go on with a new token."""

    type: Literal["token"] = "token"
    token: str


ViewerMessage = Subscribe | Unsubscribe | Pause | Resume | Ping | Token
_VIEWER_MESSAGE: TypeAdapter[ViewerMessage] = TypeAdapter(
    Annotated[ViewerMessage, Field(discriminator="type")]
)
_SUBSCRIBE = TypeAdapter(Subscribe)


class BadMessage(ValueError):
    """A viewer's message that is not of the protocol; ``fatal`` when not even JSON text."""

    def __init__(self, message: str, *, fatal: bool) -> None:
        self.fatal = fatal
        super().__init__(message)


def parse(text: str | bytes) -> ViewerMessage:
    """Return a viewer's message. Raises BadMessage."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error_:
        raise BadMessage(f"expected a JSON object: {error_.msg}", fatal=True) from None
    if not isinstance(document, dict):
        raise BadMessage("expected a JSON object", fatal=True)
    try:
        return _VIEWER_MESSAGE.validate_python(document)
    except ValidationError as error_:
        raise BadMessage(_words(error_), fatal=False) from None


def parse_query(query: Mapping[str, str], boards: Sequence[str]) -> list[Subscribe]:
    """Return the subscriptions that a URL's query asks for. Raises BadMessage.

    ``epoch`` and ``seq`` resume one board, so they count only where one is asked for.
    """
    wanted: dict[str, Any] = {}
    try:
        if "rate" in query:
            wanted["rate"] = float(query["rate"])
        if len(boards) == 1 and "epoch" in query and "seq" in query:
            wanted |= {"epoch": query["epoch"], "seq": int(query["seq"])}
        return [_SUBSCRIBE.validate_python({"board": board, **wanted}) for board in boards]
    except ValidationError as error_:
        raise BadMessage(_words(error_), fatal=False) from None
    except ValueError:
        raise BadMessage("expected numbers as seq and rate", fatal=False) from None


def _words(error_: ValidationError) -> str:
    first = error_.errors()[0]
    if first["type"].startswith("union_tag"):
        return "expected type subscribe, unsubscribe, pause, resume, ping or token"
    return f"{first['loc'][-1]}: {first['msg']}"
