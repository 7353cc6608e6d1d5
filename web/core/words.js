/**
 * What is said around the rows: rate, latency, viewers, feeds. Pure.
 * @module words
 */
import * as format from "./format.js";

const SECOND = 1_000;

/** How often updates come. */
export const rateWords = (rate) => (rate === "live" ? "Live" : `Live, every ${rate} s`);

/** How late changes are here, in milliseconds; "" where it is not known. */
export function latencyWords(ms) {
  if (ms === null) return "";
  return ms < SECOND ? `${Math.round(ms)} ms behind` : `${(ms / SECOND).toFixed(1)} s behind`;
}

/** How many watch the same board; "" where it is not known. */
export const viewersWords = (count) => (count === null ? "" : `${count.toLocaleString("en")} watching`);

/** All feeds of a board in a few words: "3 feeds: 2 live, 1 stale". */
export function feedsSummary(feeds) {
  const counts = new Map();
  for (const { quality } of feeds) counts.set(quality, (counts.get(quality) ?? 0) + 1);
  const noun = feeds.length === 1 ? "feed" : "feeds";
  const [only] = counts.keys();
  if (counts.size === 1) return `${feeds.length} ${noun}, ${only}`;
  return `${feeds.length} ${noun}: ${[...counts].map(([quality, count]) => `${count} ${quality}`).join(", ")}`;
}

/** A feed in one line: how far it can be trusted and how late it is by contract, since when, why, and how old its data is. */
export function feedFacts(name, feed, now) {
  const [since, at, delay] = [feed?.since, feed?.at, feed?.delay].map((value) => format.number(value) ?? 0);
  const facts = [`${name}: ${format.text(feed?.quality)}${delay > 0 ? ` ${format.age(delay)}` : ""}`];
  if (since > 0) facts.push(`since ${format.shortTime(since, now)}`);
  facts.push(at > 0 ? `last read ${format.age(now - at)} ago` : "not read yet");
  if (typeof feed?.why === "string" && feed.why) facts.push(feed.why);
  return facts.join(" · ");
}
