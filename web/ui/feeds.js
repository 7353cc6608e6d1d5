/**
 * The feeds of a board: those that need attention in a line each, all of them in a panel.
 * @module feeds
 */
import * as words from "../core/words.js";
import { make, write } from "./dom.js";

export class Feeds {
  #notes;
  #panel;
  #summary;
  #list;
  #context;
  #store = null;
  #noted = "";
  #listed = "";

  /**
   * @param {HTMLElement} notes list of lines
   * @param {HTMLDetailsElement} panel with a summary and a list
   */
  constructor(notes, panel, context) {
    this.#notes = notes;
    this.#panel = panel;
    this.#summary = panel.querySelector("summary");
    this.#list = panel.querySelector("ul");
    this.#context = context;
    panel.addEventListener("toggle", context.request);
  }

  /** Opens or folds the panel. */
  toggle() {
    this.#panel.open = !this.#panel.open;
    if (this.#panel.open) this.#summary.focus();
  }

  paint(store) {
    if (store !== this.#store) this.#noted = written(this.#notes, [], this.#noted); // no news of another board
    this.#store = store;
    const feeds = Object.entries(store?.feeds ?? {});
    const now = this.#context.now();
    const lines = feeds.map(([name, feed]) => words.feedWords(name, feed, now)).filter(Boolean);
    const before = this.#noted;
    this.#noted = written(this.#notes, lines, before);
    if (this.#noted !== before) this.#context.say(this.#noted || "All feeds are as they should be");
    this.#panel.hidden = feeds.length === 0;
    write(this.#summary, words.feedsSummary(feeds.map(([, feed]) => feed)));
    if (!this.#panel.open) return;
    const facts = feeds.map(([name, feed]) => words.feedFacts(name, feed, now));
    this.#listed = written(this.#list, facts, this.#listed);
  }
}

/** Writes a list of lines where they differ from what was written before. */
function written(list, lines, before) {
  const text = lines.join("\n");
  if (text !== before) list.replaceChildren(...lines.map((line) => make("li", "", line)));
  return text;
}
