/**
 * The history of one row: what was before, what comes live, and the picture of it with its words.
 * @module chart
 */
import { RANGES, cut, pointWords, points, words } from "../core/chart.js";
import { make, write } from "./dom.js";
import { column } from "../core/details.js";
import * as format from "../core/format.js";
import { Plot, load } from "./plot.js";
import { Series } from "../core/series.js";
import { figure } from "../core/values.js";

/** Points of a history: more than twice what the picture has pixels, and what a server gives. */
const POINTS = 1000;

/** Four pictures a second are as many as eyes follow. */
const DRAW_MS = 250;

/** The words of the picture change this seldom, as a screen reader may be reading them. */
const WORDS_MS = 5_000;

/** Longer without a word of the server, which says something every few seconds: what was missed is asked for. */
const MISSED_MS = 45_000;

const NOT_INSTALLED = "The chart is not installed. The README says how, in one line; all else works without it.";

export class Chart {
  element = make("section", "chart");
  #context;
  #store;
  #symbol;
  #series = new Series(POINTS);
  #column;
  #plot = null;
  #part = null;
  #range = RANGES[0];
  #drawnAt = -Infinity;
  #wordsAt = -Infinity;
  #knownAt; // the server's time up to which the history has no hole
  #isOver = false;
  #soon = 0; // the frame in which it draws anyway
  #readout = make("p", "readout");
  #frame = make("div", "plot-frame");
  #notice = make("p", "chart-notice");
  #begins = make("p", "chart-notice");
  #facts = make("p", "chart-facts");
  #buttons;

  constructor(context, store, symbol) {
    this.#context = context;
    this.#store = store;
    this.#symbol = symbol;
    this.#readout.id = "drawer-readout";
    this.#buttons = RANGES.map((range) => this.#button(range));
    const ranges = make("div", "ranges", ...this.#buttons);
    ranges.setAttribute("role", "group");
    ranges.setAttribute("aria-label", "Range of the chart");
    this.element.append(make("div", "chart-head", this.#readout, ranges), this.#frame, this.#notice, this.#facts, this.#begins);
    this.element.setAttribute("aria-label", "Chart");
    this.#knownAt = store.at;
    this.#choose(this.#range);
    this.#begin();
  }

  /** Takes what changed, and draws: at most so often as eyes follow. Frames come only while the page is seen. */
  paint(changes, now) {
    this.#take(changes);
    if (now - this.#drawnAt < DRAW_MS) return;
    this.#drawnAt = now;
    this.#draw(now);
  }

  /** Ends it: nothing of it stays in the page. */
  destroy() {
    this.#isOver = true;
    this.#plot?.destroy();
    this.element.remove();
  }

  /** Begins with what this page has seen, and asks for the rest and for the library. */
  #begin() {
    const seen = points(this.#store.series(this.#symbol));
    this.#series.seed(seen.at, seen.value);
    this.#ask();
    load().then(
      (uPlot) => this.#install(uPlot),
      () => write(this.#notice, NOT_INSTALLED),
    );
  }

  #install(uPlot) {
    if (this.#isOver) return;
    this.#plot = new Plot(uPlot, (byKey) => this.#point(byKey));
    this.#plot.element.setAttribute("aria-describedby", this.#readout.id);
    this.#plot.element.setAttribute("aria-label", this.#symbol); // until it is known what it shows
    this.#frame.append(this.#plot.element);
    this.#drawSoon();
  }

  /** Asks for the history before this page was opened. A server without one is no fault: then it begins here. */
  async #ask() {
    try {
      const rows = await this.#context.client.history(this.#store.name, [this.#symbol], POINTS);
      const before = points(rows[this.#symbol]);
      const series = new Series(POINTS);
      series.seed(before.at, before.value);
      const end = before.at.at(-1) ?? 0;
      this.#series.at.forEach((at, i) => at > end && series.add(at, this.#series.value[i]));
      if (before.at.length > 0) this.#series = series;
      else this.#tellBegin();
    } catch {
      this.#tellBegin();
    }
    this.#drawSoon();
  }

  #tellBegin() {
    const at = this.#series.at[0] ?? this.#store.at ?? this.#context.now();
    write(this.#begins, `History begins ${format.shortTime(at, at)}`);
  }

  #take({ symbols }) {
    const { at } = this.#store;
    if (at - this.#knownAt > MISSED_MS) this.#ask();
    this.#knownAt = at;
    const row = this.#store.rows.get(this.#symbol);
    if (row === undefined || !symbols.has(this.#symbol)) return;
    const value = figure(row, this.#store.trackedField);
    if (value !== null || this.#series.length > 0) this.#series.add(at, value);
  }

  /** Draws in the next frame, though the page may be paused: what a person asked for is no update. */
  #drawSoon() {
    this.#wordsAt = -Infinity;
    this.#soon ||= requestAnimationFrame((now) => {
      this.#soon = 0;
      this.#drawnAt = now;
      if (!this.#isOver) this.#draw(now);
    });
  }

  #draw(now) {
    const row = this.#store.rows.get(this.#symbol) ?? {};
    const reference = this.#store.trackedField === "last" ? format.number(row.previous_close) : null;
    this.#column = column(this.#store, this.#store.trackedField);
    this.#part = cut(this.#series, this.#range.length, this.#store.at);
    if (this.#part.at.length > 0) this.#plot?.draw(this.#part, reference, this.#column);
    write(this.#facts, this.#factWords(row, reference));
    this.#point(false);
    if (now - this.#wordsAt < WORDS_MS) return;
    this.#wordsAt = now;
    this.#plot?.element.setAttribute("aria-label", words(this.#symbol, this.#part, this.#price));
  }

  #price = (value) => format.cell(value, this.#column);

  #factWords(row, reference) {
    const [low, high] = [format.number(row.low), format.number(row.high)];
    const facts = [];
    if (low !== null && high !== null) facts.push(`Day’s low ${this.#price(low)}`, `high ${this.#price(high)}`);
    else if (this.#part.low !== null) facts.push(`Lowest here ${this.#price(this.#part.low)}`, `highest ${this.#price(this.#part.high)}`);
    if (reference !== null) facts.push(`previous close ${this.#price(reference)}`);
    return facts.join(" · ");
  }

  /** Says in words what the cursor points at, or the newest point; aloud only when a key moved it. */
  #point(byKey) {
    if (this.#part === null) return;
    const { at, value } = this.#part;
    const i = Math.min(this.#plot?.index ?? at.length - 1, at.length - 1);
    const told = i < 0 ? "No history yet" : pointWords(at[i], value[i], this.#price);
    write(this.#readout, told);
    if (byKey) this.#context.say(told);
  }

  #button(range) {
    const button = make("button", "", range.label);
    button.type = "button";
    button.addEventListener("click", () => this.#choose(range));
    return button;
  }

  #choose(range) {
    this.#range = range;
    this.#buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(RANGES[i] === range)));
    this.#drawSoon();
  }
}
