import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { arrange, available, compare, placeInRange, plan, sortKey } from "../../web/core/columns.js";

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

const store = (names, rows = []) => ({ columns: columns(...names), rows: new Map(rows) });
const fields = (columns) => columns.map(({ field }) => field);
const QUOTE = { name: "Apple", last: 2, low: 1, high: 3, bid: 1.9, odd_lots: 7, quality: "stale" };

describe("available", () => {
  const all = available(store(["last", "change_pct:percent", "volume:volume"], [["A", QUOTE]]));
  test("has the line first and the day's range behind the movements", () => {
    assert.deepEqual(fields(all).slice(0, 5), ["trend", "last", "change_pct", "range", "volume"]);
  });
  test("offers fields of the rows that the board has no column for, hidden", () => {
    const extras = all.filter(({ shown }) => !shown);
    assert.deepEqual(extras.map(({ field, label, kind }) => [field, label, kind]), [
      ["low", "Low", "price"], ["high", "High", "price"], ["bid", "Bid", "price"], ["odd_lots", "Odd lots", "number"],
    ]);
  });
  test("has no range where rows have no low and high", () => {
    assert.ok(!fields(available(store(["last"], [["A", { last: 1, low: 1 }]]))).includes("range"));
  });
  test("leaves a field of a row its name, even that of a picture", () => {
    const own = available(store(["trend:text", "range:text", "last"], [["A", QUOTE]]));
    assert.deepEqual(own.slice(0, 3).map(({ field, kind }) => [field, kind]), [
      ["trend", "text"], ["range", "text"], ["last", "price"],
    ]);
  });
});

describe("arrange", () => {
  const board = store(["last", "change", "volume:volume"], [["A", QUOTE]]);
  const arranged = (order, hidden = []) => fields(arrange(board, { order, hidden }));
  test("without a choice shows what the board says", () => {
    assert.deepEqual(fields(arrange(board)), ["trend", "last", "change", "range", "volume"]);
  });
  test("puts chosen columns first, in their order, and new ones of the board behind them", () => {
    assert.deepEqual(arranged(["volume", "bid", "last"]), ["volume", "bid", "last", "trend", "change", "range"]);
  });
  test("hides what is hidden, also the pictures, and also what is in the order", () => {
    assert.deepEqual(arranged(["last", "bid"], ["trend", "bid", "range"]), ["last", "change", "volume"]);
  });
  test("leaves out fields that nobody has", () => {
    assert.deepEqual(arranged(["gone", "last"], ["gone too"]), ["last", "trend", "change", "range", "volume"]);
  });
});

describe("placeInRange", () => {
  const place = (last, low, high) => placeInRange({ last, low, high });
  test("is 0 at the lowest and 1 at the highest", () => {
    assert.deepEqual([place(1, 1, 3), place(2, 1, 3), place("3", "1", "3")], [0, 0.5, 1]);
  });
  test("stays inside when the price is ahead of the range", () => assert.deepEqual([place(0, 1, 3), place(9, 1, 3)], [0, 1]));
  test("is the middle of a range without width", () => assert.equal(place(1, 1, 1), 0.5));
  test("is nothing where something is missing", () => assert.equal(place(1, undefined, 3), null));
  test("does not overflow", () => assert.equal(place(0, -1.7e308, 1.7e308), 0.5));
});

describe("compare", () => {
  const [last] = planned(["last"]);
  const [venue] = planned(["venue:text"]);
  const sorted = (values, column, direction) => 
    values.sort((a, b) => compare(...[a, b].map((value) => sortKey("", { [column.field]: value }, column)), direction));

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
