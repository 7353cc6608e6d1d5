/**
 * The quotes table: the only place that touches its rows, once per paint.
 * @module quotes
 */
import { HEAD, compare, isFigure, plan } from "../core/columns.js";
import { make } from "./dom.js";
import { Row } from "./row.js";
import { Sight } from "./sight.js";

/** Rows change places at most this often: one that jumps while it is being read is lost. */
const RESORT_MS = 1_000;

/** Rows that nobody sees are written this often: enough for searching in the page, a tenth of the work. */
const UNSEEN_MS = 5_000;

export class QuotesView {
  element = make("div", "region");
  #table = make("table", "quotes");
  #body = make("tbody");
  #columns = [];
  #key = null;
  #rows = new Map();
  #order = [];
  #sort = null;
  #sortedAt = 0;
  #isStirred = false;
  #filter = "";
  #sight;
  #behind = new Set(); // symbols whose row shows older values: at most one per row
  #caughtUpAt = 0;

  /** @param {{request: () => void}} context request asks for a paint; without being asked one comes every second, if not more often. */
  constructor({ request }) {
    this.#sight = new Sight(() => this.#behind.size > 0 && request());
    this.element.tabIndex = 0;
    this.element.setAttribute("role", "region");
    this.element.append(this.#table);
  }

  /** Rows there are, and rows the filter lets through. */
  get counts() {
    let visible = 0;
    for (const row of this.#rows.values()) visible += row.isVisible;
    return { total: this.#rows.size, visible };
  }

  /** Brings the table to the state of the store; `changed` is what `store.take()` gave. */
  paint(store, changed, now) {
    if (changed.reset) this.#build(store);
    for (const symbol of changed.symbols) this.#behind.add(symbol);
    this.#isStirred ||= changed.symbols.size > 0;
    const isRearranged = this.#update(store, now) || changed.reset;
    if (isRearranged) this.#order = [...store.rows.keys()];
    if (isRearranged || (this.#sort && this.#isStirred)) this.#arrange(now, isRearranged);
  }

  /** Shows only rows whose symbol or name contains the text. */
  filter(text) {
    this.#filter = text.trim().toLowerCase();
    for (const row of this.#rows.values()) row.sift(this.#filter);
  }

  /** Writes the rows that are behind; returns whether rows came or went. */
  #update(store, now) {
    const unseenToo = now - this.#caughtUpAt >= UNSEEN_MS;
    if (unseenToo) this.#caughtUpAt = now;
    let isRearranged = false;
    for (const symbol of this.#behind) {
      const values = store.rows.get(symbol);
      let row = this.#rows.get(symbol);
      if (row === undefined && values !== undefined) {
        row = this.#add(symbol);
        isRearranged = true;
      } else if (row !== undefined && values === undefined) {
        this.#remove(row);
        isRearranged = true;
      } else if (!unseenToo && row !== undefined && !this.#sight.has(row.element)) {
        row.latest = values; // is sorted by it, and written when it is seen or its time comes
        continue;
      }
      this.#behind.delete(symbol);
      if (values !== undefined) this.#show(row, values, store.series(symbol));
    }
    return isRearranged;
  }

  #add(symbol) {
    const row = new Row(symbol, this.#columns);
    this.#rows.set(symbol, row);
    this.#sight.watch(row.element);
    return row;
  }

  #remove(row) {
    this.#sight.leave(row.element);
    row.element.remove();
    this.#rows.delete(row.symbol);
  }

  #show(row, values, series) {
    row.show(values, series);
    row.sift(this.#filter);
    if (row.name) this.#table.classList.add("named");
  }

  #build(store) {
    this.element.setAttribute("aria-label", store.title);
    const key = JSON.stringify(store.columns);
    if (key === this.#key) return; // the same table after a reconnect keeps its order and its focus
    this.#key = key;
    this.#columns = plan(store);
    this.#sort = null;
    for (const row of this.#rows.values()) this.#remove(row);
    for (const symbol of store.rows.keys()) this.#behind.add(symbol);
    const cols = make("colgroup", "", make("col", "kind-head"), make("col", "kind-trend"));
    cols.append(...this.#columns.map(({ kind, rank }) => make("col", `kind-${kind} rank-${rank}`)));
    const trend = make("th", "kind-trend", "Trend");
    trend.scope = "col";
    const [head, ...others] = [HEAD, ...this.#columns].map((column) => this.#header(column));
    this.#table.replaceChildren(cols, make("thead", "", make("tr", "", head, trend, ...others)), this.#body);
  }

  #header(column) {
    const button = make("button", "", make("span", "label", column.label));
    button.type = "button";
    button.title = column.label;
    const head = make("th", column === HEAD ? "" : `kind-${column.kind} rank-${column.rank}`, button);
    head.scope = "col";
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => this.#sortBy(column, head));
    return head;
  }

  /** One click sorts, figures from the greatest down; the next turns it around; the third gives the board's order. */
  #sortBy(column, head) {
    const first = isFigure(column) ? "descending" : "ascending";
    const second = first === "ascending" ? "descending" : "ascending";
    const old = this.#sort?.column === column ? this.#sort.direction : null;
    const direction = old === null ? first : old === first ? second : "none";
    for (const other of head.parentElement.querySelectorAll("[aria-sort]")) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", direction);
    this.#sort = direction === "none" ? null : { column, direction };
    this.#arrange(performance.now(), true);
  }

  /** Moves only rows that are not in their place: a moved row loses a selection and costs layout. */
  #arrange(now, isUrgent) {
    if (!isUrgent && now - this.#sortedAt < RESORT_MS) return;
    this.#sortedAt = now;
    this.#isStirred = false;
    let next = this.#body.firstChild;
    for (const row of this.#sorted()) {
      if (row.element === next) next = next.nextSibling;
      else this.#body.insertBefore(row.element, next);
    }
  }

  #sorted() {
    const rows = this.#order.map((symbol) => this.#rows.get(symbol)).filter(Boolean);
    if (this.#sort === null) return rows;
    const { column, direction } = this.#sort;
    const value = (row) => (column === HEAD ? row.symbol : row.latest[column.field]);
    return rows.sort((a, b) => compare(value(a), value(b), column, direction));
  }
}
