/**
 * The quotes table: which rows there are and in what order, and what is written in a frame. Rows are data first; `Body`
 * has the elements of those that are in the page, and `Stop` knows whom the keys and the pointer mean.
 * @module quotes
 */
import { Backlog } from "../core/backlog.js";
import { arrange } from "../core/columns.js";
import * as format from "../core/format.js";
import { kept, ordered, same } from "../core/order.js";
import { SPARK_POINTS } from "../core/store.js";
import { Body } from "./body.js";
import { make, mark } from "./dom.js";
import { Head } from "./head.js";
import { Pace } from "./pace.js";
import { Row } from "./row.js";
import { Sight } from "./sight.js";
import { Stop } from "./stop.js";

/** Rows are sorted again at most this often: one that jumps while it is being read is lost. */
const RESORT_MS = 1_000;

/** Rows that nobody sees are written this often: enough for searching in the page, a tenth of the work. */
const UNSEEN_MS = 5_000;

/** Ages and lines change this often. */
const TELL_MS = 1_000;

/** Up to so many rows all are in the page, so that the browser can search in it; of more, those near the screen. */
const ALL_ROWS = 500;

/** Rows that are put into the page between two looks at the clock: about two milliseconds. */
const CHUNK = 20;

const choiceOf = (choices, board) => (Object.hasOwn(choices, board) ? choices[board] : undefined);

