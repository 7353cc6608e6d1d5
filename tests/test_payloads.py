"""Recorded answers of public APIs, served and polled by YAML alone.

What each must give is worked out here from the file with plain Python, not with the program.
``pytest -s`` prints what was mapped of each.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from textwrap import dedent, indent
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.fixtures.recorded import Row, Rows, game, number, quote, row, scaled, shared_data
from tests.support import Running, serving, source, until
from ticker import configfile
from ticker.config import PollFeed
from ticker.feeds.mapping import Mapper

DATA = shared_data()
VERSIONS = "scores_seq/openfootball_worldcup_2026_versions.jsonl.gz"


# -- reading the files with plain Python


def loaded(file: str) -> Any:
    """Return a recorded JSON document."""
    return json.loads((DATA / file).read_text("utf-8"))


def table(file: str) -> list[dict[str, str]]:
    """Return a recorded CSV, whose cells may have a blank before them."""
    with (DATA / file).open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines, skipinitialspace=True))


def ms(moment: datetime) -> int:
    """Return epoch milliseconds."""
    return round(moment.timestamp() * 1000)


def local(text: str, zone: str) -> int:
    """Return epoch milliseconds of a date and time written in a time zone."""
    return ms(datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=ZoneInfo(zone)))


def utc(text: str, layout: str) -> int:
    """Return epoch milliseconds of a time written in UTC."""
    return ms(datetime.strptime(text, layout).replace(tzinfo=UTC))


# -- what each file must give


def binance_spot() -> Rows:
    """Every pair, its numbers from text."""
    return {
        r["symbol"]: row(
            last=float(r["lastPrice"]),
            open=float(r["openPrice"]),
            previous_close=float(r["prevClosePrice"]),
            change=float(r["priceChange"]),
            change_pct=float(r["priceChangePercent"]),
            bid=float(r["bidPrice"]),
            ask=float(r["askPrice"]),
            bid_size=float(r["bidQty"]),
            ask_size=float(r["askQty"]),
            volume=float(r["volume"]),
            quote_volume=float(r["quoteVolume"]),
            time=r["closeTime"],
            trades=r["count"],
        )
        for r in loaded("market/binance_ticker_24hr.json")
    }


def binance_futures() -> Rows:
    """Every contract, its change worked out from last and open."""
    return {
        r["symbol"]: quote(
            last=float(r["lastPrice"]), open=float(r["openPrice"]), high=float(r["highPrice"])
        )
        for r in loaded("market/binance_futures_ticker_24hr.json")
    }


def bitfinex() -> Rows:
    """The trading rows; those of funding have other columns and are left out."""
    return {
        r[0]: row(
            last=r[7],
            bid=r[1],
            bid_size=r[2],
            ask=r[3],
            ask_size=r[4],
            change=r[5],
            change_pct=scaled(r[6], 100),
            volume=r[8],
            high=r[9],
            low=r[10],
        )
        for r in loaded("market/bitfinex_v2_tickers_all.json")
        if r[0].startswith("t")
    }


def bithumb(file: str) -> Rows:
    """Every coin; the document's date among them is none."""
    data = loaded(file)["data"]
    at = int(data.pop("date"))
    return {
        coin: row(
            last=float(r["closing_price"]),
            open=float(r["opening_price"]),
            previous_close=float(r["prev_closing_price"]),
            change=float(r["fluctate_24H"]),
            change_pct=float(r["fluctate_rate_24H"]),
            volume=float(r["units_traded_24H"]),
            time=at,
        )
        for coin, r in data.items()
    }


def coinone() -> Rows:
    """Every coin among the scalars at the document's root."""
    document = loaded("market/coinone_ticker_all.json")
    return {
        coin: quote(
            last=float(r["last"]),
            previous_close=float(r["yesterday_last"]),
            volume=float(r["volume"]),
            time=int(document["timestamp"]) * 1000,
        )
        for coin, r in document.items()
        if isinstance(r, dict)
    }


def kraken() -> Rows:
    """The one pair, its numbers in arrays."""
    return {
        pair: quote(
            last=float(r["c"][0]),
            bid=float(r["b"][0]),
            ask=float(r["a"][0]),
            open=float(r["o"]),
            high=float(r["h"][1]),
            low=float(r["l"][1]),
            volume=float(r["v"][1]),
        )
        for pair, r in loaded("market/kraken_ticker_BCHEUR.json")["result"].items()
    }


