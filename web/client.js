/**
 * Watches boards of a ticker server from any page; the dashboard is built on it, too. See docs/client.md.
 *
 *     import { Client } from "https://ticker.example.com/client.js";
 *     const client = new Client("https://ticker.example.com/");
 *     const stocks = client.watch("stocks");
 *     client.listen(() => {
 *       for (const symbol of stocks.take().symbols) show(symbol, stocks.rows.get(symbol));
 *     });
 *
 * @module client
 */
import { isRefusal } from "./core/access.js";
import { Attention } from "./core/attention.js";
import { Connection } from "./core/connection.js";
import { Latency } from "./core/latency.js";
import { Notices } from "./core/notices.js";
import { BoardStore } from "./core/store.js";
import { Token } from "./core/token.js";

/** Between two pings, which keep what is known of the clocks true. */
const PING_MS = 15_000;

const BROWSER = {
  WebSocket: globalThis.WebSocket,
  clock: {
    now: () => Date.now(),
    setTimeout: (f, ms) => setTimeout(f, ms),
    clearTimeout: (id) => clearTimeout(id),
  },
  random: Math.random,
  report: (error) => globalThis.reportError(error),
};

export class Client {
  /** The server's first words: its boards and its version of the page; null until they have come. */
  welcome = null;
  latency = new Latency();
  #page;
  #clock;
  #report;
  #connection;
  #offset = null; // of the server's clock: what an earlier link has told holds until this one tells it anew
  #stores = new Map(); // of the boards watched so far: coming back to one resumes it; at most one per board
  #watched = new Set();
  #boards = null;
  #viewers = new Map();
  #notices = new Notices();
  #token;
  #listeners = new Set();
  #askedAt = null; // a ping without an answer yet
  #pingedAt = -Infinity;

