import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";

import { Alerts, MOST, levelProblem, promise, words } from "../../web/core/alerts.js";
import { Settings } from "../../web/core/settings.js";
import { FakeClock, FakeStorage } from "./fakes.mjs";

let storage, clock, alerts;
const again = () => new Alerts(new Settings(() => storage), clock.now);
beforeEach(() => {
  storage = new FakeStorage();
  clock = new FakeClock();
  alerts = again();
});

const price = (last, quality) => ({ last, quality });
const told = (board, symbol, row) => alerts.check(board, symbol, row).map((fired) => words(fired, row));

describe("a level", () => {
  const tell = (last, quality) => told("stocks", "AAPL", price(last, quality));

  test("above the price is told once, when the price is there", () => {
    alerts.add("stocks", "AAPL", 191, price(190));
    assert.deepEqual(tell(190.99), []);
    assert.deepEqual(tell(191.02), ["AAPL rose above 191.00: 191.02"]);
    assert.deepEqual([...tell(190), ...tell(192)], []);
  });
  test("below the price is told once, when the price is there", () => {
    alerts.add("stocks", "AAPL", 189, price(190));
    assert.deepEqual(tell(189.01), []);
    assert.deepEqual(tell(188.5), ["AAPL fell below 189.00: 188.50"]);
  });
  test("that is met exactly is reached", () => {
    alerts.add("stocks", "AAPL", 191, price(190));
    assert.deepEqual(tell(191), ["AAPL reached 191.00"]);
  });
  test("that was crossed while the page was closed is told when it opens, once", () => {
    alerts.add("stocks", "AAPL", 191, price(190));
    alerts = again();
    assert.deepEqual(tell(195), ["AAPL rose above 191.00: 195.00"]);
    alerts = again();
    assert.deepEqual(tell(195), []);
  });
  test("is not told of a price that is not known to be true", () => {
    alerts.add("stocks", "AAPL", 191, price(190));
    assert.deepEqual([...tell(195, "stale"), ...tell(195, "down"), ...tell(null), ...tell("soon")], []);
    assert.deepEqual(tell(195, "delayed"), ["AAPL rose above 191.00: 195.00"]);
  });
  test("of a small price keeps its figures", () => {
    alerts.add("crypto", "PEPE", 0.0000083, price(0.0000081));
    assert.deepEqual(told("crypto", "PEPE", price("0.0000084")), ["PEPE rose above 0.0000083: 0.0000084"]);
  });
  for (const [level, row, problem] of [
    [190, price(190), "The price is 190.00 now: type a higher or a lower one"],
    [NaN, price(190), "Type a price"],
    [191, price(undefined), "There is no price to compare with now"],
    [191, price(190, "stale"), "There is no price to compare with now"],
    [191, undefined, "There is no price to compare with now"],
  ]) {
    test(`${level} for ${JSON.stringify(row)} is refused: ${problem}`, () => {
      assert.equal(levelProblem(level, row), problem);
      assert.equal(alerts.add("stocks", "AAPL", level, row), problem);
      assert.deepEqual(alerts.all, []);
    });
  }
});

