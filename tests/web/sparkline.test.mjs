import assert from "node:assert/strict";
import { test } from "node:test";

import { path } from "../../web/ui/sparkline.js";

const line = (value, at = value.map((_, i) => i * 1000)) => path({ at, value }, 124, 24);

test("fewer than two known values are no line", () => {
  for (const value of [[], [5], [null, 5], [null, null]]) assert.equal(line(value), "");
});
test("a line goes from edge to edge", () => assert.equal(line([1, 2, 3]), "M2.0 22.0L62.0 12.0L122.0 2.0"));
test("points lie where their time is", () => {
  assert.equal(line([1, 2, 3], [0, 9000, 12_000]), "M2.0 22.0L92.0 12.0L122.0 2.0");
});
test("equal values are a line in the middle", () => assert.equal(line([5, 5]), "M2.0 12.0L122.0 12.0"));
test("a line has a gap where the value was not known", () => {
  assert.equal(line([1, 2, null, 2, 1]), "M2.0 22.0L32.0 2.0M92.0 2.0L122.0 22.0");
});
test("absurd values and equal times still give figures", () => {
  assert.doesNotMatch(line([1e308, -1e308, 0]), /NaN|Infinity/);
  assert.doesNotMatch(line([1, 2], [7, 7]), /NaN|Infinity/);
});
