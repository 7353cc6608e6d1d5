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
    "a change that needs a restart": [{ config: { ok: true, pending: ["server.port"] } }, /^Config: server\.port counts only after a restart$/],
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

describe("the store", () => {
  test("that nothing is kept needs attention, with why; as long as it is kept, nothing does", () => {
    const store = { status: "failing", why: "the disk is full; nothing is kept until that is over", since: 1, written: 1, failures: 3 };
    const { isWell, causes } = report.verdict({ ...WELL, store });
    assert.equal(isWell, false);
    assert.equal(causes.length, 1);
    assert.match(causes[0], /^Nothing is kept for after a restart, since .*: the disk is full/);
    assert.equal(report.verdict({ ...WELL, store: { ...store, status: "ok" } }).isWell, true);
  });
});

describe("several processes", () => {
  const members = [
    { id: "a1", host: "one", pid: 7, version: "1.0", ready: true, draining: false, poller: true, viewers: 1200, same_config: true, same_version: true, up: 90_000 },
    { id: "b2", host: "two", pid: 8, version: "0.9", ready: true, draining: true, poller: false, viewers: 3, same_config: false, same_version: false, up: 5_000 },
    {},
  ];
  const bus = { process: "a1", poller: "a1", why: null, age: 120, feeds: { poller: "a1", age: 0 }, members };

  test("each is told with its state, the poller and this one by name, differences in words", () => {
    const reports = report.memberReports({ bus });
    assert.deepEqual(reports.map(({ name }) => name), ["one, 7", "two, 8", "–, –"]);
    assert.deepEqual(reports.map(({ state }) => state.words), [
      "ready, reads the feeds, this one", "draining, another config, another version", "not ready",
    ]);
    assert.deepEqual(reports.map(({ state }) => state.isWell), [true, false, false]);
    assert.equal(reports[0].viewers, "1,200");
  });
  test("those that differ need attention, and so does it when nobody reads the feeds", () => {
    const { causes } = report.verdict({ ...WELL, bus });
    assert.deepEqual(causes, ["Process two, 8 has another config and another version"]);
    assert.deepEqual(report.verdict({ ...WELL, bus: { ...bus, members: [], poller: null } }).causes, ["No process reads the feeds"]);
    const ready = { status: "waiting", waiting: { bus: "no answer" } };
    assert.deepEqual(report.verdict({ ...WELL, bus: { ...bus, members: [] }, ready }).causes, ["Not ready, the bus: no answer"]);
  });
  test("without a bus nothing is said of it; what is odd is a dash", () => {
    assert.deepEqual([report.busFacts({}), report.memberReports({}), report.memberReports({ bus: 3 })], [[], [], []]);
    assert.deepEqual(report.busFacts({ bus }).map(([, words]) => words)[1], "followed");
    assert.ok(report.busFacts({ bus: {} }).every(([, words]) => words === "–"));
  });
});
