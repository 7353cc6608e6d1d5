/** The quotes table on a page of its own, with a store that the test fills: what `app.js` does, without a server. */
import { Settings } from "/core/settings.js";
import { BoardStore } from "/core/store.js";
import { QuotesView } from "/ui/quotes.js";

const NAME = "stocks";
const COLUMNS = ["last:price", "change:price", "change_pct:percent", "volume:volume"];

class FakeLists {
  #settings;
  constructor(settings) {
    this.#settings = settings;
  }
  #symbols = (board) => this.#settings.get("lists")[board]?.[""] ?? [];
  has = (board, symbol) => this.#symbols(board).includes(symbol);
  shows = (board, symbol) => this.#settings.get("list")[board] === undefined || this.has(board, symbol);
  toggle(board, symbol) {
    const symbols = this.#symbols(board);
    const next = symbols.includes(symbol) ? symbols.filter((other) => other !== symbol) : [...symbols, symbol];
    this.#settings.set("lists", { ...this.#settings.get("lists"), [board]: { "": next } });
    return "";
  }
}

const column = (text) => {
  const [field, kind] = text.split(":");
  return { field, kind, label: field };
};

class Bench {
  store = new BoardStore(NAME);
  settings = new Settings(() => localStorage);
  opened = [];
  asked = [];
  shifts = 0;
  #frame = 0;
  #seq = 0;

  constructor() {
    this.view = new QuotesView({
      settings: this.settings,
      lists: new FakeLists(this.settings),
      client: { history: (board, symbols, points) => this.#history(symbols, points) },
      request: () => this.request(),
      now: () => this.store.at,
      open: (symbol) => this.opened.push(symbol),
      say: () => {},
      toast: () => {},
    });
    document.getElementById("content").append(this.view.element);
    for (const name of ["columns", "density", "lists", "list"]) this.settings.on(name, () => this.request());
    setInterval(() => this.request(), 1000);
    new PerformanceObserver((list) => {
      for (const { value } of list.getEntries()) this.shifts += value;
    }).observe({ type: "layout-shift" });
  }

  request() {
    this.#frame ||= requestAnimationFrame((now) => {
      this.#frame = 0;
      if (this.store.ready) this.view.paint(this.store, this.store.take(), now);
    });
  }

  fill(rows, { columns = COLUMNS, feeds = {}, at = 1_000_000_000_000 } = {}) {
    const message = { type: "snapshot", epoch: "e", seq: this.#seq, at, title: "US stocks", layout: "quotes", feeds };
    this.store.apply({ ...message, columns: columns.map(column), rows });
    this.request();
  }

  change(rows) {
    const prev = this.#seq++;
    this.store.apply({ type: "diff", prev, seq: this.#seq, at: this.store.at + 1000, rows });
    this.request();
  }

  /** Resolves when the frame after the next is over: what was asked for is painted. */
  painted() {
    return new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve())));
  }

  /** Resolves when something is true. */
  async until(test) {
    while (!test()) await new Promise(requestAnimationFrame);
  }

  async #history(symbols, points) {
    this.asked.push(symbols);
    const at = Array.from({ length: points }, (_, i) => 1000 * (i + 1));
    return Object.fromEntries(symbols.map((symbol) => [symbol, { at, value: at.map((_, i) => i % 7) }]));
  }
}

globalThis.bench = new Bench();
