"""The bus on Redis or Valkey: Streams carry the entries, scripts make each step atomic.

All keys of one prefix are in one slot of a cluster, because a script may touch only one; the work
here is a few commands per tick and board, however many watch.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError, ResponseError

from ticker.bus import (
    MEMBER_SECONDS,
    NEWS,
    NEWS_KEPT,
    PROTOCOL,
    Beat,
    BusError,
    Elsewhere,
    Fenced,
    OtherProtocol,
    Position,
    Pulse,
    Step,
    Stored,
    Untaken,
)
from ticker.errors import one_line

READ_MOST = 500
"""Most entries of one board that are read at once."""

_CHECK = """
local written = redis.call('HGET', KEYS[1], 'protocol')
if written and written ~= ARGV[1] then return {'protocol', written} end
if not written then redis.call('HSET', KEYS[1], 'protocol', ARGV[1]) end
"""

# who was restarted or promoted has another run id; nothing of it is stored or replicated
_MEMORY = "local memory = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')"

# KEYS info lease terms members positions
# ARGV protocol member card term takes lease_ms settled forget_ms memory
_BEAT = (
    _CHECK
    + _MEMORY
    + """
local term = redis.call('GET', KEYS[2])
if term and term == ARGV[4] then
  redis.call('PEXPIRE', KEYS[2], ARGV[6])
  if ARGV[7] ~= '' then redis.call('HSET', KEYS[1], 'settled', ARGV[7]) end
