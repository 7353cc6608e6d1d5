import assert from "node:assert/strict";
import { test } from "node:test";

import { isRefusal, takeToken } from "../../web/core/access.js";
import { FakeStorage } from "./fakes.mjs";

const opened = (address) => {
  const replaced = [];
  const history = { state: { filter: "A" }, replaceState: (state, _, url) => replaced.push([state, url]) };
  return { location: new URL(address), history, replaced };
};

test("the token of the address is kept and leaves it; all else of the address stays", () => {
  const storage = new FakeStorage();
  const page = opened("http://host/p/?kiosk&token=a%2Bb&q=x#/stocks/AAPL");
  assert.equal(takeToken(page, () => storage), "a+b");
  assert.deepEqual(page.replaced, [[{ filter: "A" }, "/p/?kiosk&q=x#/stocks/AAPL"]]);
  assert.equal(takeToken(opened("http://host/"), () => storage), "a+b");
});

test("an address without one is left alone", () => {
  const page = opened("http://host/?q=x");
  assert.equal(takeToken(page, () => new FakeStorage()), null);
  assert.deepEqual(page.replaced, []);
});

test("a storage that is blocked or full costs the token nothing but its next visit", () => {
  const blocked = () => {
    throw new DOMException("blocked", "SecurityError");
  };
  const full = new FakeStorage();
  full.isFull = true;
  for (const storage of [blocked, () => full]) {
    const page = opened("http://host/?token=t");
    assert.equal(takeToken(page, storage), "t");
    assert.deepEqual(page.replaced[0][1], "/");
    assert.equal(takeToken(opened("http://host/"), storage), null);
  }
});

test("401 and 403 ask for a token, other failures do not", () => {
  assert.deepEqual([401, 403, 404, 500, 200].map(isRefusal), [true, true, false, false, false]);
});
