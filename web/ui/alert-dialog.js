/**
 * Alerts of a row: set one, see and remove those there are.
 * @module alert-dialog
 */
import { alertsOf, levelProblem, promise, side } from "../core/alerts.js";
import * as format from "../core/format.js";
import { Field, button, check, section, showChoices } from "./dialog.js";
import { make, write } from "./dom.js";

/** Opens the alerts of a row. */
export function open(context, store, symbol) {
  return new AlertDialog(context, store, symbol).open();
}

class AlertDialog {
  #context;
  #alerts;
  #store;
  #symbol;
  #lists = make("div", "parts");

  constructor(context, store, symbol) {
    this.#context = context;
    this.#alerts = alertsOf(context);
    this.#store = store;
    this.#symbol = symbol;
  }

  async open() {
    const where = "An alert works while this page is open in a tab, also a hidden one, and is told once.";
    const form = this.#store.layout === "scores" ? this.#game() : this.#level();
    this.#list();
    return showChoices(this.#context, `Alerts of ${this.#symbol}`, form, this.#lists, make("p", "hint", where));
  }

  get #row() {
    return this.#store.rows.get(this.#symbol);
  }

  #level() {
    const input = make("input");
    const price = format.number(this.#row?.last);
    Object.assign(input, { type: "number", step: "any", inputMode: "decimal", required: true });
    input.value = price ?? "";
    const field = new Field("Tell me when the price reaches", input);
    const hint = () => field.hint(this.#hint(input.valueAsNumber));
    input.addEventListener("input", hint);
    const set = make("button", "primary", "Set alert");
    const form = make("form", "beside", field.element, set);
    form.noValidate = true; // problems are told in the page's own words
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const level = input.valueAsNumber;
      const problem = this.#alerts.add(this.#store.name, this.#symbol, level, this.#row);
      field.problem(problem);
      if (problem) return;
      this.#said(field, this.#hint(level));
    });
    hint();
    return form;
  }

  #said(field, words) {
    field.hint(`Set: ${words}`);
    this.#context.say(`Alert set: ${words}`);
    this.#list();
  }

  /** What an alert at a level would wait for, as the price is now. */
  #hint(level) {
    const kind = side(level, this.#row);
    if (kind === null) return levelProblem(level, this.#row);
    return `${promise({ kind, level, symbol: this.#symbol })}; now ${format.price(this.#row.last)}`;
  }

  #game() {
    const alerts = this.#alerts;
    const board = this.#store.name;
    const following = () => alerts.of(board, this.#symbol).find(({ kind, fired }) => kind === "follow" && !fired);
    const problem = make("p", "hint");
    const box = check("Tell me its start, each score and its end", following() !== undefined, (input) => {
      const words = input.checked ? alerts.follow(board, this.#symbol, this.#row) : "";
      if (!input.checked && following()) alerts.remove(following());
      write(problem, words);
      problem.dataset.problem = "yes";
      input.checked = following() !== undefined;
      this.#context.say(words || (input.checked ? "You follow this game" : "You follow this game no more"));
      this.#list();
    });
    const teams = [this.#row?.home, this.#row?.away].filter((team) => team !== undefined).map(format.text);
    const title = make("p", "", teams.join(" – "));
    title.dir = "auto";
    return make("div", "", title, box, problem);
  }

  /** The alerts there are: of this row, then of all others. */
  #list() {
    const alerts = this.#alerts;
    const own = alerts.of(this.#store.name, this.#symbol);
    const others = alerts.all.filter((alert) => !own.includes(alert));
    this.#lists.replaceChildren(
      ...(own.length > 0 ? [section("This row", this.#items(own))] : []),
      ...(others.length > 0 ? [section("Other rows", this.#items(others))] : []),
    );
  }

  #items(alerts) {
    return make("ul", "items", ...alerts.map((alert) => this.#item(alert)));
  }

  #item(alert) {
    const state = alert.fired ? ` – told ${format.shortTime(alert.fired, Date.now())}` : "";
    const board = alert.board === this.#store.name ? "" : ` (${alert.board})`;
    const words = make("span", "", promise(alert) + board + state);
    words.dir = "auto";
    const remove = button("Remove", () => this.#remove(alert, remove), `Remove: ${promise(alert)}`);
    return make("li", "", words, remove);
  }

  /** After a removal the focus is where the next one is. */
  #remove(alert, pressed) {
    const all = () => [...this.#lists.querySelectorAll("button")];
    const index = all().indexOf(pressed);
    this.#alerts.remove(alert);
    this.#list();
    const next = all()[Math.min(index, all().length - 1)];
    (next ?? this.#lists.closest("dialog").querySelector("input")).focus();
    const follow = this.#lists.closest("dialog").querySelector("[type=checkbox]");
    if (follow && alert.board === this.#store.name && alert.symbol === this.#symbol) follow.checked = false;
    this.#context.say(`Removed: ${promise(alert)}`);
  }
}
