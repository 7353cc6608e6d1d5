import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Announcer } from "../../web/ui/announcer.js";
import { FakeClock, FakeRegion } from "./fakes.mjs";

let clock, region, announcer;
beforeEach(() => {
  clock = new FakeClock();
  region = new FakeRegion();
  announcer = new Announcer(region, clock);
});

test("the first words are said at once", () => {
  announcer.say("Paused");
  assert.equal(region.text, "Paused");
});
test("words that follow wait until the first were heard", () => {
  announcer.say("Paused");
  announcer.say("Live");
  assert.equal(region.text, "Paused");
  clock.advance(5_000);
  assert.equal(region.text, "Live");
});
test("of words that wait only the newest are said", () => {
  for (const words of ["Paused", "Offline", "Live"]) announcer.say(words);
  clock.advance(60_000);
  assert.equal(region.text, "Live");
  assert.equal(clock.pending, 0);
});

test("the same words are said again", () => {
  announcer.say("Paused");
  clock.advance(5_000);
  announcer.say("Paused");
  assert.equal(region.text, "Paused\u00a0");
  clock.advance(5_000);
  announcer.say("Paused");
  assert.equal(region.text, "Paused");
});
