import assert from "node:assert/strict";
import { describe, test } from "node:test";

import * as words from "../../web/core/words.js";

const { feedFacts, feedsSummary, latencyWords, rateWords, viewersWords } = words;

const NOW = Date.parse("2026-03-02T12:00:00");
const MINUTE = 60_000;

for (const [said, wanted] of [
  [rateWords("live"), "Live"],
  [rateWords("30"), "Live, every 30 s"],
  [latencyWords(null), ""],
  [latencyWords(7.4), "7 ms behind"],
  [latencyWords(2345), "2.3 s behind"],
  [viewersWords(null), ""],
  [viewersWords(1234), "1,234 watching"],
  [feedsSummary([{ quality: "live" }]), "1 feed, live"],
  [feedsSummary([{ quality: "live" }, { quality: "live" }]), "2 feeds, live"],
  [feedsSummary([{ quality: "live" }, { quality: "stale" }, { quality: "live" }]), "3 feeds: 2 live, 1 stale"],
  [feedFacts("nyse", { quality: "live", since: NOW - 90 * MINUTE, at: NOW - 2_000 }, NOW),
    "nyse: live · since 10:30 · last read 2 s ago"],
  [feedFacts("nyse", { quality: "down", why: "HTTP 503" }, NOW), "nyse: down · not read yet · HTTP 503"],
  [feedFacts("nyse", { quality: "delayed", delay: 15 * MINUTE, at: NOW - 2_000 }, NOW),
    "nyse: delayed 15 min · last read 2 s ago"],
  [feedFacts("nyse", null, NOW), "nyse: – · not read yet"],
  [feedFacts("<b>", { quality: null, why: { a: 1 }, at: "x" }, NOW), "<b>: – · not read yet"],
]) {
  test(`says ${JSON.stringify(wanted)}`, () => assert.equal(said, wanted));
}

const NOON = Date.UTC(2026, 10, 20, 12, 0, 0) + new Date(Date.UTC(2026, 10, 20, 12)).getTimezoneOffset() * 60_000;

function table(name, write, cases) {
  describe(name, () => {
    for (const [args, expected] of cases) {
      test(`${JSON.stringify(args)} is ${JSON.stringify(expected)}`, () => assert.equal(write(...args), expected));
    }
  });
}

table("a feed in words", words.feedWords, [
  [["nyse", { quality: "live" }, NOON], ""],
  [["nyse", { quality: "closed", since: NOON }, NOON], ""],
  [["nyse", { quality: "delayed" }, NOON], ""],
  [["nyse", { quality: "delayed", why: "15 minutes" }, NOON], "nyse: delayed – 15 minutes"],
  [["nyse", { quality: "stale", since: NOON + 3 * MINUTE, why: "HTTP 503" }, NOON], "nyse: stale since 12:03 – HTTP 503"],
  [["nyse", { quality: "stale" }, NOON], "nyse: stale"],
  [["nyse", { quality: "down", at: NOON }, NOON], "nyse: down, last data 12:00"],
  [["nyse", null, NOON], ""],
  [["nyse", { quality: "toString" }, NOON], ""],
]);

table("an empty board in words", words.emptyWords, [
  [[{}], "No rows yet – waiting"],
  [[{ X: { quality: "stale" }, Y: { quality: "live" } }], "No rows yet – feed X: stale – waiting"],
]);

describe("the connection in words", () => {
  const say = (state, board) =>
    words.stateWords({ paused: false, why: "", until: 0, ...state }, { at: null, waiting: 0, ...board }, NOON);
  const at = NOON + 4 * MINUTE + 11_000;

  test("live", () => assert.equal(say({ kind: "live" }), "Live"));
  test("connecting", () => assert.equal(say({ kind: "connecting" }), "Connecting…"));
  test("paused counts what waits", () => {
    assert.equal(say({ kind: "live", paused: true }, { waiting: 37 }), "Paused, 37 changes waiting");
  });
  test("paused counts one change as one", () => {
    assert.equal(say({ kind: "live", paused: true }, { waiting: 1 }), "Paused, 1 change waiting");
  });
  test("paused over a new epoch cannot count", () => {
    assert.equal(say({ kind: "live", paused: true }, { waiting: null }), "Paused, changes waiting");
  });
  test("reconnecting counts down and says why", () => {
    assert.equal(
      say({ kind: "waiting", until: NOON + 3_200, why: "the server is restarting" }, { at }),
      "Reconnecting in 4 s (the server is restarting), as of 12:04:11",
    );
  });
  test("reconnecting never says zero", () => assert.match(say({ kind: "waiting", until: NOON - 5 }), /in 1 s/));
  test("reconnecting while paused says both", () => {
    assert.match(say({ kind: "waiting", paused: true, until: NOON }), /^Paused, reconnecting/);
  });
  test("offline says how old the data is", () => assert.equal(say({ kind: "offline" }, { at }), "Offline, as of 12:04:11"));
  test("closed says why", () => {
    assert.equal(say({ kind: "closed", why: "a limit of the server is reached" }), "Closed: a limit of the server is reached");
  });
  test("closed for want of a token says what is needed", () => {
    assert.equal(say({ kind: "closed", code: 4501 }, { at }), "Access is needed, as of 12:04:11");
  });
  test("what was planned is announced without alarm", () => {
    const said = [true, false].map((isPlanned) => words.announcement("waiting", { why: "so", isPlanned }));
    assert.deepEqual(said, ["Reconnecting: so", "Not live, reconnecting: so"]);
  });
  for (const kind of ["live", "paused", "waiting", "offline", "closed"]) {
    test(`${kind} is announced without figures that change`, () => {
      assert.doesNotMatch(words.announcement(kind, { why: "x" }), /\d/);
    });
  }
});
