import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { setImmediate as settled } from "node:timers/promises";

import { Token } from "../../web/core/token.js";
import { FakeClock } from "./fakes.mjs";

const MINUTE = 60_000;
let clock, renewed, asked;

beforeEach(() => {
  clock = new FakeClock();
  renewed = [];
  asked = 0;
});

const counting = () => `t${++asked}`;
const made = (source, server = clock) => new Token(source, server, clock, (token) => renewed.push(token));
const pass = async (ms) => {
  clock.advance(ms);
  await settled();
};

test("a text is the token, and is never asked for again", async () => {
  const token = made("abc");
  assert.deepEqual([token.value, token.isAsked, await token.ask()], ["abc", false, "abc"]);
  token.ends(clock.now() + MINUTE);
  assert.equal(clock.pending, 0);
});

test("without one there is none", async () => {
  for (const source of [null, ""]) assert.deepEqual([made(source).value, await made(source).ask()], [null, null]);
  assert.equal(await made(async () => undefined).ask(), null);
});

test("a new one is asked for 30 seconds before the end of a long one", async () => {
  made(counting).ends(clock.now() + 20 * MINUTE);
  await pass(20 * MINUTE - 30_001);
  assert.deepEqual(renewed, []);
  await pass(1);
  assert.deepEqual(renewed, ["t1"]);
});

test("of a short one, when a tenth is left", async () => {
  made(counting).ends(clock.now() + 10_000);
  await pass(8_999);
  assert.deepEqual(renewed, []);
  await pass(1);
  assert.deepEqual(renewed, ["t1"]);
});

test("the time of the server counts, not that of this page", async () => {
  made(counting, { now: () => clock.now() + 60 * MINUTE }).ends(clock.now() + 61 * MINUTE);
  await pass(MINUTE - 6_000);
  assert.deepEqual(renewed, ["t1"]);
});

test("as long as there is no other one the next attempts come, a bounded number of them", async () => {
  const token = made(async () => {
    asked += 1;
    throw new Error("not now");
  });
  token.ends(clock.now() + MINUTE);
  for (let i = 0; i < 120; i++) await pass(500);
  assert.ok(asked > 1 && asked < 10, `${asked} attempts`);
  assert.deepEqual([renewed, clock.pending], [[], 0]);
});

test("nothing is asked after the link is lost, nor for a token without an end", async () => {
  const token = made(counting);
  for (const end of [null, undefined]) {
    token.ends(clock.now() + MINUTE);
    token.ends(end);
    assert.equal(clock.pending, 0);
  }
});

test("an end in a year is no end now: browsers run too long timers at once", async () => {
  const longest = 2 ** 31 - 1;
  const strict = { now: clock.now, clearTimeout: clock.clearTimeout };
  strict.setTimeout = (run, ms) => clock.setTimeout(run, ms > longest ? 0 : ms);
  new Token(counting, clock, strict, (token) => renewed.push(token)).ends(clock.now() + 365 * 24 * 60 * MINUTE);
  await pass(24 * 60 * MINUTE);
  assert.deepEqual(renewed, []);
});

test("a token that comes after the link is lost is not sent, but kept for the next", async () => {
  let give;
  const token = made(() => new Promise((resolve) => (give = resolve)));
  token.ends(clock.now() + MINUTE);
  await pass(MINUTE - 1_000);
  token.ends(null);
  give("late");
  await settled();
  assert.deepEqual([renewed, token.value], [[], "late"]);
});
