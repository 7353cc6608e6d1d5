import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { compare, plan } from "../../web/core/columns.js";

const columns = (...names) =>
  names.map((name) => {
    const [field, kind = "price"] = name.split(":");
    return { field, label: field, kind };
  });
const planned = (names, rows = []) => plan({ columns: columns(...names), rows: new Map(rows) });
const ranks = (plan) => Object.fromEntries(plan.map(({ field, rank }) => [field, rank]));

describe("plan", () => {
  test("keeps the order of the board", () => {
    assert.deepEqual(planned(["volume:volume", "last"]).map((c) => c.field), ["volume", "last"]);
  });
  test("leaves out what is part of a row's head", () => {
    assert.deepEqual(planned(["name:text", "symbol:text", "quality:text", "last"]).map((c) => c.field), ["last"]);
  });
  test("keeps price and change in per cent on the narrowest screen", () => {
    const { last, change_pct: percent } = ranks(planned(["bid", "change", "volume:volume", "change_pct:percent", "last"]));
    assert.deepEqual([last, percent], ["first", "first"]);
  });
  test("lets bid and ask step back before change and volume", () => {
    const all = ranks(planned(["last", "change", "change_pct:percent", "bid", "ask", "volume:volume"]));
    assert.deepEqual(all, {
      last: "first", change: "second", change_pct: "first", bid: "third", ask: "third", volume: "second",
    });
  });
  test("gives the arrow to one column", () => {
    assert.deepEqual(planned(["change", "change_pct:percent"]).map((c) => c.hasArrow), [false, true]);
  });
  test("gives the flash to the last price only, where there is one", () => {
    assert.deepEqual(planned(["last", "bid", "change"]).map((c) => c.hasFlash), [true, false, false]);
    assert.deepEqual(planned(["bid", "ask"]).map((c) => c.hasFlash), [true, true]);
  });
  test("guesses a kind nobody named from the first value", () => {
    const rows = [["A", {}], ["B", { odds: 1.5, note: "x" }]];
    assert.deepEqual(planned(["odds:auto", "note:auto", "none:auto"], rows).map((c) => c.kind), ["number", "text", "text"]);
  });
});

describe("compare", () => {
  const [last] = planned(["last"]);
  const [venue] = planned(["venue:text"]);
  const sorted = (values, column, direction) => values.sort((a, b) => compare(a, b, column, direction));

  test("orders figures by size, also those that came as text", () => {
    assert.deepEqual(sorted([10, "9", -1, 2], last, "ascending"), [-1, 2, "9", 10]);
  });
  test("puts what is missing last in both directions", () => {
    assert.deepEqual(sorted([1, null, 2], last, "ascending"), [1, 2, null]);
    assert.deepEqual(sorted([1, null, 2], last, "descending"), [2, 1, null]);
  });
  test("orders text as people do: without case, figures in it by size", () => {
    assert.deepEqual(sorted(["B10", "b9", "a"], venue, "ascending"), ["a", "b9", "B10"]);
  });
});
