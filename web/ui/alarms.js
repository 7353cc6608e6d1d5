/**
 * Looks after alerts while there are any: watches their boards, whichever is shown, and tells what has happened.
 * @module alarms
 */
import { alertsOf, words } from "../core/alerts.js";
import { Teller } from "../core/teller.js";
import { toastsOf } from "./toasts.js"; // here from the start: what cannot be shown must not count as told

export class Alarms {
  #alerts;
  #context;
  #teller = new Teller(navigator.locks);
  #watched = new Set(); // boards that are watched for the sake of alerts
  #looked = new Map(); // board -> symbol -> the row that was looked at; only rows with alerts

  constructor(context) {
    this.#context = context;
    this.#alerts = alertsOf(context);
    context.client.listen((message) => message && this.boards.includes(message.board) && this.#look(message.board));
    context.settings.on("alerts", () => this.#watch());
    this.#watch();
    this.#teller.follow(document, () => this.#lookAll());
  }

  /** Boards that are watched for the sake of alerts. */
  get boards() {
    return this.#alerts.boards;
  }

  /** Watches what has alerts, and lets go of what has none any more; the board that is shown stays watched anyway. */
  #watch() {
    const { client, current } = this.#context;
    const boards = new Set(this.boards);
    for (const board of boards) client.watch(board);
    for (const board of this.#watched) {
      if (boards.has(board)) continue;
      this.#looked.delete(board);
      if (board !== current()) client.unwatch(board);
    }
    this.#watched = boards;
  }

  /** What came while another tab told is looked at when this one begins to. */
  #lookAll() {
    for (const board of this.boards) this.#look(board);
  }

  /** Rows never change in place: one that was looked at is passed by. */
  #look(board) {
    if (!this.#teller.isTelling) return;
    const { rows } = this.#context.client.watch(board);
    const before = this.#looked.get(board);
    const symbols = this.#alerts.all.filter((alert) => alert.board === board).map(({ symbol }) => symbol);
    this.#looked.set(board, new Map(symbols.map((symbol) => [symbol, rows.get(symbol)])));
    for (const symbol of new Set(symbols)) {
      if (rows.get(symbol) !== before?.get(symbol)) this.#check(board, symbol, rows.get(symbol));
    }
  }

  #check(board, symbol, row) {
    const toasts = toastsOf(this.#context);
    for (const fired of this.#alerts.check(board, symbol, row)) {
      const action = { label: "Show", run: () => this.#context.go(board, symbol) };
      toasts.show(words(fired, row), { action, tag: `${board}/${symbol}`, isAlert: true });
    }
  }
}
