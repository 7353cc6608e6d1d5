/**
 * How one board is shown: its columns, its lists, and the table as text.
 * @module view-dialog
 */
import { available } from "../core/columns.js";
import { csv } from "../core/csv.js";
import { Field, button, check, section, showChoices } from "./dialog.js";
import { make } from "./dom.js";
import { density } from "./settings-dialog.js";

/** Lines of an import that are told one by one; the others are counted. */
const MOST_PROBLEMS = 10;

/** Columns that are drawn and have no value of their own. */
const PICTURES = ["trend", "range"];

/** Opens what can be chosen for a board; `view` knows which rows are shown, in which order. */
export function open(context, store, view) {
  const parts = [new ListsPart(context, store), new ColumnsPart(context, store)];
  const reset = button("Reset columns, rows and density", () => {
    context.settings.set("density", "comfortable");
    dials.replaceWith((dials = density(context.settings)));
    for (const part of parts) part.reset();
    context.say("Reset");
  });
  let dials = density(context.settings);
  const [lists, columns] = parts.map((part) => part.element);
  const copies = copying(context, store, view, parts[1]);
  return showChoices(context, `View of ${store.title}`, lists, columns, dials, copies, reset);
}

/** Which columns are shown, in which order. */
class ColumnsPart {
  element;
  #context;
  #store;
  #items = make("ul", "items");

  constructor(context, store) {
    this.#context = context;
    this.#store = store;
    this.element = section("Columns", this.#items);
    this.#list();
    this.element.hidden = this.all.length === 0;
  }

  /** Every column of the table, in its order. @returns {{field: string, label: string, kind: string, shown: boolean}[]} */
  get all() {
    if (this.#store.layout === "scores") return [];
    const [saved, board] = [this.#saved, this.#store.name];
    const choice = Object.hasOwn(saved, board) ? saved[board] : undefined;
    return available(this.#store, choice);
  }

  reset() {
    const { [this.#store.name]: _, ...others } = this.#saved;
    this.#context.settings.set("columns", others);
    this.#changed();
  }

  get #saved() {
    return this.#context.settings.get("columns");
  }

  #save(columns) {
    const order = columns.map(({ field }) => field);
    const hidden = columns.filter(({ shown }) => !shown).map(({ field }) => field);
    this.#context.settings.set("columns", { ...this.#saved, [this.#store.name]: { order, hidden } });
    this.#changed();
  }

  #changed() {
    this.#list();
    this.#context.request();
  }

  #list() {
    const columns = this.all;
    this.#items.replaceChildren(...columns.map((column, i) => this.#item(column, i, columns)));
  }

  #item(column, i, columns) {
    const box = check(column.label, column.shown, ({ checked }) => {
      this.#save(this.all.map((other) => (other.field === column.field ? { ...other, shown: checked } : other)));
      this.#items.children[i].querySelector("input").focus();
    });
    box.dir = "auto";
    const move = (sign, name, to) => {
      const element = button(sign, () => this.#move(i, to), `Move ${column.label} ${name}`);
      element.disabled = to < 0 || to >= columns.length;
      return element;
    };
    return make("li", "", box, move("↑", "up", i - 1), move("↓", "down", i + 1));
  }

  /** The focus goes with the column, to the same button or, at the end, to the other. */
  #move(from, to) {
    const columns = this.all;
    columns.splice(to, 0, ...columns.splice(from, 1));
    this.#save(columns);
    const [up, down] = this.#items.children[to].querySelectorAll("button");
    const same = to < from ? up : down;
    (same.disabled ? (same === up ? down : up) : same).focus();
    this.#context.say(`${columns[to].label} is column ${to + 1} of ${columns.length}`);
  }
}

/** The list the board is narrowed to, and what can be done with lists. */
class ListsPart {
  element;
  #context;
  #board;
  #lists;
  #select = make("select");
  #field = new Field("Show", this.#select);
  #actions = make("div", "beside");
  #form = make("div");

  constructor(context, store) {
    this.#context = context;
    this.#board = store.name;
    this.#lists = context.lists;
    this.element = section("Rows", this.#field.element, this.#actions, this.#form, this.#exchange());
    this.#select.addEventListener("change", () => {
      this.#lists.choose(this.#board, JSON.parse(this.#select.value));
      this.#changed();
    });
    this.#list();
  }

  reset() {
    this.#lists.choose(this.#board, null);
    this.#changed();
  }

