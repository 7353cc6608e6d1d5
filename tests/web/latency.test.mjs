import assert from "node:assert/strict";
import { test } from "node:test";

import { Latency } from "../../web/core/latency.js";

const HOURS = 5 * 3_600_000;

test("clocks that disagree by hours do not matter", () => {
  const latency = new Latency();
  latency.pinged(1000, 1020, 1010 + HOURS);
  latency.arrived(2000 + HOURS, 2007);
  assert.equal(latency.offset, HOURS);
  assert.equal(latency.typical, 7);
});

test("of several pings the quickest tells the difference of the clocks", () => {
  const latency = new Latency();
  latency.pinged(0, 900, 800);
  latency.pinged(1000, 1010, 1105);
  latency.pinged(2000, 2400, 2250);
  assert.equal(latency.offset, 100);
});

test("only the latest pings count: clocks drift", () => {
  const latency = new Latency();
  latency.pinged(0, 0, 500);
  for (let i = 0; i < 8; i++) latency.pinged(0, 10, 5);
  assert.equal(latency.offset, 0);
});

test("without a ping nothing is said of the latency", () => {
  const latency = new Latency();
  latency.arrived(0, 5);
  assert.equal(latency.typical, null);
});

test("a change that does not say when it was published says nothing", () => {
  const latency = new Latency();
  latency.pinged(0, 0, 0);
  latency.arrived(0, 5);
  for (const at of [undefined, null, "soon"]) latency.arrived(at, 9);
  assert.equal(latency.typical, 5);
});

test("one late change among many says nothing", () => {
  const latency = new Latency();
  latency.pinged(0, 0, 0);
  for (const now of [5, 6, 4000, 5, 4]) latency.arrived(0, now);
  assert.equal(latency.typical, 5);
});

test("a change is never told to have come before it was published", () => {
  const latency = new Latency();
  latency.pinged(0, 10, 0);
  latency.arrived(100, 101);
  assert.equal(latency.typical, 0);
});

test("only the latest changes count, and none of an earlier link", () => {
  const latency = new Latency();
  latency.pinged(0, 0, 0);
  for (let i = 0; i < 100; i++) latency.arrived(0, i < 70 ? 1000 : 3);
  assert.equal(latency.typical, 3);
  latency.clear();
  assert.equal(latency.typical, null);
});