describe("a game", () => {
  const game = (home_score, away_score, more = {}) => ({
    home: "Ashford", away: "Brackley", home_score, away_score, status: "live", clock: "67'", period: "2nd half", ...more,
  });
  const tell = (...args) => told("scores", "ASH-BRA", game(...args));
  const follow = (...args) => alerts.follow("scores", "ASH-BRA", game(...args));

  test("tells start, scores and end, each once, also after a reload", () => {
    follow(undefined, undefined, { status: "scheduled", clock: undefined });
    const steps = [
      [undefined, undefined, { status: "scheduled" }],
      [0, 0, { clock: "1'" }],
      [0, 0, { clock: "2'" }],
      [1, 0],
      [1, 0, { status: "break", period: "Half-time" }],
      [2, 1, { status: "break", period: "Half-time" }],
      [2, 1, { status: "final" }],
      [2, 1, { status: "final" }],
    ];
    const all = steps.flatMap((args) => {
      alerts = again();
      return tell(...args);
    });
    assert.deepEqual(all, [
      "Started: Ashford 0–0 Brackley",
      "Ashford 1–0 Brackley, 67'",
      "Ashford 2–1 Brackley, Half-time",
      "Final: Ashford 2–1 Brackley",
    ]);
    assert.deepEqual(alerts.boards, []);
  });
  test("tells nothing of what was so when it was followed", () => {
    follow(2, 1);
    assert.deepEqual(tell(2, 1, { clock: "68'" }), []);
  });
  test("tells a clock that runs down with its period", () => {
    follow(0, 0);
    assert.deepEqual(tell(3, 0, { period: "Q1", clock: "10:30" }), ["Ashford 3–0 Brackley, Q1 10:30"]);
  });
  test("tells a lower score as a correction, in the server's words where it has some", () => {
    follow(2, 1);
    assert.deepEqual(tell(1, 1), ["Correction: Ashford 1–1 Brackley, was 2–1"]);
    assert.deepEqual(tell(1, 2, { correction: "was 1–1 (VAR)" }), ["Correction: Ashford 1–2 Brackley, was 1–1 (VAR)"]);
    assert.deepEqual(tell(2, 2), ["Ashford 2–2 Brackley, 67'"]);
  });
  test("tells a final that was corrected, but no other game after it", () => {
    follow(2, 1, { start: 1e12 });
    assert.deepEqual(tell(1, 1, { start: 1e12, status: "final" }), ["Final: Ashford 1–1 Brackley, was 2–1"]);
    assert.deepEqual(tell(0, 1, { start: 1e12, status: "final" }), ["Correction: Ashford 0–1 Brackley, was 1–1"]);
    assert.deepEqual(tell(0, 0, { start: 1e12 }), []);
    assert.deepEqual(tell(0, 0, { start: 1.1e12 }), []);
    assert.deepEqual(tell(1, 0, { start: 1.1e12 }), []);
  });
  test("that is another under the same symbol begins anew", () => {
    follow(2, 1, { start: 1e12 });
    assert.deepEqual(tell(undefined, undefined, { start: 1.1e12, status: "scheduled" }), []);
    assert.deepEqual(tell(0, 0, { start: 1.1e12 }), ["Started: Ashford 0–0 Brackley"]);
  });
  test("that is stale or misses its score for a moment tells nothing", () => {
    follow(1, 0);
    assert.deepEqual([...tell(2, 0, { quality: "stale" }), ...tell(null, null), ...tell(1, 0)], []);
    assert.deepEqual([...tell(null, null), ...tell(2, 0)], ["Ashford 2–0 Brackley, 67'"]);
  });
  test("whose score was not known at first is told from the second on", () => {
    follow(null, null);
    assert.deepEqual([...tell(1, 0), ...tell(2, 0)], ["Ashford 2–0 Brackley, 67'"]);
  });
  test("that is scheduled again for a moment does not start twice", () => {
    follow(null, null, { status: "scheduled" });
    const tellings = [tell(0, 0), tell(null, null, { status: "scheduled" }), tell(0, 0)];
    assert.deepEqual(tellings, [["Started: Ashford 0–0 Brackley"], [], []]);
  });
  test("that is over cannot be followed", () => {
    assert.equal(follow(1, 0, { status: "final" }), "This game is final");
    assert.equal(follow(0, 0, { status: "postponed" }), "This game is postponed");
  });
  test("that is called off has ended", () => {
    follow(1, 0);
    assert.deepEqual(tell(1, 0, { status: "abandoned" }), ["Abandoned: Ashford 1–0 Brackley"]);
    assert.deepEqual(tell(2, 0), []);
  });
  test("without names is told by its symbol", () => {
    alerts.follow("scores", "X", { home_score: 0, away_score: 0, status: "live" });
    assert.deepEqual(told("scores", "X", { home_score: 1, away_score: 0, status: "live" }), ["X 1–0"]);
  });
});

