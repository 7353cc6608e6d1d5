/**
 * How long a change takes from the server to this page, although the two clocks may differ by hours. Pure.
 *
 * The difference of the clocks is learned from pings, as in NTP (RFC 5905, section 8): the answer's time is taken to
 * be in the middle between question and answer. Of the latest pings the quickest is the most exact.
 * @module latency
 */

/** Pings that are remembered: enough for a quick one among them, few enough to follow a clock that drifts. */
const PINGS = 8;

/** Changes that are remembered: their middle one is what is told, so that a single late one says nothing. */
const CHANGES = 21;

export class Latency {
  #pings = [];
  #changes = [];

  /** Takes a ping: asked and answered by this page's clock, `at` by the server's, in milliseconds. */
  pinged(asked, answered, at) {
    this.#pings.push({ way: answered - asked, offset: at - (asked + answered) / 2 });
    if (this.#pings.length > PINGS) this.#pings.shift();
  }

  /** By how much the server's clock is ahead of this page's, in milliseconds; 0 until it is known. */
  get offset() {
    if (this.#pings.length === 0) return 0;
    return this.#pings.reduce((best, ping) => (ping.way < best.way ? ping : best)).offset;
  }

  /** Takes a change that the server published `at` its time and that is here `now` by this page's clock. */
  arrived(at, now) {
    if (this.#pings.length === 0 || !Number.isFinite(at)) return; // by two clocks it would say nothing
    this.#changes.push(Math.max(0, now + this.offset - at));
    if (this.#changes.length > CHANGES) this.#changes.shift();
  }

  /** The middle one of the latest changes, in milliseconds; null until something is known. */
  get typical() {
    if (this.#changes.length === 0) return null;
    return [...this.#changes].sort((a, b) => a - b)[this.#changes.length >> 1];
  }

  /** Forgets what belongs to an earlier link. */
  clear() {
    this.#pings = [];
    this.#changes = [];
  }
}
