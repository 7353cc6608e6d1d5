/**
 * The keys, and what the words on the page mean.
 * @module help-dialog
 */
import { KEYS } from "../core/keys.js";
import { section, show } from "./dialog.js";
import { make } from "./dom.js";

const EVERYWHERE = [
  ["↑ ↓", "Another row"],
  ["Enter", "Details of the row"],
  ["1 – 9", "Another board"],
  ["Esc", "Close, or clear the filter"],
];

const QUALITIES = [
  ["no word", "live: the source answers as often as it should"],
  ["delayed", "right, but late by a known time, as the source says"],
  ["stale", "older than it should be: the source has not answered for a while"],
  ["down", "the source fails: what is shown is its last word, in grey"],
  ["closed", "at rest: the market is closed, the game is over or the recording has ended"],
];

const CONNECTION = [
  ["Live", "every change is shown as it comes"],
  ["Paused", "nothing moves; what waits is counted, and shown at once when you go on"],
  ["Reconnecting", "the link is lost and is tried again by itself; the rows are as old as the page says"],
  ["Offline", "this device has no network; the page comes back with it"],
  ["Resting", "nobody looks at this tab, so nothing is sent; it catches up when it is seen"],
  ["Closed", "the server wants no more of this page; Reconnect asks again"],
];

/** Opens the help. */
export function open({ settings }) {
  const off = "Single keys are switched off in the settings; arrows, Enter and Esc work.";
  return show(
    "Help",
    section("Keys", keys(), make("p", "hint", settings.get("shortcuts") ? "Single keys can be switched off in the settings." : off)),
    section("How far a value can be trusted", terms(QUALITIES)),
    section("The connection", terms(CONNECTION)),
  );
}

function keys() {
  const row = ([key, words]) => {
    const head = make("th", "", make("kbd", "", key));
    head.scope = "row";
    return make("tr", "", head, make("td", "", words));
  };
  const head = make("tr", "unseen", ...["Key", "What it does"].map((words) => make("th", "", words)));
  for (const cell of head.children) cell.scope = "col";
  return make("table", "keys", make("thead", "", head), make("tbody", "", ...[...EVERYWHERE, ...KEYS.map(([key, , words]) => [key, words])].map(row)));
}

const terms = (entries) =>
  make("dl", "", ...entries.map(([term, words]) => make("div", "", make("dt", "", term), make("dd", "", words))));
