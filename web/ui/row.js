/**
 * One row of the quotes table, made once and then only written to where something differs.
 * @module row
 */
import { make, mark, write, writeCut } from "./dom.js";
import { Flash } from "./flash.js";
import * as format from "../core/format.js";
import { Sparkline } from "./sparkline.js";

/** Letters that surely fit a column of a kind, as wide as `app.css` makes it: longer text needs a tooltip. */
const FITS = { price: 10, number: 8, percent: 7, volume: 7, time: 8 };

class Cell {
  element;
  #figure = make("span", "figure");
  #column;
  #flash;

  constructor(column) {
    this.#column = column;
    this.element = make("td", `kind-${column.kind} rank-${column.rank}`, make("div", "slot", this.#figure));
    if (column.hasArrow) this.element.classList.add("arrow");
    this.#flash = new Flash(this.#figure);
  }

  show(value, before, last) {
    const words = format.cell(value, this.#column, last);
    writeCut(this.#figure, words, FITS[this.#column.kind]);
    const figure = format.number(value);
    if (this.#column.isChange) {
      const isZero = !/[1-9]/.test(words);
      mark(this.element, "direction", isZero || figure === null ? "" : figure > 0 ? "up" : "down");
    }
    if (this.#column.hasFlash && figure !== null) {
      const old = format.number(before);
      if (old !== null && old !== figure) this.#flash.play(figure > old ? "up" : "down");
    }
  }
}

export class Row {
  element = make("tr");
  /** The values as of the last paint, by which the row is sorted; written only when it is seen. */
  latest = {};
  name = "";
  isVisible = true;
  #symbol = make("span", "symbol");
  #badge = make("span", "badge");
  #name = make("span", "name");
  #cells;
  #shown = {};
  #sparkline = new Sparkline();

  constructor(symbol, columns) {
    this.symbol = symbol;
    writeCut(this.#symbol, symbol);
    const head = make("th", "", make("span", "first-line", this.#symbol, this.#badge), this.#name);
    head.scope = "row";
    this.#cells = columns.map((column) => [column.field, new Cell(column)]);
    const trend = make("td", "kind-trend", make("div", "slot", this.#sparkline.element));
    this.element.append(head, trend, ...this.#cells.map(([, cell]) => cell.element));
  }

  /** Shows the values of a row and their course. */
  show(values, series) {
    this.name = values.name === undefined ? "" : format.text(values.name);
    const quality = format.quality(values.quality);
    writeCut(this.#name, this.name);
    write(this.#badge, quality);
    mark(this.element, "quality", quality);
    for (const [field, cell] of this.#cells) {
      const isNew = !(field in this.#shown);
      if (isNew || this.#shown[field] !== values[field]) cell.show(values[field], this.#shown[field], values.last);
    }
    this.#sparkline.draw(series);
    this.#shown = this.latest = values;
  }

  /** Hides the row unless its symbol or name contains the text, in lower case. */
  sift(text) {
    this.isVisible = `${this.symbol} ${this.name}`.toLowerCase().includes(text);
    this.element.hidden = !this.isVisible;
  }
}
