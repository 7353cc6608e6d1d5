"""Notices: what admins tell the people who watch, for a while, until withdrawn."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ticker import protocol
from ticker.frame import Frame

NOTICES_MAX = 20
"""Notices at once: more than that nobody reads."""

HEARD_MAX = 2 * NOTICES_MAX
"""Notices of other processes at once: by their clocks some may be over that hold by ours."""

Level = Literal["info", "warning"]
Words = Annotated[str, Field(min_length=1, max_length=500)]

_Name = Annotated[str, Field(min_length=1, max_length=64)]
_Time = Annotated[int, Field(ge=0, lt=2**53)]


class _Told(BaseModel):
    """A notice as another process tells it; what else it may say is not for this version."""

    model_config = ConfigDict(strict=True)

    id: _Name
    text: Words
    level: Level
    at: _Time
    until: _Time
    board: _Name | None = None
    viewer: _Name | None = None


@dataclass(slots=True)
class Notice:
    """Words to everybody, to who watches ``board``, or to one ``viewer``. Times are epoch ms."""

    id: str
    text: str
    level: str
    at: int
    until: int
    board: str | None = None
    viewer: str | None = None
    frame: Frame = field(init=False)
    """What is sent; encoded once for everybody."""

    def __post_init__(self) -> None:
        self.frame = protocol.notice(
            self.id, self.text, level=self.level, at=self.at, until=self.until, board=self.board
        )

    def concerns(self, viewer: str, boards: Container[str]) -> bool:
        """Whether it is for ``viewer``, who watches ``boards``."""
        if self.viewer is not None:
            return self.viewer == viewer
        return self.board is None or self.board in boards

    def wire(self) -> dict[str, Any]:
        """Return it for admins: to whom it goes as well; what does not apply is left out."""
        names = ("id", "text", "level", "at", "until", "board", "viewer")
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def read(cls, wire: Mapping[str, Any]) -> Notice:
        """Return what ``wire`` has told. Raises ValueError when that is no notice."""
        return cls(**_Told.model_validate(wire).model_dump())


class TooManyNotices(Exception):
    """A notice more than there may be at once."""

    def __init__(self) -> None:
        super().__init__(f"at most {NOTICES_MAX} notices at once: withdraw one first")


class Notices:
    """The notices that are valid."""

    def __init__(self) -> None:
        self._notices: dict[str, Notice] = {}

    def __iter__(self) -> Iterator[Notice]:
        """Yield them, oldest first."""
        return iter(self._notices.values())

    def post(self, notice: Notice) -> None:
        """Take a notice. Raises TooManyNotices."""
        self.expire(notice.at)
        if len(self._notices) >= NOTICES_MAX:
            raise TooManyNotices
        self._notices[notice.id] = notice

    def get(self, notice_id: str) -> Notice | None:
        """Return the notice of that id, if it holds."""
        return self._notices.get(notice_id)

    def hear(self, notice: Notice) -> bool:
        """Take a notice that another process judged; return whether it is told here from now on."""
        if notice.id in self._notices or len(self._notices) >= HEARD_MAX:
            return False
        self._notices[notice.id] = notice
        return True

    def withdraw(self, notice_id: str) -> bool:
        """Take a notice back; return whether there was one."""
        return self._notices.pop(notice_id, None) is not None

    def expire(self, now: int) -> None:
        """Forget those whose time is over at ``now``; viewers know when that is."""
        for notice_id in [n.id for n in self if n.until <= now]:
            del self._notices[notice_id]

    def left(self, viewer: str) -> list[str]:
        """Forget what was for ``viewer`` alone, which comes back with another id, if at all.

        Returns the notices' ids.
        """
        forgotten = [n.id for n in self if n.viewer == viewer]
        for notice_id in forgotten:
            del self._notices[notice_id]
        return forgotten
