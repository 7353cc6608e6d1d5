/**
 * What narrows the rows of a board: the list, the filter, running games only; and how many are left.
 * @module toolbar
 */
import { FIRST } from "../core/columns.js";
import { make, mark, write } from "./dom.js";

const STARS = "";

export class Toolbar {
  field;
  #ui;
  #context;
  #filter;
  #options = "";
  #board = null;

  constructor(document, context, { filter, view }) {
    const at = (id) => document.getElementById(id);
    this.#context = context;
    this.#filter = filter;
    this.field = at("filter");
    this.#ui = {
      board: at("board"), counts: at("counts"), held: at("held"), list: at("list"), more: at("more"),
      running: at("running"), runningLabel: at("running-label"), view: at("view"),
    };
    this.field.addEventListener("input", () => filter(this.field.value));
    this.#ui.view.addEventListener("click", view);
    this.#ui.more.addEventListener("click", () => this.#toggleColumns());
    this.#ui.running.addEventListener("change", () => context.settings.set("liveOnly", this.#ui.running.checked));
  }

  get filter() {
    return this.field.value;
  }

  /** Sets the filter without telling anybody: another board is shown. */
  clear(text = "") {
    this.field.value = text;
  }

  /** Leaves the filter: empties it first, and goes to the rows then. */
  leave(view) {
    if (this.field.value !== "") {
      this.clear();
      this.#filter("");
      return;
    }
    this.field.blur(); // also where no row is painted yet that could have the focus
    view?.focus(view.symbols[0]);
  }

  paint(store, view) {
    const isScores = store?.layout === "scores";
    const liveOnly = this.#context.settings.get("liveOnly");
    this.#ui.runningLabel.hidden = !isScores;
    if (this.#ui.running.checked !== liveOnly) this.#ui.running.checked = liveOnly;
    this.#ui.more.hidden = isScores || (store?.columns.length ?? 0) <= FIRST;
    this.#ui.view.hidden = store === null;
    this.#paintLists(store);
    write(this.#ui.counts, view === null || store === null ? "" : counted(view, isScores ? "game" : "row"));
    write(this.#ui.held, view?.held ? "Order held while you point" : "");
  }

  /** The lists of a board, of which one narrows it. */
  #paintLists(store) {
    const { lists } = this.#context;
    const names = store === null ? [] : lists.names(store.name);
    const options = [["all", "All"], [`list ${STARS}`, "★ Starred"], ...names.filter(Boolean).map((n) => [`list ${n}`, n])];
    const key = JSON.stringify(options);
    const chosen = store === null ? null : lists.current(store.name);
    if (key !== this.#options) {
      this.#options = key;
      this.#ui.list.replaceChildren(...options.map(([value, label]) => option(value, label)));
      this.#ui.list.onchange = () => this.#choose();
    }
    this.#ui.list.hidden = store === null;
    const value = chosen === null ? "all" : `list ${chosen}`;
    if (this.#ui.list.value !== value) this.#ui.list.value = value;
    this.#board = store?.name ?? null;
  }

  #choose() {
    const { value } = this.#ui.list;
    this.#context.lists.choose(this.#board, value === "all" ? null : value.slice("list ".length));
  }

  #toggleColumns() {
    const isAll = this.#ui.more.getAttribute("aria-pressed") !== "true";
    this.#ui.more.setAttribute("aria-pressed", String(isAll));
    mark(this.#ui.board, "columns", isAll ? "all" : "");
  }
}

function counted({ counts: { total, visible } }, noun) {
  const all = `${total} ${noun}${total === 1 ? "" : "s"}`;
  return visible === total ? all : `${visible} of ${all}`;
}

function option(value, label) {
  const element = make("option", "", label);
  element.value = value;
  return element;
}
