/**
 * What one board holds in this page, and the rules by which messages change it.
 *
 * Pure: no page, no clock. A row is never changed in place: whoever kept the old object keeps the old values.
 * @module store
 */
import { Series } from "./series.js";
import { figure, isMap } from "./values.js";

/** Points of a sparkline: about what 120 pixels can show. */
export const SPARK_POINTS = 60;

/** @typedef {"applied"|"ignored"|"gap"} Outcome */

/** RFC 7396 on a flat row: null clears, all else replaces. Without a prototype, so that no field name is special. */
function patched(row, patch) {
  const next = Object.assign(Object.create(null), row);
  for (const [field, value] of Object.entries(patch)) {
    if (value === null) delete next[field];
    else next[field] = value;
  }
  return next;
}

/** A feed that is no map says nothing; null takes one away. */
const feedsOf = (feeds) => Object.fromEntries(Object.entries(feeds).filter(([, feed]) => isMap(feed)));

export class BoardStore {
  name;
  /** Whether a snapshot has come: before it there is nothing to show. */
  ready = false;
  epoch = "";
  seq = 0;
  /** Server time, in epoch milliseconds, at which the rows were last known to be complete. */
  at = null;
  title;
  layout = "quotes";
  columns = [];
  feeds = {};
  /** @type {Map<string, object>} rows by symbol, in the order of the board. */
  rows = new Map();

  #trackedField = "last";
  #series = new Map();
  #dirty = new Set();
  #reset = false;
  #shown = { epoch: "", seq: 0 };
  #newest = 0;

  constructor(name) {
    this.name = name;
    this.title = name;
  }

  /** Where this board stands: what a resume sends. */
  get position() {
    return this.ready ? { epoch: this.epoch, seq: this.seq } : {};
  }

  /**
   * Applies one message of this board.
   * @returns {Outcome} "gap" when the board must be subscribed again with `position`.
   */
  apply(message) {
    switch (message.type) {
      case "snapshot":
        return this.#snapshot(message);
      case "diff":
        return this.#diff(message);
      case "status":
        return this.#status(message.feeds);
      case "heartbeat":
        return this.#heartbeat(message);
      default:
        return "ignored";
    }
  }

  /** Changes the server has published since what was last taken for painting; null when they cannot be counted. */
  get waiting() {
    return this.#shown.epoch === this.epoch ? Math.max(0, this.#newest - this.#shown.seq) : null;
  }

  /**
   * Takes what changed since it was last taken: once per paint.
   * @returns {{reset: boolean, symbols: Set<string>}} `reset` when the columns or the layout may differ.
   */
  take() {
    const taken = { reset: this.#reset, symbols: this.#dirty };
    this.#reset = false;
    this.#dirty = new Set();
    this.#shown = { epoch: this.epoch, seq: this.seq };
    return taken;
  }

  /** Marks everything as changed, for a view that starts afresh. */
  touch() {
    this.#reset = true;
    this.#dirty = new Set(this.rows.keys());
  }

  /** The field whose history is kept: the one of sparklines and charts. */
  get trackedField() {
    return this.#trackedField;
  }

  /** The history of the tracked field of a symbol, as a `Series`; undefined where there is none. */
  series(symbol) {
    return this.#series.get(symbol);
  }

  /** Takes the history before this page was opened, as the server tells it. */
  seed(symbol, at, value) {
    const series = this.#series.get(symbol);
    if (series === undefined) return;
    series.seed(at, value);
    this.#dirty.add(symbol);
  }

  #snapshot({ epoch, seq, at, title, layout, columns, rows, feeds }) {
    this.epoch = epoch;
    this.seq = this.#newest = seq;
    this.at = at > 0 ? at : this.at; // 0: nothing was ever published
    this.title = typeof title === "string" && title ? title : this.name;
    this.layout = layout === "scores" ? "scores" : "quotes";
    this.columns = Array.isArray(columns) ? columns.filter((c) => typeof c?.field === "string") : [];
    this.feeds = isMap(feeds) ? feedsOf(feeds) : {};
    const tracked = this.#trackedField;
    const fields = this.columns.map((column) => column.field);
    this.#trackedField = fields.includes("last")
      ? "last"
      : (this.columns.find((column) => column.kind === "price")?.field ?? "last");
    if (this.#trackedField !== tracked) this.#series.clear();

    const old = this.rows;
    this.rows = new Map();
    for (const [symbol, row] of Object.entries(rows)) {
      if (!isMap(row)) continue;
      this.rows.set(symbol, patched(null, row));
      this.#remember(symbol);
      this.#dirty.add(symbol);
    }
    for (const symbol of old.keys()) if (!this.rows.has(symbol)) this.#forget(symbol);
    this.ready = this.#reset = true;
    return "applied";
  }

  #diff({ epoch = this.epoch, prev, seq, at, rows }) {
    if (!this.ready || epoch !== this.epoch) return "gap";
    if (seq <= this.seq) return "ignored";
    this.#newest = Math.max(this.#newest, seq);
    if (prev !== this.seq) return "gap";
    this.seq = seq;
    this.at = at > 0 ? at : this.at;
    for (const [symbol, patch] of Object.entries(rows)) {
      if (patch === null) {
        this.rows.delete(symbol);
        this.#forget(symbol);
      } else if (isMap(patch)) {
        this.rows.set(symbol, patched(this.rows.get(symbol), patch));
        if (this.#trackedField in patch || "quality" in patch) this.#remember(symbol);
        this.#dirty.add(symbol);
      }
    }
    return "applied";
  }

  #status(feeds) {
    this.feeds = feedsOf(feeds);
    return "applied";
  }

  /** A heartbeat comes after silence: one that knows a newer seq means that something was lost, unless paused. */
  #heartbeat({ at, seqs }) {
    const seq = isMap(seqs) && Object.hasOwn(seqs, this.name) ? seqs[this.name] : null;
    if (!Number.isSafeInteger(seq) || !this.ready) return "ignored";
    this.#newest = Math.max(this.seq, seq);
    if (seq > this.seq) return "gap";
    this.at = at > 0 ? at : this.at;
    return "applied";
  }

  /** A history begins with the first figure; what is no figure is a gap in it. */
  #remember(symbol) {
    const row = this.rows.get(symbol);
    const isFigure = Number.isFinite(row[this.#trackedField]);
    if (isFigure && !this.#series.has(symbol)) this.#series.set(symbol, new Series(SPARK_POINTS));
    this.#series.get(symbol)?.add(this.at ?? 0, figure(row, this.#trackedField));
  }

  #forget(symbol) {
    this.#series.delete(symbol);
    this.#dirty.add(symbol);
  }
}