def idax() -> Rows:
    """Every pair of the list in the envelope, with the envelope's time."""
    document = loaded("market_seq/idax_ticker_poll1.json")
    return {
        r["pair"]: quote(
            last=float(r["last"]),
            open=float(r["open"]),
            high=float(r["high"]),
            low=float(r["low"]),
            volume=float(r["vol"]),
            time=document["timestamp"],
        )
        for r in document["ticker"]
    }


def poloniex() -> Rows:
    """Every pair, its change from a fraction to percent."""
    return {
        pair: row(
            last=float(r["last"]),
            bid=float(r["highestBid"]),
            ask=float(r["lowestAsk"]),
            change_pct=scaled(r["percentChange"], 100),
            volume=float(r["quoteVolume"]),
        )
        for pair, r in loaded("market_seq/poloniex_returnTicker_poll1.json").items()
    }


def open_exchange_rates() -> Rows:
    """Every currency, where the value is the price."""
    document = loaded("market/openexchangerates_latest.json")
    return {
        code: row(last=rate, currency=document["base"], time=document["timestamp"] * 1000)
        for code, rate in document["rates"].items()
    }


def global_quote() -> Rows:
    """The one share, behind keys with dots and spaces; percent with its sign."""
    r = loaded("market/alphavantage_global_quote_MSFT.json")["Global Quote"]
    return {
        r["01. symbol"]: row(
            last=float(r["05. price"]),
            open=float(r["02. open"]),
            previous_close=float(r["08. previous close"]),
            change=float(r["09. change"]),
            change_pct=float(r["10. change percent"].removesuffix("%")),
            volume=float(r["06. volume"]),
            time=utc(r["07. latest trading day"], "%Y-%m-%d"),
        )
    }


def exchange_rate() -> Rows:
    """The one pair, its symbol joined from two members."""
    r = loaded("market/alphavantage_fx_BTC_CNY.json")["Realtime Currency Exchange Rate"]
    symbol = f"{r['1. From_Currency Code']}/{r['3. To_Currency Code']}"
    at = utc(r["6. Last Refreshed"], "%Y-%m-%d %H:%M:%S")
    name = r["2. From_Currency Name"]
    return {symbol: row(last=float(r["5. Exchange Rate"]), name=name, time=at)}


def sectors() -> Rows:
    """Every sector, where the value is a percentage with its sign."""
    ranked = loaded("market/alphavantage_sector.json")["Rank A: Real-Time Performance"]
    return {name: row(change_pct=float(text.rstrip("%"))) for name, text in ranked.items()}


def gemini() -> Rows:
    """The one pair, known from the URL only."""
    r = loaded("market/gemini_pubticker_BTCUSD.json")
    return {
        "BTCUSD": row(
            last=float(r["last"]),
            bid=float(r["bid"]),
            ask=float(r["ask"]),
            volume=float(r["volume"]["BTC"]),
            time=r["volume"]["timestamp"],
        )
    }


def bitstamp() -> Rows:
    """The one pair, known from the URL only."""
    r = loaded("market/bitstamp_ticker_btcusd.json")
    return {
        "btcusd": quote(
            last=float(r["last"]),
            bid=float(r["bid"]),
            ask=float(r["ask"]),
            open=float(r["open"]),
            volume=float(r["volume"]),
            time=int(r["timestamp"]) * 1000,
        )
    }


def ecb_wide() -> Rows:
    """Every column of the one line but the date and the one after the last comma."""
    (line,) = table("market/ecb_eurofxref.csv")
    at = utc(line["Date"], "%d %B %Y")
    return {
        code: row(last=float(rate), time=at)
        for code, rate in line.items()
        if code not in {"Date", ""}
    }


def ecb_days() -> Rows:
    """Every day as a row; N/A is no value."""
    return {
        line["Date"]: row(
            time=utc(line["Date"], "%Y-%m-%d"),
            last=float(line["USD"]),
            jpy=float(line["JPY"]),
            zar=float(line["ZAR"]),
            bid=number(line["RUB"]),  # N/A
        )
        for line in table("market_seq/ecb_eurofxref_hist_500d.csv")
    }