elseif not term and ARGV[5] == '1' and (ARGV[4] ~= '' or ARGV[9] == '' or ARGV[9] == memory) then
  term = redis.call('INCR', KEYS[3]) .. ':' .. ARGV[2]
  redis.call('SET', KEYS[2], term, 'PX', ARGV[6])
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[4], ARGV[2], string.format('%.0f ', now) .. ARGV[3])
local members = {}
local all = redis.call('HGETALL', KEYS[4])
for i = 1, #all, 2 do
  local at, card = string.match(all[i + 1], '^(%d+) (.*)$')
  if math.abs(now - tonumber(at)) > tonumber(ARGV[8]) then
    redis.call('HDEL', KEYS[4], all[i])
  else
    members[#members + 1] = all[i]
    members[#members + 1] = card
  end
end
return {'ok', term or '', memory, redis.call('HGET', KEYS[1], 'settled') or '',
  redis.call('HGETALL', KEYS[5]), members}
"""
)

# KEYS info lease positions entries state
# ARGV protocol term board before after entry kept state memory
_PUBLISH = (
    _CHECK
    + _MEMORY
    + """
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return {'fenced', ''} end
if ARGV[9] ~= '' and ARGV[9] ~= memory then return {'fenced', ''} end
local at = redis.call('HGET', KEYS[3], ARGV[3]) or ''
if ARGV[4] == '' then
  redis.call('XTRIM', KEYS[4], 'MAXLEN', 0) -- not DEL: places go on rising, whatever the clock
elseif at ~= ARGV[4] then
  return {'elsewhere', at}
end
redis.call('XADD', KEYS[4], 'MAXLEN', ARGV[7], '*', 'e', ARGV[6])
redis.call('HSET', KEYS[3], ARGV[3], ARGV[5])
if ARGV[8] ~= '' then redis.call('SET', KEYS[5], ARGV[8]) end
return {'ok', ''}
"""
)

# KEYS info positions entries state
# ARGV protocol board
_LOAD = (
    _CHECK
    + """
return {'ok', redis.call('HGET', KEYS[2], ARGV[2]) or '', redis.call('GET', KEYS[4]) or '',
  redis.call('XRANGE', KEYS[3], '-', '+')}
"""
)

# KEYS lease table
# ARGV term lasts_ms count_kept key value key value ... key key ...
_PUT = """
if ARGV[1] ~= '' and redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'fenced'} end
local i = 4
for _ = 1, tonumber(ARGV[3]) do
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
  i = i + 2
end
while i <= #ARGV do
  redis.call('HDEL', KEYS[2], ARGV[i])
  i = i + 1
end
if ARGV[2] ~= '' then redis.call('PEXPIRE', KEYS[2], ARGV[2]) end
return {'ok'}
"""

# KEYS lease
# ARGV term
_RESIGN = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class RedisBus:
    """A bus on the server at ``url``; two with different prefixes know nothing of each other.

    ``patience`` is how long a command may take, in seconds; ``kept`` how many entries of a board
    are kept.
    """

    def __init__(self, url: str, prefix: str, *, patience: float, kept: int) -> None:
        self._url, self._prefix, self._kept = url, prefix, kept
        self._redis: Any = self._connect(patience)
        self._patience = patience
        self._reader: Any = None
        self._beat = self._redis.register_script(_BEAT)
        self._publish = self._redis.register_script(_PUBLISH)
        self._load = self._redis.register_script(_LOAD)
        self._put = self._redis.register_script(_PUT)
        self._resign = self._redis.register_script(_RESIGN)

    def _connect(self, patience: float) -> Redis:
        return Redis.from_url(
            self._url,
            socket_timeout=patience,
            socket_connect_timeout=patience,
            retry=Retry(NoBackoff(), 0),  # who calls knows better what to do
        )

    def _key(self, *parts: str) -> str:
        return ":".join((f"{{{self._prefix}}}", *parts))

    def _keys(self, *names: str) -> list[str]:
        return [self._key(name) for name in names]

    async def beat(self, beat: Beat) -> Pulse:
        """Say that a process lives, renew or take the lease; learn how everything is."""
        async with _in_words():
            _, term, memory, settled, positions, members = _checked(
                await self._beat(
                    keys=self._keys("info", "lease", "terms", "members", "positions"),
                    args=[
                        PROTOCOL,
                        beat.member,
                        beat.card,
                        beat.term,
                        int(beat.takes),
                        round(beat.lease * 1000),
                        beat.settled,
                        round(MEMBER_SECONDS * 1000),
                        beat.memory,
                    ],
                )
            )
        found = {name.decode(): Position.parse(at.decode()) for name, at in _pairs(positions)}
        cards = {name.decode(): card for name, card in _pairs(members)}
        return Pulse(term.decode(), memory.decode(), settled.decode(), found, cards)

    async def resign(self, term: str) -> None:
        """Give the lease back, if ``term`` still has it."""
        async with _in_words():
            await self._resign(keys=self._keys("lease"), args=[term])

    async def publish(self, term: str, step: Step) -> None:
        """Take a step, all of it or nothing. Raises Fenced or Elsewhere."""
        async with _in_words():
            said, at = _checked(
                await self._publish(
                    keys=[
                        *self._keys("info", "lease", "positions"),
                        self._key("entries", step.board),
                        self._key("state", step.board),
                    ],
                    args=[
                        PROTOCOL,
                        term,
                        step.board,
                        str(step.before or ""),
                        str(step.after),
                        step.entry,
                        self._kept,
                        step.state or b"",
                        step.memory,
                    ],
                )
            )
        if said == b"fenced":
            raise Fenced(f"{term} is not the poller's term")
        if said == b"elsewhere":
            raise Elsewhere(f"board '{step.board}' is at '{at.decode()}', expected '{step.before}'")

    async def load(self, board: str) -> Stored:
        """Return what there is of a board, of one moment."""
        async with _in_words():
            _, at, state, entries = _checked(
                await self._load(
                    keys=[
                        *self._keys("info", "positions"),
                        self._key("entries", board),
                        self._key("state", board),
                    ],
                    args=[PROTOCOL, board],
                )
            )
        position = Position.parse(at.decode()) if at else None
        cursor = entries[-1][0].decode() if entries else "0"
        return Stored(position, state or None, [fields[1] for _, fields in entries], cursor)

    async def read(
        self, cursors: Mapping[str, str], wait: float
    ) -> Mapping[str, Sequence[tuple[str, bytes]]]:
        """Return what came after each cursor; wait for it up to so many seconds."""
        if self._reader is None:
            self._reader = self._connect(wait + self._patience)
        streams: Any = {self._stream(name): cursor for name, cursor in cursors.items()}
        names = dict(zip(streams, cursors, strict=True))
        async with _in_words():
            found: Any = await self._reader.xread(streams, READ_MOST, round(wait * 1000))
        return {
            names[key.decode()]: [(cursor.decode(), fields[b"e"]) for cursor, fields in entries]
            for key, entries in (found.items() if isinstance(found, dict) else found)
        }

    def _stream(self, name: str) -> str:
        return self._key("news") if name == NEWS else self._key("entries", name)

    async def latest(self) -> str:
        """Return the cursor behind the latest news."""
        async with _in_words():
            last = await self._redis.xrevrange(self._key("news"), count=1)
        return last[0][0].decode() if last else "0"

    async def say(self, news: bytes) -> None:
        """Tell every process that reads."""
        async with _in_words():
            await self._redis.xadd(self._key("news"), {"e": news}, maxlen=NEWS_KEPT)

    async def put(
        self,
        table: str,
        values: Mapping[str, bytes | None],
        lasts: float | None = None,
        *,
        term: str = "",
    ) -> None:
        """Keep values by key, for ``lasts`` seconds from now if so; None removes one."""
        kept = [(name, value) for name, value in values.items() if value is not None]
        gone = [name for name, value in values.items() if value is None]
        ends = "" if lasts is None else round(lasts * 1000)
        args: list[Any] = [term, ends, len(kept), *chain.from_iterable(kept), *gone]
        async with _in_words():
            (said,) = await self._put(
                keys=[self._key("lease"), self._key("table", table)],
                args=args,
            )
        if said == b"fenced":
            raise Fenced(f"{term} is not the poller's term")

    async def get(self, table: str) -> Mapping[str, bytes]:
        """Return what is kept in a table."""
        async with _in_words():
            found = await self._redis.hgetall(self._key("table", table))
        return {name.decode(): value for name, value in found.items()}

    async def close(self) -> None:
        """Release what it holds."""
        for client in (self._redis, self._reader):
            if client is not None:
                await client.aclose()


@asynccontextmanager
async def _in_words() -> AsyncIterator[None]:
    """Turn what goes wrong into a BusError."""
    try:
        yield
    except (ResponseError, BusyLoadingError) as error:  # an answer
        raise Untaken(one_line(str(error))) from None
    except (RedisError, OSError) as error:
        why = one_line(str(error)) or type(error).__name__
        never_sent = "connecting to" in why  # redis-py has no class of its own for that
        raise (Untaken if never_sent else BusError)(why) from None


def _checked(answer: Any) -> Any:
    """Return what a script answered. Raises OtherProtocol."""
    if answer[0] == b"protocol":
        raise OtherProtocol(answer[1].decode())
    return answer


def _pairs(flat: Sequence[Any]) -> Any:
    return zip(flat[::2], flat[1::2], strict=True)
