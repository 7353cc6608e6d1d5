import assert from "node:assert/strict";
import { describe, test } from "node:test";

import * as format from "../../web/core/format.js";

const NOON = Date.UTC(2026, 10, 20, 12, 0, 0) + new Date(Date.UTC(2026, 10, 20, 12)).getTimezoneOffset() * 60_000;
const MINUTE = 60_000;

/** A table of cases: what goes in, what is read on the page. */
function table(name, write, cases) {
  describe(name, () => {
    for (const [args, expected] of cases) {
      test(`${JSON.stringify(args)} is ${expected}`, () => assert.equal(write(...args), expected));
    }
  });
}

table("price", format.price, [
  [[191.3, 2], "191.30"],
  [[1.0842, 4], "1.0842"],
  [[9131], "9,131.00"],
  [[191.24], "191.24"],
  [[1.08423], "1.08423"],
  [[0.1234], "0.1234"],
  [[0.00000029], "0.00000029"],
  [[0.00000812, 2], "0.00000812"],
  [[0.124], "0.1240"],
  [[0.1 + 0.2], "0.3000"],
  [[10.1 + 0.2], "10.30"],
  [[64_250.5], "64,250.50"],
  [[0], "0.00"],
  [[-1.5, 2], "−1.50"],
  [[-0, 2], "0.00"],
  [["191.3", 2], "191.30"],
  [["n/a", 2], "n/a"],
  [[null], "–"],
  [[undefined], "–"],
  [[true], "true"],
  [[1e300, 2], "1.00e+300"],
  [[1e-300], "1.00e−300"],
  [[123_456_789_012], "123.5B"],
  [[5, 99], "5.000000000000"],
  [[5, -3], "5"],
]);

table("change", format.change, [
  [[1.2, 2], "+1.20"],
  [[-1.2, 2], "−1.20"],
  [[0, 2], "0.00"],
  [[-0.001, 2], "0.00"],
  [[1234.5, 2], "+1,234.50"],
  [[0.47, undefined, 144.33], "+0.47"],
  [[0.0008, undefined, 0.1242], "+0.0008"],
  [[-0.00000002, undefined, 0.00000814], "−0.00000002"],
  [[0.5], "+0.5000"],
]);

table("change in per cent", format.changePercent, [
  [[0.634], "+0.63%"],
  [[-12], "−12.00%"],
  [[1e9, 1], "+1,000,000,000.0%"],
  [[null], "–"],
]);

table("per cent", format.percent, [[[54.321], "54.32%"], [[-1], "−1.00%"]]);

table("volume", format.volume, [
  [[0], "0"],
  [[950], "950"],
  [[1_234_567], "1.23M"],
  [[10_000_000], "10.0M"],
  [[12_345_678_901], "12.3B"],
  [[1e20], "1.00e+20"],
  [[-5000], "−5.00K"],
  [["lots"], "lots"],
]);

table("count", format.count, [[[3], "3"], [[1234.56789], "1,234.5679"], [[1.5, 2], "1.50"]]);

table("age", format.age, [
  [[0], "a moment"],
  [[NaN], "a moment"],
  [[12_400], "12 s"],
  [[3 * MINUTE], "3 min"],
  [[150 * MINUTE], "2 h"],
  [[3 * 24 * 60 * MINUTE], "3 d"],
]);

table("text", format.text, [
  [["<b>"], "<b>"],
  [[0], "0"],
  [[""], "–"],
  [[[[1, 0]]], "[[1,0]]"],
]);

describe("times", () => {
  test("a clock has seconds", () => assert.equal(format.clock(NOON + 4 * MINUTE + 11_000), "12:04:11"));
  test("midnight is 00, not 24", () => assert.equal(format.clock(NOON + 12 * 60 * MINUTE), "00:00:00"));
  test("a time of today is short", () => assert.equal(format.shortTime(NOON, NOON + MINUTE), "12:00"));
  test("a time of another day has its date", () => {
    assert.match(format.shortTime(NOON - 24 * 60 * MINUTE, NOON), /Nov 19|19 Nov/);
  });
  test("a time beyond all dates stays a figure", () => assert.equal(format.clock(1e300), "1e+300"));
});

table("cell", format.cell, [
  [[1.5, { field: "change", kind: "price", digits: 2 }], "+1.50"],
  [[1.5, { field: "change_pct", kind: "percent" }], "+1.50%"],
  [[1.5, { field: "share", kind: "percent" }], "1.50%"],
  [["63'", { field: "clock", kind: "clock" }], "63'"],
  [["x", { field: "venue", kind: "text" }], "x"],
  [["x", { field: "venue", kind: "toString" }], "x"],
  [[undefined, { field: "last", kind: "price" }], "–"],
]);

describe("the quality of a row in words", () => {
  const now = Date.UTC(2026, 4, 1, 12);
  const ago = (minutes) => now - minutes * 60_000;
  const feed = (quality, minutes) => ({ quality, at: ago(minutes) });
  const say = (row, feeds = {}) => format.qualityWords(row, feeds, now);

  test("a live row says nothing", () => {
    for (const quality of [undefined, "live", "odd", null]) assert.equal(say({ quality, time: 1 }), "");
  });
  test("a row's own time tells its age", () => {
    assert.equal(say({ quality: "stale", time: ago(3) }, { a: feed("stale", 9) }), "stale 3 min");
    assert.equal(say({ quality: "delayed", time: ago(15) }), "delayed 15 min");
  });
  test("without one the oldest feed of that quality does", () => {
    const feeds = { a: feed("stale", 3), b: feed("stale", 4), c: feed("live", 600), d: null };
    assert.equal(say({ quality: "stale" }, feeds), "stale 4 min");
  });
  test("when no feed has that quality, the oldest of all does", () => {
    assert.equal(say({ quality: "stale" }, { a: feed("live", 2), b: feed("live", 1) }), "stale 2 min");
  });
  test("a delayed row is as late as its source, however fresh its feed", () => {
    assert.equal(say({ quality: "delayed" }, { a: feed("delayed", 2) }), "delayed");
  });
  test("where the source says by how much it is late, that is told", () => {
    const feeds = { a: { ...feed("delayed", 2), delay: 900_000 } };
    assert.equal(say({ quality: "delayed" }, feeds), "delayed 15 min");
    assert.equal(say({ quality: "delayed", time: ago(17) }, feeds), "delayed 15 min");
    assert.equal(say({ quality: "stale", time: ago(17) }, feeds), "stale 17 min");
  });
  test("what is closed does not grow old", () => assert.equal(say({ quality: "closed", time: ago(99) }), "closed"));
  test("seconds come in tens, and the first ones are not told", () => {
    const after = (seconds) => say({ quality: "down", time: now - seconds * 1000 });
    assert.deepEqual([after(9), after(19), after(59), after(60)], ["down", "down 10 s", "down 50 s", "down 1 min"]);
  });
  test("an absurd time says nothing", () => {
    for (const time of ["soon", Infinity, now + 1e9]) assert.equal(say({ quality: "stale", time }), "stale");
  });
});

test("the day's range is told with the decimals of the price", () => {
  assert.equal(format.rangeWords({ low: 1, high: "2.5" }, 2), "Low 1.00, high 2.50");
});