def ecb_newest_day() -> Rows:
    """Every currency that has a rate on the newest day."""
    line = table("market_seq/ecb_eurofxref_hist_500d.csv")[0]
    at = utc(line["Date"], "%Y-%m-%d")
    return {
        code: row(last=float(rate), time=at)
        for code, rate in line.items()
        if code not in {"Date", ""} and rate != "N/A"
    }


def minutes_csv() -> Rows:
    """Every minute as a row, in New York's time."""
    return {
        line["time"]: quote(
            last=float(line["close"]),
            open=float(line["open"]),
            high=float(line["high"]),
            low=float(line["low"]),
            volume=int(line["volume"]),
            time=local(line["time"], "America/New_York"),
        )
        for line in table("market_seq/alphavantage_intraday_extended.csv")
    }


def minutes_json() -> Rows:
    """Every minute as a row, keyed by its time."""
    series = loaded("market_seq/alphavantage_intraday_1min_MSFT.json")["Time Series (1min)"]
    return {
        minute: quote(
            last=float(r["4. close"]),
            open=float(r["1. open"]),
            volume=int(r["5. volume"]),
            time=local(minute, "US/Eastern"),
        )
        for minute, r in series.items()
    }


def espn() -> Rows:
    """Both matches, home and away chosen among the competitors."""
    words = {"pre": "scheduled", "in": "live", "post": "final"}
    rows = {}
    for event in loaded("scores/espn_fifa_world_scoreboard.json")["events"]:
        sides = {side["homeAway"]: side for side in event["competitions"][0]["competitors"]}
        home, away = sides["home"], sides["away"]
        rows[event["id"]] = game(
            home=home["team"]["displayName"],
            away=away["team"]["displayName"],
            home_score=int(home["score"]),
            away_score=int(away["score"]),
            status=words[event["status"]["type"]["state"]],
            period=event["status"]["period"],
            clock=event["status"]["displayClock"],
            start=utc(event["date"], "%Y-%m-%dT%H:%MZ"),
            league="FIFA World Cup",
        )
    return rows


def football(match: dict[str, Any], **more: Any) -> Row:
    """Return a match of openfootball; its score is missing before it is played."""
    score = match.get("score")
    home, away = score["ft"] if score else (None, None)
    # the last score that counts: penalties are shown beside it
    if score and "et" in score:
        home, away = score["et"]
    penalties = score.get("p") if score else None
    return game(
        home=match["team1"],
        away=match["team2"],
        home_score=home,
        away_score=away,
        status="final" if score else "scheduled",
        league=match.get("group"),
        period=match["round"],
        penalties=penalties,
        **more,
    )


def world_cup_2022() -> Rows:
    """Every match; its goals' minutes are numbers."""
    doha = timezone(timedelta(hours=3))
    return {
        f"{m['date']} {m['team1']} {m['team2']}": football(
            m,
            start=ms(
                datetime.strptime(f"{m['date']} {m['time']}", "%Y-%m-%d %H:%M").replace(tzinfo=doha)
            ),
            home_minutes=[g["minute"] for g in m["goals1"]] if "goals1" in m else None,
        )
        for m in loaded("scores/openfootball_worldcup_2022.json")["matches"]
    }


def world_cup_2026() -> Rows:
    """Every match; its goals' minutes are text such as 45+2."""
    return {
        f"{m['date']} {m['team1']} {m['team2']}": football(
            m,
            scorers=[g["name"] for g in m["goals1"]] if "goals1" in m else None,
            home_minutes=[g["minute"] for g in m["goals1"]] if "goals1" in m else None,
        )
        for m in loaded("scores/openfootball_worldcup_2026.json")["matches"]
    }


def world_cup_before() -> Rows:
    """The first published version, when no match but few had a score."""
    return {
        f"{m['date']} {m['team1']} {m['team2']}": football(m) for m in first_version()["matches"]
    }


def first_version() -> Any:
    """Return the first published version of the World Cup's results."""
    with gzip.open(DATA / VERSIONS, "rt") as lines:
        return json.loads(next(iter(lines)))["body"]


