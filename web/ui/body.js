/**
 * The rows of a table that are in the page: each place has an element, which shows whatever row the order has there.
 *
 * Sorting rewrites text and moves no element: nothing is laid out again, and nothing shifts under the eye. Above and
 * below the places that are in the page, one empty row each stands for all the others.
 * @module body
 */
import { make } from "./dom.js";

/** Elements that are kept for later: a screen full. */
const MOST_SPARE = 100;

export class Body {
  element = make("tbody");
  /** The first place that has an element. */
  from = 0;
  #makeRow;
  #rows = []; // by place, from `from` on
  #placed = new Map(); // by symbol
  #owners = new WeakMap(); // by element
  #spare = [];
  #above = spacer();
  #below = spacer();

  /** Begins afresh with rows of another make. */
  begin(makeRow) {
    this.#makeRow = makeRow;
    this.from = 0;
    this.#rows = [];
    this.#spare = [];
    this.#placed.clear();
    this.element.replaceChildren();
  }

  /** The place after the last one that has an element. */
  get to() {
    return this.from + this.#rows.length;
  }

  /** The row of a symbol; undefined when it is not in the page. */
  row(symbol) {
    return this.#placed.get(symbol);
  }

  /** The row at a place. */
  at(place) {
    return this.#rows[place - this.from];
  }

  /** The row an element is part of. */
  owner(element) {
    return this.#owners.get(element.closest?.("tr"));
  }

  rows() {
    return this.#rows.values();
  }

  /** Gives elements to the places from `from` up to `to`, and to no others. */
  cover(from, to) {
    if (from >= this.to || to <= this.from) {
      while (this.#rows.length) this.#drop(this.#rows.pop());
      this.from = from;
    }
    while (this.to > to) this.#drop(this.#rows.pop());
    for (; this.from < from; this.from++) this.#drop(this.#rows.shift());
    const added = Array.from({ length: this.from - from }, () => this.#take());
    const first = this.#rows[0]?.element ?? (this.#below.isConnected ? this.#below : null);
    this.#insert(added, first);
    this.#rows.unshift(...added);
    this.from = from;
    const last = this.#rows.at(-1)?.element.nextSibling ?? (this.#rows.length ? null : first);
    const more = Array.from({ length: to - this.to }, () => this.#take());
    this.#insert(more, last);
    this.#rows.push(...more);
  }

  /** Has the row at a place show a symbol; returns it when it showed another. */
  bind(place, symbol) {
    const row = this.at(place);
    if (row.symbol === symbol) return null;
    this.#release(row);
    row.bind(symbol);
    row.place = place;
    this.#placed.set(symbol, row);
    return row;
  }

  /** Makes the empty rows as high as the rows they stand for, in a table of `count` rows of a `height` in pixels. */
  space(count, height) {
    this.#stretch(this.#above, this.from * height, () => this.element.prepend(this.#above));
    this.#stretch(this.#below, (count - this.to) * height, () => this.element.append(this.#below));
  }

  #stretch(row, height, put) {
    if (height <= 0) return row.remove();
    const text = `${height}px`;
    if (row.style.height !== text) row.style.height = text;
    if (row.parentNode !== this.element) put();
  }

  #insert(rows, before) {
    if (rows.length === 0) return;
    const part = document.createDocumentFragment();
    part.append(...rows.map(({ element }) => element));
    this.element.insertBefore(part, before);
  }

  #take() {
    const spare = this.#spare.pop();
    if (spare) return spare;
    const row = this.#makeRow();
    this.#owners.set(row.element, row);
    return row;
  }

  #drop(row) {
    this.#release(row);
    row.symbol = null;
    row.element.remove();
    if (this.#spare.length < MOST_SPARE) this.#spare.push(row);
  }

  #release(row) {
    if (this.#placed.get(row.symbol) === row) this.#placed.delete(row.symbol);
  }
}

function spacer() {
  const row = make("tr", "spacer");
  row.setAttribute("aria-hidden", "true");
  return row;
}
