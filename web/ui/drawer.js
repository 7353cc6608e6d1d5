/**
 * Everything about one row, beside the table on wide screens and over the page on narrow ones. Loaded when first opened.
 *
 *     const drawer = new Drawer(context);
 *     drawer.onclose = (symbol) => view.focus(symbol);
 *     drawer.show(store, "AAPL");
 *
 * @module drawer
 */
import { Chart } from "./chart.js";
import { Fields, GameHead, QuoteHead, Source } from "./details.js";
import { connectionWords, title, trust } from "../core/details.js";
import { placeVoice } from "./dialog.js";
import { loadStyle, make, mark, write, writeCut } from "./dom.js";
import * as format from "../core/format.js";

/** Where there is room for the drawer beside the table; the same as in `drawer.css`. */
const WIDE = matchMedia("(min-width: 60rem)");

/** Pixels from what is above the board; from the edge of the screen, once that has scrolled away. */
const EDGE = 12;

await loadStyle(new URL("./drawer.css", import.meta.url)).catch(() => {}); // plain, it still tells everything

/** Clocks of games run on only while the server could say that they stop. */
const isLive = ({ kind, paused }) => kind === "live" && !paused;

export class Drawer {
  element = make("dialog", "drawer");
  /** Called with the symbol after closing, however it was closed: gives the focus back. */
  onclose = () => {};
  #context;
  #store = null;
  #symbol = null;
  #layout = null;
  #tracked = ""; // the field of the chart
  #changedAt = null;
  #row = {};
  #following = null; // ends the listeners of one opening
  #title = make("h2");
  #name = make("p", "name");
  #star = make("button", "drawer-star", "Star");
  #alert = make("button", "", "Alert…");
  #trust = make("p", "trust");
  #tools = make("div", "drawer-tools", this.#star, this.#alert);
  #body = make("div", "drawer-body");
  #head = null;
  #chart = null;
  #fields = null;
  #source = null;

