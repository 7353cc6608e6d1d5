import assert from "node:assert/strict";
import { test } from "node:test";

import { path } from "../../web/sparkline.js";

test("fewer than two points are no line", () => assert.deepEqual([path([]), path([5])], ["", ""]));
test("the newest point is at the right edge, whatever number there is", () => {
  assert.match(path([1, 2], 60, 120, 24), /L118\.0 2\.0$/);
});
test("a full line begins at the left edge", () => assert.match(path([1, 2, 3], 3, 120, 24), /^M2\.0 22\.0/));
test("equal points are a line in the middle", () => assert.equal(path([5, 5], 2, 120, 24), "M2.0 12.0L118.0 12.0"));
test("absurd points still give figures", () => assert.doesNotMatch(path([1e308, -1e308, 0]), /NaN|Infinity/));
