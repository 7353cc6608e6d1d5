import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { following, left, pagesOf, parameters, rotation, shift } from "../../web/core/kiosk.js";

describe("an address of a wall", () => {
  test("names boards, seconds and theme", () => {
    const search = "?kiosk&boards=a,%20b,a&seconds=7.5&theme=dark";
    assert.deepEqual(parameters(search), { boards: ["a", "b"], seconds: 7.5, theme: "dark" });
  });
  test("that says nothing means all boards, 20 seconds each", () => {
    assert.deepEqual(parameters("?kiosk"), { boards: [], seconds: 20, theme: "" });
  });
  for (const [text, seconds] of [["0", 3], ["-5", 3], ["x", 20], ["", 20], ["1e99", 86_400], ["Infinity", 86_400]]) {
    test(`with seconds=${text} means ${seconds}`, () => {
      assert.equal(parameters(`?kiosk&seconds=${text}`).seconds, seconds);
    });
  }
  test("leads back to the page without it", () => {
    const address = "http://host/?kiosk&seconds=5&theme=dark&boards=a&other=1#/games";
    assert.equal(left(address), "http://host/?other=1#/games");
    assert.equal(left("http://host/?kiosk"), "http://host/");
  });
});

describe("turns", () => {
  test("are taken by the wanted boards that are there, in their order", () => {
    assert.deepEqual(rotation(["b", "x", "a"], ["a", "b", "c"]), ["b", "a"]);
  });
  test("are taken by all when none of the wanted is there", () => {
    assert.deepEqual(rotation(["x"], ["a", "b"]), ["a", "b"]);
  });
  test("show every page of a board, then the next board, for ever", () => {
    const pages = { a: 2, b: 1 };
    const seen = [];
    let turn = { board: "a", page: 0 };
    for (let i = 0; i < 4; i += 1) {
      turn = following(turn, ["a", "b"], pages[turn.board]);
      seen.push(`${turn.board}${turn.page}`);
    }
    assert.deepEqual(seen, ["a1", "b0", "a0", "a1"]);
  });
  test("stay with a single board", () => {
    assert.deepEqual(following({ board: "a", page: 0 }, ["a"], 1), { board: "a", page: 0 });
  });
  test("begin anew when the board is gone", () => {
    assert.deepEqual(following({ board: "gone", page: 3 }, ["a", "b"], 9), { board: "a", page: 0 });
  });
});

describe("pages", () => {
  const rows = (count) => Array.from({ length: count }, (_, i) => ({ from: 10 * i, to: 10 * i + 10 }));

  test("hold as many whole rows as fit", () => {
    assert.deepEqual(pagesOf(rows(5), 25), [{ from: 0, to: 20 }, { from: 20, to: 40 }, { from: 40, to: 50 }]);
  });
  test("are one when all fits, and when there is nothing", () => {
    assert.deepEqual(pagesOf(rows(2), 20), [{ from: 0, to: 20 }]);
    assert.deepEqual(pagesOf([], 20), [{ from: 0, to: 0 }]);
  });
  test("are not cut between cards side by side", () => {
    const cards = [[0, 10], [0, 14], [14, 30], [14, 20]].map(([from, to]) => ({ from, to }));
    assert.deepEqual(pagesOf(cards, 20), [{ from: 0, to: 14 }, { from: 14, to: 30 }]);
  });
  test("hold one row at least, however high", () => {
    assert.equal(pagesOf(rows(3), 1).length, 3);
  });
});

test("the picture wanders by a few pixels, each minute by another way, and comes back", () => {
  const places = Array.from({ length: 8 }, (_, minute) => shift(minute));
  assert.equal(new Set(places.map(String)).size, 8);
  assert.ok(places.flat().every((pixels) => Math.abs(pixels) <= 4));
  assert.deepEqual(shift(8), [0, 0]);
});
