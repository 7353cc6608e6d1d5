/**
 * What is said around the rows: connection, rate, latency, viewers, feeds. Pure.
 * @module words
 */
import { NOT_ALLOWED } from "./codes.js";
import * as format from "./format.js";

const { SECOND, number } = format;

/**
 * The state of the connection, in words.
 * @param state as told by the connection: kind, why, until, paused.
 * @param {{at: number|null, waiting: number|null}} board what the page holds.
 * @param {number} now epoch milliseconds
 */
export function stateWords(state, { at, waiting }, now) {
  const asOf = number(at) === null ? "" : `, as of ${format.clock(at)}`;
  const paused = state.paused ? "Paused, " : "";
  switch (state.kind) {
    case "live":
      if (!state.paused) return "Live";
      if (waiting === null) return "Paused, changes waiting";
      return `Paused, ${waiting === 1 ? "1 change" : `${waiting} changes`} waiting`;
    case "waiting": {
      const seconds = Math.max(1, Math.ceil((state.until - now) / SECOND));
      const words = `${paused}reconnecting in ${seconds} s (${state.why})${asOf}`;
      return words[0].toUpperCase() + words.slice(1);
    }
    case "idle":
      return `Resting${asOf}`;
    case "offline":
      return `${paused ? "Paused, offline" : "Offline"}${asOf}`;
    case "closed":
      return `${state.code === NOT_ALLOWED ? ACCESS : `Closed: ${state.why}`}${asOf}`;
    default:
      return `Connecting…`;
  }
}

/** What is said aloud when the connection changes: without a countdown, which would never end. */
export function announcement(kind, { why, isPlanned = false }) {
  switch (kind) {
    case "live":
      return "Live";
    case "paused":
      return "Paused";
    case "waiting":
      return isPlanned ? `Reconnecting: ${why}` : `Not live, reconnecting: ${why}`;
    case "offline":
      return "Offline";
    default:
      return `Closed: ${why}`;
  }
}

/** Where a token is needed and there is none, or none that counts: short, and what to do about it. */
export const ACCESS = "Access is needed";
export const ACCESS_ADVICE =
  "This page shows nothing without access: open it with the link that was given to you, or ask for a new one";

/** A board that is not there: never, as far as this page knows, or no longer. */
export const absentWords = (board, wasThere) =>
  wasThere ? `The board ${board} is no longer there` : `There is no board named ${board}`;

/** What becomes of a board that is not there. */
export const absentAdvice = (hasOthers) =>
  `It is shown as soon as it is there${hasOthers ? "; meanwhile there are others" : ""}`;

/** Seconds between two updates; "live" is every change. */
export const RATES = ["live", "1", "5", "30"];

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
  const [since, at, delay] = [feed?.since, feed?.at, feed?.delay].map((value) => number(value) ?? 0);
  const facts = [`${name}: ${format.text(feed?.quality)}${delay > 0 ? ` ${format.age(delay)}` : ""}`];
  if (since > 0) facts.push(`since ${format.shortTime(since, now)}`);
  facts.push(at > 0 ? `last read ${format.age(now - at)} ago` : "not read yet");
  if (typeof feed?.why === "string" && feed.why) facts.push(feed.why);
  return facts.join(" · ");
}

/** One line about a feed that is not as it should be; "" for one that is. */
export function feedWords(name, feed, now) {
  const word = format.quality(feed?.quality);
  const why = typeof feed?.why === "string" ? feed.why : "";
  if (!word || word === "closed" || (word === "delayed" && !why)) return "";
  let when = "";
  if (number(feed.since) !== null) when = ` since ${format.shortTime(feed.since, now)}`;
  else if (number(feed.at) !== null) when = `, last data ${format.shortTime(feed.at, now)}`;
  return `${name}: ${word}${when}${why ? ` – ${why}` : ""}`;
}

/** Why a board has no rows. */
export function emptyWords(feeds) {
  const reasons = Object.entries(feeds)
    .filter(([, feed]) => format.quality(feed?.quality))
    .map(([name, feed]) => `feed ${name}: ${feed.quality}`);
  return ["No rows yet", ...reasons, "waiting"].join(" – ");
}