  #changed() {
    this.#list();
    this.#context.request();
  }

  #list() {
    const current = this.#lists.current(this.#board);
    const option = (name, words) => new Option(words, JSON.stringify(name), false, name === current);
    const named = this.#lists.names(this.#board).map((name) => option(name, `${this.#lists.label(name)} (${this.#size(name)})`));
    this.#select.replaceChildren(option(null, "All rows"), ...named);
    const isNamed = current !== null && current !== "";
    this.#actions.replaceChildren(
      button("New list", () => this.#ask("Name of the new list", "", (name) => this.#lists.create(this.#board, name))),
      ...(isNamed
        ? [
            button("Rename", () =>
              this.#ask("New name", current, (name) => this.#lists.rename(this.#board, current, name)),
            ),
            button("Remove", () => this.#confirm(current)),
          ]
        : []),
    );
    this.#form.replaceChildren();
  }

  #size(name) {
    return this.#lists.size(this.#board, name);
  }

  /** Asks for a name; `run` returns why it cannot be, or "". */
  #ask(words, name, run) {
    const input = make("input");
    input.value = name;
    const field = new Field(words, input);
    const form = make("form", "beside", field.element, make("button", "primary", "Save"), this.#cancel());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const problem = run(input.value);
      field.problem(problem);
      if (!problem) this.#done();
    });
    this.#form.replaceChildren(form);
    input.select();
    input.focus();
  }

  #confirm(name) {
    const count = this.#size(name);
    const words = make("p", "", `Remove the list ${name} with ${count} ${count === 1 ? "symbol" : "symbols"}?`);
    words.dir = "auto";
    const remove = button(`Remove ${name}`, () => {
      this.#lists.remove(this.#board, name);
      this.#done();
    });
    this.#form.replaceChildren(make("div", "beside", words, remove, this.#cancel()));
    remove.focus();
  }

  #cancel() {
    return button("Cancel", () => this.#done());
  }

  #done() {
    this.#changed();
    this.#select.focus();
  }

  /** All lists as text, to be kept, to be given away, and to be taken in. */
  #exchange() {
    const area = make("textarea");
    Object.assign(area, { rows: 6, spellcheck: false });
    const field = new Field("All lists of this board as text", area);
    const take = button("Import this text", () => {
      const { lists, symbols, problems } = this.#lists.imported(this.#board, area.value);
      this.#changed();
      field.problem(importWords(lists, symbols, problems));
      if (problems.length > 0) return;
      field.hint(importWords(lists, symbols, []));
      this.#context.say(importWords(lists, symbols, []));
    });
    const copyAll = button("Copy", () => copy(this.#context, area, field, "Copied"));
    const details = make("details", "", make("summary", "", "Import and export"), field.element);
    details.append(make("div", "beside", copyAll, take));
    details.addEventListener("toggle", () => {
      if (details.open) area.value = this.#lists.exported(this.#board);
    });
    return details;
  }
}

function importWords(lists, symbols, problems) {
  const taken = `Imported ${symbols} ${symbols === 1 ? "symbol" : "symbols"} in ${lists} ${lists === 1 ? "list" : "lists"}`;
  const rest = problems.length > MOST_PROBLEMS ? [`and ${problems.length - MOST_PROBLEMS} more lines`] : [];
  return [taken, ...problems.slice(0, MOST_PROBLEMS), ...rest].join("\n");
}

/** The table as it is shown, for a spreadsheet. */
function copying(context, store, view, columns) {
  const area = make("textarea");
  Object.assign(area, { rows: 4, readOnly: true, spellcheck: false });
  const field = new Field("The table as comma-separated values", area);
  area.hidden = true;
  field.element.querySelector("label").hidden = true;
  const start = button("Copy as CSV", () => {
    const symbols = (view?.symbols ?? [...store.rows.keys()]).filter((symbol) => store.rows.has(symbol));
    const rows = symbols.map((symbol) => ({ ...store.rows.get(symbol), symbol }));
    area.value = csv(tableColumns(columns.all, rows), rows);
    copy(context, area, field, `Copied ${rows.length} ${rows.length === 1 ? "row" : "rows"}`);
  });
  return section("Copy the table", make("div", "beside", start), field.element);
}

/** The columns that are shown; a board of scores has none, so there every field is one. */
function tableColumns(columns, rows) {
  const fields = new Set(["symbol", ...rows.flatMap((row) => Object.keys(row))]);
  if (columns.length === 0) return [...fields].map((field) => ({ field, label: field }));
  const names = fields.has("name") ? [{ field: "name", label: "Name" }] : [];
  const shown = columns.filter((column) => column.shown && !PICTURES.includes(column.kind));
  return [{ field: "symbol", label: "Symbol" }, ...names, ...shown];
}

/** Puts the text of an area on the clipboard; where the page may not, shows it selected. */
async function copy(context, area, field, done) {
  let words = done;
  try {
    await navigator.clipboard.writeText(area.value);
  } catch {
    words = "This page may not use the clipboard: the text is selected, copy it with Ctrl+C";
    area.hidden = field.element.querySelector("label").hidden = false;
    area.focus();
    area.select();
  }
  field.hint(words);
  context.say(words);
}
