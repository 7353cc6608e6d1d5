/**
 * Which row of a table the keys and the pointer mean: the one that the Tab key reaches. The focus stays with it wherever
 * sorting takes it, also out of the page and back.
 * @module stop
 */

export class Stop {
  /** The symbol of the row; null before there is one. */
  symbol = null;
  #place = 0; // in the order
  #part = 1; // which part of the row has the focus
  #row = null; // the row that is marked as the stop
  #isAway = false; // the focused row is scrolled out of the page, and the region has the focus for it
  #isPointed = false;
  #order = [];
  #region;
  #body;
  #sight;
  #table;

  /**
   * @param {HTMLElement} region what scrolls, with the table in it
   * @param {import("./body.js").Body} body
   * @param {import("./sight.js").Sight} sight
   * @param {{work(): void, later(): void, open(symbol: string): void, star(symbol: string): void}} table
   *   what it can do: its work in this frame, or in the next; what a click asks for
   */
  constructor(region, body, sight, table) {
    this.#region = region;
    this.#body = body;
    this.#sight = sight;
    this.#table = table;
    const { element } = body;
    element.addEventListener("pointerenter", ({ pointerType }) => (this.#isPointed = pointerType !== "touch"));
    for (const type of ["pointerleave", "pointercancel"]) element.addEventListener(type, () => this.#left());
    element.addEventListener("click", (event) => this.#click(event));
    element.addEventListener("focusin", ({ target }) => this.#focusIn(target));
    region.addEventListener("focusout", () => table.later());
    region.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Whether one of the rows has the focus. */
  get hasFocus() {
    const { activeElement } = document;
    return this.#body.element.contains(activeElement) || (this.#isAway && activeElement === this.#region);
  }

  /** Whether rows are to stay where they are. */
  get isHolding() {
    return this.#isPointed || this.hasFocus;
  }

  /** Takes a new order: the stop stays with its row, or in its place when the row has gone. */
  follow(order) {
    this.#order = order;
    if (this.symbol === null) return;
    const place = order.indexOf(this.symbol);
    this.#place = place >= 0 ? place : Math.min(this.#place, order.length - 1);
    this.symbol = order[this.#place] ?? null;
  }

  /** Keeps the focus with its row, wherever that is now, and one row within reach of the Tab key. */
  keep(hadFocus) {
    const stop = this.#body.row(this.symbol);
    const { from, to } = this.#body;
    const row = stop ?? this.#body.at(Math.max(from, Math.min(this.#sight.page.first, to - 1)));
    if (row !== this.#row) {
      if (this.#row) this.#row.isStop = false;
      if (row) row.isStop = true;
      this.#row = row ?? null;
    }
    if (!hadFocus) return;
    this.#isAway = stop === undefined;
    if (this.#isAway) this.#region.focus({ preventScroll: true });
    else if (!stop.element.contains(document.activeElement)) stop.focus(this.#part);
  }

  /** Moves the focus to the row at a place, and the row into sight. */
  go(place) {
    this.symbol = this.#order[place];
    this.#place = place;
    if (!this.#body.row(this.symbol)) {
      this.#sight.scrollTo(place);
      this.#table.work();
    }
    const row = this.#body.row(this.symbol);
    if (row === undefined) return;
    row.focus(this.#part);
    row.element.scrollIntoView({ block: "nearest", inline: "nearest" });
    this.#table.later();
  }

  #left() {
    this.#isPointed = false;
    this.#table.later();
  }

  #take(row, part) {
    [this.symbol, this.#place, this.#part] = [row.symbol, row.place, part];
  }

  #focusIn(target) {
    const row = this.#body.owner(target);
    if (row === undefined) return;
    this.#take(row, row.partOf(target));
    this.#table.later();
  }

  #click({ target }) {
    const row = this.#body.owner(target);
    if (row === undefined) return;
    if (target.closest(".star")) {
      this.#table.star(row.symbol);
    } else if (getSelection().isCollapsed) {
      this.#take(row, 1);
      row.focus();
      this.#table.open(row.symbol);
    }
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || !this.hasFocus) return;
    const place = this.#destination(event.key);
    const row = this.#body.row(this.symbol);
    if (place !== null) this.go(Math.max(0, Math.min(place, this.#order.length - 1)));
    else if (event.key === "ArrowLeft" && this.#part === 1) row?.focus(0);
    else if (event.key === "ArrowRight" && this.#part === 0) row?.focus(1);
    else if (event.key === "Enter" && this.#isAway) this.#table.open(this.symbol);
    else return;
    event.preventDefault();
  }

  /** The place a key leads to; null for other keys. */
  #destination(key) {
    const page = Math.max(1, this.#sight.page.rows - 1); // one row of the old page stays in sight
    switch (key) {
      case "ArrowUp":
        return this.#place - 1;
      case "ArrowDown":
        return this.#place + 1;
      case "PageUp":
        return this.#place - page;
      case "PageDown":
        return this.#place + page;
      case "Home":
        return 0;
      case "End":
        return this.#order.length - 1;
      default:
        return null;
    }
  }
}
