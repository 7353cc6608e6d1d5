/**
 * The token that lets a viewer in: asked for when it is needed, and again before it ends.
 *
 * The clock and what gives tokens come from outside.
 * @module token
 */

/** A new token is asked for so long before the old one ends, or a tenth of what is left when that is less. */
const LEAD_MS = 30_000;

/** Between two attempts at a new one. */
const LEAST_MS = 1_000;

/** Timers are set no further ahead: browsers end longer ones at once. */
const MOST_MS = 3_600_000;

export class Token {
  #give;
  #now;
  #clock;
  #renewed;
  #value = null;
  #until = null;
  #timer = null;
  #isRenewing = false;

  /**
   * @param {string|(() => string|null|Promise<string|null>)|null} source the token, or what gives one
   * @param {{now(): number}} server its time, as far as it is known
   * @param {{setTimeout(f: () => void, ms: number): any, clearTimeout(id: any): void}} clock
   * @param {(token: string) => void} renewed is called with each new one, while an old one still counts
   */
  constructor(source, server, clock, renewed) {
    this.#give = typeof source === "function" ? source : null;
    this.#value = typeof source === "string" && source !== "" ? source : null;
    this.#now = () => server.now();
    this.#clock = clock;
    this.#renewed = renewed;
  }

  /** The token as it is known; null when there is none, or none has been asked for yet. */
  get value() {
    return this.#value;
  }

  /** Whether it must be asked for, which may take a while. */
  get isAsked() {
    return this.#give !== null;
  }

  /** Asks for a token. Rejects when there is none to be had. */
  async ask() {
    if (this.#give !== null) this.#value = (await this.#give()) || null;
    return this.#value;
  }

  /** Takes note of when the token ends, in the server's time; null for never, or when the link is lost. */
  ends(until) {
    this.#until = Number.isFinite(until) ? until : null;
    this.plan();
  }

  /** Plans when to ask for the next one: anew, too, when the server's clock is known better. */
  plan() {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#give === null || this.#until === null || this.#isRenewing) return;
    const left = this.#until - this.#now();
    const wait = Math.max(LEAST_MS, left - Math.min(LEAD_MS, left / 10));
    if (wait > left) return; // the server ends it: only a new link helps
    const isLast = wait <= MOST_MS;
    this.#timer = this.#clock.setTimeout(() => (isLast ? this.#renew() : this.plan()), Math.min(wait, MOST_MS));
  }

  async #renew() {
    this.#isRenewing = true;
    try {
      const token = await this.ask();
      if (token !== null && this.#until !== null) this.#renewed(token);
    } catch {
      // the old one still counts: asked again while it does
    }
    this.#isRenewing = false;
    this.plan();
  }
}
