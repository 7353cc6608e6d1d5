"""The bus on Redis or Valkey: Streams carry the entries, scripts make each step atomic.

All keys of one prefix are in one slot of a cluster, because a script may touch only one; the work
here is a few commands per tick and board, however many watch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from itertools import chain
from secrets import token_hex
from typing import Any

from redis.exceptions import (
    BusyLoadingError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

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
from ticker.bus.links import Links, NoLink
from ticker.config import redis_url
from ticker.errors import one_line

READ_MOST = 100
"""Most entries of one board that are read at once."""

PUBLISH_MOST = 8
"""Most boards that are published at once: more would only be more connections."""

WORDS = {
    "LOADING": "the server is still reading its data",
    "MISCONF": "the server takes nothing: it cannot write to its disk",
    "NOAUTH": "the server wants a name and a password",
    "NOREPLICAS": "the server takes nothing: it has too few replicas",
    "OOM": "the server takes nothing: it is out of memory (maxmemory)",
    "READONLY": "the server takes nothing: it is a replica",
    "WRONGPASS": "the server refuses the name or the password",
    "WRONGTYPE": "the prefix is in use for something else",
}
"""Errors of a server by their first word, in ours."""


@dataclass(frozen=True)
class _Script:
    """A script; a server knows it by its digest once it has seen it.

    Its last argument says that the server had not seen it.
    """

    text: str
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        digest = sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "digest", digest)


_CHECK = """
local written = redis.call('HGET', KEYS[1], 'protocol')
if written and written ~= ARGV[1] then return {'protocol', written} end
"""

# A server that was restarted or promoted has another run id: that is not stored, nor replicated.
# Where a name may not ask for it, a server that does not know the script is taken for another one.
# KEYS info
_MEMORY = """
local told = redis.pcall('INFO', 'server')
local run = type(told) == 'string' and string.match(told, 'run_id:(%w+)') or ''
local known = redis.call('HGET', KEYS[1], 'memory')
local other = run == '' and ARGV[#ARGV] == '1'
"""

# The first write is one that a server refuses which is out of memory, a replica, or without its
# disk: then nothing is done, and everybody hears why.
# KEYS info lease terms members positions
# ARGV protocol member card term takes lease_ms settled forget_ms memory new_memory unseen
_BEAT = _Script(
    _CHECK
    + _MEMORY
    + """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[4], ARGV[2], string.format('%.0f ', now) .. ARGV[3])
if not written then redis.call('HSET', KEYS[1], 'protocol', ARGV[1]) end

if not known or other then
  known = ARGV[10]
  redis.call('HSET', KEYS[1], 'memory', known)
end
local memory = known .. run

local term = redis.call('GET', KEYS[2])
if term and term == ARGV[4] then
  redis.call('PEXPIRE', KEYS[2], ARGV[6])
  if ARGV[7] ~= '' then redis.call('HSET', KEYS[1], 'settled', ARGV[7]) end
elseif not term and ARGV[5] == '1' and (ARGV[4] ~= '' or ARGV[9] == '' or ARGV[9] == memory) then
  local number = math.max(now, 1 + (redis.call('GET', KEYS[3]) or 0))
  term = string.format('%.0f:', number) .. ARGV[2]
  redis.call('SET', KEYS[3], string.format('%.0f', number))
  redis.call('SET', KEYS[2], term, 'PX', ARGV[6])
end

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

# XTRIM, not DEL: the ids of the entries go on from where they were, whatever the clock says
# KEYS info lease positions entries state
# ARGV protocol term board before after entry kept state memory unseen
_PUBLISH = _Script(
    _CHECK
    + _MEMORY
    + """
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return {'fenced', ''} end
if ARGV[9] ~= '' and (other or ARGV[9] ~= (known or '') .. run) then return {'fenced', ''} end
local at = redis.call('HGET', KEYS[3], ARGV[3]) or ''
if ARGV[4] == '' then
  redis.call('XTRIM', KEYS[4], 'MAXLEN', 0)
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
_LOAD = _Script(
    _CHECK
    + """
return {'ok', redis.call('HGET', KEYS[2], ARGV[2]) or '', redis.call('GET', KEYS[4]) or '',
  redis.call('XRANGE', KEYS[3], '-', '+')}
"""
)

# KEYS info lease positions, then entries and state of each board
# ARGV protocol term boards...
_FORGET = _Script(
    _CHECK
    + """
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return {'fenced', ''} end
for i = 4, #KEYS do redis.call('DEL', KEYS[i]) end
for i = 3, #ARGV - 1 do redis.call('HDEL', KEYS[3], ARGV[i]) end
return {'ok', ''}
"""
)

# KEYS lease table
# ARGV term lasts_ms kept, as many keys and values, then keys of what goes; unseen
_PUT = _Script("""
if ARGV[1] ~= '' and redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'fenced'} end
local i = 4
for _ = 1, tonumber(ARGV[3]) do
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
  i = i + 2
