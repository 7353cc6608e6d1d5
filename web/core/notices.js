/**
 * What operators tell the viewers: each notice until it is withdrawn or its time is over.
 *
 * Pure: times come in.
 * @module notices
 */

/** Notices that are held: of more, the oldest go. */
const MOST = 50;

/** After a new link a server tells again, within this time, what is still valid. */
const TOLD_AGAIN_MS = 5_000;

/**
 * @typedef {object} Notice
 * @property {string} id
 * @property {string} text
 * @property {"info"|"warning"} level
 * @property {number|null} at
 * @property {number|null} until server time in epoch milliseconds; null: until it is withdrawn
 * @property {string|null} board the only one that it is about
 */

const time = (value) => (Number.isFinite(value) ? value : null);
const isWarning = ({ level }) => level === "warning";

export class Notices {
  #notices = new Map(); // by id, the newest last
  #unsure = new Set(); // ids that the server has not told again on this link
  #welcomedAt = 0; // by this page's clock

  /** Takes a message of the server; `now` is the time on this page's own clock. */
  hear(message, now) {
    if (message.type === "welcome") this.#welcomed(now);
    if (message.type === "notice") this.#take(message);
  }

  /**
   * What is valid for a board, warnings first, the newest first.
   * @param {string|null} board
   * @param {number|null} at the time on the server; null where it is not known, and nothing ends by itself
   * @param {number} now the time on this page's own clock
   * @returns {Notice[]}
   */
  valid(board, at, now) {
    if (now - this.#welcomedAt >= TOLD_AGAIN_MS) this.#forget();
    const isValid = (notice) =>
      (notice.board === null || notice.board === board) && (notice.until === null || at === null || at < notice.until);
    const notices = [...this.#notices.values()].reverse().filter(isValid);
    return [...notices.filter(isWarning), ...notices.filter((notice) => !isWarning(notice))];
  }

  /** What was withdrawn meanwhile is not told again; what is told again must not vanish for a moment. */
  #welcomed(now) {
    this.#welcomedAt = now;
    this.#unsure = new Set(this.#notices.keys());
  }

  #forget() {
    for (const id of this.#unsure) this.#notices.delete(id);
    this.#unsure.clear();
  }

  #take({ id, text, level, at, until, board }) {
    this.#unsure.delete(id);
    if (text === null) return void this.#notices.delete(id);
    this.#notices.set(id, {
      id,
      text,
      level: level === "warning" ? "warning" : "info",
      at: time(at),
      until: time(until),
      board: typeof board === "string" ? board : null,
    });
    if (this.#notices.size > MOST) this.#notices.delete(this.#notices.keys().next().value);
  }
}
