/**
 * The list of boards.
 * @module nav
 */
import { hash } from "../core/route.js";
import { make, writeCut } from "./dom.js";

export class Nav {
  /** @type {{name: string, title: string}[]} */
  entries = [];
  #list;
  #current;

  constructor(list) {
    this.#list = list;
  }

  /** The board that is shown where the address names none. */
  get first() {
    return this.entries[0]?.name;
  }

  /** Whether there is such a board, as far as this page knows. */
  knows(name) {
    return this.entries.length === 0 || this.entries.some((board) => board.name === name);
  }

  /** Takes the names the server says; returns whether there are others than before. */
  names(names) {
    if (!Array.isArray(names)) return false;
    const titles = new Map(this.entries.map(({ name, title }) => [name, title]));
    const known = names.filter((name) => typeof name === "string");
    const isOther = titles.size > 0 && (known.length !== titles.size || known.some((name) => !titles.has(name)));
    this.list(known.map((name) => ({ name, title: titles.get(name) ?? name })));
    return isOther;
  }

  list(entries) {
    if (JSON.stringify(entries) === JSON.stringify(this.entries)) return;
    this.entries = entries;
    this.#list.replaceChildren(...entries.map((entry) => make("li", "", link(entry))));
    this.mark(this.#current);
  }

  /** Takes the title of a board. */
  rename(name, title) {
    if (typeof title !== "string" || title === "") return;
    this.list(this.entries.map((entry) => (entry.name === name ? { name, title } : entry)));
  }

  /** Links to all boards but one. */
  others(name) {
    return this.entries.filter((entry) => entry.name !== name).map((entry) => make("li", "", link(entry)));
  }

  /** Shows which board is the current one. */
  mark(name) {
    this.#current = name;
    for (const link of this.#list.querySelectorAll("a")) {
      const isCurrent = link.hash === hash(name ?? "");
      if (isCurrent === link.hasAttribute("aria-current")) continue;
      if (!isCurrent) link.removeAttribute("aria-current");
      else link.setAttribute("aria-current", "page");
      // later: asked now, the browser would have to lay out the page at once
      if (isCurrent) setTimeout(() => link.scrollIntoView({ block: "nearest", inline: "nearest" }));
    }
  }

  /** Goes to a board by its place in the list, from 0. */
  open(index) {
    this.#list.querySelectorAll("a")[index]?.click();
  }
}

function link({ name, title }) {
  const element = make("a");
  writeCut(element, title);
  element.href = hash(name);
  return element;
}
