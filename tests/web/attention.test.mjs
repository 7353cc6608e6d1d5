import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Attention } from "../../web/core/attention.js";
import { FakeClock, FakePage } from "./fakes.mjs";

let clock, page, told, mayRest;

beforeEach(() => {
  clock = new FakeClock();
  page = new FakePage();
  told = [];
  mayRest = true;
});

const follow = () => new Attention(clock, (attention) => told.push(attention), () => mayRest).follow(page.document);

test("a tab that is hidden for a short time stays awake", () => {
  follow();
  page.show("hidden");
  clock.advance(29_000);
  page.show("visible");
  clock.advance(600_000);
  assert.deepEqual(told, ["awake"]);
});

test("a hidden tab rests after half a minute and is away after five", () => {
  follow();
  page.show("hidden");
  clock.advance(30_000);
  assert.deepEqual(told, ["resting"]);
  clock.advance(269_000);
  assert.deepEqual(told, ["resting"]);
  clock.advance(1_000);
  assert.deepEqual(told, ["resting", "away"]);
  page.show("visible");
  assert.deepEqual(told, ["resting", "away", "awake"]);
  assert.equal(clock.pending, 0);
});

test("a tab that was opened in the background rests, too", () => {
  page.document.visibilityState = "hidden";
  follow();
  clock.advance(30_000);
  assert.deepEqual(told, ["resting"]);
});

test("a machine that slept wakes up with a tab that is away", () => {
  follow();
  page.show("hidden");
  clock.time += 3_600_000; // no timer ran meanwhile
  clock.advance(30_000);
  assert.deepEqual(told, ["away"]);
});

test("with something to notice a hidden tab stays awake as long as that lasts", () => {
  mayRest = false;
  follow();
  page.show("hidden");
  clock.advance(600_000);
  assert.deepEqual(told, []);
  mayRest = true;
  clock.advance(30_000);
  assert.deepEqual(told, ["away"]);
});

for (const [minutes, before] of [[1, ["resting"]], [10, ["resting", "away"]]]) {
  test(`what another tab wants to be noticed wakes a tab that was hidden ${minutes} min ago`, () => {
    follow();
    page.show("hidden");
    clock.advance(minutes * 60_000);
    assert.deepEqual(told, before);
    mayRest = false;
    clock.advance(60_000);
    assert.deepEqual(told, [...before, "awake"]);
    mayRest = true;
    clock.advance(600_000);
    assert.deepEqual(told.at(-1), "away");
    page.show("visible");
    assert.deepEqual(told.at(-1), "awake");
    assert.equal(clock.pending, 0);
  });
}
