"""The simulated games are like real ones, and repeat by seed whatever the steps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from statistics import mean
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ticker.diff import Row, Rows
from ticker.feeds.games import Games, Sport

TEAMS = ("Arsenal", "Chelsea", "Everton", "Fulham", "Liverpool", "Tottenham")
NOW = 1_763_629_000_000
DAY = 86_400

sports = st.sampled_from(list(Sport))
seeds = st.integers(0, 2**32)
steps = st.lists(st.floats(0.0, 5_000.0), min_size=1, max_size=20)


def games(sport: Sport = Sport.FOOTBALL, seed: int = 1, **more: Any) -> Games:
    """Return games between six teams."""
    return Games(sport, TEAMS, seed=seed, **more)


def run(world: Games, steps: list[float]) -> list[Rows]:
    """Return the rows of each step, while a second of the game takes a second."""
    now, seen = NOW, []
    for seconds in steps:
        now += round(seconds * 1000)
        seen.append(world.step(seconds, now))
    return seen


def finals(sport: Sport, days: int) -> Iterator[Row]:
    """Yield each final game once."""
    world = Games(sport, [f"Team {n}" for n in range(20)], seed=1)
    before: Rows = {}
    for minute in range(0, days * 24 * 60, 5):
        rows = world.step(300, NOW + minute * 60_000)
        for symbol, row in rows.items():
            if row["status"] == "final" and before.get(symbol) != row:
                yield row
        before = rows


def life(sport: Sport, seed: int = 1) -> list[Row]:
    """Return what a game of the second round shows every ten seconds, from its announcement."""
    world = games(sport, seed)
    first = set(world.step(0, NOW))
    while first & set(rows := world.step(10, NOW)):
        pass
    symbol = next(reversed(rows))
    seen = [rows[symbol]]
    while symbol in (rows := world.step(10, NOW)):
        seen.append(rows[symbol])
    return seen


@given(sports, seeds, steps)
def test_periods_add_up_to_the_score(sport: Sport, seed: int, steps: list[float]) -> None:
    """Home and away have exactly what they got in the periods so far."""
    for rows in run(games(sport, seed), steps):
        for row in rows.values():
            if row["status"] != "scheduled":
                assert row["home_score"] == sum(home for home, _ in row["periods"])
                assert row["away_score"] == sum(away for _, away in row["periods"])


@given(sports, seeds, st.lists(st.floats(0.0, 900.0), min_size=2, max_size=20))
def test_scores_never_fall(sport: Sport, seed: int, steps: list[float]) -> None:
    """Within a round, a score only grows."""
    for before, after in pairwise(run(games(sport, seed), steps)):
        for symbol in before.keys() & after.keys():
            for field in ("home_score", "away_score"):
                if after[symbol]["status"] != "scheduled":
                    assert before[symbol].get(field, 0) <= after[symbol][field]


@given(sports, seeds, steps)
def test_fields_are_there_when_they_apply(sport: Sport, seed: int, steps: list[float]) -> None:
    """A scheduled game has no score, only a running one has a clock, and nothing is None."""
    always = {"home", "away", "status", "start"}
    played = always | {"home_score", "away_score", "periods", "period"}
    expected = {
        "scheduled": always,
        "live": played | {"clock", "clock_rate"},
        "break": played | {"clock", "clock_rate"},
        "final": played,
    }
    for rows in run(games(sport, seed), steps):
        for row in rows.values():
            assert row.keys() - {"last_event"} == expected[row["status"]]
            assert None not in row.values()


@given(sports, seeds, steps)
def test_same_seed_and_steps_give_the_same_rows(
    sport: Sport, seed: int, steps: list[float]
) -> None:
    """A season can be repeated."""
    assert run(games(sport, seed), steps) == run(games(sport, seed), steps)


@given(sports, seeds, st.lists(st.integers(0, 3_000), min_size=1, max_size=10))
def test_length_of_steps_changes_nothing(sport: Sport, seed: int, steps: list[int]) -> None:
    """Many short steps lead to the games that one long step leads to."""
    many = run(games(sport, seed), [0, *steps])[-1]
    one = run(games(sport, seed), [0, sum(steps)])[-1]
    assert [_without_start(row) for row in many.values()] == [
        _without_start(row) for row in one.values()
    ]


@given(sports, seeds)
def test_each_team_plays_once_in_a_round(sport: Sport, seed: int) -> None:
    """No team has two games on the board."""
    rows = games(sport, seed).step(0, NOW)
    playing = [team for row in rows.values() for team in (row["home"], row["away"])]
    assert sorted(playing) == sorted(TEAMS)


@settings(max_examples=30)
@given(st.lists(st.text(max_size=60), min_size=2, max_size=12, unique=True), seeds)
def test_any_names_give_short_unique_symbols(teams: list[str], seed: int) -> None:
    """Whatever teams are called, each pair has a symbol of its own, of at most 40 characters."""
    world = Games(Sport.HOCKEY, teams, seed=seed)
    named: dict[str, tuple[str, str]] = {}
    for _ in range(10):
        for symbol, row in world.step(2 * 3_600, NOW).items():
            assert 3 <= len(symbol) <= 40
            pair = (row["home"], row["away"])
            assert named.setdefault(symbol, pair) == pair


@pytest.mark.parametrize(
    ("home", "away", "codes"),
    [
        ("Arsenal", "Chelsea", {"ARS", "CHE"}),
        ("Manchester City", "Manchester United", {"MCI", "MUN"}),
        ("New York Rangers", "Montréal", {"NYR", "MON"}),
        ("Arsenal", "Arsenal Sarandí", {"ARS", "ASA"}),
        ("Red", "Red!", {"RED", "RED2"}),
        ("...", "Ö", {"TEA", "O"}),
    ],
)
def test_symbols_read_as_on_scoreboards(home: str, away: str, codes: set[str]) -> None:
    """Codes are the first letters, without accents, and numbered when they are taken."""
    (symbol,) = Games(Sport.FOOTBALL, [home, away], seed=1).step(0, NOW)
    assert set(symbol.split("-")) == codes


def test_odd_team_rests() -> None:
    """Of five teams, four play."""
    assert len(Games(Sport.FOOTBALL, TEAMS[:5], seed=1).step(0, NOW)) == 2


def test_everybody_meets_everybody_at_home_and_away() -> None:
    """Two cycles of rounds hold each pair of teams once each way."""
    world = games()
    met: list[tuple[str, str]] = []
    rows = world.step(0, NOW)
    while len(met) < 30:
        met += [(row["home"], row["away"]) for row in rows.values()]
        shown = set(rows)
        while shown == set(rows):
            rows = world.step(300, NOW)
    assert len(set(met)) == len(met) == 30


def test_kick_offs_are_staggered() -> None:
    """At first, one game of the round is on and the others are still to come."""
    statuses = [row["status"] for row in games().step(0, NOW).values()]
    assert statuses == ["live", "scheduled", "scheduled"]


@pytest.mark.parametrize("sport", Sport)
def test_game_goes_through_its_life(sport: Sport) -> None:
    """Scheduled, then live with breaks between, then final, and never back."""
    statuses = "".join(row["status"][0] for row in life(sport))
    assert re.fullmatch(r"s+l+(b+l+)+f+", statuses)


def test_football_has_two_halves() -> None:
    """Periods of football, in order."""
    shown = list(dict.fromkeys(row.get("period") for row in life(Sport.FOOTBALL)))
    assert shown == [None, "1st half", "HT", "2nd half", "FT"]


def test_basketball_has_four_quarters() -> None:
    """Periods of basketball, in order, in a game without overtime."""
    shown = list(dict.fromkeys(row.get("period") for row in life(Sport.BASKETBALL)))
    assert shown == [None, "Q1", "End Q1", "Q2", "HT", "Q3", "End Q3", "Q4", "Final"]


def test_hockey_has_three_periods() -> None:
    """Periods of hockey, in order, in a game without overtime."""
    shown = list(dict.fromkeys(row.get("period") for row in life(Sport.HOCKEY)))
    periods = ["1st period", "1st break", "2nd period", "2nd break", "3rd period"]
    assert shown == [None, *periods, "Final"]


def test_football_clock_counts_up_with_added_time() -> None:
    """The clock shows the running minute, and added time after the 45th and the 90th."""
    clocks = list(dict.fromkeys(row["clock"] for row in life(Sport.FOOTBALL) if "clock" in row))
    assert clocks[:2] == ["1'", "2'"]
    assert clocks[44:46] == ["45'", "45+1'"]
    assert "46'" in clocks
    assert "90+1'" in clocks
    assert "91'" not in clocks


def test_basketball_clock_counts_down() -> None:
    """A quarter begins at 12:00 and shows what is left."""
    clocks = [row["clock"] for row in life(Sport.BASKETBALL) if row.get("period") == "Q1"]
    assert clocks[0].startswith(("12:00", "11:5"))
    seconds = [int(c.split(":")[0]) * 60 + int(c.split(":")[1]) for c in clocks]
    assert [a - b for a, b in pairwise(seconds)] == [10] * (len(seconds) - 1)


@pytest.mark.parametrize(
    ("sport", "rate"), [(Sport.FOOTBALL, 30.0), (Sport.BASKETBALL, -30.0), (Sport.HOCKEY, -30.0)]
)
def test_clock_rate_is_the_pace_of_the_clock(sport: Sport, rate: float) -> None:
    """Clock seconds per second, negative when it counts down, and 0 while it stands."""
    world = games(sport, speed=30.0)
    seen = {
        (row["status"], row["clock_rate"])
        for rows in (world.step(60, NOW) for _ in range(120))
        for row in rows.values()
        if "clock" in row
    }
    assert seen == {("live", rate), ("break", 0.0)}


def test_last_event_names_the_team_and_the_clock() -> None:
    """What happened last reads like a ticker's line."""
    events = [row["last_event"] for row in finals(Sport.FOOTBALL, 1) if "last_event" in row]
    assert events
    assert all(re.fullmatch(r"Goal, Team \d+ \d+(\+\d)?'", event) for event in events)


