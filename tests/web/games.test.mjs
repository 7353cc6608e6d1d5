import assert from "node:assert/strict";
import { describe, test } from "node:test";

import * as games from "../../web/core/games.js";

const NOON = Date.UTC(2026, 10, 20, 12, 0, 0) + new Date(Date.UTC(2026, 10, 20, 12)).getTimezoneOffset() * 60_000;
const SECOND = 1_000;
const MINUTE = 60_000;

/** A running game whose clock was told at noon. */
const live = (clock, clock_rate, more) => ({ status: "live", clock, clock_rate, clock_at: NOON, ...more });

function table(name, write, cases) {
  describe(name, () => {
    for (const [args, expected] of cases) {
      test(`${JSON.stringify(args)} is ${JSON.stringify(expected)}`, () => assert.deepEqual(write(...args), expected));
    }
  });
}

table("a clock after some milliseconds", (row, ms) => games.clock(row, ms === null ? null : NOON + ms), [
  [[live("10:43", -1), 0], "10:43"],
  [[live("10:43", -1), 999], "10:43"],
  [[live("10:43", -1), SECOND], "10:42"],
  [[live("10:43", -1), 44 * SECOND], "9:59"],
  [[live("08:43", -1), 44 * SECOND], "07:59"],
  [[live("0:02", -1), 9 * SECOND], "0:00"],
  [[live("0:00", -1), 9 * SECOND], "0:00"],
  [[live("10:43", 1), 17 * SECOND], "11:00"],
  [[live("99:59", 1), SECOND], "100:00"],
  [[live("10:00", -60), SECOND], "9:00"],
  [[live("10:00", -0.5), 3 * SECOND], "9:59"],
  [[live("10:00", "-1"), SECOND], "9:59"],
  [[live("10:43", -1), -5 * SECOND], "10:43"],
  [[live("10:43", -1), 60 * MINUTE], "8:43"],
  [[live("10:43", -1), null], "10:43"],
  [[live("67'", 1), MINUTE - 1], "67'"],
  [[live("67'", 1), MINUTE], "68'"],
  [[live("67'", 60), 3 * SECOND], "70'"],
  [[live("67'", 60), 60 * MINUTE], "90'"],
  [[live("44'", 60), 5 * SECOND], "45'"],
  [[live("45'", 60), 5 * SECOND], "45'"],
  [[live("46'", 60), 5 * SECOND], "51'"],
  [[live("89'", 60), 5 * SECOND], "90'"],
  [[live("104'", 60), 5 * SECOND], "105'"],
  [[live("119'", 60), 5 * SECOND], "120'"],
  [[live("130'", 60), 5 * SECOND], "130'"],
  [[live("45+2'", 60), 2 * SECOND], "45+4'"],
  [[live("67’", 1), MINUTE], "68’"],
  [[live("67'", -1), MINUTE], "67'"],
  [[live("67", 1), MINUTE], "67"],
  [[live("0:04.5", -1), SECOND], "0:04.5"],
  [[live("7th", 1), MINUTE], "7th"],
  [[live("10:99", -1), SECOND], "10:99"],
  [[live(67, 1), MINUTE], "67"],
  [[live(undefined, 1), MINUTE], "–"],
  [[live("10:43", 0), MINUTE], "10:43"],
  [[live("10:43", undefined), MINUTE], "10:43"],
  [[live("10:43", "fast"), MINUTE], "10:43"],
  [[live("10:43", 1e9), MINUTE], "10:43"],
  [[live("10:43", -1, { clock_at: undefined }), MINUTE], "10:43"],
  [[live("10:43", -1, { clock_at: "soon" }), MINUTE], "10:43"],
  [[live("10:43", -1, { status: "break" }), MINUTE], "10:43"],
  [[live("10:43", -1, { status: "final" }), MINUTE], "10:43"],
  [[live("10:43", -1, { status: undefined }), MINUTE], "10:43"],
]);

table("whether a clock runs", games.isTicking, [
  [[live("10:43", -1)], true],
  [[live("10:43", -1, { quality: "live" })], true],
  [[live("10:43", -1, { quality: "stale" })], false],
  [[live("10:43", -1, { quality: "down" })], false],
  [[live("10:43", -1, { quality: "delayed" })], false],
  [[live("10:43", -1, { status: "suspended" })], false],
  [[live("10:43", 0)], false],
  [[{}], false],
]);