def nba(file: str) -> Rows:
    """Every game, its state a number and its clock blank."""
    words = {1: "scheduled", 2: "live", 3: "final"}
    board = loaded(file)["scoreboard"]
    return {
        g["gameId"]: game(
            home=g["homeTeam"]["teamTricode"],
            away=g["awayTeam"]["teamTricode"],
            home_score=g["homeTeam"]["score"],
            away_score=g["awayTeam"]["score"],
            status=words[g["gameStatus"]],
            period=g["period"],
            start=utc(g["gameTimeUTC"], "%Y-%m-%dT%H:%M:%SZ"),
            league=board["leagueName"],
            home_periods=[p["score"] for p in g["homeTeam"]["periods"]],
        )
        for g in board["games"]
    }


def play_by_play() -> Rows:
    """The game as all its actions leave it: a blank score keeps the one before."""
    play = loaded("scores_seq/nba_playbyplay_0022400001_ATL_BOS.json")["game"]
    state: Row = {}
    for action in play["actions"]:
        found, seconds = action["clock"].removeprefix("PT").removesuffix("S").split("M")
        state["clock"] = f"{int(found)}:{int(float(seconds)):02}"
        state["period"] = action["period"]
        state["last_event"] = action["description"] or state.get("last_event")
        for side, name in (("home", "scoreHome"), ("away", "scoreAway")):
            if action[name] != "":
                state[f"{side}_score"] = int(action[name])
    return {play["gameId"]: row(**state)}


# -- the shapes


@dataclass(frozen=True)
class Shape:
    """A recorded file, the YAML that maps it, and what must come of it."""

    name: str
    path: str
    """Where the source serves it."""
    file: str
    yaml: str
    expected: Callable[[], Rows]
    rejected: int = 0
    layout: str = "quotes"


QUOTE_FIELDS_OF_BITHUMB = """
    fields:
      last: closing_price
      open: opening_price
      previous_close: prev_closing_price
      change: fluctate_24H
      change_pct: fluctate_rate_24H
      volume: units_traded_24H
      time: $.data.date
"""
OPENFOOTBALL = """
    rows: matches
    key: join(' ', [date, team1, team2])
    fields:
      home: team1
      away: team2
      home_score: score.et[0] || score.ft[0]
      away_score: score.et[1] || score.ft[1]
      status: score.ft && 'final' || 'scheduled'
      league: group
      period: round
      penalties: score.p
"""
NBA = """
    rows: scoreboard.games
    key: gameId
    fields:
      home: homeTeam.teamTricode
      away: awayTeam.teamTricode
      home_score: homeTeam.score
      away_score: awayTeam.score
      status: {path: gameStatus, map: {1: scheduled, 2: live, 3: final}}
      period: period
      clock: gameClock
      start: gameTimeUTC
      league: $.scoreboard.leagueName
      home_periods: homeTeam.periods[].score
"""

