/**
 * Asks the server for the history of rows before this page was opened: once for each row that comes into sight, one
 * request at a time. A server that cannot tell is asked a few times and then left alone: lines begin with this page.
 *
 * Pure: the request and the clock come from outside.
 * @module backlog
 */

/** Rows of one request: two screens full. */
const BATCH = 100;

/** Before the second and the third attempt; after that it is taken that the server has no history. */
const PAUSES_MS = [2_000, 15_000];

/** Symbols that are remembered as asked for; beyond that they are forgotten, as asking again does no harm. */
const MOST_ASKED = 20_000;

const isHistory = (history) =>
  Array.isArray(history?.at) && Array.isArray(history.value) && history.at.length === history.value.length;

export class Backlog {
  #ask;
  #take;
  #clock;
  #wanted = [];
  #asked = new Set();
  #isBusy = false;
  #isOver = false;
  #timer = null;
  #failures = 0;

  /**
   * @param {(symbols: string[]) => Promise<object>} ask resolves to {symbol: {at, value}}
   * @param {(symbol: string, at: number[], value: (number|null)[]) => void} take
   * @param {{setTimeout(f: () => void, ms: number): any, clearTimeout(id: any): void}} clock
   */
  constructor(ask, take, clock) {
    this.#ask = ask;
    this.#take = take;
    this.#clock = clock;
  }

  /** Ends it: nothing more is asked, and what is under way is not taken. */
  end() {
    this.#isOver = true;
    this.#wanted = [];
    this.#clock.clearTimeout(this.#timer);
  }

  /** Says which rows are in sight now; those that have left it unasked are asked for when they come back. */
  want(symbols) {
    if (this.#isOver) return;
    this.#wanted = symbols.filter((symbol) => !this.#asked.has(symbol));
    this.#next();
  }

  async #next() {
    if (this.#isBusy || this.#wanted.length === 0) return;
    this.#isBusy = true;
    const batch = this.#wanted.slice(0, BATCH);
    try {
      const rows = await this.#ask(batch);
      if (this.#isOver) return;
      for (const symbol of batch) {
        const history = Object.hasOwn(rows, symbol) ? rows[symbol] : null;
        if (isHistory(history)) this.#take(symbol, history.at, history.value);
      }
    } catch {
      if (!this.#isOver) this.#rest();
      return;
    }
    this.#failures = 0;
    if (this.#asked.size > MOST_ASKED) this.#asked.clear();
    for (const symbol of batch) this.#asked.add(symbol);
    this.#isBusy = false;
    this.want(this.#wanted);
  }

  /** After the last pause it stays busy for good: nothing is asked any more. */
  #rest() {
    const pause = PAUSES_MS[this.#failures++];
    if (pause === undefined) return;
    this.#timer = this.#clock.setTimeout(() => {
      this.#isBusy = false;
      this.#next();
    }, pause);
  }
}