def test_tie_goes_to_overtime_where_the_sport_wants_it() -> None:
    """Hockey and basketball have no draws, and some of their games need a further period."""
    for sport, regular in ((Sport.BASKETBALL, 4), (Sport.HOCKEY, 3)):
        rows = list(finals(sport, 7))
        assert all(row["home_score"] != row["away_score"] for row in rows)
        longer = [row for row in rows if len(row["periods"]) > regular]
        assert longer
        assert all(re.fullmatch(r"Final/\d?OT", row["period"]) for row in longer)


def test_hockey_overtime_ends_with_the_first_goal() -> None:
    """Overtime is won by one."""
    for row in finals(Sport.HOCKEY, 7):
        if len(row["periods"]) > 3:
            assert sorted(row["periods"][-1]) == [0, 1]


def test_football_has_draws() -> None:
    """In a league, football ends tied when it is tied."""
    assert any(row["home_score"] == row["away_score"] for row in finals(Sport.FOOTBALL, 1))


@pytest.mark.parametrize(
    ("sport", "low", "high"),
    [(Sport.FOOTBALL, 2.4, 3.0), (Sport.BASKETBALL, 210, 230), (Sport.HOCKEY, 5.4, 6.6)],
)
def test_results_are_realistic(sport: Sport, low: float, high: float) -> None:
    """Points of both teams together are, on average, as many as in the real leagues."""
    points = [row["home_score"] + row["away_score"] for row in finals(sport, 30)]
    assert low < mean(points) < high


