/**
 * What screen readers are told: few words, politely, not often. The table itself is not announced.
 * @module announcer
 */
import { write } from "./dom.js";

/** Between two announcements: the time in which one can be heard to its end. */
const GAP_MS = 5_000;

/** White space that is not heard. */
const NOTHING = "\u00a0";

export class Announcer {
  #region;
  #clock;
  #next = "";
  #isBusy = false;

  /** @param {{setTimeout(f: () => void, ms: number): any}} clock */
  constructor(region, clock) {
    this.#region = region;
    this.#clock = clock;
  }

  /** Says something now or when the last words have been heard; only the newest of those that wait is said. */
  say(words) {
    this.#next = words;
    if (!this.#isBusy) this.#speak();
  }

  #speak() {
    this.#isBusy = this.#next !== "";
    if (!this.#isBusy) return;
    // the same words again are said again only if they are other text
    const isSame = this.#region.firstChild?.data === this.#next;
    write(this.#region, isSame ? `${this.#next}${NOTHING}` : this.#next);
    this.#next = "";
    this.#clock.setTimeout(() => this.#speak(), GAP_MS);
  }
}
