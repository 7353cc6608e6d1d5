/**
 * A screen on the wall: the boards one after the other, as large as they fit, without anybody to look after it.
 * @module kiosk
 */
import { following, left, pagesOf, parameters, rotation, shift } from "../core/kiosk.js";
import * as format from "../core/format.js";
import { ACCESS, absentWords, feedWords, stateWords } from "../core/words.js";
import { loadStyle, make, mark, write, writeCut } from "./dom.js";

/** Everything that depends on time is looked at this often: clocks are told in seconds. */
const TICK_MS = 1_000;
const MINUTE_MS = 60_000;

/** How long the hint and the pointer stay after the mouse was moved. */
const HINT_MS = 4_000;

/** Waits before loading the page again, in milliseconds, from and to: walls must not all come at one moment. */
const WAITS = {
  /** The server has a newer page. */
  version: [0, 30_000],
  /** The server has sent this viewer away for good: perhaps it was full. */
  closed: [30_000, 90_000],
  /** Something failed here: it may go on well enough, so there is no hurry, and no end of reloads. */
  error: [120_000, 300_000],
  /** The server does not answer now. */
  again: [10_000, 20_000],
};

/** Letter heights as parts of the shorter side of the screen, from the largest down; the last is read from afar, too. */
const SIZES = [20, 23, 26, 30, 34, 39, 44];

/** What steps back, one after the other, where the screen is too narrow for every column: see kiosk.css. */
const LESS = ["", "third", "third trend", "third trend second"];

const BOXES = ":is(.quotes tbody tr:not(.spacer), .league > h2, .card):not([hidden])";

/**
 * Turns the page into a wall.
 * @param {object} context of the views
 * @param {{show(board: string): void, boards(): string[], isShut(): boolean}} dashboard
 */
export async function start(context, dashboard) {
  await loadStyle(new URL("./kiosk.css", import.meta.url));
  new Kiosk(context, dashboard).start();
}

class Kiosk {
  #context;
  #client;
  #dashboard;
  #wanted = parameters(location.search);
  #turn = null; // {board, page}
  #store = null; // of the board that is shown
  #turnedAt = 0;
  #isHeld = false;
  #pages = [{ from: 0, to: 0 }];
  #fitted = "";
  #version = null;
  #reloadAt = Infinity;
  #minute = -1;
  #lock = null;
  #hintTimer = null;

  #main = document.querySelector("main");
  #content = document.getElementById("content");
  #title = make("h1", "wall-title");
  #page = make("span", "wall-page");
  #clock = make("span", "wall-clock");
  #state = make("p", "state");
  #words = make("span", "wall-words");
  #notes = make("p", "wall-notes");
  #hold = make("button");
  #hint = make("div", "wall-hint");

