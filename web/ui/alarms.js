/**
 * Looks after alerts while there are any: watches their boards, whichever is shown, and tells what has happened.
 * @module alarms
 */
import { Alerts, words } from "../core/alerts.js";

export class Alarms {
  #alerts;
  #context;
  #looked = new Map(); // board -> symbol -> the row that was looked at; only rows with alerts

  constructor(context) {
    this.#context = context;
    this.#alerts = new Alerts(context.settings, context.now);
    context.client.listen((message) => message && this.boards.includes(message.board) && this.#look(message.board));
    context.settings.on("alerts", () => this.#watch());
    this.#watch();
  }

  /** Boards that are watched for the sake of alerts. */
  get boards() {
    return this.#alerts.boards;
  }

  #watch() {
    for (const board of this.boards) this.#context.client.watch(board);
  }

  /** Rows never change in place: one that was looked at is passed by. */
  #look(board) {
    const { rows } = this.#context.client.watch(board);
    const before = this.#looked.get(board);
    const symbols = this.#alerts.all.filter((alert) => alert.board === board).map(({ symbol }) => symbol);
    this.#looked.set(board, new Map(symbols.map((symbol) => [symbol, rows.get(symbol)])));
    for (const symbol of new Set(symbols)) {
      if (rows.get(symbol) !== before?.get(symbol)) this.#check(board, symbol, rows.get(symbol));
    }
  }

  #check(board, symbol, row) {
    for (const fired of this.#alerts.check(board, symbol, row)) {
      const action = { label: "Show", run: () => this.#context.go(board, symbol) };
      this.#context.toast(words(fired, row), { action, tag: `${board}/${symbol}`, isAlert: true });
    }
  }
}