SHAPES = [
    Shape(
        "binance-spot",
        "/binance",
        "market/binance_ticker_24hr.json",
        """
    url: ${SOURCE}/binance
    fields:
      last: lastPrice
      open: openPrice
      previous_close: prevClosePrice
      change: priceChange
      change_pct: priceChangePercent
      bid: bidPrice
      ask: askPrice
      bid_size: bidQty
      ask_size: askQty
      volume: volume
      quote_volume: quoteVolume
      time: closeTime
      trades: count
""",
        binance_spot,
    ),
    Shape(
        "binance-futures",
        "/futures",
        "market/binance_futures_ticker_24hr.json",
        """
    url: ${SOURCE}/futures
    fields: {last: lastPrice, open: openPrice, high: highPrice}
""",
        binance_futures,
    ),
    Shape(
        "bitfinex",
        "/bitfinex",
        "market/bitfinex_v2_tickers_all.json",
        """
    url: ${SOURCE}/bitfinex
    where: starts_with([0], 't')
    key: "[0]"
    fields:
      last: "[7]"
      bid: "[1]"
      bid_size: "[2]"
      ask: "[3]"
      ask_size: "[4]"
      change: "[5]"
      change_pct: {path: "[6]", scale: 100}
      volume: "[8]"
      high: "[9]"
      low: "[10]"
""",
        bitfinex,
    ),
    Shape(
        "bithumb-krw",
        "/krw",
        "market/bithumb_ticker_ALL_KRW.json",
        """
    url: ${SOURCE}/krw
    check: status == '0000'
    rows: data
    key: "@key"
    skip: [date]
"""
        + QUOTE_FIELDS_OF_BITHUMB,
        lambda: bithumb("market/bithumb_ticker_ALL_KRW.json"),
    ),
    Shape(
        "bithumb-btc, date not skipped",
        "/btc",
        "market/bithumb_ticker_ALL_BTC.json",
        """
    url: ${SOURCE}/btc
    rows: data
    key: "@key"
"""
        + QUOTE_FIELDS_OF_BITHUMB,
        lambda: bithumb("market/bithumb_ticker_ALL_BTC.json"),
        rejected=1,
    ),
    Shape(
        "coinone, scalars left out",
        "/coinone",
        "market/coinone_ticker_all.json",
        """
    url: ${SOURCE}/coinone
    check: result == 'success'
    where: type(@) == 'object'
    key: "@key"
    fields: {last: last, previous_close: yesterday_last, volume: volume, time: $.timestamp}
""",
        coinone,
    ),
    Shape(
        "coinone, scalars rejected",
        "/coinone-all",
        "market/coinone_ticker_all.json",
        """
    url: ${SOURCE}/coinone-all
    key: "@key"
    fields: {last: last, previous_close: yesterday_last, volume: volume, time: $.timestamp}
""",
        coinone,
        rejected=3,
    ),
    Shape(
        "kraken",
        "/kraken",
        "market/kraken_ticker_BCHEUR.json",
        """
    url: ${SOURCE}/kraken
    check: "!error"
    rows: result
    key: "@key"
    fields:
      last: c[0]
      bid: b[0]
      ask: a[0]
      open: o
      high: h[1]
      low: l[1]
      volume: v[1]
""",
        kraken,
    ),
    Shape(
        "idax",
        "/idax",
        "market_seq/idax_ticker_poll1.json",
        """
    url: ${SOURCE}/idax
    check: code == `10000`
    rows: ticker
    key: pair
    fields: {last: last, open: open, high: high, low: low, volume: vol, time: $.timestamp}
""",
        idax,
    ),
    Shape(
        "poloniex",
        "/poloniex",
        "market_seq/poloniex_returnTicker_poll1.json",
        """
    url: ${SOURCE}/poloniex
    key: "@key"
    fields:
      last: last
      bid: highestBid
      ask: lowestAsk
      change_pct: {path: percentChange, scale: 100}
      volume: quoteVolume
""",
        poloniex,
    ),
    Shape(
        "openexchangerates",
        "/oxr",
        "market/openexchangerates_latest.json",
        """
    url: ${SOURCE}/oxr
    rows: rates
    key: "@key"
    fields: {last: "@", currency: $.base, time: $.timestamp}
""",
        open_exchange_rates,
    ),
    Shape(
        "alphavantage-quote",
        "/quote",
        "market/alphavantage_global_quote_MSFT.json",
        """
    url: ${SOURCE}/quote
    rows: '["Global Quote"]'
    key: '"01. symbol"'
    fields:
      last: '"05. price"'
      open: '"02. open"'
      previous_close: '"08. previous close"'
      change: '"09. change"'
      change_pct: '"10. change percent"'
      volume: '"06. volume"'
      time: '"07. latest trading day"'
""",
        global_quote,
    ),
    Shape(
        "alphavantage-fx",
        "/fx",
        "market/alphavantage_fx_BTC_CNY.json",
        """
    url: ${SOURCE}/fx
    rows: '["Realtime Currency Exchange Rate"]'
    key: join('/', ["1. From_Currency Code", "3. To_Currency Code"])
    fields:
      last: '"5. Exchange Rate"'
      name: '"2. From_Currency Name"'
      time: '"6. Last Refreshed"'
""",
        exchange_rate,
    ),
    Shape(
        "alphavantage-sector",
        "/sector",
        "market/alphavantage_sector.json",
        """
    url: ${SOURCE}/sector
    rows: '"Rank A: Real-Time Performance"'
    key: "@key"
    fields: {change_pct: "@"}
""",
        sectors,
    ),
    Shape(
        "gemini",
        "/gemini/BTCUSD",
        "market/gemini_pubticker_BTCUSD.json",
        """
    url: ${SOURCE}/gemini/{symbol}
    symbols: [BTCUSD]
    fields: {last: last, bid: bid, ask: ask, volume: volume.BTC, time: volume.timestamp}
""",
        gemini,
    ),
    Shape(
        "bitstamp",
        "/bitstamp/btcusd/",
        "market/bitstamp_ticker_btcusd.json",
        """
    url: ${SOURCE}/bitstamp/{symbol}/
    symbols: [btcusd]
    fields: {last: last, bid: bid, ask: ask, open: open, volume: volume, time: timestamp}
""",
        bitstamp,
    ),
    Shape(
        "ecb-wide-csv",
        "/ecb",
        "market/ecb_eurofxref.csv",
        """
    url: ${SOURCE}/ecb
    format: csv
    rows: "[0]"
    key: "@key"
    skip: [Date]
    fields: {last: "@", time: {path: "$[0].Date", format: "%d %B %Y"}}
""",
        ecb_wide,
    ),
    Shape(
        "ecb-hist-csv, row per day",
        "/ecb-days",
        "market_seq/ecb_eurofxref_hist_500d.csv",
        """
    url: ${SOURCE}/ecb-days
    format: csv
    key: Date
    fields: {time: Date, last: USD, jpy: JPY, zar: ZAR, bid: RUB}
""",
        ecb_days,
    ),
    Shape(
        "ecb-hist-csv, newest day",
        "/ecb-newest",
        "market_seq/ecb_eurofxref_hist_500d.csv",
        """
    url: ${SOURCE}/ecb-newest
    format: csv
    rows: "[0]"
    key: "@key"
    skip: [Date]
    fields: {last: "@", time: "$[0].Date"}
""",
        ecb_newest_day,
        rejected=12,
    ),
    Shape(
        "alphavantage-intraday-csv",
        "/minutes.csv",
        "market_seq/alphavantage_intraday_extended.csv",
        """
    url: ${SOURCE}/minutes.csv
    format: csv
    key: time
    timezone: America/New_York
    fields: {last: close, open: open, high: high, low: low, volume: volume, time: time}
""",
        minutes_csv,
    ),
    Shape(
        "alphavantage-intraday-json",
        "/minutes.json",
        "market_seq/alphavantage_intraday_1min_MSFT.json",
        """
    url: ${SOURCE}/minutes.json
    rows: '"Time Series (1min)"'
    key: "@key"
    timezone: US/Eastern
    fields: {last: '"4. close"', open: '"1. open"', volume: '"5. volume"', time: "@key"}
""",
        minutes_json,
    ),
    Shape(
        "espn",
        "/espn",
        "scores/espn_fifa_world_scoreboard.json",
        """
    url: ${SOURCE}/espn
    rows: events
    key: id
    fields:
      home: competitions[0].competitors[?homeAway=='home'] | [0].team.displayName
      away: competitions[0].competitors[?homeAway=='away'] | [0].team.displayName
      home_score: competitions[0].competitors[?homeAway=='home'] | [0].score
      away_score: competitions[0].competitors[?homeAway=='away'] | [0].score
      status: {path: status.type.state, map: {pre: scheduled, in: live, post: final}}
      period: status.period
      clock: status.displayClock
      start: date
      league: $.leagues[0].name
""",
        espn,
        layout="scores",
    ),
    Shape(
        "openfootball-2022",
        "/2022",
        "scores/openfootball_worldcup_2022.json",
        """
    url: ${SOURCE}/2022
    timezone: Asia/Qatar
"""
        + OPENFOOTBALL
        + """
      start: join(' ', [date, time])
      home_minutes: goals1[].minute
""",
        world_cup_2022,
        layout="scores",
    ),
    Shape(
        "openfootball-2026",
        "/2026",
        "scores/openfootball_worldcup_2026.json",
        """
    url: ${SOURCE}/2026
"""
        + OPENFOOTBALL
        + """
      scorers: goals1[].name
      home_minutes: goals1[].minute
""",
        world_cup_2026,
        layout="scores",
    ),
    Shape(
        "openfootball-2026, before most kick-offs",
        "/2026-first",
        VERSIONS,
        """
    url: ${SOURCE}/2026-first
"""
        + OPENFOOTBALL,
        world_cup_before,
        layout="scores",
    ),
    Shape(
        "nba-scoreboard-v3",
        "/nba-v3",
        "scores/nba_scoreboardv3_2025-11-05.json",
        """
    url: ${SOURCE}/nba-v3
"""
        + NBA,
        lambda: nba("scores/nba_scoreboardv3_2025-11-05.json"),
        layout="scores",
    ),
    Shape(
        "nba-live",
        "/nba-live",
        "scores/nba_live_todaysScoreboard_2021-01-15.json",
        """
    url: ${SOURCE}/nba-live
"""
        + NBA,
        lambda: nba("scores/nba_live_todaysScoreboard_2021-01-15.json"),
        layout="scores",
    ),
    Shape(
        "nba-play-by-play, actions laid over each other",
        "/actions",
        "scores_seq/nba_playbyplay_0022400001_ATL_BOS.json",
        """
    url: ${SOURCE}/actions
    rows: game.actions
    key: $.game.gameId
    duplicates: merge
    blanks: keep
    fields:
      home_score: scoreHome
      away_score: scoreAway
      period: period
      clock: clock
      last_event: description
""",
        play_by_play,
        layout="scores",
    ),
    Shape(
        "nba-play-by-play, last action with a score",
        "/game",
        "scores_seq/nba_playbyplay_0022400001_ATL_BOS.json",
        """
    url: ${SOURCE}/game
    rows: "[game]"
    key: gameId
    fields:
      home_score: actions[?scoreHome!=''] | [-1].scoreHome
      away_score: actions[?scoreAway!=''] | [-1].scoreAway
      period: actions[-1].period
      clock: actions[-1].clock
      last_event: actions[?description!=''] | [-1].description
""",
        play_by_play,
        layout="scores",
    ),
]


