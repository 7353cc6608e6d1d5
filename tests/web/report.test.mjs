import assert from "node:assert/strict";
import { describe, test } from "node:test";

import * as report from "../../web/core/report.js";

const NOW = 1_763_629_000_123;
const WELL = {
  now: NOW,
  ready: { status: "ready", waiting: {} },
  config: { ok: true, error: null, pending: [] },
  feeds: { nyse: { quality: "live" }, coins: { quality: "delayed" }, xetra: { quality: "closed" } },
  loop_lag: { p50: 1, p99: 20, max: 90 },
};

describe("the verdict", () => {
  test("is well when nothing is wrong: delayed and closed feeds are as they should be", () => {
    assert.deepEqual(report.verdict(WELL), { isWell: true, words: "All is well", causes: [] });
  });
  const cases = {
    "a config with an error": [{ config: { ok: false, error: "config.yaml:1:1: no" } }, /^The config .*config\.yaml:1:1: no$/],
    "a change that needs a restart": [{ config: { ok: true, pending: ["server.port needs a restart"] } }, /^Config: server\.port/],
    "a board that waits": [{ ready: { status: "waiting", waiting: { a: "feed x" } } }, /^Not ready, board a: feed x$/],
    "a server that says nothing of it": [{ ready: undefined }, /not known/],
    "a feed that is down": [{ feeds: { a: { quality: "down", why: "HTTP 503" } } }, /^Feed a: down – HTTP 503$/],
    "a late loop": [{ loop_lag: { p99: 300 } }, /late.*300 ms/],
  };
  for (const [name, [change, words]] of Object.entries(cases)) {
    test(`names ${name}`, () => {
      const { isWell, words: line, causes } = report.verdict({ ...WELL, ...change });
      assert.deepEqual([isWell, line, causes.length], [false, "One thing needs attention", 1]);
      assert.match(causes[0], words);
    });
  }
});

test("feeds that need attention come first, each quality has a sign, one nobody knows has its own", () => {
  const feeds = Object.fromEntries(["live", "closed", "stale", "delayed", "down", "odd"].map((quality) => [quality, { quality }]));
  const found = report.feedReports({ feeds, now: NOW }).map(({ quality }) => quality);
  assert.deepEqual(found.map(({ word }) => word), ["odd", "down", "stale", "delayed", "live", "closed"]);
  assert.equal(new Set(found.map(({ sign }) => sign)).size, 6);
});

test("viewers of a board are found where the server says them", () => {
  const viewers = { boards: { b: 7 } };
  assert.deepEqual(report.boardReports({ boards: [{ name: "a", viewers: 3 }, { name: "b" }, {}], viewers }).map((b) => b.viewers), ["3", "7", "–"]);
});

test("of what is not there every fact is a dash, and nothing throws", () => {
  for (const status of [{}, { config: 1, viewers: [], closed: null, feeds: "x", boards: {}, loop_lag: 3, ready: [] }]) {
    const facts = [...report.configFacts(status), ...report.viewerFacts(status), ...report.programFacts(status)];
    assert.ok(facts.every(([, words]) => words.includes("–")), JSON.stringify(facts));
    assert.deepEqual([report.closedFacts(status), report.feedReports(status), report.boardReports(status)], [[], [], []]);
    assert.equal(report.verdict(status).isWell, false);
  }
});