  /**
   * @param {string} page address of the server, "/" at its end
   * @param {object} options
   * @param {string|(() => string|null|Promise<string|null>)} options.token lets the viewer in, or gives what does
   * @param options.WebSocket what a test replaces, as are clock, random and report
   */
  constructor(page, { token = null, ...outside } = {}) {
    const { WebSocket, clock, random, report } = { ...BROWSER, ...outside };
    this.#page = page;
    this.#clock = clock;
    this.#report = report;
    this.#token = new Token(token, this, clock, (renewed) => this.#connection.renew(renewed));
    this.#connection = new Connection({
      page,
      WebSocket,
      clock,
      random,
      receive: (message) => this.#receive(message),
      changed: () => this.#tell(null),
      token: this.#token,
      isRefused: (boards) => this.#isRefused(boards),
    });
  }

  /** Watches a board: returns what this page holds of it, which changes with every message. */
  watch(name) {
    if (!this.#stores.has(name)) this.#stores.set(name, new BoardStore(name));
    const store = this.#stores.get(name);
    if (this.#watched.has(name) && this.state.kind !== "closed") return store;
    this.#watched.add(name);
    this.#connection.watch(name, () => store.position);
    return store;
  }

  /** Lets go of a board; what is held of it stays, and grows old. */
  unwatch(name) {
    if (this.#watched.delete(name)) this.#connection.unwatch(name);
  }

  get watched() {
    return [...this.#watched];
  }

  /** The names of the boards there are now; null before the server has told them. */
  get boards() {
    return this.#boards;
  }

  /** What operators tell the viewers of a board, warnings first: see `core/notices.js`. */
  notices(name = null) {
    return this.#notices.valid(name, this.knowsClock ? this.now() : null, this.#clock.now());
  }

  /** Calls `heard` after every message, with it, and after every change of the state, with null. */
  listen(heard) {
    this.#listeners.add(heard);
    return () => this.#listeners.delete(heard);
  }

  /** @returns {import("./core/connection.js").State} */
  get state() {
    return this.#connection.state;
  }

  /** How many watch a board, as far as the server says it; null otherwise. */
  viewers(name) {
    return this.#viewers.get(name) ?? null;
  }

  /** The time on the server, in epoch milliseconds, by this page's clock and what pings told. */
  now() {
    return this.#clock.now() + (this.#offset ?? 0);
  }

  /** Whether a ping has told the server's clock: before, `now` is this page's clock, which may be off by hours. */
  get knowsClock() {
    return this.#offset !== null;
  }

  /** Seconds between two updates; 0 for every change. */
  set interval(seconds) {
    this.#connection.rate = seconds > 0 ? 1 / seconds : null;
  }

  pause() {
    this.#connection.pause();
  }

  resume() {
    this.#connection.resume();
  }

  /** Connects at once, instead of waiting for the next attempt or after a final close. */
  retry() {
    this.#connection.retryNow();
  }

  /** Follows the life of the page; with `mayRest` also whether anybody looks: see `core/attention.js`. */
  follow(window, document, mayRest) {
    this.#connection.follow(window);
    if (mayRest === undefined) return;
    new Attention(this.#clock, (attention) => this.#connection.attend(attention), mayRest).follow(document);
  }

  /** The history of rows before this page was opened; needs `store.ready`. Rejects when it cannot be had. */
  async history(name, symbols, points) {
    const url = new URL(`api/boards/${encodeURIComponent(name)}/history`, this.#page);
    for (const symbol of symbols) url.searchParams.append("symbols", symbol);
    url.searchParams.set("points", points);
    const response = await this.get(url);
    if (!response.ok) throw new Error(`history of ${name}: HTTP ${response.status}`);
    return (await response.json()).rows;
  }

  /** Fetches an address of the server, with the token where there is one. */
  async get(path) {
    const url = new URL(path, this.#page);
    const token = this.#token.value ?? (await this.#token.ask());
    const isOwn = url.origin === new URL(this.#page).origin; // nobody else may see the token
    return fetch(url, isOwn && token !== null ? { headers: { authorization: `Bearer ${token}` } } : {});
  }

  /** Ends everything. */
  close() {
    for (const name of this.#watched) this.unwatch(name);
    this.#listeners.clear();
  }

  /** Hands a message to the boards it is about; returns those that must be subscribed again. */
  #receive(message) {
    const now = this.#clock.now();
    if (message.type === "welcome") this.#welcomed(message);
    if (message.type === "boards") this.#boards = message.boards;
    this.#notices.hear(message, now);
    if (message.type === "viewers") this.#viewers.set(message.board, message.viewers);
    if (message.type === "pong" && this.#askedAt !== null) this.#ponged(message.at, now);
    if (this.#askedAt === null && now - this.#pingedAt >= PING_MS) this.#ping(now);
    const gaps = [];
    for (const name of message.type === "heartbeat" ? this.#watched : [message.board]) {
      if (!this.#watched.has(name)) continue;
      const outcome = this.#stores.get(name).apply(message);
      if (outcome === "gap") gaps.push(name);
      if (outcome === "applied" && message.type === "diff") this.latency.arrived(message.at, now);
    }
    this.#tell(message);
    return gaps;
  }

  /** Whether the server says that there is no access, or none to any of these boards. */
  async #isRefused(boards) {
    const response = await this.get("api/boards");
    if (!response.ok) return isRefusal(response.status);
    const listed = (await response.json()).boards.map(({ name }) => name);
    if (boards.some((name) => listed.includes(name))) return false;
    return isRefusal((await this.get(`api/boards/${encodeURIComponent(boards[0])}`)).status);
  }

  #ping(now) {
    this.#askedAt = this.#pingedAt = now;
    this.#connection.ping();
  }

  #ponged(at, now) {
    this.latency.pinged(this.#askedAt, now, at);
    this.#offset = this.latency.offset;
    this.#token.plan();
    this.#askedAt = null;
  }

  #welcomed(message) {
    this.welcome = message;
    this.#boards = Array.isArray(message.boards) ? message.boards : this.#boards;
    this.#viewers.clear();
    this.latency.clear();
    this.#ping(this.#clock.now());
  }

  /** A listener that fails is reported, as the browser reports errors; the connection goes on. */
  #tell(message) {
    for (const heard of this.#listeners) {
      try {
        heard(message);
      } catch (error) {
        this.#report(error);
      }
    }
  }
}
