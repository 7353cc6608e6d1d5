/**
 * The parts of the drawer that are words: the head of a quote or a game, its fields, its source.
 * Each is made once per row that is opened, and then written to where its text differs.
 * @module details
 */
import { changeWords, column, fields, value } from "../core/details.js";
import { feedFacts } from "../core/words.js";
import { make, mark, write } from "./dom.js";
import * as format from "../core/format.js";
import * as games from "../core/games.js";

/** Events of a game that are kept while it is looked at: a screen of them. */
const EVENTS = 20;

const line = (className = "") => {
  const element = make("p", className);
  element.dir = "auto";
  return element;
};

/** Price, change with sign and arrow. */
export class QuoteHead {
  element;
  #last = make("span", "price");
  #change = make("span", "movement");

  constructor() {
    this.element = make("div", "quote-head", this.#last, this.#change);
  }

  show(store, row) {
    const words = (field) => value(store, row, column(store, field), 0);
    write(this.#last, words(store.trackedField));
    const has = (field) => row[field] !== undefined;
    const amounts = ["change", "change_pct"].filter(has).map(words);
    write(this.#change, amounts.length === 2 ? `${amounts[0]} (${amounts[1]})` : amounts.join(""));
    const figure = format.number(row.change ?? row.change_pct) ?? 0;
    mark(this.#change, "direction", figure > 0 ? "up" : figure < 0 ? "down" : "");
  }
}

/** Where a game stands, its score by period, and what happened. */
export class GameHead {
  element;
  /** The newest first. */
  events = make("ol", "events");
  #state = line("game-state");
  #table = make("table", "game-score");
  #correction = line("correction");
  #count = -1;
  #lastEvent;

  constructor() {
    this.events.setAttribute("aria-label", "Events");
    this.element = make("div", "game-head", this.#state, this.#table, this.#correction);
  }

  show(store, row, now, clockTime) {
    write(this.#state, games.gameWords(row, now, clockTime));
    write(this.#correction, games.correction(row));
    const periods = Array.isArray(row.periods) ? row.periods.filter(Array.isArray).slice(0, 12) : [];
    const count = periods.length;
    const sides = [
      ["", ...periods.map((_, i) => `${i + 1}`), "Total"],
      [row.home, ...periods.map(([home]) => home), row.home_score].map(format.text),
      [row.away, ...periods.map(([, away]) => away), row.away_score].map(format.text),
    ];
    if (this.#count !== count) this.#build(count, sides);
    sides.forEach((cells, i) => cells.forEach((words, j) => write(this.#table.rows[i].cells[j], words)));
    if (row.last_event !== this.#lastEvent) this.#happened(row.last_event);
  }

  #build(count, sides) {
    this.#count = count;
    const cell = (i, j) => {
      const element = make((i === 0) === (j === 0) ? "td" : "th");
      if (element.tagName === "TH") element.scope = i === 0 ? "col" : "row";
      if (j === 0) element.dir = "auto";
      return element;
    };
    const rows = sides.map((cells, i) => make("tr", "", ...cells.map((_, j) => cell(i, j))));
    this.#table.replaceChildren(make("thead", "", rows[0]), make("tbody", "", ...rows.slice(1)));
  }

  #happened(event) {
    this.#lastEvent = event;
    if (event === undefined) return;
    const item = make("li", "", format.text(event));
    item.dir = "auto";
    this.events.prepend(item);
    if (this.events.children.length > EVENTS) this.events.lastChild.remove();
  }
}

/** All other fields of the row, with labels. */
export class Fields {
  element = make("dl", "fields");
  #key = "";
  #cells = [];

  show(store, row, now) {
    const columns = fields(store, row);
    const key = JSON.stringify(columns);
    if (key !== this.#key) this.#build(key, columns);
    columns.forEach((column, i) => write(this.#cells[i], value(store, row, column, now)));
  }

  #build(key, columns) {
    this.#key = key;
    this.#cells = columns.map(() => make("dd"));
    const term = (column, i) => {
      const label = make("dt", "", column.label);
      label.dir = this.#cells[i].dir = "auto";
      return make("div", "", label, this.#cells[i]);
    };
    this.element.replaceChildren(...columns.map(term));
  }
}

/** Which feeds fill the board, how they are, and when the row last changed. */
export class Source {
  element;
  #feeds = make("ul");
  #change = line();

  constructor() {
    this.element = make("div", "source", this.#feeds, this.#change);
  }

  show(store, changedAt, now) {
    const feeds = Object.entries(store.feeds);
    while (this.#feeds.children.length > feeds.length) this.#feeds.lastChild.remove();
    feeds.forEach(([name, feed], i) => {
      const item = this.#feeds.children[i] ?? this.#feeds.appendChild(make("li"));
      write(item, feedFacts(name, feed, now));
      mark(item, "quality", format.quality(feed?.quality));
    });
    write(this.#change, changeWords(changedAt, now));
  }
}