  constructor(context, dashboard) {
    this.#context = context;
    this.#client = context.client;
    this.#dashboard = dashboard;
    const leave = make("button", "", "Leave (Esc)");
    this.#hold.type = leave.type = "button";
    this.#hold.addEventListener("click", () => this.#toggle());
    leave.addEventListener("click", () => this.#leave());
    this.#hint.append(this.#hold, leave);
    this.#state.append(this.#words);
    this.#main.before(make("header", "wall-head", this.#title, this.#page, this.#clock));
    this.#main.after(make("footer", "wall-foot", this.#state, this.#notes), this.#hint);
  }

  start() {
    force(this.#wanted.theme);
    mark(document.documentElement, "kiosk", "on");
    window.addEventListener("keydown", (event) => this.#key(event), true);
    window.addEventListener("pointermove", () => this.#showHint());
    window.addEventListener("resize", () => this.#fit());
    window.addEventListener("error", ({ message }) => message?.includes("ResizeObserver") || this.#reloadIn("error"));
    window.addEventListener("unhandledrejection", () => this.#reloadIn("error"));
    document.addEventListener("visibilitychange", () => this.#wake());
    new MutationObserver(() => this.#fit()).observe(this.#content, { childList: true, subtree: true });
    this.#client.listen(() => (this.#version ??= this.#client.welcome?.page ?? null)); // the first one is this page's
    setInterval(() => this.#tick(), TICK_MS);
    this.#tick();
  }

  get #boards() {
    return rotation(this.#wanted.boards, this.#dashboard.boards());
  }

  #tick() {
    const now = performance.now();
    const boards = this.#boards;
    const isStill = this.#isHeld || this.#dashboard.isShut(); // to turn is to connect
    const isDue = now - this.#turnedAt >= this.#wanted.seconds * 1_000 && !isStill;
    if (boards.length > 0 && (isDue || !boards.includes(this.#turn?.board))) this.#turnTo(boards, now);
    this.#write();
    this.#fit();
    this.#care(now);
  }

  #turnTo(boards, now) {
    const before = this.#turn?.board;
    this.#turn = following(this.#turn ?? { board: "", page: 0 }, boards, this.#pages.length);
    this.#turnedAt = now;
    this.#fitted = "";
    if (this.#turn.board === before) return;
    this.#dashboard.show(this.#turn.board);
    this.#store = this.#client.watch(this.#turn.board); // it is watched already: this gives what is held of it
  }

  /** Finds the largest letters with which all fits, and the pages when nothing does; only after something changed. */
  #fit() {
    const boxes = this.#content.querySelectorAll(BOXES);
    const scroller = this.#content.querySelector(".region") ?? this.#content;
    const { board, page } = this.#turn ?? {};
    const key = () =>
      JSON.stringify([
        [innerWidth, this.#main.clientHeight, scroller.firstElementChild?.offsetHeight],
        [board, page, countOf(scroller) ?? boxes.length, scroller.className],
      ]);
    if (key() === this.#fitted) return;
    scroller.style.height = "auto";
    const fits = (sizes, inHeight) => LESS.some((less) => sizes.some((size) => this.#suits(size, less, scroller, inHeight)));
    if (!fits(SIZES, true)) fits(SIZES.slice(-1), false); // several pages, as few as may be
    this.#cut(boxes, scroller);
    this.#fitted = key();
  }

  #suits(part, less, scroller, inHeight) {
    document.documentElement.style.fontSize = `${(Math.min(innerWidth, innerHeight) / part).toFixed(1)}px`;
    mark(document.documentElement, "less", less);
    if (scroller.scrollWidth > scroller.clientWidth) return false;
    return !inHeight || scroller.scrollHeight <= this.#main.clientHeight;
  }

  /** Shows one page: whole rows, below the head of the table, which stays. */
  #cut(boxes, scroller) {
    const head = scroller.querySelector(".quotes thead")?.offsetHeight ?? 0;
    const edge = scroller.offsetHeight - scroller.clientHeight;
    const top = scroller.getBoundingClientRect().top + scroller.clientTop - scroller.scrollTop;
    this.#pages = pagesOf(placesOf(boxes, scroller, top), this.#main.clientHeight - head - edge);
    const count = this.#pages.length;
    const page = Math.min(this.#turn?.page ?? 0, count - 1);
    const { from, to } = this.#pages[page];
    scroller.style.height = boxes.length > 0 ? `${Math.ceil(head + edge + to - from)}px` : "auto";
    scroller.scrollTop = from - head;
    write(this.#page, count > 1 ? `${page + 1} of ${count}` : "");
  }

  #write() {
    const state = this.#client.state;
    const store = this.#store;
    const now = this.#context.now();
    writeCut(this.#title, store?.title ?? "ticker");
    write(this.#clock, format.shortTime(now, now));
    const isShut = this.#dashboard.isShut();
    const words = isShut ? ACCESS : stateWords(state, store ?? { at: null, waiting: null }, Date.now());
    const asOf = state.kind === "live" && store?.at ? `, as of ${format.clock(store.at)}` : "";
    write(this.#words, words + asOf);
    mark(this.#state, "kind", isShut ? "closed" : state.kind);
    write(this.#notes, this.#noteWords(store, now));
    write(this.#hold, this.#isHeld ? "Go on (Space)" : "Pause (Space)");
  }

  /** What needs attention, in words. */
  #noteWords(store, now) {
    const there = this.#dashboard.boards();
    const unknown = there.length > 0 ? this.#wanted.boards.filter((name) => !there.includes(name)) : [];
    const notes = this.#client.notices(store?.name).map(({ text }) => text);
    notes.push(...unknown.map((name) => absentWords(name, false)));
    for (const [name, feed] of Object.entries(store?.feeds ?? {})) notes.push(feedWords(name, feed, now));
    if (this.#isHeld) notes.push("Rotation paused");
    return notes.filter(Boolean).join("  ·  ");
  }

  /** What somebody would do who stands there. */
  #care(now) {
    const minute = Math.floor(now / MINUTE_MS);
    if (minute !== this.#minute) {
      const [right, down] = shift(minute);
      document.body.style.translate = `${right}px ${down}px`; // against burn-in
      this.#wake();
    }
    this.#minute = minute;
    if (this.#version !== null && this.#client.welcome.page !== this.#version) this.#reloadIn("version");
    if (this.#client.state.kind === "closed" && !this.#dashboard.isShut()) this.#reloadIn("closed");
    if (now < this.#reloadAt) return;
    this.#reloadAt = Infinity;
    this.#reload();
  }

  #reloadIn(why) {
    const [least, most] = WAITS[why];
    const at = performance.now() + least + (most - least) * Math.random();
    if (this.#reloadAt === Infinity) this.#reloadAt = at;
  }

  /** Only while the server answers: the browser's own error page would never try again. */
  async #reload() {
    const answers = await fetch(location.href, { cache: "no-store" }).then((response) => response.ok, () => false);
    if (answers) location.reload();
    else this.#reloadIn("again");
  }

  /** Keeps the screen on, where the browser can; a lock ends whenever the page is hidden. */
  async #wake() {
    if (document.visibilityState !== "visible" || (this.#lock && !this.#lock.released)) return;
    this.#lock = (await navigator.wakeLock?.request("screen").catch(() => null)) ?? null;
  }

  #key(event) {
    const isOnButton = event.target instanceof Element && event.target.closest("button") !== null;
    event.stopPropagation(); // what the page's own keys do would not be seen here
    if (event.key === "Escape") this.#leave();
    else if (event.key === " " && !isOnButton) this.#toggle();
    else return this.#showHint();
    event.preventDefault();
  }

  #toggle() {
    this.#isHeld = !this.#isHeld;
    this.#turnedAt = performance.now();
    this.#write();
  }

  #leave() {
    location.assign(left(location.href));
  }

  #showHint() {
    mark(document.documentElement, "kiosk", "hint");
    clearTimeout(this.#hintTimer);
    this.#hintTimer = setTimeout(() => mark(document.documentElement, "kiosk", "on"), HINT_MS);
  }
}

/** How many rows a table has of which only some are in the page; undefined for others. */
const countOf = (scroller) => scroller.querySelector("[aria-rowcount]")?.ariaRowCount - 1 || undefined;

/** Where rows or cards are, in pixels from `top`, those included that are not in the page. */
function placesOf(boxes, scroller, top) {
  const count = countOf(scroller);
  const place = (box) => box.getBoundingClientRect();
  if (count === undefined) return [...boxes].map(place).map((box) => ({ from: box.top - top, to: box.bottom - top }));
  const height = boxes[0] ? place(boxes[0]).height : 0;
  const first = place(scroller.querySelector(".quotes tbody")).top - top;
  return Array.from({ length: count }, (_, i) => ({ from: first + i * height, to: first + (i + 1) * height }));
}

/** Makes the page light or dark, whatever the system says; "" leaves it as it is. */
function force(theme) {
  if (!theme) return;
  document.documentElement.style.colorScheme = theme;
  const rules = [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules]);
  for (const { media } of rules.filter((rule) => rule instanceof CSSMediaRule)) {
    media.mediaText = media.mediaText.replace(/\(prefers-color-scheme: (light|dark)\)/g, (_, scheme) =>
      scheme === theme ? "(min-width: 0px)" : "(max-width: 0px)",
    );
  }
}