def config(shapes: list[Shape]) -> str:
    """Return a config with a feed and a board for each shape, named by its place in the list."""
    feeds, boards = "", ""
    for i, shape in enumerate(shapes):
        mapping = indent(dedent(shape.yaml), "    ")
        feeds += f"  f{i}:\n    kind: poll\n    every: 1s\n    stale_after: 1m\n{mapping}\n"
        boards += f"  b{i}: {{feeds: [f{i}], layout: {shape.layout}, flush: 10ms}}\n"
    return f"feeds:\n{feeds}\nboards:\n{boards}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server that polls every shape; prints at the end what it mapped."""
    with source() as upstream:
        for shape in SHAPES:
            file = DATA / shape.file
            if file.suffix == ".gz":  # versions of a document, one a line: the first
                first = tmp_path_factory.mktemp("first") / "version.json"
                first.write_text(json.dumps(first_version()))
                file = first
            upstream.serve_file(
                shape.path, file, "text/csv" if file.suffix == ".csv" else "application/json"
            )
        with serving(config(SHAPES), SOURCE=upstream.url) as server:
            yield server
            feeds = server.get("/api/feeds").json()["feeds"]
            print(f"\n{'shape':48}{'mapped':>8}{'rejected':>10}")
            for i, shape in enumerate(SHAPES):
                health = feeds[f"f{i}"]
                print(f"{shape.name:48}{health['rows']:8}{health['rejected_now']:10}")


