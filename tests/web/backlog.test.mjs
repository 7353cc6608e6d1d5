import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as settled } from "node:timers/promises";

import { Backlog } from "../../web/core/backlog.js";
import { FakeClock } from "./fakes.mjs";

const HISTORY = { at: [1, 2], value: [3, null] };

/** A server that knows the history of every row, or fails as often as it is told. */
class ScriptedHistory {
  asked = [];
  failures = 0;
  ask = async (symbols) => {
    this.asked.push(symbols);
    if (this.failures-- > 0) throw new Error("HTTP 404");
    return Object.fromEntries(symbols.map((symbol) => [symbol, HISTORY]));
  };
}

function opened(server = new ScriptedHistory()) {
  const clock = new FakeClock();
  const taken = [];
  const backlog = new Backlog(server.ask, (symbol, at, value) => taken.push([symbol, at, value]), clock);
  return { backlog, server, clock, taken };
}

const symbols = (count, prefix = "R") => Array.from({ length: count }, (_, i) => `${prefix}${i}`);

test("a row in sight is asked for once", async () => {
  const { backlog, server, taken } = opened();
  for (let i = 0; i < 3; i++) {
    backlog.want(["A", "B"]);
    await settled();
  }
  assert.deepEqual(server.asked, [["A", "B"]]);
  assert.deepEqual(taken, [["A", [1, 2], [3, null]], ["B", [1, 2], [3, null]]]);
});
test("a request has at most 100 rows, and one is under way at a time", async () => {
  const { backlog, server } = opened();
  backlog.want(symbols(150));
  assert.equal(server.asked.length, 1);
  await settled();
  assert.deepEqual(server.asked.map((batch) => batch.length), [100, 50]);
});
test("rows that left the sight before their turn are not asked for", async () => {
  const { backlog, server } = opened();
  backlog.want(symbols(300));
  backlog.want(["A"]);
  await settled();
  assert.deepEqual(server.asked[0].length, 100);
  assert.deepEqual(server.asked.slice(1).flat().includes("A"), true);
  assert.equal(server.asked.flat().length, 101);
});
test("a server that fails is asked again after a pause, and then left alone", async () => {
  const { backlog, server, clock, taken } = opened();
  server.failures = Infinity;
  backlog.want(["A"]);
  await settled();
  for (let i = 0; i < 5; i++) {
    clock.advance(60_000);
    await settled();
    backlog.want(["A"]);
  }
  assert.equal(server.asked.length, 3);
  assert.equal(clock.pending, 0);
  assert.deepEqual(taken, []);
});
test("after a failure a later attempt brings the history", async () => {
  const { backlog, server, clock, taken } = opened();
  server.failures = 1;
  backlog.want(["A"]);
  await settled();
  clock.advance(2_000);
  await settled();
  assert.equal(taken.length, 1);
});
test("an answer that is no history is not taken", async () => {
  const taken = [];
  const odd = { A: null, B: { at: [1], value: [] }, C: { at: 1, value: 2 } };
  new Backlog(async () => odd, (symbol) => taken.push(symbol), new FakeClock()).want(["A", "B", "C", "__proto__"]);
  await settled();
  assert.deepEqual(taken, []);
});
test("a view that was left asks no more batches, and takes no answer that comes late", async () => {
  const { backlog, server, taken } = opened();
  backlog.want(symbols(150));
  backlog.end();
  await settled();
  backlog.want(["A"]);
  await settled();
  assert.deepEqual(server.asked.map((batch) => batch.length), [100]);
  assert.deepEqual(taken, []);
});
test("a view that was left does not try again", async () => {
  const before = opened();
  before.server.failures = 1;
  before.backlog.want(["A"]);
  await settled();
  before.backlog.end();
  const during = opened();
  during.server.failures = 1;
  during.backlog.want(["A"]);
  during.backlog.end();
  await settled();
  for (const { clock, server } of [before, during]) {
    assert.equal(clock.pending, 0);
    assert.equal(server.asked.length, 1);
  }
});
