import assert from "node:assert/strict";
import { test } from "node:test";

import { csv } from "../../web/core/csv.js";

const COLUMNS = [{ field: "symbol", label: "Symbol" }, { field: "last", label: "Last" }];

test("a header line and a line per row, each ended by CR LF", () => {
  const rows = [{ symbol: "AAPL", last: 190.12 }, { symbol: "MSFT" }];
  assert.equal(csv(COLUMNS, rows), "Symbol,Last\r\nAAPL,190.12\r\nMSFT,\r\n");
});
test("without rows there is a header line", () => {
  assert.equal(csv(COLUMNS, []), "Symbol,Last\r\n");
});

for (const [value, cell] of [
  [0.1 + 0.2, "0.30000000000000004"],
  [-1.5, "-1.5"],
  [1e300, "1e+300"],
  [null, ""],
  [false, "false"],
  ["", ""],
  ["a,b", '"a,b"'],
  ['say "a"', '"say ""a"""'],
  ["two\nlines", '"two\nlines"'],
  ["=1+1", "'=1+1"],
  ['=HYPERLINK("x","y")', '"\'=HYPERLINK(""x"",""y"")"'],
  ["@SUM(A1)", "'@SUM(A1)"],
  ["-cmd|x", "'-cmd|x"],
  ["+1 555 1234", "'+1 555 1234"],
  ["＝1+1", "'＝1+1"],
  ["\t=1", "'\t=1"],
  ["-1.50", "-1.50"],
  ["+2e-3", "+2e-3"],
  [" =1", " =1"],
  [[[1, 0], [0, 2]], '"[[1,0],[0,2]]"'],
  [{ a: 1 }, '"{""a"":1}"'],
  ["שלום 🚀", "שלום 🚀"],
]) {
  test(`${JSON.stringify(value)} becomes ${cell}`, () => {
    assert.equal(csv([{ field: "v", label: "V" }], [{ v: value }]), `V\r\n${cell}\r\n`);
  });
}
test("a label is text, too", () => {
  assert.equal(csv([{ field: "v", label: "=Last, net" }], []), '"\'=Last, net"\r\n');
});