table("milliseconds until the words are others", (row, ms) => games.due(row, NOON + ms), [
  [[live("10:43", -1), 0], SECOND],
  [[live("10:43", -1), 1_300], 700],
  [[live("67'", 1), 10 * SECOND], 50 * SECOND],
  [[live("67'", 1), -10 * SECOND], 70 * SECOND],
  [[live("67'", 1), 2 * MINUTE], Infinity],
  [[{ status: "scheduled", start: NOON + 30 * MINUTE }, 0], SECOND],
  [[{ status: "scheduled", start: NOON + 300 * MINUTE }, 0], MINUTE],
  [[{ status: "scheduled" }, 0], Infinity],
  [[{ status: "live", quality: "stale" }, 0], SECOND],
  [[{ status: "final", quality: "stale" }, 0], Infinity],
]);

describe("the words of a game", () => {
  const row = live("10:43", -1, { period: "Q3" });

  test("have its clock as it runs", () => {
    assert.equal(games.gameWords(row, NOON + SECOND), "Live · Q3 · 10:42");
  });
  test("have its clock as it was held", () => {
    assert.equal(games.gameWords(row, NOON + MINUTE, NOON + SECOND), "Live · Q3 · 10:42");
    assert.equal(games.gameWords(row, NOON + MINUTE, null), "Live · Q3 · 10:43");
  });
});

test("games are ordered: running, interrupted, to come by their start, over", () => {
  const rows = [
    { id: 1, status: "final" },
    { id: 2, status: "postponed" },
    { id: 3, status: "scheduled", start: 9 },
    { id: 4, status: "scheduled" },
    { id: 5, status: "scheduled", start: 2 },
    { id: 6, status: "rain delay" },
    { id: 7, status: "suspended" },
    { id: 8, status: "break" },
    { id: 9, status: "live" },
    { id: 10, status: "cancelled" },
  ];
  assert.deepEqual(
    rows.sort(games.compare).map(({ id }) => id),
    [8, 9, 7, 6, 5, 3, 4, 2, 1, 10],
  );
});

const teams = { home: "Ashford", away: "Brackley" };
const score = (home_score, away_score, more) => ({ ...teams, status: "live", home_score, away_score, ...more });

table("a game in one sentence", (row, feeds = {}) => games.spoken(row, "ASH-BRA", feeds, NOON), [
  [[score(2, 1, { period: "2nd half", clock: "67'" })], "Ashford 2, Brackley 1, 67th minute"],
  [[score(2, 1, { clock: "1'" })], "Ashford 2, Brackley 1, 1st minute"],
  [[score(2, 1, { clock: "112'" })], "Ashford 2, Brackley 1, 112th minute"],
  [[score(2, 1, { clock: "22'" })], "Ashford 2, Brackley 1, 22nd minute"],
  [[score(2, 1, { clock: "45+2'" })], "Ashford 2, Brackley 1, 45th minute plus 2"],
  [[score(64, 65, { period: "Q3", clock: "4:12" })], "Ashford 64, Brackley 65, Live, Q3"],
  [[score(0, 0, { status: "break", period: "HT" })], "Ashford 0, Brackley 0, Break, HT"],
  [[score(2, 1, { status: "final" })], "Ashford 2, Brackley 1, Final"],
  [[{ ...teams, status: "scheduled", start: NOON + 12 * MINUTE }], "Ashford against Brackley, Starts 12:12, in 12 min"],
  [[score(1, 1, { clock: "67'", correction: "was 2–1" })], "Ashford 1, Brackley 1, 67th minute, Correction: was 2–1"],
  [
    [score(1, 1, { clock: "67'", quality: "stale" }), { X: { quality: "stale", at: NOON - 3 * MINUTE } }],
    "Ashford 1, Brackley 1, 67th minute, stale 3 min",
  ],
  [[{}], "ASH-BRA, –"],
]);

table("the quality of a game in words", (row, feeds = {}) => games.qualityWords(row, feeds, NOON), [
  [[{ status: "live" }], ""],
  [[{ status: "live", quality: "delayed" }], "delayed"],
  [[{ status: "live", quality: "stale" }], "stale"],
  [[{ status: "live", quality: "stale", time: NOON - 25_000 }], "stale 20 s"],
  [[{ quality: "down" }, { A: { quality: "live", at: 1 }, B: { quality: "down", at: NOON - MINUTE } }], "down 1 min"],
  [[{ quality: "down" }, { A: { quality: "down", at: null }, B: null }], "down"],
  [[{ status: "final", quality: "stale" }], ""],
  [[{ status: "cancelled", quality: "down" }], ""],
  [[{ status: "live", quality: "toString" }], ""],
]);