export class QuotesView {
  element = make("div", "region");
  /** Whether rows are kept in their places although the sort has others for them. */
  held = false;
  #context;
  #store = null;
  #table = make("table", "quotes");
  #head = new Head(() => this.#work(performance.now(), true));
  #body = new Body();
  #sight = new Sight(this.element, this.#body.element, () => this.#later());
  #stop = new Stop(this.element, this.#body, this.#sight, {
    work: () => this.#work(performance.now()),
    later: () => this.#later(),
    open: (symbol) => this.#context.open(symbol),
    star: (symbol) => this.#context.lists.toggle(this.#store.name, symbol),
  });
  #backlog = null;
  #tracked = ""; // the field whose history it asks for

  #columns = null; // as text: what differs is another table
  #columnsAt = -Infinity;
  #isUnplanned = false; // rows changed since: they may have other fields
  #chosen = {}; // settings as of the last paint

  #order = [];
  #orderedAt = -Infinity;
  #members = new Set(); // symbols as of the last order
  #isStirred = false;
  #isPeopled = false; // rows came or went
  #filter = "";

  #behind = new Set(); // symbols whose row shows older values: at most one per row in the page
  #writesUnseen = false;
  #unseenAt = 0;
  #untold = new Set(); // symbols in sight whose age and line are to be looked at
  #toldAt = -Infinity;
  #seen = { first: 0, end: 0 };

  #frame = 0;
  #frameAt = -Infinity;
  #pace = new Pace();

  /** @param {object} context settings, lists, client, request, now, open, toast: see `app.js` */
  constructor(context) {
    this.#context = context;
    this.element.tabIndex = -1;
    this.element.setAttribute("role", "region");
    this.#table.append(this.#head.cols, this.#head.element, this.#body.element);
    this.element.append(this.#table);
  }

  /** Rows there are, and rows that the filter and the list let through. */
  get counts() {
    return { total: this.#members.size, visible: this.#order.length };
  }

  /** The symbols of the rows, in the order shown. */
  get symbols() {
    return this.#order;
  }

  /** The symbol of the row that has the focus; null when none has. */
  get focused() {
    return this.#stop.hasFocus ? this.#stop.symbol : null;
  }

  /** Scrolls to a row and focuses it; returns whether it is there. */
  focus(symbol) {
    const place = this.#order.indexOf(symbol);
    if (place >= 0) this.#stop.go(place);
    return place >= 0;
  }

  /** Brings the table to the state of the store; `changed` is what `store.take()` gave. */
  paint(store, changed, now) {
    this.#store = store;
    if (store.trackedField !== this.#tracked) this.#track(store.trackedField);
    for (const symbol of changed.symbols) {
      if (this.#body.row(symbol)) this.#behind.add(symbol);
      this.#isPeopled ||= store.rows.has(symbol) !== this.#members.has(symbol);
    }
    this.#isStirred ||= changed.symbols.size > 0;
    this.#isUnplanned ||= changed.symbols.size > 0;
    const isOther = this.#choose(changed.reset, now);
    this.#work(now, isOther);
  }

  /** Shows only rows whose symbol or name contains the text. */
  filter(text) {
    this.#filter = text.trim().toLowerCase();
    this.#work(performance.now(), true);
  }

  /** Asks for the history of another field: what is known of the one before says nothing about it. */
  #track(field) {
    this.#tracked = field;
    this.#backlog?.end();
    this.#backlog = new Backlog(
      (symbols) => this.#history(symbols),
      (symbol, at, value) => (this.#store.seed(symbol, at, value), this.#context.request()),
      globalThis,
    );
  }

  /** Follows what the board and the viewer want to see; returns whether rows are to be ordered anew. */
  #choose(isReset, now) {
    const { settings, lists } = this.#context;
    const { name } = this.#store;
    const chosen = Object.fromEntries(["columns", "density", "lists", "list"].map((key) => [key, settings.get(key)]));
    const before = this.#chosen;
    this.#chosen = chosen;
    const isPlanned = isReset || chosen.columns !== before.columns;
    const isFirst = this.#isPeopled && this.#members.size === 0;
    const isNews = isFirst || (this.#isUnplanned && now - this.#columnsAt >= RESORT_MS);
    const isOther = (isPlanned || (isNews && this.#store.rows.size > 0)) && this.#plan(now);
    if (chosen.density !== before.density) {
      mark(this.#table, "density", chosen.density === "compact" ? "compact" : "");
      this.#sight.isMeasured = false;
    }
    const hasOtherLists = chosen.lists !== before.lists || chosen.list !== before.list;
    if (hasOtherLists) for (const row of this.#body.rows()) row.star(lists.has(name, row.symbol));
    const isNarrowed = chosen.list !== before.list;
    this.#isPeopled ||= hasOtherLists;
    return isOther || isNarrowed;
  }

  /** Builds the table when its columns are others; the same ones after a reconnect keep order and focus. */
  #plan(now) {
    this.#columnsAt = now;
    this.#isUnplanned = false;
    const store = this.#store;
    if (this.element.getAttribute("aria-label") !== store.title) this.element.setAttribute("aria-label", store.title);
    this.#makeRoom();
    const columns = arrange(store, choiceOf(this.#chosen.columns, store.name));
    const text = JSON.stringify(columns);
    if (text === this.#columns) return false;
    this.#columns = text;
    this.#sight.isMeasured = false;
    this.#head.show(columns);
    this.#body.begin(() => new Row(columns));
    return true;
  }

  /** Once a row has a name, all rows are high enough for one. */
  #makeRoom() {
    const { classList } = this.#table;
    if (classList.contains("named")) return;
    for (const { name } of this.#store.rows.values()) {
      if (name === undefined || name === "") continue;
      classList.add("named");
      this.#sight.isMeasured = false;
      return;
    }
  }

  /** Does what is due in a frame, the most visible first; what does not fit into it comes in the next. */
  #work(now, isUrgent = false) {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    if (this.#store === null) return;
    if (now !== this.#frameAt) this.#pace.begin();
    this.#frameAt = now;
    const hadFocus = this.#stop.hasFocus;
    this.#arrange(now, isUrgent);
    this.#look();
    const isDone = this.#write(now) && this.#fill() && this.#writeUnseen() && this.#tell(now);
    this.#body.space(this.#order.length, this.#sight.height);
    this.#stop.keep(hadFocus);
    if (!isDone) this.#later();
  }

  #later() {
    this.#frame ||= requestAnimationFrame((now) => {
      this.#frame = 0;
      if (this.element.isConnected) this.#work(now);
    });
  }

  get #hasTime() {
    return this.#pace.hasTime;
  }

  /** Orders the rows anew when it is time; under a pointer or a focus they stay where they are. */
  #arrange(now, isUrgent) {
    const isFree = isUrgent || !this.#stop.isHolding;
    const isDue = isUrgent || (this.#isStirred && now - this.#orderedAt >= RESORT_MS) || (this.held && isFree);
    if (!isDue && !this.#isPeopled) return;
    const { rows } = this.#store;
    const wanted = ordered(rows, this.#matches, isDue ? this.#head.sort : null);
    const isAsWanted = isFree && (isDue || this.#head.sort === null);
    const order = isAsWanted ? wanted : kept(this.#order, wanted);
    if (isDue) {
      this.held = !isFree && !same(order, wanted);
      this.#orderedAt = now;
      this.#isStirred = false;
    }
    this.#isPeopled = false;
    this.#members = new Set(rows.keys());
    if (!same(order, this.#order)) this.#reorder(order);
  }

  #reorder(order) {
    const wasLong = this.#isLong;
    if (order.length !== this.#order.length) this.#sight.stir();
    this.#order = order;
    if (this.#isLong || wasLong) this.#number();
    this.#stop.follow(order);
  }

  #matches = (symbol, row) => {
    if (!this.#context.lists.shows(this.#store.name, symbol)) return false;
    if (this.#filter === "") return true;
    const name = row.name === undefined ? "" : format.text(row.name);
    return `${symbol} ${name}`.toLowerCase().includes(this.#filter);
  };

  get #isLong() {
    return this.#order.length > ALL_ROWS;
  }

  /** Tells how many rows there are where only some of them are in the page. */
  #number() {
    if (this.#isLong) this.#table.setAttribute("aria-rowcount", this.#order.length + 1);
    else this.#table.removeAttribute("aria-rowcount");
    for (const row of this.#body.rows()) row.index = this.#isLong ? row.place + 2 : 0;
  }

  /** Brings the rows that are seen into the page, each with its values: these do not wait for a later frame. */
  #look() {
    this.#cover();
    const row = this.#body.at(this.#seen.first);
    if (this.#sight.isMeasured || row === undefined) return;
    if (this.#sight.measure(row.element)) this.#cover();
  }

  #cover() {
    const count = this.#order.length;
    const { first, end } = this.#sight.span(count);
    const isMoved = first !== this.#seen.first || end !== this.#seen.end;
    this.#seen = { first, end };
    let { from, to } = this.#body;
    if (this.#isLong || from >= end || to <= first) [from, to] = [first, end];
    this.#body.cover(Math.min(from, first), Math.min(count, Math.max(to, end)));
    for (let place = first; place < end; place++) this.#settle(place);
    if (isMoved) this.#toldAt = -Infinity;
  }

  /** Shows at a place the row that belongs there, unless it does already. */
  #settle(place) {
    const symbol = this.#order[place];
    const row = this.#body.bind(place, symbol);
    if (row === null) return;
    this.#behind.delete(symbol);
    if (this.#isLong) row.index = place + 2;
    row.star(this.#context.lists.has(this.#store.name, symbol));
    this.#show(row);
    this.#age(row);
  }

  #show(row) {
    const values = this.#store.rows.get(row.symbol);
    if (values !== undefined) row.show(values); // else it has gone, and the next paint takes it away
  }

  #age(row) {
    const values = this.#store.rows.get(row.symbol);
    if (values === undefined) return;
    row.tell(format.qualityWords(values, this.#store.feeds, this.#context.now()));
    if (this.#isSeen(row)) row.draw(this.#store.series(row.symbol)); // costly: the others wait until they are seen
  }

  #isSeen({ place }) {
    return place >= this.#seen.first && place < this.#seen.end;
  }

  /** Writes rows that are behind: those in sight; of the others all that are behind, every few seconds. */
  #write(now) {
    if (now - this.#unseenAt >= UNSEEN_MS) {
      this.#writesUnseen = true;
      this.#unseenAt = now;
    }
    for (const symbol of this.#behind) {
      const row = this.#body.row(symbol);
      if (row && !this.#isSeen(row)) continue;
      if (!this.#hasTime) return false;
      this.#behind.delete(symbol);
      if (row) this.#show(row);
    }
    return true;
  }

  /** Brings the rest of a short table into the page, and each of its rows to its place. */
  #fill() {
    if (this.#isLong) return true;
    for (let place = this.#body.from; place < this.#body.to; place++) {
      if (this.#body.at(place).symbol === this.#order[place]) continue;
      if (!this.#hasTime) return false;
      this.#settle(place);
    }
    const count = this.#order.length;
    while (this.#body.from > 0 || this.#body.to < count) {
      const { from, to } = this.#body;
      this.#body.cover(Math.max(0, from - CHUNK), Math.min(count, to + CHUNK));
      for (let place = this.#body.from; place < from; place++) this.#settle(place);
      for (let place = to; place < this.#body.to; place++) this.#settle(place);
      if (!this.#hasTime) return false; // looked at last: there is some progress in every frame
    }
    return true;
  }

  #writeUnseen() {
    if (!this.#writesUnseen) return true;
    for (const symbol of this.#behind) {
      if (!this.#hasTime) return false;
      this.#behind.delete(symbol);
      const row = this.#body.row(symbol);
      if (row === undefined) continue;
      this.#show(row);
      this.#age(row);
    }
    this.#writesUnseen = false;
    return true;
  }

  /** Tells, of the rows in sight, how old they are and how they came here; asks for what was before this page. */
  #tell(now) {
    if (now - this.#toldAt >= TELL_MS) {
      this.#toldAt = now;
      const symbols = this.#order.slice(this.#seen.first, this.#seen.end);
      this.#untold = new Set(symbols);
      this.#backlog.want(symbols.filter((symbol) => this.#store.series(symbol)));
    }
    for (const symbol of this.#untold) {
      if (!this.#hasTime) return false;
      this.#untold.delete(symbol);
      const row = this.#body.row(symbol);
      if (row) this.#age(row);
    }
    return true;
  }

  /** A view that has left the page does not come back. */
  async #history(symbols) {
    if (this.element.isConnected) return this.#context.client.history(this.#store.name, symbols, SPARK_POINTS);
    this.#backlog.end();
    return {};
  }
}
