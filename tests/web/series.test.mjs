import assert from "node:assert/strict";
import { test } from "node:test";

import { Series } from "../../web/core/series.js";

const filled = (count, limit, step = 1000) => {
  const series = new Series(limit);
  for (let i = 0; i < count; i++) series.add(1e12 + i * step, i);
  return series;
};

test("a series never has more points than its limit, whatever comes", () => {
  for (const step of [0, 1, 100, 1000, 60_000]) {
    for (const count of [1, 2, 9, 100, 5000]) {
      const series = filled(count, 40, step);
      assert.ok(series.length <= 40 && series.at.length === series.value.length, `${count} × ${step} ms`);
      assert.equal(series.value.at(-1), count - 1, "the newest value is there");
      assert.equal(series.at.at(-1), 1e12 + (count - 1) * step, "at its time");
    }
  }
});

test("a long series keeps its beginning, its order and points all over its length", () => {
  const series = filled(5000, 40);
  assert.equal(series.value[0], 0);
  assert.deepEqual(series.at, [...series.at].sort((a, b) => a - b));
  const gaps = series.at.slice(1).map((at, i) => at - series.at[i]);
  assert.ok(Math.max(...gaps) < 5000 * 1000 / 10);
});

test("within a step the latest value counts", () => {
  const series = new Series();
  series.add(1000, 1);
  series.add(2000, 2);
  series.add(2010, 3);
  assert.deepEqual(series.value, [1, 3]);
  assert.deepEqual(series.at, [1000, 2010]);
});

test("when the clock of the server is put back, points after it go, and the series goes on", () => {
  const series = new Series();
  for (const [at, value] of [[1000, 1], [5000, 2], [9000, 3], [4000, 4], [4500, 5]]) series.add(at, value);
  assert.deepEqual(series.at, [1000, 4000, 4500]);
  assert.deepEqual(series.value, [1, 4, 5]);
});

test("that a value is not known is a point, too", () => {
  const series = new Series();
  for (const [at, value] of [[0, 1], [1000, null], [2000, 3]]) series.add(at, value);
  assert.deepEqual(series.value, [1, null, 3]);
});

test("the server's history comes before what arrived here", () => {
  const series = new Series();
  series.add(5000, 50);
  series.add(6000, 60);
  series.seed([1000, 2000, 5000, 7000], [10, 20, 50, 70]);
  assert.deepEqual(series.at, [1000, 2000, 5000, 6000]);
  assert.deepEqual(series.value, [10, 20, 50, 60]);
});

test("a history longer than the limit is thinned", () => {
  const series = new Series(40);
  series.seed(Array.from({ length: 1000 }, (_, i) => i * 1000), Array.from({ length: 1000 }, (_, i) => i));
  assert.ok(series.length <= 40);
  assert.equal(series.value.at(-1), 999);
});