@pytest.mark.parametrize("number_of_shape", range(len(SHAPES)), ids=lambda i: SHAPES[i].name)
def test_every_row_of_a_recorded_payload_is_mapped_as_written(
    number_of_shape: int, served: Running
) -> None:
    """Symbols, values and the number of rejected rows are those of the file."""
    shape, feed, board = SHAPES[number_of_shape], f"f{number_of_shape}", f"b{number_of_shape}"
    until(lambda: served.feed(feed)["unchanged"], what="a poll that finds nothing new")
    health = served.feed(feed)
    expected = shape.expected()
    rows = served.rows(board)
    for shown in rows.values():
        shown.pop("clock_at", None)  # the moment at which it was read
    assert rows == expected
    assert health["rows"] == len(expected)
    assert health["rejected_now"] == shape.rejected, health["rejections"]


# -- error pages


@dataclass(frozen=True)
class Failure:
    """A recorded error page, the status it comes with, and what ops must read of it."""

    name: str
    file: str
    status: int
    why: str
    headers: tuple[tuple[str, str], ...] = ()


OVERLOADED = "503 Service Temporarily Unavailable"
FAILURES = [
    Failure("503", "yunbi_503.html", 503, "HTTP 503 Service Unavailable"),
    Failure("404", "birake_404.html", 404, "HTTP 404 Not Found"),
    Failure("301", "dextop_301.html", 301, "HTTP 301 Moved Permanently"),
    Failure(
        "301 to elsewhere",
        "dextop_301.html",
        301,
        "HTTP 301 redirects to https://elsewhere.example; `redirects: same-host` does not allow it",
        (("Location", "https://elsewhere.example/ticker"),),
    ),
    Failure("429", "openexchangerates_429.json", 429, "HTTP 429 Too Many Requests"),
    Failure(
        "429 as 200",
        "openexchangerates_429.json",
        200,
        "expected a list or an object at 'rates', got null; the source says: "
        "Access restricted until 2050-01-01 (reason: too_many_requests).",
    ),
    Failure(
        "HTML as 200",
        "yunbi_503.html",
        200,
        f"expected JSON, got a page of HTML beginning '<html> <head><title>{OVERLOADED[:20]}",
    ),
]
RATES = """
feeds:
  rates:
    kind: poll
    every: 100ms
    backoff_max: 200ms
    stale_after: 500ms
    down_after: 1m
    url: ${SOURCE}/rates
    rows: rates
    key: "@key"
    fields: {last: "@", currency: $.base, time: $.timestamp}
boards:
  rates: {feeds: [rates], flush: 10ms}
"""


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.name)
def test_an_error_page_leaves_the_board_and_says_why(failure: Failure) -> None:
    """Every row keeps its values and is stale; feed and viewers are told the reason in words."""
    good = open_exchange_rates()
    stale = {symbol: {**rate, "quality": "stale"} for symbol, rate in good.items()}
    with source() as upstream:
        upstream.serve_file("/rates", DATA / "market/openexchangerates_latest.json")
        with serving(RATES, SOURCE=upstream.url) as server:
            until(lambda: server.rows("rates") == good, what="the first poll")
            with server.follow("rates") as viewer:
                viewer.wait("snapshot")
                page = (DATA / "errors" / failure.file).read_bytes()
                upstream.say("/rates", page, failure.status, **dict(failure.headers))
                viewer.follow_until(
                    lambda v: (v.feeds["rates"]["rates"].get("why") or "").startswith(failure.why)
                )
                viewer.follow_until(lambda v: v.rows["rates"] == stale)
                health = server.feed("rates")
                assert health["quality"] == "stale"
                assert health["why"].startswith(failure.why)
                assert health["failures"] > 0
                upstream.serve_file("/rates", DATA / "market/openexchangerates_latest.json")
                viewer.follow_until(lambda v: v.rows["rates"] == good)
                assert viewer.feeds["rates"]["rates"].get("why") is None


