import assert from "node:assert/strict";
import { test } from "node:test";

import { HEAD } from "../../web/core/columns.js";
import { kept, ordered, same } from "../../web/core/order.js";

const rows = new Map([["B", { last: 1 }], ["a", { last: 2 }], ["C", { last: 1 }], ["D", {}]]);
const last = { field: "last", kind: "price" };
const all = () => true;

test("without a sort rows are in the order of the board", () => {
  assert.deepEqual(ordered(rows, all, null), ["B", "a", "C", "D"]);
});
test("ties keep the order of the board in both directions, and what is missing is last", () => {
  assert.deepEqual(ordered(rows, all, { column: last, direction: "descending" }), ["a", "B", "C", "D"]);
  assert.deepEqual(ordered(rows, all, { column: last, direction: "ascending" }), ["B", "C", "a", "D"]);
});
test("symbols are ordered as people do", () => {
  assert.deepEqual(ordered(rows, all, { column: HEAD, direction: "ascending" }), ["a", "B", "C", "D"]);
});
test("rows that do not match are left out", () => {
  assert.deepEqual(ordered(rows, (symbol, row) => symbol !== "B" && row.last === 1, null), ["C"]);
});
test("a kept order loses what went, and has what came at its end", () => {
  assert.deepEqual(kept(["C", "gone", "A"], ["A", "new", "C"]), ["C", "A", "new"]);
});
test("orders are the same when every place is", () => {
  assert.deepEqual([same(["A"], ["A"]), same(["A"], ["B"]), same(["A"], ["A", "B"])], [true, false, false]);
});
