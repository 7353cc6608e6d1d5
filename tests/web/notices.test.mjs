import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Notices } from "../../web/core/notices.js";

const NOW = 1_000_000;
let notices;

beforeEach(() => {
  notices = new Notices();
});

const hear = (id, text, more = {}) => notices.hear({ type: "notice", id, text, level: "info", ...more }, NOW);
const texts = (board = null, at = NOW, now = NOW) => notices.valid(board, at, now).map(({ text }) => text);

test("the newest is first, warnings before all", () => {
  hear("a", "one");
  hear("w", "careful", { level: "warning" });
  hear("b", "two");
  assert.deepEqual(texts(), ["careful", "two", "one"]);
});

test("the same id changes a notice, and without a text withdraws it", () => {
  hear("a", "one");
  hear("a", "other");
  assert.deepEqual(texts(), ["other"]);
  hear("a", null);
  assert.deepEqual(texts(), []);
});

test("one for a board is for no other", () => {
  hear("a", "stocks only", { board: "stocks" });
  assert.deepEqual([texts(), texts("coins"), texts("stocks")], [[], [], ["stocks only"]]);
});

test("one ends at its time, by the server's clock; while that is not known none does", () => {
  hear("a", "until then", { until: NOW + 10 });
  assert.deepEqual([texts(null, NOW + 9), texts(null, NOW + 10), texts(null, null)], [["until then"], [], ["until then"]]);
});

test("on a new link only what is told again stays, and that does not vanish meanwhile", () => {
  hear("kept", "kept");
  hear("gone", "gone");
  notices.hear({ type: "welcome" }, NOW);
  assert.deepEqual(texts(), ["gone", "kept"]);
  hear("kept", "kept");
  assert.deepEqual(texts(null, NOW, NOW + 10_000), ["kept"]);
});

test("their number is bounded: the oldest go", () => {
  for (let i = 0; i < 1_000; i++) hear(`n${i}`, `${i}`);
  assert.equal(texts().length, 50);
  assert.equal(texts()[0], "999");
});

test("what it cannot read of a notice is left out", () => {
  hear("a", "one", { level: "shouting", until: "soon", at: {}, board: 7 });
  assert.deepEqual(notices.valid(null, NOW, NOW), [{ id: "a", text: "one", level: "info", at: null, until: null, board: null }]);
});
