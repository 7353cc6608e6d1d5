/**
 * The history of a value over a day, in a bounded number of points: the same rule as the server's history.
 *
 * Pure: times come in. A point is a time in epoch milliseconds and a value; null says that it was not known then.
 * @module series
 */

/** Points that are kept, after which the older half of the detail is given up. */
export const POINTS = 240;

/** Two points are at least so far apart at first, in milliseconds; the distance doubles when there are too many. */
const STEP_MS = 250;

export class Series {
  /** Times and values, oldest first, of equal length. */
  at = [];
  value = [];
  #limit;
  #step = STEP_MS;

  constructor(limit = POINTS) {
    this.#limit = limit;
  }

  get length() {
    return this.at.length;
  }

  /** Takes a new value; within one step the latest counts. Points after `at` go: the clock was put back. */
  add(at, value) {
    while (this.at.at(-1) > at) {
      this.at.pop();
      this.value.pop();
    }
    if (this.length > 1 && this.#bucket(this.at.at(-1)) === this.#bucket(at)) {
      this.at[this.length - 1] = at;
      this.value[this.value.length - 1] = value;
      return;
    }
    this.at.push(at);
    this.value.push(value);
    if (this.length > this.#limit) this.#thin();
  }

  /** Takes what came before the first point here, as the server tells it. */
  seed(at, value) {
    const begin = this.at[0] ?? Infinity;
    const count = at.findIndex((time) => time >= begin);
    const older = count < 0 ? at.length : count;
    this.at.unshift(...at.slice(0, older));
    this.value.unshift(...value.slice(0, older));
    if (this.length > this.#limit) this.#thin();
  }

  #bucket(at) {
    return Math.floor(at / this.#step);
  }

  /** Doubles the step until a quarter of the room is free; the first and the newest point stay. */
  #thin() {
    while (this.length > this.#limit * 0.75) {
      this.#step *= 2;
      const { at, value } = this;
      const stays = (i) => i === 0 || i === at.length - 1 || this.#bucket(at[i]) !== this.#bucket(at[i + 1]);
      this.at = at.filter((_, i) => stays(i));
      this.value = value.filter((_, i) => stays(i));
    }
  }
}
