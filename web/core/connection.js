/**
 * One WebSocket that keeps boards current: connects, notices a dead link, comes back, resumes, pauses.
 *
 * Clock, randomness and the WebSocket class come from outside. Messages go to `receive`, states to `changed`.
 * @module connection
 */
import { LIMIT, NOT_ALLOWED } from "./codes.js";
import * as protocol from "./protocol.js";

/** A link is dead after this many heartbeats without anything: one may be late, two are not. */
const SILENT_HEARTBEATS = 2.5;

/** Heartbeat in seconds until the welcome tells it; also how long an opening may take, times 2.5. */
const DEFAULT_HEARTBEAT_S = 5;

/** How long the answer to a ping may take when the network has changed: then a slow link is likely a dead one. */
const PROBE_MS = 3_000;

/** A link that lasted this long was a good one, and the next wait starts small again. */
const STABLE_MS = 10_000;

/** A subscribe that nobody answered may be repeated after this long, not before: a gap comes with every diff. */
const ASK_AGAIN_MS = 2_000;

/** So long after a planned goodbye nothing is wrong, though the next attempts fail: a server needs a while to start. */
const PLANNED_MS = 60_000;

/** As after so many failures: up to half a minute from one look to the next. */
const SELDOM = 5;

/** Of a server that lets everybody in. */
const NO_TOKEN = { value: null, isAsked: false, ends: () => {} };

/** WebSocket.OPEN, as in the HTML standard: a socket that is still opening takes no messages. */
const OPEN = 1;

/**
 * @typedef {object} State
 * @property {"idle"|"connecting"|"live"|"waiting"|"offline"|"closed"} kind
 * @property {boolean} paused by the person, not by a hidden tab
 * @property {string} why for waiting and closed
 * @property {number} until when the next attempt is due, for waiting
 * @property {boolean} isPlanned for waiting: nothing is wrong, the server asked for it
 * @property {number} code of the close, for closed; 0 where there was none
 */

export class Connection {
  #page;
  #WebSocket;
  #clock;
  #random;
  #receive;
  #changed;
  #token;
  #isRefused;

  #boards = new Map(); // what is watched: board -> where it stands
  #asked = new Map(); // what this socket was asked for: board -> when it was asked again after a gap
  #rate = null;
  #socket = null;
  #opening = null; // the attempt that waits for a token, or for why it failed
  #state = { kind: "idle", why: "", until: 0, isPlanned: false, code: 0 };
  #paused = false;
  #attention = "awake";
  #online = true;
  #told = false; // whether the server believes that this viewer is paused
  #attempt = 0;
  #retry = null;
  #planned = { why: "", until: -Infinity }; // what the server said it does, and how long that may take
  #heartbeatMs = DEFAULT_HEARTBEAT_S * 1000;
  #openedAt = 0;
  #deadline = 0;
  #watchdog = null;
  #timer = null;

  /**
   * @param {object} outside
   * @param {string} outside.page address of the page
   * @param {typeof WebSocket} outside.WebSocket
   * @param {{now(): number, setTimeout(f: () => void, ms: number): any, clearTimeout(id: any): void}} outside.clock
   * @param {() => number} outside.random in [0, 1)
   * @param {(message: object) => string[]} outside.receive gives the boards that must be subscribed again
   * @param {(state: State) => void} outside.changed
   * @param {import("./token.js").Token} outside.token
   * @param {((boards: string[]) => Promise<boolean>)|null} outside.isRefused whether a link to these that did not
   *   open never will: a browser does not tell
   */
  constructor({ page, WebSocket, clock, random, receive, changed, token = NO_TOKEN, isRefused = null }) {
    this.#page = page;
    this.#WebSocket = WebSocket;
    this.#clock = clock;
    this.#random = random;
    this.#receive = receive;
    this.#changed = changed;
    this.#token = token;
    this.#isRefused = isRefused;
  }

