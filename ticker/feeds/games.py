"""Simulated games: rounds of fixtures with a clock, periods, goals, breaks and overtime.

Pure: time comes in as seconds, randomness as a seed. A game is played to its end when its round is
drawn; a step only looks up how far it has come. So the length of the steps changes nothing, and a
step costs the same however long it is. The clock runs through: a basketball game takes 48 minutes
and its breaks.
"""

from __future__ import annotations

import enum
import math
import random
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from ticker.diff import Row, Rows

MINUTE = 60.0
LEAD = 3 * MINUTE  # how long a round is announced; the first one begins at once
STAGGER = 8 * MINUTE  # from one kick-off of a round to the next, at most
SPREAD = 45 * MINUTE  # from the first kick-off of a round to the last, at most
OVERTIME_BREAK = 2  # minutes
HOLD = 15 * MINUTE  # how long the last result of a round stays
LONGEST_STEP = 24 * 60 * MINUTE  # what a longer step counts as: bounds the rounds nobody saw
TOLERANCE_MS = 5_000  # an estimated start is corrected when it is off by more


class Sport(enum.StrEnum):
    """What is played."""

    FOOTBALL = "football"
    BASKETBALL = "basketball"
    HOCKEY = "hockey"


@dataclass(frozen=True, slots=True)
class Rules:
    """How a sport is played and how often it scores. Lengths are in minutes."""

    periods: tuple[str, ...]
    minutes: int
    breaks: tuple[tuple[str, int], ...]  # between the periods: name, length
    rate: float  # scores per minute of one middling team
    edge: float  # what playing at home, or being better, is worth: logarithm of the rate
    scores: tuple[tuple[int, float, str], ...] = ((1, 1.0, "Goal"),)  # points, weight, name
    counts_up: bool = False
    added: int = 0  # most minutes added to a period
    overtime: int = 0  # length of each overtime until it is decided; 0 leaves a draw
    sudden_death: bool = False  # whether a goal ends overtime


RULES: Mapping[Sport, Rules] = {
    Sport.FOOTBALL: Rules(
        periods=("1st half", "2nd half"),
        minutes=45,
        breaks=(("HT", 15),),
        rate=0.0138,
        edge=0.12,
        counts_up=True,
        added=6,
    ),
    Sport.BASKETBALL: Rules(
        periods=("Q1", "Q2", "Q3", "Q4"),
        minutes=12,
        breaks=(("End Q1", 2), ("HT", 15), ("End Q3", 2)),
        rate=1.19,
        edge=0.015,
        scores=((1, 17.0, "Free throw"), (2, 28.0, "2 points"), (3, 13.0, "3 points")),
        overtime=5,
    ),
    Sport.HOCKEY: Rules(
        periods=("1st period", "2nd period", "3rd period"),
        minutes=20,
        breaks=(("1st break", 18), ("2nd break", 18)),
        rate=0.048,
        edge=0.06,
        overtime=20,
        sudden_death=True,
    ),
}


