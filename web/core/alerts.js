/**
 * What a person wants to be told: a price that reaches a level, and the events of a game.
 *
 * An alert lives in the settings, with what it told already, so that nothing is told twice, also not after a reload.
 * A level is above or below the price at which it was set; hence a price beyond it has crossed it, seen or unseen.
 * @module alerts
 */
import * as format from "./format.js";
import * as games from "./games.js";
import { isUnknown } from "./values.js";

/** Alerts that are kept; those that have done their work make room. */
export const MOST = 100;

/** A game in one of these goes on no more; a postponed one will be another game. */
const OVER = ["final", "abandoned", "cancelled", "postponed"];

const BEGUN = ["live", "break", "suspended"];

/** A start that moves by more is another game under the same symbol: the same rule as the server's. */
const ANOTHER_GAME_MS = 3_600_000;

/**
 * @typedef {object} Alert
 * @property {string} board
 * @property {string} symbol
 * @property {"above"|"below"|"follow"} kind
 * @property {number} [level] of above and below
 * @property {number} created epoch milliseconds
 * @property {number} [fired] when it had done its work; absent while it is armed
 * @property {Standing} [told] of follow: where the game stood when it was last told
 *
 * @typedef {{begun: boolean, score: number[]|null, start: number|null}} Standing
 * @typedef {Alert & {event: "level"|"start"|"score"|"correction"|"end", was?: string}} Fired
 */

/** The alerts of a page: made by whoever needs them first, the same for all. */
export const alertsOf = (context) => (context.alerts ??= new Alerts(context.settings, context.now));

export class Alerts {
  #settings;
  #clock;
  #saved = null;
  #rows = new Map(); // board -> symbol -> alerts: what is saved, in the form in which it is asked

  /**
   * @param {import("./settings.js").Settings} settings
   * @param {() => number} clock epoch milliseconds
   */
  constructor(settings, clock = Date.now) {
    this.#settings = settings;
    this.#clock = clock;
  }

  /** All alerts, oldest first. @returns {Alert[]} */
  get all() {
    return this.#settings.get("alerts");
  }

  /** Boards that must be watched for the sake of alerts. */
  get boards() {
    return [...new Set(this.all.filter(isArmed).map(({ board }) => board))];
  }

  /** The alerts of a row. @returns {Alert[]} */
  of(board, symbol) {
    return this.#index().get(board)?.get(symbol) ?? [];
  }

  /**
   * Sets an alert at a level: above or below, as the price is now.
   * @returns {string} why that cannot be, in words, or "".
   */
  add(board, symbol, level, row) {
    const kind = side(level, row);
    if (kind === null) return levelProblem(level, row);
    return this.#keep({ board, symbol, kind, level, created: this.#clock() });
  }

  /** Tells the events of a game from now on; returns why that cannot be, in words, or "". */
  follow(board, symbol, row) {
    if (OVER.includes(row?.status)) return `This game is ${row.status}`;
    return this.#keep({ board, symbol, kind: "follow", created: this.#clock(), told: standing(row) });
  }

  remove(alert) {
    this.#save(this.#latest.filter((other) => !isSame(other, alert)));
  }

  /**
   * Looks at a row that has changed; what is told now is not told again.
   * @returns {Fired[]}
   */
  check(board, symbol, row) {
    if (row === undefined || isUnknown(row.quality)) return [];
    const look = () => this.of(board, symbol).map((alert) => ({ before: alert, ...looked(alert, row) }));
    if (!look().some(isNews)) return [];
    const all = this.#latest; // another tab may have told it a moment ago
    const looks = look();
    if (!looks.some(isNews)) return [];
    const now = this.#clock();
    const next = new Map(looks.map(({ before, alert, ends }) => [before, ends ? { ...alert, fired: now } : alert]));
    this.#save(all.map((alert) => next.get(alert) ?? alert));
    return looks.filter(({ event }) => event).map(({ before, event, was }) => ({ ...next.get(before), event, was }));
  }

  #keep(alert) {
    let others = this.#latest.filter((other) => !isSame(other, alert));
    if (others.length >= MOST) {
      const oldest = others.find((other) => !isArmed(other));
      if (oldest === undefined) return `There are ${MOST} alerts already: remove one first`;
      others = others.filter((other) => other !== oldest);
    }
    this.#save([...others, alert]);
    return "";
  }

  /** All alerts with what other tabs have changed: only these may be saved again. */
  get #latest() {
    return this.#settings.fresh("alerts");
  }

  #save(alerts) {
    this.#settings.set("alerts", alerts);
  }

  /** Settings never change in place: another list means other alerts, also from another tab. */
  #index() {
    if (this.all === this.#saved) return this.#rows;
    this.#saved = this.all;
    this.#rows = new Map();
    for (const alert of this.all) {
      const { board, symbol } = alert;
      if (!this.#rows.has(board)) this.#rows.set(board, new Map());
      const symbols = this.#rows.get(board);
      symbols.set(symbol, [...(symbols.get(symbol) ?? []), alert]);
    }
    return this.#rows;
  }
}

