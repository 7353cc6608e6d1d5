/**
 * Looks after alerts while there are any: watches their boards, and tells what has happened.
 * @module alarms
 */
import { Alerts, words } from "../core/alerts.js";

export class Alarms {
  #alerts;
  #context;
  #seen = new Map(); // board -> symbol -> the row that was looked at; only rows with alerts are in it

  constructor(context) {
    this.#context = context;
    this.#alerts = new Alerts(context.settings, context.now);
    context.client.listen((message) => message && this.#look(message.board));
    context.settings.on("alerts", () => this.#watch());
    this.#watch();
  }

  /** Boards that are watched for the sake of alerts, whichever is shown. */
  get boards() {
    return new Set(this.#alerts.boards);
  }

  #watch() {
    for (const board of this.#alerts.boards) {
      this.#context.client.watch(board);
      this.#look(board);
    }
  }

  #look(board) {
    const symbols = this.#alerts.symbols(board);
    if (symbols.length === 0) return void this.#seen.delete(board);
    const { rows } = this.#context.client.watch(board);
    const before = this.#seen.get(board);
    this.#seen.set(board, new Map(symbols.map((symbol) => [symbol, rows.get(symbol)])));
    for (const symbol of symbols) {
      const row = rows.get(symbol); // rows never change in place: the same one has been looked at
      if (row !== before?.get(symbol)) this.#check(board, symbol, row);
    }
  }

  #check(board, symbol, row) {
    for (const fired of this.#alerts.check(board, symbol, row)) this.#context.toast(words(fired, row), { board, symbol });
  }
}
