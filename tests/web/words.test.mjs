import assert from "node:assert/strict";
import { test } from "node:test";

import { feedFacts, feedsSummary, latencyWords, rateWords, viewersWords } from "../../web/core/words.js";

const NOW = Date.parse("2026-03-02T12:00:00");
const MINUTE = 60_000;

for (const [said, wanted] of [
  [rateWords("live"), "Live"],
  [rateWords("30"), "Live, every 30 s"],
  [latencyWords(null), ""],
  [latencyWords(7.4), "7 ms behind"],
  [latencyWords(2345), "2.3 s behind"],
  [viewersWords(null), ""],
  [viewersWords(1234), "1,234 watching"],
  [feedsSummary([{ quality: "live" }]), "1 feed, live"],
  [feedsSummary([{ quality: "live" }, { quality: "live" }]), "2 feeds, live"],
  [feedsSummary([{ quality: "live" }, { quality: "stale" }, { quality: "live" }]), "3 feeds: 2 live, 1 stale"],
  [feedFacts("nyse", { quality: "live", since: NOW - 90 * MINUTE, at: NOW - 2_000 }, NOW),
    "nyse: live · since 10:30 · last read 2 s ago"],
  [feedFacts("nyse", { quality: "down", why: "HTTP 503" }, NOW), "nyse: down · not read yet · HTTP 503"],
  [feedFacts("nyse", { quality: "delayed", delay: 15 * MINUTE, at: NOW - 2_000 }, NOW),
    "nyse: delayed 15 min · last read 2 s ago"],
  [feedFacts("nyse", null, NOW), "nyse: – · not read yet"],
  [feedFacts("<b>", { quality: null, why: { a: 1 }, at: "x" }, NOW), "<b>: – · not read yet"],
]) {
  test(`says ${JSON.stringify(wanted)}`, () => assert.equal(said, wanted));
}