table("what a side has scored, in a word", (old, row) => games.gain(old, row, "home_score"), [
  [[score(1, 1), score(2, 1)], "+1"],
  [[score(1, 1), score(2, 1, { last_event: "Goal, Ashford 63'" })], "Goal"],
  [[score(1, 1, { last_event: "Goal" }), score(2, 1, { last_event: "Goal" })], "+1"],
  [[score(1, 1), score(3, 1, { last_event: "Goal, Ashford 63'" })], "+2"],
  [[score("1", 1), score("4", 1)], "+3"],
  [[score(1, 1), score(1, 2)], ""],
  [[score(2, 1), score(1, 1)], ""],
  [[score(1, 1), score(2, 1, { correction: "was 1–1" })], ""],
  [[{}, score(2, 1)], ""],
  [[score(undefined, undefined), score(0, 0)], ""],
  [[score(1, 1), score(2, 1, { home: "Calder" })], ""],
  [[score(1, 1), score("abandoned", 1)], ""],
]);

const columns = (row) => games.periods(row).map(({ label, name, home, away }) => [label, name, home, away]);

table("the scores of the periods", columns, [
  [[{ periods: [[1, 0], [0, 2]] }], [["1", "Period 1", "1", "0"], ["2", "Period 2", "0", "2"]]],
  [[{ periods: [[1, 0], [0, 2]], period: "OT" }], [["1", "Period 1", "1", "0"], ["OT", "Overtime", "0", "2"]]],
  [
    [{ periods: [[1, 0], [0, 0], [0, 2]], period: "Final/2OT" }],
    [["1", "Period 1", "1", "0"], ["OT", "Overtime", "0", "0"], ["2OT", "Overtime 2", "0", "2"]],
  ],
  [[{ periods: [[1], null, 5] }], [["1", "Period 1", "1", "–"], ["2", "Period 2", "–", "–"], ["3", "Period 3", "–", "–"]]],
  [[{}], []],
  [[{ periods: "1-0" }], []],
]);

test("of many periods the latest five are shown, with their numbers", () => {
  const innings = Array.from({ length: 9 }, (_, i) => [i, 0]);
  assert.deepEqual(
    games.periods({ periods: innings }).map(({ label }) => label),
    ["5", "6", "7", "8", "9"],
  );
});

table("a game in one line", games.gameLine, [
  [["G", { home: "A", away: "B", home_score: 2, away_score: "1" }], "A 2–1 B"],
  [["G", { home: "A", away: "B", home_score: 0 }], "A – B"],
  [["G", { home: "A", away: null }], "A – –"],
  [["G", { home: "A" }], "G"],
  [["G", { home_score: 1, away_score: 0 }], "G 1–0"],
]);

table("a game in words, with its clock as it was told", games.gameWords, [
  [[{ status: "live", period: "2nd half", clock: "63'" }, NOON], "Live · 2nd half · 63'"],
  [[{ status: "live", period: 2, clock: "11:43" }, NOON], "Live · Period 2 · 11:43"],
  [[{ status: "live" }, NOON], "Live"],
  [[{ status: "break", period: "HT", clock: "45'" }, NOON], "Break · HT"],
  [[{ status: "final", period: "FT", clock: "90'" }, NOON], "Final"],
  [[{ status: "final", period: "Final/OT" }, NOON], "Final/OT"],
  [[{ status: "scheduled", start: NOON + 30 * MINUTE }, NOON], "Starts 12:30 · in 30 min"],
  [[{ status: "scheduled", start: NOON + 11.2 * MINUTE }, NOON], "Starts 12:11 · in 12 min"],
  [[{ status: "scheduled", start: NOON + 90 * MINUTE }, NOON], "Starts 13:30"],
  [[{ status: "scheduled", start: NOON - MINUTE }, NOON], "Starts 11:59"],
  [[{ status: "scheduled" }, NOON], "Scheduled"],
  [[{ status: "postponed" }, NOON], "Postponed"],
  [[{ status: "suspended", period: "Q2" }, NOON], "Suspended · Q2"],
  [[{ status: "abandoned" }, NOON], "Abandoned"],
  [[{ status: "cancelled" }, NOON], "Cancelled"],
  [[{ status: "rain delay", clock: "7th" }, NOON], "rain delay · 7th"],
  [[{}, NOON], "–"],
]);
