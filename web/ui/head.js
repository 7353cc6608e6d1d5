/**
 * The head of the quotes table: what the columns are called, how wide they are, and by which of them rows are sorted.
 * @module head
 */
import { HEAD, isFigure } from "../core/columns.js";
import { make } from "./dom.js";

const classOf = (column) => (column === HEAD ? "kind-head" : `kind-${column.kind} rank-${column.rank}`);

export class Head {
  /** The widths of the columns, and the row of their names. */
  cols = make("colgroup");
  element = make("thead");
  /** By what rows are sorted: {column, direction}; null for the order of the board. */
  sort = null;
  #heads = new Map(); // by field
  #sorted;

  /** @param {() => void} sorted is called when somebody has chosen another order. */
  constructor(sorted) {
    this.#sorted = sorted;
  }

  /** Shows other columns; rows stay sorted if that column stays. */
  show(columns) {
    this.cols.replaceChildren(make("col", "kind-star"), ...[HEAD, ...columns].map((column) => make("col", classOf(column))));
    this.#heads.clear();
    const heads = [HEAD, ...columns].map((column) => this.#head(column));
    this.element.replaceChildren(make("tr", "", make("td", "kind-star"), ...heads));
    const column = [HEAD, ...columns].find(({ field }) => field === this.sort?.column.field);
    this.sort = column === undefined ? null : { ...this.sort, column };
    this.#tell();
  }

  #head(column) {
    const head = make("th", classOf(column));
    head.scope = "col";
    if (column.kind === "trend") {
      head.append(column.label);
      return head;
    }
    const button = make("button", "", make("span", "label", column.label));
    button.type = "button";
    button.title = column.label;
    button.addEventListener("click", () => this.#choose(column));
    head.append(button);
    this.#heads.set(column.field, head);
    return head;
  }

  /** One click sorts, figures from the greatest down; the next turns it around; the third gives the board's order. */
  #choose(column) {
    const first = isFigure(column) ? "descending" : "ascending";
    const second = first === "ascending" ? "descending" : "ascending";
    const old = this.sort?.column === column ? this.sort.direction : null;
    this.sort = old === second ? null : { column, direction: old === null ? first : second };
    this.#tell();
    this.#sorted();
  }

  #tell() {
    for (const [field, head] of this.#heads) {
      head.setAttribute("aria-sort", field === this.sort?.column.field ? this.sort.direction : "none");
    }
  }
}
