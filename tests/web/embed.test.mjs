import assert from "node:assert/strict";
import { test } from "node:test";

import { chosen, columnsFor, missingWords, parameters } from "../../web/core/embed.js";

const rows = new Map([["A", {}], ["B", {}], ["C", {}]]);
const columns = [
  { field: "last", rank: "first" },
  { field: "bid", rank: "third" },
  { field: "change_pct", rank: "first" },
];

test("an address names board, symbols, columns, theme and ground", () => {
  const search = "?board=us&symbols=A,%20B,,A&symbols=C&columns=last&theme=dark&ground=none";
  assert.deepEqual(parameters(search), {
    board: "us",
    symbols: ["A", "B", "C"],
    columns: ["last"],
    theme: "dark",
    ground: "none",
  });
});

test("what makes no sense in an address is as if it were not there", () => {
  const empty = { board: "", symbols: [], columns: [], theme: "", ground: "" };
  for (const search of ["", "?", "?symbols=,,&theme=pink&ground=url(x)", "?board=&&=&columns", "?%E0%A4%A"]) {
    assert.deepEqual(parameters(search), empty, search);
  }
});

test("an address names at most 200 symbols", () => {
  const many = Array.from({ length: 500 }, (_, i) => `S${i}`);
  assert.equal(parameters(`?symbols=${many}`).symbols.length, 200);
});

test("symbols are shown as given, also those that are not there; without them the first rows", () => {
  assert.deepEqual(chosen(["C", "Z", "A"], rows), ["C", "Z", "A"]);
  assert.deepEqual(chosen([], rows, 2), ["A", "B"]);
});

test("columns are shown as given; without them all but the least important", () => {
  const fields = (wanted) => columnsFor(wanted, columns).map(({ field }) => field);
  assert.deepEqual(fields(["change_pct", "no", "bid"]), ["change_pct", "bid"]);
  assert.deepEqual(fields([]), ["last", "change_pct"]);
});

test("what is not there is named", () => {
  assert.equal(missingWords({ symbols: ["A"], columns: ["bid"] }, { columns, rows }), "");
  assert.equal(
    missingWords({ symbols: ["A", "Z", "Y"], columns: ["x"] }, { columns, rows }),
    "Not on this board: Z, Y. No such column: x",
  );
});
