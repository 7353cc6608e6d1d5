import assert from "node:assert/strict";
import { test } from "node:test";

import { STEPS, bounds, cut, decimals, indexAt, pointWords, points, words } from "../../web/core/chart.js";

const MINUTE = 60_000;
const START = Date.UTC(2026, 0, 5, 9, 30);
const series = (...value) => ({ at: value.map((_, i) => START + i * MINUTE), value });
const write = (value) => value.toFixed(2);

test("all of a history is shown, and its last value holds until the rows are known", () => {
  const part = cut(series(1, 3, 2), Infinity, START + 5 * MINUTE);
  assert.deepEqual(part.at, [0, 1, 2, 5].map((i) => START + i * MINUTE));
  assert.deepEqual(part.value, [1, 3, 2, 2]);
  assert.deepEqual([part.first, part.last, part.low, part.high], [1, 2, 1, 3]);
});
test("a range begins with the value that held at its beginning", () => {
  const part = cut(series(1, 3, 2), 1.5 * MINUTE, START + 2 * MINUTE);
  assert.deepEqual(part.at, [0.5, 1, 2].map((i) => START + i * MINUTE));
  assert.deepEqual(part.value, [1, 3, 2]);
});
test("a range after the last change is a flat line", () => {
  assert.deepEqual(cut(series(7), MINUTE, START + 9 * MINUTE).value, [7, 7]);
});
test("what is not known stays a gap, at both ends of a range, too", () => {
  assert.deepEqual(cut(series(null, 2, null), Infinity, START + 4 * MINUTE).value, [null, 2, null, null]);
  assert.equal(cut(series(1, null), MINUTE, START + 9 * MINUTE).first, null);
});
test("an empty history is one", () => {
  assert.deepEqual(cut({ at: [], value: [] }, Infinity, null).at, []);
});
test("a history has a length, though it is of one moment", () => {
  const { from, until } = cut(series(1), Infinity, START);
  assert.ok(until > from);
});
test("values beyond any axis are gaps", () => {
  assert.deepEqual(cut(series(1, 1e300, "2"), Infinity, START).value, [1, null, null]);
});
test("a server's history is taken as far as it makes sense", () => {
  const cases = [
    [undefined, []],
    [{ at: 5, value: [1] }, []],
    [{ at: [1, 2, 3], value: [1, null] }, [1, null, null]],
    [{ at: [2, 1, NaN, 9e15, 3], value: [1, 2, 3, 4, 5] }, [1, 5]],
  ];
  for (const [history, value] of cases) assert.deepEqual(points(history).value, value);
});
test("the picture has room above and below, also for equal values", () => {
  for (const [low, high] of [[1, 2], [5, 5], [0, 0], [-1e29, 1e29], [8.1e-6, 8.1e-6]]) {
    const [bottom, top] = bounds({ low, high }, null);
    assert.ok(bottom < low && top > high, `${low} to ${high}: ${bottom} to ${top}`);
  }
});
test("a previous close is on the picture when it is near", () => {
  assert.ok(bounds({ low: 10, high: 12 }, 9)[0] < 9);
  assert.ok(bounds({ low: 10, high: 12 }, 5)[0] > 9);
});
test("every step of a price axis can be written so that its multiples differ", () => {
  for (const step of STEPS.filter((s) => s < 1)) {
    const digits = decimals(step, 0);
    assert.notEqual(step.toFixed(digits), (2 * step).toFixed(digits));
    assert.ok(Math.abs(Number(step.toFixed(digits)) - step) < step / 1e6, `${step} with ${digits}`);
  }
  assert.equal(decimals(10, 3), 3);
  assert.equal(decimals(10, undefined), 2);
});
test("a time finds the point that held then", () => {
  assert.deepEqual([5, 10, 15, 99].map((time) => indexAt([10, 20], time)), [0, 0, 0, 1]);
});
test("the picture is told in words", () => {
  assert.match(words("AAPL", cut(series(null, 2, 3, 1), Infinity, START + 3 * MINUTE), write),
    /^AAPL since \d\d:\d\d: from 2\.00 to 1\.00, low 1\.00, high 3\.00$/);
  assert.equal(words("AAPL", cut(series(null), Infinity, START), write), "AAPL: no history yet");
});
test("a point is told in words", () => {
  assert.match(pointWords(START, 2, write), /^\d\d:\d\d:\d\d: 2\.00$/);
  assert.match(pointWords(START, null, write), /: not known$/);
});