describe("alerts", () => {
  test("of a row tell of that row, each what it waits for", () => {
    alerts.add("stocks", "AAPL", 191, price(190));
    alerts.add("stocks", "AAPL", 192, price(190));
    alerts.add("stocks", "AAPL", 180, price(190));
    alerts.add("stocks", "MSFT", 191, price(190));
    assert.deepEqual(alerts.of("stocks", "AAPL").map(promise), [
      "AAPL rises to 191.00", "AAPL rises to 192.00", "AAPL falls to 180.00",
    ]);
    assert.equal(told("stocks", "AAPL", price(193)).length, 2);
    assert.deepEqual(alerts.of("stocks", "MSFT").map(({ fired }) => fired), [undefined]);
  });
  test("say which boards must be watched for them", () => {
    alerts.add("stocks", "AAPL", 191, price(190));
    alerts.follow("scores", "G", { status: "live" });
    assert.deepEqual(alerts.boards, ["stocks", "scores"]);
    alerts.check("stocks", "AAPL", price(192));
    assert.deepEqual(alerts.boards, ["scores"]);
    alerts.remove(alerts.of("scores", "G")[0]);
    assert.deepEqual(alerts.boards, []);
  });
  test("of two tabs stay, whichever is changed", () => {
    const other = again();
    alerts.add("stocks", "AAPL", 191, price(190));
    other.add("stocks", "MSFT", 411, price(410));
    alerts.add("stocks", "AAPL", 192, price(190));
    assert.deepEqual(again().all.map(promise), [
      "AAPL rises to 191.00", "MSFT rises to 411.00", "AAPL rises to 192.00",
    ]);
    other.remove(other.all.find(({ symbol }) => symbol === "MSFT"));
    assert.equal(again().all.length, 2);
    assert.equal(told("stocks", "AAPL", price(191)).length, 1);
    assert.deepEqual(other.check("stocks", "AAPL", price(191)), []);
  });
  test("set twice are one, armed anew", () => {
    alerts.add("stocks", "AAPL", 191, price(190));
    alerts.check("stocks", "AAPL", price(192));
    assert.equal(alerts.add("stocks", "AAPL", 191, price(190)), "");
    assert.equal(alerts.all.length, 1);
    assert.deepEqual(alerts.boards, ["stocks"]);
  });
  test("are bounded: those that have done their work make room", () => {
    for (let i = 0; i < MOST; i += 1) alerts.add("stocks", "AAPL", 200 + i, price(190));
    assert.equal(alerts.add("stocks", "AAPL", 400, price(190)), "There are 100 alerts already: remove one first");
    alerts.check("stocks", "AAPL", price(200));
    assert.equal(alerts.add("stocks", "AAPL", 400, price(190)), "");
    assert.equal(alerts.all.length, MOST);
  });
  test("a row without alerts, one without news, and one that has gone cost nothing and tell nothing", () => {
    alerts.add("stocks", "AAPL", 191, price(190));
    const saved = alerts.all;
    for (const [symbol, row] of [["MSFT", price(1)], ["AAPL", price(190.5)], ["AAPL", undefined]]) {
      assert.deepEqual(alerts.check("stocks", symbol, row), []);
    }
    assert.equal(alerts.all, saved);
  });
  test("of another version do no harm", () => {
    const strange = [{ board: "b", symbol: "S" }, { board: "b", symbol: "S", kind: "follow", told: { score: 5 } }];
    storage.setItem("ticker.alerts", JSON.stringify(strange));
    alerts = again();
    const row = { last: 1, home_score: 1, away_score: 2, status: "live" };
    assert.deepEqual(told("b", "S", row).slice(1), []);
  });
});
