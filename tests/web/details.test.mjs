import assert from "node:assert/strict";
import { test } from "node:test";

import { changeWords, column, connectionWords, fields, title, trust, value } from "../../web/core/details.js";

const NOW = Date.UTC(2026, 0, 5, 12, 0);
const ago = (seconds) => NOW - seconds * 1000;
const quotes = { layout: "quotes", trackedField: "last", columns: [{ field: "last", kind: "price", digits: 3 }, { field: "volume", label: "Traded", kind: "volume" }] };
const auto = { ...quotes, columns: ["sum", "open", "note"].map((field) => ({ field, kind: "auto" })) };
const scores = { ...quotes, layout: "scores", columns: [] };

test("fields come as the board has them, then those that are known, then the rest by their names", () => {
  const row = { net_worth: 1, bid: 2, name: "Apple", last: 3, open: 4, quality: "stale" };
  assert.deepEqual(fields(quotes, row).map(({ label }) => label), ["Traded", "Open", "Bid", "Net worth"]);
});
test("a game's head is not repeated among its fields", () => {
  const row = { home: "A", away: "B", home_score: 1, periods: [], clock: "5'", clock_at: 1, correction: "was 2–1", venue: "Park" };
  assert.deepEqual(fields(scores, row).map(({ field }) => field), ["venue"]);
});
test("however many fields a row has, there is an end", () => {
  const row = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`f${i}`, i]));
  assert.equal(fields(quotes, row).length, 100);
});
test("a kind that says nothing leaves it to what is known of the field, and to the value", () => {
  const cases = [["sum", 0.1 + 0.2, "0.3"], ["open", 1.5, "1.50"], ["note", "ex", "ex"]];
  for (const [field, given, words] of cases) {
    assert.equal(value(auto, { [field]: given }, column(auto, field), NOW), words, field);
  }
});
test("values are written by their kind; missing and absurd ones stay text", () => {
  const cases = [
    ["volume", 394_000, "394K"],
    ["volume", undefined, "–"],
    ["volume", null, "–"],
    ["open", 189.5, "189.500"],
    ["open", "n/a", "n/a"],
    ["start", "soon", "soon"],
    ["other", 0.123456, "0.1235"],
    ["other", "<b>", "<b>"],
    ["other", { a: [1] }, '{"a":[1]}'],
    ["toString", "x", "x"],
  ];
  for (const [field, given, words] of cases) {
    const column = fields(quotes, { [field]: given }).find((other) => other.field === field);
    assert.equal(value(quotes, { [field]: given }, column, NOW), words, field);
  }
});
test("trust is a quality and an age", () => {
  assert.equal(trust({}, ago(3), NOW), "Live, last change 3 s ago");
  assert.equal(trust({ quality: "stale" }, ago(200), NOW), "Stale, last change 3 min ago");
  assert.equal(trust({ quality: "<b>" }, null, NOW), "Live");
  assert.equal(trust({}, NOW + 9e9, NOW), "Live, last change a moment ago");
});
test("a row's last change is told with its time and its age", () => {
  assert.match(changeWords(ago(60), NOW), /^Last change here at \d\d:\d\d:\d\d, 1 min ago$/);
  assert.equal(changeWords(null, NOW), "No change seen on this page yet");
});
test("a page that is not live says as of when it is", () => {
  assert.equal(connectionWords({ kind: "live", paused: false }, NOW), "");
  assert.match(connectionWords({ kind: "live", paused: true }, NOW), /^Paused, as of \d\d:\d\d:\d\d$/);
  assert.equal(connectionWords({ kind: "offline" }, null), "Not live");
});
test("a game is named by its teams, a quote by its symbol", () => {
  assert.equal(title(scores, "g1", { home: "A", away: null }), "A – –");
  assert.equal(title(quotes, "AAPL", { home: "A" }), "AAPL");
  assert.equal(title(scores, "g1", undefined), "g1");
});
