/**
 * A tape: the rows of a board pass by, slowly, from right to left; their values change in place.
 * @module tape
 */
import { chosen, missingWords } from "../core/embed.js";
import { plan } from "../core/columns.js";
import * as format from "../core/format.js";
import * as games from "../core/games.js";
import { make, mark, write, writeCut } from "../ui/dom.js";
import { link, start } from "./frame.js";

/** Pixels per second: slow enough to read a figure on its way. */
const SPEED = 40;

/** Rows of a tape when no symbols are named: more would take minutes to come around. */
const ROWS = 30;

const stillness = matchMedia("(prefers-reduced-motion: reduce)");

/** One place of one row on the tape. */
class Item {
  #symbol = make("span", "symbol");
  #figure = make("span", "figure");
  #change = make("span", "change");
  #badge = make("span", "badge");
  #widest = new Map();

  constructor(dashboard, isCopy) {
    const anchor = link(dashboard, this.#symbol, this.#figure, this.#change, this.#badge);
    if (isCopy) anchor.tabIndex = -1; // screen readers and the Tab key meet each row once
    this.element = make("li", "", anchor);
  }

  show({ symbol, figure, change, direction, quality, isHere }) {
    writeCut(this.#symbol, symbol);
    this.#fit(this.#figure, figure);
    this.#fit(this.#change, change);
    mark(this.#change, "direction", direction);
    write(this.#badge, quality);
    mark(this.element, "quality", isHere ? quality : "down");
  }

  /** A figure keeps the width of its longest text: nothing jumps, and what follows on the tape stays in place. */
  #fit(element, text) {
    write(element, text);
    element.hidden = text === "";
    const letters = text.length;
    if (letters <= (this.#widest.get(element) ?? 0)) return;
    this.#widest.set(element, letters);
    element.style.minWidth = `${letters}ch`;
  }
}

/** What a row says on the tape. */
function told(symbol, row, columns, store) {
  if (row === undefined) return { symbol, figure: "", change: "", direction: "", quality: "not here", isHere: false };
  const quality = format.quality(row.quality);
  if (store.layout === "scores") {
    const game = games.gameLine(symbol, row);
    return { symbol: game, figure: games.gameWords(row, store.at, null), change: "", direction: "", quality, isHere: true };
  }
  const { value, change } = columns;
  const amount = change && format.number(row[change.field]);
  return {
    symbol,
    figure: value ? format.cell(row[value.field], value, row.last) : "",
    change: change && row[change.field] !== undefined ? format.cell(row[change.field], change, row.last) : "",
    direction: amount > 0 ? "up" : amount < 0 ? "down" : "",
    quality,
    isHere: true,
  };
}

export class Tape {
  element = make("div", "tape");
  #wanted;
  #dashboard;
  #window = make("div", "window");
  #belt = make("div", "belt");
  #first = make("ul");
  #copy = make("ul");
  #button = make("button", "pause");
  #items = new Map(); // symbol -> its items: one, and one on the copy
  #order = "";
  #animation = null;
  #held = new Set(); // what holds the tape: "button", "pointer", "focus"

  constructor(wanted, dashboard) {
    this.#wanted = wanted;
    this.#dashboard = dashboard;
    this.#copy.setAttribute("aria-hidden", "true");
    this.#belt.append(this.#first, this.#copy);
    this.#window.append(this.#belt);
    this.#button.type = "button";
    this.#button.addEventListener("click", () => this.#hold("button", !this.#held.has("button")));
    this.element.append(this.#window, this.#button);
    this.#window.addEventListener("pointerenter", () => this.#hold("pointer", true));
    this.#window.addEventListener("pointerleave", () => this.#hold("pointer", false));
    this.#window.addEventListener("focusin", ({ target }) => this.#focused(target));
    this.#window.addEventListener("focusout", () => this.#hold("focus", false));
    stillness.addEventListener("change", () => this.#move());
    new ResizeObserver(() => this.#resized()).observe(this.#first);
    this.#hold("button", false);
    this.#move();
    this.element.hidden = true;
  }

  /** Brings the tape to the state of the store. */
  paint(store, changes) {
    const symbols = chosen(this.#wanted.symbols, store.rows, ROWS);
    const order = JSON.stringify(symbols);
    const isRearranged = order !== this.#order;
    if (isRearranged) this.#arrange(symbols);
    this.#order = order;
    this.element.hidden = symbols.length === 0; // nothing moves: there is nothing to pause
    const columns = parts(plan(store));
    for (const symbol of isRearranged || changes.reset ? symbols : changes.symbols) {
      const words = told(symbol, store.rows.get(symbol), columns, store);
      for (const item of this.#items.get(symbol) ?? []) item.show(words);
    }
    return missingWords({ ...this.#wanted, columns: [] }, store);
  }

  #arrange(symbols) {
    const old = this.#items;
    this.#items = new Map();
    for (const symbol of symbols) {
      const both = old.get(symbol) ?? [new Item(this.#dashboard, false), new Item(this.#dashboard, true)];
      this.#items.set(symbol, both);
    }
    const items = [...this.#items.values()];
    this.#first.replaceChildren(...items.map(([item]) => item.element));
    this.#copy.replaceChildren(...items.map(([, item]) => item.element));
  }

  #hold(why, isHeld) {
    if (isHeld) this.#held.add(why);
    else this.#held.delete(why);
    const isByButton = this.#held.has("button");
    this.#button.setAttribute("aria-label", isByButton ? "Move the tape" : "Pause the tape");
    mark(this.#button, "held", isByButton ? "yes" : "");
    if (this.#held.size > 0) this.#animation?.pause();
    else this.#animation?.play();
  }

  /** A row that gets the focus comes to the left edge and waits there. */
  #focused(target) {
    if (!target.matches(":focus-visible")) return; // a click focuses, too, and must not move what it hit
    this.#hold("focus", true);
    if (this.#animation) this.#animation.currentTime = (target.parentElement.offsetLeft / SPEED) * 1_000;
  }

  /** Who has asked for less motion gets a tape that lies still and can be scrolled. */
  #move() {
    const isStill = stillness.matches;
    mark(this.element, "still", isStill ? "yes" : "");
    this.#copy.hidden = this.#button.hidden = isStill;
    this.#animation?.cancel();
    this.#animation = null;
    if (isStill) return;
    const way = { transform: ["none", "translateX(-50%)"] };
    this.#animation = this.#belt.animate(way, { duration: 1, iterations: Infinity });
    this.#resized();
    this.#hold("pointer", false);
  }

  /** The speed stays the same however long the tape is, and so does what is on the screen. */
  #resized() {
    const width = this.#first.offsetWidth;
    if (this.#animation === null || width === 0) return;
    const duration = (width / SPEED) * 1_000;
    const time = this.#animation.currentTime ?? 0;
    const { duration: before } = this.#animation.effect.getTiming();
    this.#animation.effect.updateTiming({ duration });
    this.#animation.currentTime = before > 1 ? (time % before) % duration : 0;
  }
}

/** The columns that a tape has room for: the price, and its change. */
function parts(columns) {
  const value = columns.find(({ field }) => field === "last") ?? columns.find((column) => !column.isChange);
  return { value, change: columns.find(({ hasArrow }) => hasArrow) };
}

start(Tape);