def test_final_game_stays_for_a_while() -> None:
    """The last result of a round is shown for 15 minutes, then the next round is announced."""
    shown = sum(row["status"] == "final" for row in life(Sport.FOOTBALL)) * 10
    assert 14 * 60 <= shown <= 16 * 60


def test_start_follows_the_speed_of_the_game() -> None:
    """When a minute of the game takes a second, a kick-off in 8 minutes is 8 seconds away."""
    world = games()
    world.step(0, NOW)
    rows = list(world.step(60, NOW + 1_000).values())
    assert [row["start"] - NOW for row in rows] == [0, 8_000, 16_000]


def test_start_holds_still() -> None:
    """Steps that come a little early or late do not move a start that is known."""
    world = games()
    world.step(0, NOW)
    late = (0, 40, -30, 20, -50, 10)
    seen = [world.step(60, NOW + 1_000 * n + late[n % 6]) for n in range(1, 20)]
    for symbol in seen[0]:
        assert len({rows[symbol]["start"] for rows in seen}) == 1


def test_league_is_shown_when_given() -> None:
    """Every row of a league carries its name."""
    rows = games(league="Premier League").step(0, NOW)
    assert {row["league"] for row in rows.values()} == {"Premier League"}


def test_rows_are_new() -> None:
    """Who gets a row owns it, and the lists in it."""
    world = games(Sport.BASKETBALL)
    first = world.step(600, NOW)
    for row in first.values():
        row.get("periods", []).append("mine")
    second = world.step(0, NOW)
    assert all("mine" not in row.get("periods", []) for row in second.values())


def test_negative_step_is_no_step() -> None:
    """Time does not run backwards."""
    world = games()
    before = world.step(600, NOW)
    assert world.step(-300, NOW) == before


def test_huge_step_is_bounded() -> None:
    """A step of many years counts as a day: the rounds between are not played."""
    assert games().step(1e12, NOW) == games().step(DAY, NOW)


def test_step_of_hours_reaches_another_round() -> None:
    """After half a day other pairs play."""
    world = games()
    first = set(world.step(0, NOW))
    assert set(world.step(DAY / 2, NOW + DAY * 500)) != first


def test_one_team_is_refused() -> None:
    """A name given twice is one team, and one team has nobody to play."""
    with pytest.raises(ValueError, match="at least two teams, got 1"):
        Games(Sport.FOOTBALL, ["Arsenal", "Arsenal"], seed=1)


def _without_start(row: Row) -> Row:
    return {field: value for field, value in row.items() if field != "start"}
