"""What a reload changes: the difference between two configs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

import orjson
from pydantic import BaseModel

from ticker.config import Feed, Settings
from ticker.config.feeds import FeedBase
from ticker.config.server import RESTART

GOES_ON = {*FeedBase.model_fields, "tokens"}
"""Keys of a feed that do not say what is read: with others of these it goes on."""


ONCE = ("bus", "store")
"""Keys beside `server` that count only after a restart."""


class Change(StrEnum):
    """What becomes of a feed, a board or a key."""

    ADDED = "added"
    REMOVED = "removed"
    RESTARTED = "restarted"
    """A feed that reads something else, or reads it otherwise."""
    CHANGED = "changed"
    """Goes on as what it is now; of a feed its schedule and when it counts as late."""
    NEEDS_RESTART = "needs a restart of the program"


@dataclass(frozen=True, slots=True)
class Changes:
    """What becomes of each feed, board and key; keys of what changed are named, values are not."""

    feeds: dict[str, Change] = field(default_factory=dict)
    boards: dict[str, Change] = field(default_factory=dict)
    keys: dict[str, list[str]] = field(default_factory=dict)
    """Keys that differ, by where they are: ``feeds.coins``, ``server``."""

    def __bool__(self) -> bool:
        return bool(self.feeds or self.boards or self.keys)

    def lines(self) -> Iterator[str]:
        """Yield each change in words."""
        for part, changes in (("feeds", self.feeds), ("boards", self.boards)):
            for name, change in changes.items():
                where = f"{part}.{name}"
                keys = f" ({', '.join(self.keys[where])})" if where in self.keys else ""
                yield f"{where}: {change}{keys}"
        yield from (f"{key}: {Change.NEEDS_RESTART}" for key in self.pending)
        for part in ("server", "access"):
            named = [f"{part}.{key}" for key in self.keys.get(part, ())]
            yield from (f"{key}: {Change.CHANGED}" for key in named if key not in self.pending)

    @property
    def pending(self) -> list[str]:
        """The keys that count only after a restart."""
        server = [f"server.{key}" for key in self.keys.get("server", ()) if key in RESTART]
        return server + [key for key in ONCE if key in self.keys]


def compare(old: Settings, new: Settings) -> Changes:
    """Return what leads from ``old`` to ``new``."""
    changes = Changes()
    for where in ("server", "access"):
        if keys := _keys(getattr(old, where), getattr(new, where)):
            changes.keys[where] = keys
    changes.keys.update(_once(old, new))
    _compare_feeds(old, new, changes)
    _compare_boards(old, new, changes)
    return changes


def pending(running: Settings, new: Settings) -> list[str]:
    """Return the keys of ``new`` that count only after a restart."""
    keys = {"server": _keys(running.server, new.server)}
    return Changes(keys=keys | _once(running, new)).pending


def without_restart(running: Settings, new: Settings) -> Settings:
    """Return ``new`` with the keys that count only after a restart as they are in ``running``."""
    kept = {key: getattr(running.server, key) for key in RESTART}
    server = new.server.model_copy(update=kept)
    once = {key: getattr(running, key) for key in ONCE}
    return new.model_copy(update={"server": server, **once})


def _once(old: Settings, new: Settings) -> dict[str, list[str]]:
    return {key: [] for key in ONCE if getattr(old, key) != getattr(new, key)}


FINGERPRINT_BYTES = 3
"""So few that nobody can find out a secret by trying: too many others have the same."""


def fingerprint(settings: Settings) -> str:
    """Return a short name of what processes that serve the same boards should have in common.

    That is feeds, boards in their order, and access; a default counts as if it were written.
    Without a bus there are no others, and nothing is to be named.
    """
    if settings.bus is None:
        return ""
    common = settings.effective().model_dump(mode="json", include={"feeds", "boards", "access"})
    return _short([list(settings.boards), common])


def reads(feed: Feed) -> str:
    """Return a short name of what a feed reads and how, not of when and how it is judged."""
    return _short(feed.model_dump(mode="json", exclude=GOES_ON - {"kind"}))


def _short(value: object) -> str:
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return sha256(text).digest()[:FINGERPRINT_BYTES].hex()


def _compare_feeds(old: Settings, new: Settings, changes: Changes) -> None:
    changes.feeds.update(_come_and_gone(old.feeds, new.feeds))
    shown_before, shown_now = _shown(old), _shown(new)
    for name in old.feeds.keys() & new.feeds.keys():
        keys = _keys(old.feeds[name], new.feeds[name])
        if name in shown_now - shown_before:  # its rows were kept nowhere, so it reads them anew
            changes.feeds[name] = Change.RESTARTED
        if keys:
            changes.keys[f"feeds.{name}"] = keys
            goes_on = set(keys) <= GOES_ON and name not in changes.feeds
            changes.feeds[name] = Change.CHANGED if goes_on else Change.RESTARTED


def _compare_boards(old: Settings, new: Settings, changes: Changes) -> None:
    changes.boards.update(_come_and_gone(old.boards, new.boards))
    for name in old.boards.keys() & new.boards.keys():
        keys = _keys(old.boards[name], new.boards[name])
        if list(old.columns(name)) != list(new.columns(name)):  # feeds may provide others
            keys = list(dict.fromkeys([*keys, "columns"]))
        if keys:
            changes.keys[f"boards.{name}"] = keys
            changes.boards[name] = Change.CHANGED


def _come_and_gone(old: Mapping[str, object], new: Mapping[str, object]) -> dict[str, Change]:
    gone = {name: Change.REMOVED for name in old if name not in new}
    return gone | {name: Change.ADDED for name in new if name not in old}


def _keys(old: Feed | BaseModel, new: Feed | BaseModel) -> list[str]:
    """Return the keys that differ."""
    if type(old) is not type(new):
        return ["kind"]
    keys = type(old).model_fields
    return [key for key in keys if getattr(old, key) != getattr(new, key)]


def _shown(settings: Settings) -> set[str]:
    return {feed for board in settings.boards.values() for feed in board.feeds}