  get state() {
    return { ...this.#state, paused: this.#paused };
  }

  /** Watches a board, too. `position` tells where it stands whenever it is asked for. */
  watch(board, position) {
    this.#boards.set(board, position);
    if (this.#state.kind === "idle" || this.#state.kind === "closed") return this.#connect();
    this.#agreeSoon();
  }

  /** Lets go of a board, and of the link when there is nothing left to watch. */
  unwatch(board) {
    this.#boards.delete(board);
    if (this.#boards.size > 0) return this.#agreeSoon();
    this.#drop();
    this.#enter("idle");
  }

  /** The most frames per second, null for all; the server, not this page, leaves out the others. */
  set rate(rate) {
    if (rate === this.#rate) return;
    this.#rate = rate;
    for (const board of this.#asked.keys()) this.#subscribe(board);
  }

  pause() {
    this.#paused = true;
    this.#tellPause();
    this.#changed(this.state);
  }

  resume() {
    this.#paused = false;
    this.#tellPause();
    this.#changed(this.state);
  }

  /** Connects at once, instead of waiting for the next attempt or after a final close. */
  retryNow() {
    if (this.#boards.size === 0 || this.#socket !== null) return;
    this.#attempt = 0;
    this.#connect();
  }

  /** Measures the way to the server: the answer is a pong. */
  ping() {
    this.#send(protocol.message.ping());
  }

  /** Tells the server the token that counts from now on. */
  renew(token) {
    this.#send(protocol.message.token(token));
  }

  /** "awake"; "resting", when nobody looks: heartbeats only; "away": the link is given up until somebody looks. */
  attend(attention) {
    this.#attention = attention;
    if (attention === "away") return this.#aside();
    this.#tellPause();
    if (attention === "awake" && this.#state.kind === "idle") this.#back();
    else if (this.#socket !== null) this.#guard(); // timers of a hidden tab run late
  }

  /** Follows the network, and the page being kept aside and taken back. */
  follow(window) {
    this.#online = window.navigator?.onLine ?? true;
    window.addEventListener("online", () => this.#network(true));
    window.addEventListener("offline", () => this.#network(false));
    window.addEventListener("pagehide", () => this.#aside());
    window.addEventListener("pageshow", () => this.#back());
  }

  #connect() {
    this.#drop();
    this.#retry = null;
    this.#told = false;
    this.#heartbeatMs = DEFAULT_HEARTBEAT_S * 1000;
    this.#enter("connecting");
    this.#openedAt = this.#clock.now();
    this.#alive();
    this.#guard();
    if (this.#token.isAsked) this.#askToken();
    else this.#open();
  }

  /** Opens as soon as there is a token, unless that takes too long or is no longer wanted. */
  async #askToken() {
    const opening = (this.#opening = Symbol("opening"));
    const had = await this.#token.ask().then(() => true, () => false);
    if (this.#opening !== opening) return;
    this.#opening = null;
    if (had) this.#open();
    else this.#lost("no token could be had");
  }

  #open() {
    const [[board, position]] = this.#boards;
    this.#asked = new Map([[board, -Infinity]]);
    const rate = this.#rate;
    const url = protocol.address(this.#page, board, position(), rate, this.#token.value);
    const socket = new this.#WebSocket(url, [protocol.SUBPROTOCOL]);
    this.#socket = socket;
    socket.onopen = () => this.#opened(rate);
    socket.onmessage = ({ data }) => this.#heard(data);
    socket.onclose = ({ code, reason }) => this.#closed(code, reason);
  }

  #opened(rate) {
    this.#alive();
    if (rate !== this.#rate) this.#asked.clear(); // it was changed meanwhile
    this.#agree();
    this.#tellPause();
  }

  /** Boards that are watched and let go of in one turn are agreed on together. */
  #agreeSoon() {
    queueMicrotask(() => this.#agree());
  }

  /** Asks no longer for what is not watched, and then for what is: a server may limit how many boards there are. */
  #agree() {
    if (this.#socket?.readyState !== OPEN) return;
    for (const board of this.#asked.keys()) if (!this.#boards.has(board)) this.#unsubscribe(board);
    for (const board of this.#boards.keys()) if (!this.#asked.has(board)) this.#subscribe(board);
  }

  #subscribe(board) {
    this.#asked.set(board, -Infinity);
    this.#send(protocol.message.subscribe(board, this.#boards.get(board)?.(), this.#rate));
  }

  #unsubscribe(board) {
    this.#asked.delete(board);
    this.#send(protocol.message.unsubscribe(board));
  }

  #heard(data) {
    this.#alive();
    const message = protocol.parse(data);
    if (message === null) return;
    if (message.type === "welcome") this.#welcomed(message);
    if (message.type === "goodbye") this.#retry = message.retry;
    if (message.type === "token") this.#token.ends(message.until);
    if (message.type === "error") this.#asked.delete(message.board); // refused: asked for anew with the next change
    const gaps = this.#receive(message);
    if (this.#asked.has(message.board) && !gaps.includes(message.board)) this.#asked.set(message.board, -Infinity);
    // Paused viewers are behind on purpose: what a heartbeat knows more is what waits for them.
    if (message.type !== "heartbeat" || !this.#told) for (const board of gaps) this.#askAgain(board);
    if (message.type === "boards") this.#returned(message.boards);
  }

  /** A board that is there again is asked for again. */
  #returned(boards) {
    for (const board of boards) if (this.#boards.has(board) && !this.#asked.has(board)) this.#subscribe(board);
  }

  #welcomed({ protocol: version, heartbeat, until }) {
    if (version !== protocol.PROTOCOL) {
      this.#drop();
      return this.#enter("closed", { why: "this page is older than the server, load it again" });
    }
    if (heartbeat > 0) this.#heartbeatMs = heartbeat * 1000;
    this.#token.ends(until);
    this.#alive();
    this.#guard();
    this.#planned.until = -Infinity;
    this.#enter("live");
  }

  #askAgain(board) {
    const now = this.#clock.now();
    if (!this.#asked.has(board) || now - this.#asked.get(board) < ASK_AGAIN_MS) return;
    this.#subscribe(board);
    this.#asked.set(board, now);
  }

  #closed(code, reason) {
    const { comeBack, isPlanned, why } = protocol.closeRule(code, reason);
    if (comeBack && this.#state.kind === "connecting" && this.#isRefused !== null) return void this.#askWhy(why);
    if (isPlanned) this.#planned = { why, until: this.#clock.now() + PLANNED_MS };
    if (comeBack) return this.#lost(why);
    if (code === NOT_ALLOWED && this.#state.kind === "live" && this.#token.isAsked) {
      return this.#lost("the token has ended", true); // there may be another one
    }
    if (code === LIMIT && this.#asked.size === 0) {
      return this.#lost("no board is there yet", true, protocol.backoff(SELDOM, this.#random()));
    }
    this.#refused(why, code);
  }

  /** What did not open is tried again, unless the server says over HTTP that it is of no use. */
  async #askWhy(why) {
    const opening = (this.#opening = Symbol("opening"));
    this.#socket = null;
    const isFinal = await this.#isRefused([...this.#boards.keys()]).catch(() => false);
    if (this.#opening !== opening) return;
    if (isFinal) this.#refused(protocol.closeRule(NOT_ALLOWED).why, NOT_ALLOWED);
    else this.#lost(why);
    const [[first, position]] = this.#boards;
    this.#boards.delete(first); // the next attempt names another one, where there are several: this may be what was refused
    this.#boards.set(first, position);
  }

  #refused(why, code) {
    this.#drop();
    this.#enter("closed", { why, code });
  }

  #lost(why, isPlanned = false, after = null) {
    const now = this.#clock.now();
    if (this.#state.kind === "live" && now - this.#openedAt >= STABLE_MS) this.#attempt = 0;
    const asked = after ?? protocol.retryDelay(this.#retry, this.#random());
    this.#drop();
    const delay = asked ?? protocol.backoff(this.#attempt, this.#random());
    this.#attempt += 1;
    if (now < this.#planned.until) this.#wait(delay, this.#planned.why, true);
    else this.#wait(delay, why, isPlanned);
  }

  /** Being told that there is no network is no proof: attempts go on. */
  #wait(delay, why, isPlanned) {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = this.#clock.setTimeout(() => this.#connect(), delay);
    this.#enter(this.#online ? "waiting" : "offline", { why, until: this.#clock.now() + delay, isPlanned });
  }

  #network(online) {
    this.#online = online;
    if (this.#socket !== null) {
      this.#send(protocol.message.ping());
      this.#deadline = Math.min(this.#deadline, this.#clock.now() + PROBE_MS);
      this.#guard();
    } else if (this.#timer !== null) {
      const { why, until, isPlanned } = this.#state;
      const soon = protocol.backoff(0, this.#random());
      this.#wait(online ? soon : Math.max(0, until - this.#clock.now()), why, isPlanned);
    }
  }

  /** A page with an open socket is not kept by the browser's back-forward cache. */
  #aside() {
    this.#drop();
    this.#enter("idle");
  }

  #back() {
    const isWanted = this.#boards.size > 0 && this.#attention !== "away";
    if (this.#state.kind === "idle" && isWanted) this.#connect();
  }

  #tellPause() {
    const wanted = this.#paused || this.#attention === "resting";
    if (wanted === this.#told || this.#socket?.readyState !== OPEN) return;
    this.#told = wanted;
    this.#send(wanted ? protocol.message.pause() : protocol.message.resume());
  }

  #send(text) {
    if (this.#socket?.readyState === OPEN) this.#socket.send(text);
  }

  #alive() {
    this.#deadline = this.#clock.now() + SILENT_HEARTBEATS * this.#heartbeatMs;
  }

  /** One timer for the deadline: messages only move the deadline, which is cheaper than a timer for each. */
  #guard() {
    this.#clock.clearTimeout(this.#watchdog);
    const left = this.#deadline - this.#clock.now();
    if (left <= 0) return this.#lost("the connection went silent");
    this.#watchdog = this.#clock.setTimeout(() => this.#guard(), left);
  }

  /** Forgets the socket without waiting for its close: on a dead link that may take minutes. */
  #drop() {
    this.#clock.clearTimeout(this.#watchdog);
    this.#clock.clearTimeout(this.#timer);
    this.#watchdog = this.#timer = this.#opening = null;
    this.#token.ends(null);
    const socket = this.#socket;
    this.#socket = null;
    if (socket === null) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #enter(kind, more = {}) {
    this.#state = { kind, why: "", until: 0, isPlanned: false, code: 0, ...more };
    this.#changed(this.state);
  }
}
