import assert from "node:assert/strict";
import { test } from "node:test";

import { KEYS, command } from "../../web/core/keys.js";

const press = (key, more = {}, areOn = true) => command({ key, target: { tagName: "BODY" }, ...more }, areOn);

test("each key gives one command", () => {
  assert.equal(new Set(KEYS.map(([key]) => key)).size, KEYS.length);
  for (const [key, name] of KEYS) assert.equal(press(key), name);
});
test("capital letters are the same keys", () => assert.equal(press("P"), "pause"));
test("digits choose a board", () => assert.equal(press("3"), "board 3"));
test("0 and other keys give nothing", () => assert.deepEqual([press("0"), press("x"), press("F5")], [null, null, null]));
for (const tagName of ["INPUT", "TEXTAREA", "SELECT"]) {
  test(`in ${tagName} letters are text, and Esc leaves it`, () => {
    assert.equal(press("p", { target: { tagName } }), null);
    assert.equal(press("Escape", { target: { tagName } }), "escape");
  });
}
for (const held of ["ctrlKey", "metaKey", "altKey", "isComposing", "defaultPrevented"]) {
  test(`with ${held} a key is the browser's, or somebody else's`, () => assert.equal(press("p", { [held]: true }), null));
}
test("single keys can be switched off", () => {
  assert.equal(press("p", {}, false), null);
  assert.equal(press("1", {}, false), null);
  assert.equal(press("Escape", {}, false), "escape");
});