const isArmed = ({ fired }) => fired === undefined;

const isSame = (a, b) => ["board", "symbol", "kind", "level"].every((name) => a[name] === b[name]);

const priceOf = (row) => (isUnknown(row?.quality) ? null : format.number(row?.last));

/** On which side of the price a level is: "above", "below", or null where there is no telling. */
export function side(level, row) {
  const price = priceOf(row);
  if (price === null || format.number(level) === null || level === price) return null;
  return level > price ? "above" : "below";
}

/** Why no alert can be set at a level; "" when one can. */
export function levelProblem(level, row) {
  if (side(level, row) !== null) return "";
  if (priceOf(row) === null) return "There is no price to compare with now";
  if (format.number(level) === null) return "Type a price";
  return `The price is ${format.price(level)} now: type a higher or a lower one`;
}

/** What an alert waits for. */
export function promise({ kind, level, symbol }) {
  if (kind === "follow") return `${symbol}: start, scores and end`;
  return `${symbol} ${kind === "above" ? "rises to" : "falls to"} ${format.price(level)}`;
}

/**
 * What has happened, in one line.
 * @param {Fired} fired as `check` gave it
 */
export function words({ kind, symbol, level, event, was }, row) {
  if (kind !== "follow") {
    const price = format.number(row.last);
    const moved = kind === "above" ? "rose above" : "fell below";
    if (price === level) return `${symbol} reached ${format.price(level)}`;
    return `${symbol} ${moved} ${format.price(level)}: ${format.price(price)}`;
  }
  const game = games.gameLine(symbol, row);
  switch (event) {
    case "start":
      return `Started: ${game}`;
    case "correction":
      return `Correction: ${game}, ${was}`;
    case "end":
      return [`${games.gameWords(row, 0, null)}: ${game}`, was].filter(Boolean).join(", ");
    default:
      return [game, clockWords(row)].filter(Boolean).join(", ");
  }
}

/** Minutes speak for themselves, a clock needs its period: "67'", "Q3 05:22", "Half-time". */
function clockWords({ status, period, clock }) {
  const isEnough = period === undefined || /['′]$/.test(clock);
  const parts = status === "break" ? [period] : isEnough ? [clock] : [period, clock];
  return parts.filter((part) => part !== undefined).map(format.text).join(" ");
}

/** @returns {Standing} */
function standing(row) {
  return { begun: BEGUN.includes(row?.status), score: games.score(row), start: format.number(row?.start) };
}

const looked = (alert, row) => (alert.kind === "follow" ? followed(alert, row) : levelled(alert, row));

const isNews = ({ before, alert }) => alert !== before;

function levelled(alert, row) {
  const price = priceOf(row);
  const isCrossed = alert.kind === "above" ? price >= alert.level : price <= alert.level;
  if (!isArmed(alert) || price === null || !isCrossed) return { alert };
  return { alert: { ...alert }, event: "level", ends: true };
}

/** Compares a game with what was last told of it. What is missing for a moment is no event. */
function followed(alert, row) {
  const { told } = alert;
  const now = standing(row);
  if (told?.start && now.start && Math.abs(now.start - told.start) > ANOTHER_GAME_MS) {
    return { alert: { ...alert, told: now } };
  }
  const isOver = OVER.includes(row.status);
  const score = now.score ?? told?.score ?? null;
  const next = { ...alert, told: { begun: now.begun || told?.begun === true, score, start: now.start ?? told?.start } };
  const changed = told?.score && now.score && `${told.score}` !== `${now.score}`;
  const was = changed ? corrected(row, told.score, now.score) : "";
  if (isOver && isArmed(alert)) return { alert: next, event: "end", was, ends: true };
  if (was && (isOver || isArmed(alert))) return { alert: next, event: "correction", was };
  if (!isArmed(alert)) return { alert };
  if (told && !told.begun && now.begun) return { alert: next, event: "start" };
  if (changed) return { alert: next, event: "score" };
  return JSON.stringify(next.told) === JSON.stringify(told) ? { alert } : { alert: next };
}

/** What the score was before it was taken back; "" when it grew. The server's word is there until a score rises. */
function corrected(row, before, now) {
  if (row.correction) return format.text(row.correction);
  return now.some((figure, i) => figure < before[i]) ? `was ${before.join("–")}` : "";
}