# -- the examples


EXAMPLES = [
    ("crypto-exchanges.yaml", "binance", "market/binance_ticker_24hr.json", 200),
    ("crypto-exchanges.yaml", "kraken", "market/kraken_ticker_BCHEUR.json", 1),
    ("crypto-exchanges.yaml", "bitstamp", "market/bitstamp_ticker_btcusd.json", 1),
    ("crypto-exchanges.yaml", "bitfinex", "market/bitfinex_v2_tickers_all.json", 423),
    ("currencies.yaml", "open-exchange-rates", "market/openexchangerates_latest.json", 168),
    ("shares.yaml", "shares", "market/alphavantage_global_quote_MSFT.json", 1),
    ("scores.yaml", "premier-league", "scores/espn_fifa_world_scoreboard.json", 2),
    ("scores.yaml", "nba", "scores/nba_live_todaysScoreboard_2021-01-15.json", 1),
    ("scores.yaml", "world-cup", "scores/openfootball_worldcup_2026.json", 104),
]


@pytest.mark.parametrize(("example", "feed", "file", "rows"), EXAMPLES)
def test_an_example_maps_the_recorded_answer_of_its_source(
    example: str, feed: str, file: str, rows: int
) -> None:
    """Every row is mapped, and has a value for every field that the recording has."""
    path = Path(__file__).parents[1] / "examples" / example
    secrets = {"OXR_APP_ID": "secret", "ALPHAVANTAGE_KEY": "secret"}
    settings = configfile.load(path, secrets).settings.feeds[feed]
    assert isinstance(settings, PollFeed)
    symbol = settings.symbols[0] if settings.per_symbol else None
    mapper = Mapper(settings, single=settings.per_symbol)
    found = mapper.map(loaded(file), before={}, symbol=symbol)
    assert (len(found.rows), found.rejected) == (rows, 0)
    filled = {name for known in found.rows.values() for name in known}
    assert set(settings.fields) - filled <= {"clock"}  # which those games have no more
