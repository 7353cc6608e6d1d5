import assert from "node:assert/strict";
import { test } from "node:test";

import { hash, parse, search } from "../../web/core/route.js";

for (const [address, wanted] of [
  ["", ["", "", ""]],
  ["#", ["", "", ""]],
  ["#/stocks", ["stocks", "", ""]],
  ["#stocks", ["stocks", "", ""]],
  ["#/stocks/AAPL", ["stocks", "AAPL", ""]],
  ["#/crypto/BTC%2FUSD", ["crypto", "BTC/USD", ""]],
  ["#/crypto/BTC/USD", ["crypto", "BTC/USD", ""]],
  ["#/b/%E2%9A%BD%20%3Cb%3E", ["b", "⚽ <b>", ""]],
  ["#/100%/x", ["", "x", ""]],
  ["?q=aa#/stocks", ["stocks", "", "aa"]],
  ["?q=a%26b&x=1", ["", "", "a&b"]],
]) {
  test(`${address || "no address"} is read`, () => {
    const { board, symbol, filter } = parse(new URL(address, "http://host/"));
    assert.deepEqual([board, symbol, filter], wanted);
  });
}

test("what was written is read again", () => {
  for (const [board, symbol] of [["stocks", ""], ["a b", "BTC/USD"], ["ü", "#1 %"]]) {
    const found = parse(new URL(hash(board, symbol), "http://host/"));
    assert.deepEqual([found.board, found.symbol], [board, symbol]);
  }
});

test("a filter is put into the address beside what is there", () => {
  assert.equal(search("", "aa"), "?q=aa");
  assert.equal(search("?q=aa", ""), "");
  assert.equal(search("?kiosk&seconds=5", "x y"), "?kiosk&seconds=5&q=x+y");
  assert.equal(search("?kiosk", ""), "?kiosk");
});