  /** @param context what views get; `alert(symbol)`, where it is there, opens the dialog of alerts. */
  constructor(context) {
    this.#context = context;
    this.#title.id = "drawer-title";
    this.#title.tabIndex = -1;
    this.#title.autofocus = true; // the screen reader begins with what this is about
    this.#title.dir = this.#name.dir = "auto";
    this.element.setAttribute("aria-labelledby", this.#title.id);
    const close = make("button", "close", "×");
    close.setAttribute("aria-label", "Close");
    for (const button of [this.#star, this.#alert, close]) button.type = "button";
    this.#alert.hidden = context.alert === undefined;
    const names = make("div", "names", this.#title, this.#name);
    this.element.append(make("div", "drawer-head", names, close), this.#body);
    close.addEventListener("click", () => this.close());
    this.#star.addEventListener("click", () => this.#toggle());
    this.#alert.addEventListener("click", () => context.alert(this.#symbol));
    this.element.addEventListener("keydown", (event) => this.#key(event));
    this.element.addEventListener("close", () => this.element.open || this.#closed());
    WIDE.addEventListener("change", () => this.element.open && this.#open());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => context.request());
    for (const name of ["colours", "lists"]) context.settings.on(name, () => context.request());
  }

  /** The symbol that is shown; null while it is closed. */
  get symbol() {
    return this.#symbol;
  }

  /** Shows a row, which may not have come yet. Takes the focus, unless it shows another row on a click beside it. */
  show(store, symbol) {
    if (this.#symbol === symbol && this.#store === store) return;
    this.#clear();
    this.#store = store;
    this.#symbol = symbol;
    this.#changedAt = store.series(symbol)?.at.at(-1) ?? null;
    if (!this.element.isConnected) document.body.append(this.element);
    if (!this.element.open) this.#open();
    else if (document.activeElement?.matches(":focus-visible")) this.#title.focus();
    this.#write();
    this.#context.request();
  }

  /** Brings it to the state of the store; `changes` as of `store.take()`. */
  paint(store, changes, now) {
    if (store !== this.#store) return;
    if (changes.symbols.has(this.#symbol) && store.rows.has(this.#symbol)) this.#changedAt = store.at;
    this.#write();
    this.#chart?.paint(changes, now);
  }

  close() {
    if (this.element.open) this.element.close();
    this.#closed();
  }

  #open() {
    const focused = this.element.contains(document.activeElement) ? document.activeElement : null;
    this.#following?.abort();
    this.#following = new AbortController();
    if (this.element.open) this.element.close();
    if (WIDE.matches) this.element.show();
    else this.element.showModal();
    placeVoice();
    focused?.focus();
    const follow = { signal: this.#following.signal, passive: true };
    for (const event of ["resize", "scroll"]) window.addEventListener(event, () => this.#place(), follow);
    this.#place();
  }

  /** Begins where the board does, so that what is above it, Pause for one, can be reached. */
  #place() {
    const top = document.querySelector("main")?.getBoundingClientRect().top ?? 0;
    this.element.style.setProperty("--top", `${EDGE + Math.max(0, top)}px`);
  }

  #closed() {
    if (this.#symbol === null) return;
    const symbol = this.#symbol;
    this.#following?.abort();
    placeVoice();
    this.#clear();
    this.#store = this.#symbol = null;
    this.onclose(symbol);
  }

  #clear() {
    this.#chart?.destroy();
    this.#head = this.#chart = this.#fields = this.#source = this.#layout = null;
    this.#row = {};
    this.#body.replaceChildren();
  }

  #key(event) {
    if (event.key !== "Escape") return;
    event.preventDefault();
    this.close();
  }

  #toggle() {
    this.#context.lists.toggle(this.#store.name, this.#symbol);
    this.#context.request();
    this.#writeStar();
  }

  #build(store) {
    this.#clear();
    this.#layout = store.layout;
    this.#tracked = store.trackedField;
    const isGame = store.layout === "scores";
    this.#head = isGame ? new GameHead() : new QuoteHead();
    this.#fields = new Fields();
    this.#source = new Source();
    this.#body.append(this.#head.element, this.#trust, this.#tools);
    if (!isGame) {
      this.#chart = new Chart(this.#context, store, this.#symbol);
      this.#body.append(this.#chart.element);
    }
    this.#body.append(this.#fields.element);
    if (isGame) this.#body.append(this.#head.events); // grows: so nothing that is pressed is below it
    this.#body.append(make("h3", "", "Freshness and source"), this.#source.element);
  }

  #write() {
    const [store, now] = [this.#store, this.#context.now()];
    const row = store.rows.get(this.#symbol);
    const isOther = this.#layout !== store.layout || this.#tracked !== store.trackedField;
    if (store.ready && row !== undefined && isOther) this.#build(store);
    this.#row = row ?? this.#row;
    writeCut(this.#title, title(store, this.#symbol, this.#row));
    writeCut(this.#name, this.#row.name === undefined ? "" : format.text(this.#row.name));
    if (this.#layout === null) return write(this.#body, store.ready ? "This row is not on the board" : "Waiting for the board");
    this.#head.show(store, this.#row, now, isLive(this.#context.client.state) ? now : null);
    write(this.#trust, this.#trustWords(row, now));
    mark(this.#trust, "quality", row === undefined ? "down" : format.quality(row.quality));
    this.#fields.show(store, this.#row, now);
    this.#source.show(store, this.#changedAt, now);
    this.#writeStar();
  }

  #trustWords(row, now) {
    if (row === undefined) return "No longer on this board";
    return connectionWords(this.#context.client.state, this.#store.at) || trust(row, this.#changedAt, now);
  }

  #writeStar() {
    this.#star.setAttribute("aria-pressed", String(this.#context.lists.has(this.#store.name, this.#symbol)));
  }
}
