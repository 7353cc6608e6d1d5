/**
 * Whether anybody looks at the page: a hidden tab soon costs the server nothing but heartbeats, and then nothing.
 *
 * The clock comes from outside.
 * @module attention
 */

/** A tab left for less than this is still being read. */
const REST_MS = 30_000;

/** A tab left for this long is likely to stay hidden: a connection for it would be a waste. */
const LEAVE_MS = 5 * 60_000;

export class Attention {
  #clock;
  #tell;
  #mayRest;
  #told = "awake";
  #since = null; // when the tab was hidden; null while it is seen
  #timer = null;

  /**
   * @param {{now(): number, setTimeout(f: () => void, ms: number): any, clearTimeout(id: any): void}} clock
   * @param {(attention: "awake"|"resting"|"away") => void} tell
   * @param {() => boolean} mayRest false while something must be noticed although nobody looks
   */
  constructor(clock, tell, mayRest = () => true) {
    this.#clock = clock;
    this.#tell = tell;
    this.#mayRest = mayRest;
  }

  follow(document) {
    const look = () => (document.visibilityState === "hidden" ? this.#hidden() : this.#seen());
    document.addEventListener("visibilitychange", look);
    if (document.visibilityState === "hidden") this.#hidden();
  }

  #seen() {
    this.#clock.clearTimeout(this.#timer);
    this.#since = null;
    this.#told = "awake";
    this.#tell("awake");
  }

  #hidden() {
    this.#since ??= this.#clock.now();
    this.#wait(REST_MS);
  }

  #wait(ms) {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = this.#clock.setTimeout(() => this.#grow(), ms);
  }

  /**
   * Timers of hidden tabs run late, and stop while the machine sleeps: what counts is the time that has passed. It
   * looks again even while it is away: what must be noticed may have been chosen in another tab.
   */
  #grow() {
    const left = this.#since + LEAVE_MS - this.#clock.now();
    const restful = left > 0 ? "resting" : "away";
    const attention = this.#mayRest() ? restful : "awake";
    if (attention !== this.#told) this.#tell((this.#told = attention));
    this.#wait(attention === "resting" ? Math.min(left, REST_MS) : REST_MS);
  }
}
