/**
 * A small table of a board, for a frame.
 * @module table
 */
import { HEAD, plan } from "../core/columns.js";
import { chosen, columnsFor, missingWords } from "../core/embed.js";
import * as format from "../core/format.js";
import * as games from "../core/games.js";
import { make, mark, write, writeCut } from "../ui/dom.js";
import { Flash } from "../ui/flash.js";
import { link, start } from "./frame.js";

/** A board of games has no columns of its own: where each game stands says enough. */
const GAME = { field: "status", label: "Stands", kind: "text", rank: "first" };

class Line {
  element = make("tr");
  #symbol = make("span", "symbol");
  #badge = make("span", "badge");
  #cells;
  #shown = {};

  constructor(columns) {
    const head = make("th", "", make("span", "first-line", this.#symbol, this.#badge));
    head.scope = "row";
    this.#cells = columns.map((column) => {
      const figure = make("span", "figure");
      return { column, figure, element: make("td", `${column.kind} ${column.rank}`, figure), flash: new Flash(figure) };
    });
    this.element.append(head, ...this.#cells.map(({ element }) => element));
  }

  show(symbol, row, at) {
    const quality = row === undefined ? "not here" : format.quality(row.quality);
    const values = row ?? {};
    writeCut(this.#symbol, games.gameLine(symbol, values));
    write(this.#badge, quality);
    mark(this.element, "quality", row === undefined ? "down" : quality);
    for (const cell of this.#cells) this.#write(cell, values, at);
    this.#shown = values;
  }

  #write({ column, figure, element, flash }, row, at) {
    const value = row[column.field];
    writeCut(figure, column === GAME ? games.gameWords(row, at, null) : format.cell(value, column, row.last), 8);
    const [before, now] = [format.number(this.#shown[column.field]), format.number(value)];
    if (column.isChange) mark(element, "direction", now > 0 ? "up" : now < 0 ? "down" : "");
    mark(element, "arrow", column.hasArrow ? "yes" : "");
    if (column.hasFlash && before !== null && now !== null && before !== now) flash.play(now > before ? "up" : "down");
  }
}

export class Table {
  element = make("div", "table");
  #wanted;
  #table = make("table");
  #body = make("tbody");
  #key = "";
  #order = "";
  #columns = [];
  #lines = new Map();

  constructor(wanted) {
    this.#wanted = wanted;
    this.element.append(this.#table);
  }

  /** Brings the table to the state of the store. */
  paint(store, changes) {
    const planned = plan(store);
    if (changes.reset) this.#build(store, planned);
    const symbols = chosen(this.#wanted.symbols, store.rows);
    const order = JSON.stringify(symbols);
    const isRearranged = order !== this.#order || changes.reset;
    if (isRearranged) this.#arrange(symbols);
    this.#order = order;
    for (const symbol of isRearranged ? symbols : changes.symbols) {
      this.#lines.get(symbol)?.show(symbol, store.rows.get(symbol), store.at);
    }
    return missingWords(this.#wanted, { rows: store.rows, columns: planned });
  }

  #build(store, planned) {
    const fields = columnsFor(this.#wanted.columns, planned);
    const columns = fields.length === 0 && store.layout === "scores" ? [GAME] : fields;
    const key = JSON.stringify([store.layout, columns]);
    this.#table.setAttribute("aria-label", store.title);
    if (key === this.#key) return;
    this.#key = key;
    this.#columns = columns;
    this.#lines.clear();
    const heads = [{ ...HEAD, rank: "first", label: store.layout === "scores" ? "Game" : HEAD.label }, ...columns];
    const head = heads.map(({ label, kind, rank }, i) => {
      const cell = make("th", i === 0 ? "" : `${kind} ${rank}`);
      writeCut(cell, label);
      cell.scope = "col";
      return cell;
    });
    this.#table.replaceChildren(make("thead", "", make("tr", "", ...head)), this.#body);
  }

  #arrange(symbols) {
    const old = this.#lines;
    this.#lines = new Map(symbols.map((symbol) => [symbol, old.get(symbol) ?? new Line(this.#columns)]));
    this.#body.replaceChildren(...[...this.#lines.values()].map(({ element }) => element));
  }
}

start(Table);