end
while i < #ARGV do
  redis.call('HDEL', KEYS[2], ARGV[i])
  i = i + 1
end
if ARGV[2] ~= '' then redis.call('PEXPIRE', KEYS[2], ARGV[2]) end
return {'ok'}
""")

# KEYS lease
# ARGV term
_RESIGN = _Script("if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end")


class RedisBus:
    """A bus on the server at ``url``; two with different prefixes know nothing of each other.

    ``patience`` is how long a call may take, in seconds; ``kept`` how many entries of a board are
    kept.
    """

    def __init__(self, url: str, prefix: str, *, patience: float, kept: int) -> None:
        self._prefix, self._kept, self._patience = prefix, kept, patience
        self._links = Links(redis_url.parse(url), patience)
        self._redis: Any = self._links.client()
        self._reader: Any = self._links.client()  # its reads wait where nothing else has to
        self._publishing = asyncio.Semaphore(PUBLISH_MOST)

    def _key(self, *parts: str) -> str:
        return ":".join((f"{{{self._prefix}}}", *parts))

    def _keys(self, *names: str) -> list[str]:
        return [self._key(name) for name in names]

    def _of(self, board: str) -> list[str]:
        """Return the keys of a board."""
        return [self._stream(board), self._key("state", board)]

    def _stream(self, name: str) -> str:
        return self._key("news") if name == NEWS else self._key("entries", name)

    async def beat(self, beat: Beat) -> Pulse:
        """Say that a process lives, renew or take the lease; learn how everything is."""
        _, term, memory, settled, positions, members = await self._run(
            _BEAT,
            self._keys("info", "lease", "terms", "members", "positions"),
            PROTOCOL,
            beat.member,
            beat.card,
            beat.term,
            int(beat.takes),
            round(beat.lease * 1000),
            beat.settled,
            round(MEMBER_SECONDS * 1000),
            beat.memory,
            token_hex(6),
        )
        found = {name.decode(): Position.parse(at.decode()) for name, at in _pairs(positions)}
        cards = {name.decode(): card for name, card in _pairs(members)}
        return Pulse(term.decode(), memory.decode(), settled.decode(), found, cards)

    async def resign(self, term: str) -> None:
        """Give the lease back, if ``term`` still has it."""
        await self._run(_RESIGN, self._keys("lease"), term)

    async def publish(self, term: str, step: Step) -> None:
        """Take a step, all of it or nothing. Raises Fenced or Elsewhere."""
        said, at = await self._run(
            _PUBLISH,
            [*self._keys("info", "lease", "positions"), *self._of(step.board)],
            PROTOCOL,
            term,
            step.board,
            str(step.before or ""),
            str(step.after),
            step.entry,
            self._kept,
            step.state or b"",
            step.memory,
            turns=self._publishing,
        )
        if said == b"fenced":
            raise Fenced(term)
        if said == b"elsewhere":
            raise Elsewhere(step.board, at.decode(), step.before)

    async def forget(self, term: str, boards: Sequence[str]) -> None:
        """Keep nothing of some boards any more. Raises Fenced."""
        keys = [key for board in boards for key in self._of(board)]
        common = self._keys("info", "lease", "positions")
        said, _ = await self._run(_FORGET, [*common, *keys], PROTOCOL, term, *boards)
        if said == b"fenced":
            raise Fenced(term)

    async def load(self, board: str) -> Stored:
        """Return what there is of a board, of one moment."""
        keys = [*self._keys("info", "positions"), *self._of(board)]
        _, at, state, entries = await self._run(_LOAD, keys, PROTOCOL, board)
        position = Position.parse(at.decode()) if at else None
        cursor = entries[-1][0].decode() if entries else "0"
        return Stored(position, state or None, [fields[1] for _, fields in entries], cursor)

    async def read(
        self, cursors: Mapping[str, str], wait: float
    ) -> Mapping[str, Sequence[tuple[str, bytes]]]:
        """Return what came after each cursor; wait for it up to so many seconds."""
        streams = {self._stream(name): cursor for name, cursor in cursors.items()}
        names = dict(zip(streams, cursors, strict=True))

        async def ask() -> Any:
            async with self._reader.pipeline(transaction=False) as pipe:
                pipe.xread(streams, READ_MOST, max(1, round(wait * 1000)))
                pipe.hget(self._key("info"), "protocol")  # of when the entries were found
                return await pipe.execute()

        found, written = await self._ask(ask, wait)
        if written not in (None, b"%d" % PROTOCOL):
            raise OtherProtocol(written.decode())
        return {
            names[key.decode()]: [(cursor.decode(), fields[b"e"]) for cursor, fields in entries]
            for key, entries in found
        }

    async def latest(self) -> str:
        """Return the cursor behind the latest news."""
        last = await self._ask(lambda: self._redis.xrevrange(self._key("news"), count=1))
        return last[0][0].decode() if last else "0"

    async def say(self, news: bytes) -> None:
        """Tell every process that reads."""
        entry, key = {"e": news}, self._key("news")
        await self._ask(lambda: self._redis.xadd(key, entry, maxlen=NEWS_KEPT, approximate=False))

    async def put(
        self,
        table: str,
        values: Mapping[str, bytes | None],
        lasts: float | None = None,
        *,
        term: str = "",
    ) -> None:
        """Keep values by key, for ``lasts`` seconds from now if so; None removes one."""
        kept: list[tuple[str | bytes, ...]]
        kept = [(name, value) for name, value in values.items() if value is not None]
        gone = [name for name, value in values.items() if value is None]
        ends = "" if lasts is None else round(lasts * 1000)
        (said,) = await self._run(
            _PUT,
            [self._key("lease"), self._key("table", table)],
            term,
            ends,
            len(kept),
            *chain.from_iterable(kept),
            *gone,
        )
        if said == b"fenced":
            raise Fenced(term)

    async def get(self, table: str) -> Mapping[str, bytes]:
        """Return what is kept in a table."""
        found = await self._ask(lambda: self._redis.hgetall(self._key("table", table)))
        return {name.decode(): value for name, value in found.items()}

    async def close(self) -> None:
        """Release what it holds."""
        await self._links.close()

    async def _run(
        self,
        script: _Script,
        keys: Sequence[str],
        *arguments: str | bytes | int,
        turns: asyncio.Semaphore | None = None,
    ) -> Any:
        """Return what a script answers, in one round trip. Raises OtherProtocol."""

        async def ask() -> Any:
            given = (len(keys), *keys, *arguments)
            try:
                return await self._redis.evalsha(script.digest, *given, 0)
            except NoScriptError:
                return await self._redis.eval(script.text, *given, 1)

        answer = await self._ask(ask, turns=turns)
        if answer and answer[0] == b"protocol":
            raise OtherProtocol(answer[1].decode())
        return answer

    async def _ask(
        self,
        ask: Callable[[], Awaitable[Any]],
        wait: float = 0.0,
        turns: asyncio.Semaphore | None = None,
    ) -> Any:
        """Return an answer that takes no longer than it may beside a ``wait``.

        What goes wrong is a BusError; where another server has the keys, that one is asked.
        """
        limit = wait + self._patience
        try:
            async with asyncio.timeout(limit):
                if turns is None:
                    return await self._follow(ask)
                async with turns:
                    return await self._follow(ask)
        except TimeoutError:
            self._links.lost()
            raise BusError(f"no answer within {limit:g} s") from None
        except (RedisError, OSError) as error:
            if isinstance(error, ReadOnlyError):
                await self._links.moved()
            elif not isinstance(error, ResponseError):
                self._links.lost()
            answered = isinstance(error, ResponseError | BusyLoadingError | NoLink)
            raise (Untaken if answered else BusError)(_in_words(error)) from None

    async def _follow(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await ask()
        except MovedError as error:
            await self._links.moved(error.host, error.port)
            return await ask()


def _in_words(error: Exception) -> str:
    said = one_line(str(error)).partition(" script: ")[0]
    code = getattr(error, "status_code", None) or said.partition(" ")[0]
    if "unauthenticated" in said:  # what is long is refused before it is read
        code = "NOAUTH"
    return WORDS.get(code, said or type(error).__name__)


def _pairs(flat: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(flat[::2], flat[1::2], strict=True)
