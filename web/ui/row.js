/**
 * One row of the quotes table: an element that is bound to a symbol, perhaps to one after the other, and then only
 * written to where something differs.
 * @module row
 */
import { placeInRange } from "../core/columns.js";
import * as format from "../core/format.js";
import { make, mark, write, writeCut } from "./dom.js";
import { Flash } from "./flash.js";
import { Sparkline } from "./sparkline.js";

/** Letters that surely fit a column of a kind, as wide as `app.css` makes it: longer text needs a tooltip. */
const FITS = { price: 10, number: 8, percent: 7, volume: 7, time: 8 };

const STAR = { true: "★", false: "☆" };

const cellOf = (column, ...children) =>
  make("td", `kind-${column.kind} rank-${column.rank}`, make("div", "slot", ...children));

class FigureCell {
  element;
  #figure = make("span", "figure");
  #column;
  #flash;
  #words = null;
  #value;

  constructor(column) {
    this.#column = column;
    this.element = cellOf(column, this.#figure);
    if (column.hasArrow) this.element.classList.add("arrow");
    this.#flash = new Flash(this.#figure);
  }

  /** Shows the value of a row; `isNew` when the cell showed another row before. */
  show(values, isNew) {
    const value = values[this.#column.field];
    if (isNew) this.#flash.stop();
    else if (value === this.#value) return;
    const before = isNew ? null : format.number(this.#value);
    this.#value = value;
    const words = format.cell(value, this.#column, values.last);
    const figure = format.number(value);
    if (this.#column.hasFlash && figure !== null && before !== null && figure !== before) {
      this.#flash.play(figure > before ? "up" : "down");
    }
    if (words === this.#words) return;
    this.#words = words;
    writeCut(this.#figure, words, FITS[this.#column.kind]);
    if (!this.#column.isChange) return;
    const isZero = !/[1-9]/.test(words);
    mark(this.element, "direction", isZero || figure === null ? "" : figure > 0 ? "up" : "down");
  }
}

/** Where the price stands in the day's range: a mark on a line that is moved without layout, and the same in words. */
class RangeCell {
  element;
  #words = make("span", "unseen");
  #mark = make("span", "range-mark");
  #line = make("span", "range", this.#mark);
  #digits;
  #place;
  #limits = [];

  constructor(column) {
    this.#digits = column.digits;
    this.element = cellOf(column, this.#words, this.#line);
  }

  show(values) {
    const place = placeInRange(values);
    if (place !== this.#place) {
      this.#place = place;
      this.#line.hidden = place === null;
      if (place !== null) this.#mark.style.transform = `translateX(${(place * 100).toFixed(1)}%)`;
    }
    const { low, high } = values;
    if (this.#limits.length && low === this.#limits[0] && high === this.#limits[1]) return;
    this.#limits = [low, high];
    const words = place === null ? format.MISSING : format.rangeWords(values, this.#digits);
    write(this.#words, words);
    this.element.title = place === null ? "" : words;
  }
}

class TrendCell {
  element;
  #sparkline = new Sparkline();

  constructor(column) {
    this.element = cellOf(column, this.#sparkline.element);
  }

  show() {}

  draw(series) {
    this.#sparkline.draw(series);
  }
}

const CELLS = { range: RangeCell, trend: TrendCell };

export class Row {
  element = make("tr");
  /** The symbol that is shown; null before the first. */
  symbol = null;
  /** Its place in the order of the table. */
  place = 0;
  #star = make("button", "star");
  #button = make("button", "symbol");
  #badge = make("span", "badge");
  #name = make("span", "name");
  #cells;
  #trends;
  #isNew = true;
  #quality = null;

  constructor(columns) {
    for (const button of [this.#star, this.#button]) {
      button.type = "button";
      button.tabIndex = -1;
    }
    const head = make("th", "", make("div", "head", make("span", "first-line", this.#button, this.#badge), this.#name));
    head.scope = "row";
    this.#cells = columns.map((column) => new (Object.hasOwn(CELLS, column.kind) ? CELLS[column.kind] : FigureCell)(column));
    this.#trends = this.#cells.filter((cell) => cell instanceof TrendCell);
    this.element.append(make("td", "kind-star", this.#star), head, ...this.#cells.map(({ element }) => element));
  }

  /** Makes it the row of another symbol; its values are to be shown next. */
  bind(symbol) {
    this.symbol = symbol;
    this.#isNew = true;
    writeCut(this.#button, symbol);
    this.#star.setAttribute("aria-label", `Star ${symbol}`);
  }

  /** Shows the values of the row. */
  show(values) {
    writeCut(this.#name, values.name === undefined ? "" : format.text(values.name));
    for (const cell of this.#cells) cell.show(values, this.#isNew);
    this.#isNew = false;
    const quality = format.quality(values.quality);
    if (quality === this.#quality) return;
    this.#quality = quality;
    mark(this.element, "quality", quality);
  }

  /** Shows the quality of the row in words, which grow older by themselves. */
  tell(words) {
    write(this.#badge, words);
  }

  /** Draws the history of the row. */
  draw(series) {
    for (const cell of this.#trends) cell.draw(series);
  }

  /** Shows whether the row is in the list of the stars. */
  star(isStarred) {
    const pressed = String(isStarred);
    if (this.#star.getAttribute("aria-pressed") === pressed) return;
    this.#star.setAttribute("aria-pressed", pressed);
    write(this.#star, STAR[pressed]);
  }

  /** Makes it the row that the Tab key reaches, or not. */
  set isStop(value) {
    this.#button.tabIndex = value ? 0 : -1;
  }

  /** Its number in the table, the head counted as the first; 0 for none. */
  set index(value) {
    if (value) this.element.setAttribute("aria-rowindex", value);
    else this.element.removeAttribute("aria-rowindex");
  }

  get #stops() {
    return [this.#star, this.#button];
  }

  /** Focuses the symbol, or whatever else of the row: 0 for its star. */
  focus(part = 1) {
    this.#stops[part].focus({ preventScroll: true });
  }

  /** Which part of the row an element is: 0 its star, 1 all else. */
  partOf(element) {
    return element === this.#star ? 0 : 1;
  }
}