class Games:
    """Rounds of ``sport`` between ``teams``, everybody against everybody, again and again.

    In a round of an odd number of teams one rests. ``speed`` is in game seconds per second; it is
    only told (``clock_rate``). Raises ValueError for fewer than two teams.
    """

    def __init__(
        self,
        sport: Sport,
        teams: Sequence[str],
        *,
        seed: int,
        league: str | None = None,
        speed: float = 1.0,
    ) -> None:
        names = list(dict.fromkeys(teams))
        if len(names) < 2:
            raise ValueError(f"games need at least two teams, got {len(names)}")
        self._rules, self._seed, self._league = RULES[sport], f"{seed}:{sport}", league
        self._codes = _codes(names)
        self._clock_rate = speed if self._rules.counts_up else -speed
        self._strengths = {name: _rng(self._seed, name).gauss(0.0, 1.0) for name in names}
        _rng(self._seed).shuffle(names)
        self._teams: list[str | None] = [*names, None] if len(names) % 2 else [*names]
        self._round = 0
        self._time = LEAD  # seconds since the round was drawn
        self._first_ms: int | None = None
        self._seconds = 0.0  # game time since ``_first_ms``
        self._draw()

    def step(self, seconds: float, now_ms: int) -> Rows:
        """Let ``seconds`` of game time pass; return all games of the round as new rows by symbol.

        ``now_ms`` is in epoch milliseconds. How fast games run against it is learned from the
        steps, for ``start``; the first step takes them to run in real time.
        """
        seconds = max(0.0, seconds)
        if self._first_ms is None:
            self._first_ms = now_ms
        else:
            self._seconds += seconds
        self._time += min(seconds, LONGEST_STEP)
        while self._time >= self._end:
            self._time -= self._end
            self._round += 1
            self._draw()
        passed = now_ms - self._first_ms
        pace = passed / self._seconds if passed > 0 and self._seconds else 1000.0  # ms per second
        return {s: self._row(s, game, now_ms, pace) for s, game in self._games.items()}

    def position(self) -> dict[str, Any]:
        """Return how far they are, for ``resume``."""
        return {
            "round": self._round,
            "time": self._time,
            "first": self._first_ms,
            "seconds": self._seconds,
            "starts": {symbol: [*start] for symbol, start in self._starts.items()},
        }

    def resume(self, position: Mapping[str, Any]) -> None:
        """Go on where the same games were."""
        self._round, self._time = position["round"], position["time"]
        self._draw()
        self._first_ms, self._seconds = position["first"], position["seconds"]
        starts = position["starts"].items()
        self._starts |= {s: (at, settled) for s, (at, settled) in starts if s in self._games}

    def _draw(self) -> None:
        """Pair the teams for the next round and play its games."""
        pairs = list(self._pairs())
        gap = min(STAGGER, SPREAD / len(pairs))
        self._games: dict[str, _Game] = {}
        self._starts: dict[str, tuple[int, bool]] = {}  # epoch ms, and whether that is settled
        for i, (home, away) in enumerate(pairs):
            edge = self._rules.edge * (1 + self._strengths[home] - self._strengths[away])
            rng = _rng(self._seed, self._round, home, away)
            symbol = f"{self._codes[home]}-{self._codes[away]}"
            self._games[symbol] = _Game(self._rules, home, away, LEAD + i * gap, edge, rng)
        self._end = HOLD + max(game.kick_off + game.length for game in self._games.values())

    def _pairs(self) -> Iterator[tuple[str, str]]:
        """Yield (home, away) of the round by the circle method: the first stays, the rest turn."""
        first, *rest = self._teams
        cycle, turn = divmod(self._round, len(rest))
        order = [first, *rest[turn:], *rest[:turn]]
        for i in range(len(order) // 2):
            one, other = order[i], order[-1 - i]
            if one is not None and other is not None:
                yield (one, other) if (cycle + (i or turn)) % 2 == 0 else (other, one)

    def _row(self, symbol: str, game: _Game, now_ms: int, pace: float) -> Row:
        elapsed = self._time - game.kick_off
        start, settled = self._starts.get(symbol, (-TOLERANCE_MS, False))
        if not settled:
            estimate = round((now_ms - elapsed * pace) / 1000) * 1000
            if abs(estimate - start) > TOLERANCE_MS:
                start = estimate
            self._starts[symbol] = start, elapsed >= 0
        row = {"home": game.teams[0], "away": game.teams[1], "start": start, **game.at(elapsed)}
        if "clock" in row:
            row["clock_rate"] = self._clock_rate if row["status"] == "live" else 0.0
        if self._league is not None:
            row["league"] = self._league
        return row


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A period or the break after it; ``begin`` is in seconds after kick-off."""

    begin: float
    name: str
    period: int
    length: float = 0.0  # what a clock that counts down begins with, in seconds
    stopped: str | None = None  # what the clock shows in a break


@dataclass(frozen=True, slots=True)
class _Score:
    """What stands after somebody scored, ``at`` seconds after kick-off."""

    at: float
    event: str
    periods: tuple[tuple[int, int], ...]


class _Game:
    """One game, already played: what it looks like at any time. Times are in seconds."""

    def __init__(
        self, rules: Rules, home: str, away: str, kick_off: float, edge: float, rng: random.Random
    ) -> None:
        self.teams = (home, away)
        self.kick_off = kick_off
        self.length = 0.0
        self._rules, self._random = rules, rng
        self._rates = [rules.rate / MINUTE * math.exp(e) for e in (edge, -edge)]
        self._stretches: list[_Stretch] = []
        self._scores: list[_Score] = []
        self._tally: list[tuple[int, int]] = []
        for i, name in enumerate(rules.periods):
            if i:
                self._pause(*rules.breaks[i - 1])
            self._play(name, rules.minutes)
        self._result = "FT" if rules.counts_up else "Final"
        overtimes = 0
        while rules.overtime and sum(home - away for home, away in self._tally) == 0:
            overtimes += 1
            name = "OT" if overtimes == 1 else f"{overtimes}OT"
            self._pause(f"End {self._stretches[-1].name}", OVERTIME_BREAK)
            self._play(name, rules.overtime, sudden_death=rules.sudden_death)
            self._result = f"Final/{name}"

    def at(self, elapsed: float) -> dict[str, Any]:
        """Return the fields of the game ``elapsed`` seconds after kick-off, all of them new."""
        if elapsed < 0:
            return {"status": "scheduled"}
        begun = bisect_right(self._stretches, elapsed, key=attrgetter("begin"))
        stretch = self._stretches[begun - 1]
        count = bisect_right(self._scores, elapsed, key=attrgetter("at"))
        score = self._scores[count - 1] if count else None
        periods = [list(pair) for pair in score.periods] if score else []
        periods += [[0, 0] for _ in range(stretch.period + 1 - len(periods))]
        row: dict[str, Any] = {
            "home_score": sum(home for home, _ in periods),
            "away_score": sum(away for _, away in periods),
            "periods": periods,
        }
        if elapsed >= self.length:
            row |= {"status": "final", "period": self._result}
        else:
            row |= {
                "status": "break" if stretch.stopped else "live",
                "period": stretch.name,
                "clock": self._clock(stretch, elapsed - stretch.begin),
            }
        if score:
            row["last_event"] = score.event
        return row

    def _play(self, name: str, minutes: int, *, sudden_death: bool = False) -> None:
        """Play a period of ``minutes`` and what is added to it, or until the first goal."""
        added = self._random.randint(1, self._rules.added) if self._rules.added else 0
        length = (minutes + added) * MINUTE
        scores = sorted((at, side) for side in (0, 1) for at in self._times(side, length))
        if sudden_death and scores:
            length = scores[0][0]
            del scores[1:]
        stretch = _Stretch(self.length, name, len(self._tally), minutes * MINUTE)
        self._stretches.append(stretch)
        self._tally.append((0, 0))
        weights = [weight for _, weight, _ in self._rules.scores]
        for at, side in scores:
            points, _, what = self._random.choices(self._rules.scores, weights)[0]
            event = f"{what}, {self.teams[side]} {self._clock(stretch, at)}"
            self._score(at, side, points, event)
        self.length += length

    def _times(self, side: int, length: float) -> Iterator[float]:
        at = self._random.expovariate(self._rates[side])
        while at < length:
            yield at
            at += self._random.expovariate(self._rates[side])

    def _score(self, at: float, side: int, points: int, event: str) -> None:
        home, away = self._tally[-1]
        self._tally[-1] = (home, away + points) if side else (home + points, away)
        self._scores.append(_Score(self.length + at, event, tuple(self._tally)))

    def _pause(self, name: str, minutes: int) -> None:
        last = self._stretches[-1]
        minute = self._rules.minutes * (last.period + 1)
        shown = f"{minute}'" if self._rules.counts_up else "0:00"
        self._stretches.append(_Stretch(self.length, name, last.period, stopped=shown))
        self.length += minutes * MINUTE

    def _clock(self, stretch: _Stretch, elapsed: float) -> str:
        """Return what the clock shows ``elapsed`` seconds into ``stretch``."""
        if stretch.stopped is not None:
            return stretch.stopped
        if not self._rules.counts_up:
            left = math.ceil(stretch.length - elapsed)
            return f"{left // 60}:{left % 60:02d}"
        minute = int(elapsed // MINUTE) + 1
        before, regular = self._rules.minutes * stretch.period, self._rules.minutes
        if minute <= regular:
            return f"{before + minute}'"
        return f"{before + regular}+{minute - regular}'"


def _rng(*parts: object) -> random.Random:
    """Return a generator that depends on ``parts`` alone, on any machine."""
    return random.Random(":".join(map(str, parts)))  # noqa: S311 (a demo, no secret)


def _codes(teams: Sequence[str]) -> dict[str, str]:
    """Return a short code per team as scoreboards write it: ARS, MCI for Manchester City, NYR.

    Codes have letters and digits only, so two of them joined by a hyphen name one pair.
    """
    codes: dict[str, str] = {}
    for team in teams:
        plain = unicodedata.normalize("NFKD", team).upper()
        words = ["".join(filter(str.isalnum, word)) for word in plain.split()]
        words = [word for word in words if word] or ["TEAM"]
        lengths = {1: (3,), 2: (1, 2)}.get(len(words), (1, 1, 1))
        code = "".join(word[:n] for word, n in zip(words, lengths, strict=False))
        taken = set(codes.values())
        numbered = (f"{code}{n}" for n in range(2, len(teams) + 2))
        codes[team] = next(c for c in (code, *numbered) if c not in taken)
    return codes
