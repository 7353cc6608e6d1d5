/**
 * Games: their order, and where they stand in words, also between two words of the server. Pure; every function
 * accepts anything a source may send.
 * @module games
 */
import * as format from "./format.js";
import { isUnknown } from "./values.js";

const { HOUR, MINUTE, SECOND, number, text } = format;

/** So long a clock runs on without a new word: after it, nobody knows whether it was stopped. */
const LONGEST_RUN = 2 * MINUTE;

/** A clock that is said to run faster than this is a mistake of the source. */
const FASTEST = 600;

/** Periods a card has room for; of more, as in baseball, the latest are shown. */
const MOST_PERIODS = 5;

const RANK = { live: 0, break: 0, suspended: 1, scheduled: 3, postponed: 4, final: 5, abandoned: 5, cancelled: 5 };
const UNKNOWN_RANK = 2;

const rank = ({ status }) => (Object.hasOwn(RANK, text(status)) ? RANK[status] : UNKNOWN_RANK);

export const isRunning = (row) => rank(row) === RANK.live;
export const isOver = (row) => rank(row) === RANK.final;

/** Only games to come are ordered among themselves, by their start. */
const start = (row) => (row.status === "scheduled" ? (number(row.start) ?? Infinity) : 0);

/** Running games first, then those to come by their start, then those that are over; as a function for `sort`. */
export const compare = (a, b) => rank(a) - rank(b) || (start(a) === start(b) ? 0 : start(a) - start(b));

/** "67'" and "45+2'" count minutes up; "10:43" counts seconds up or down. Any other text is shown as it is. */
const MINUTES = /^(\d{1,3})(?:\+(\d{1,2}))?(['’′])$/;
const WATCH = /^(\d{1,3}):([0-5]\d)$/;

/** Minutes at which halves and halves of extra time end: only the source knows how much is added to them. */
const ENDS = [45, 90, 105, 120];

/** How the clock of a row runs: real milliseconds from one text to the next; null when it does not. */
function beat({ status, clock: told, clock_at: at, clock_rate: rate }) {
  const pace = number(rate);
  if (status !== "live" || typeof told !== "string" || number(at) === null) return null;
  if (!pace || Math.abs(pace) > FASTEST) return null;
  if (MINUTES.test(told)) return pace > 0 ? MINUTE / pace : null;
  return WATCH.test(told) ? SECOND / Math.abs(pace) : null;
}

/** Whether the clock of a row runs without being told: only while all that is known of the game is live. */
export const isTicking = (row) => format.quality(row.quality) === "" && beat(row) !== null;

/** What the clock of a game shows at a time, in epoch milliseconds of the server; null: when it was last told. */
export function clock(row, time) {
  const every = beat(row);
  if (every === null || time === null) return text(row.clock);
  const passed = Math.max(0, Math.min(LONGEST_RUN, time - row.clock_at));
  const steps = Math.floor(passed / every + 1e-9); // 1000 / 60 ms: a minute later 60 have passed, not 59.999
  return minutes(row.clock, steps) ?? watch(row.clock, Math.sign(row.clock_rate) * steps);
}

function minutes(told, steps) {
  const [isMinutes, minute, added, sign] = MINUTES.exec(told) ?? [];
  if (isMinutes === undefined) return null;
  if (added !== undefined) return `${minute}+${Number(added) + steps}${sign}`;
  const end = ENDS.find((last) => minute <= last) ?? minute;
  return `${Math.min(Number(minute) + steps, end)}${sign}`;
}

function watch(told, steps) {
  if (steps === 0) return told;
  const [, whole, rest] = WATCH.exec(told);
  const seconds = Math.max(0, whole * 60 + Number(rest) + steps);
  const figures = String(Math.floor(seconds / 60)).padStart(whole.startsWith("0") ? whole.length : 1, "0");
  return `${figures}:${String(seconds % 60).padStart(2, "0")}`;
}

/** Milliseconds after which the words of a row are others although nothing has come; Infinity: they stay. */
export function due(row, time) {
  if (isTicking(row)) {
    const passed = time - row.clock_at;
    const every = beat(row);
    return passed < 0 ? every - passed : passed < LONGEST_RUN ? every - (passed % every) : Infinity;
  }
  if (row.status === "scheduled" && number(row.start) !== null) return row.start - time > HOUR ? MINUTE : SECOND;
  return ageing(row) ? SECOND : Infinity;
}

const GAME = {
  live: "Live",
  break: "Break",
  final: "Final",
  scheduled: "Scheduled",
  postponed: "Postponed",
  suspended: "Suspended",
  abandoned: "Abandoned",
  cancelled: "Cancelled",
};

/** A start is told in minutes, too, when it is near. */
function startWords(start, now) {
  const left = start - now;
  const near = left > 0 && left <= HOUR ? ` · in ${Math.ceil(left / MINUTE)} min` : "";
  return `Starts ${format.shortTime(start, now)}${near}`;
}

const periodWords = (period) => (typeof period === "number" ? `Period ${period}` : text(period));

/**
 * Where a game stands, in words.
 * @param {number} time epoch milliseconds of the server
 * @param {number|null} clockTime the same, for the game's clock, which may have been held; null: as it was told
 */
export function gameWords(row, time, clockTime = time) {
  const { status, period, start } = row;
  const known = typeof status === "string" && Object.hasOwn(GAME, status);
  const words = [known ? GAME[status] : text(status)];
  if (status === "scheduled" && number(start) !== null) return startWords(number(start), time);
  if (status === "final" && /^final/i.test(text(period))) return text(period); // "Final/OT" says more
  const running = !known || ["live", "break", "suspended"].includes(status);
  if (running && period !== undefined && period !== words[0]) words.push(periodWords(period));
  if (running && status !== "break" && row.clock !== undefined) words.push(clock(row, clockTime));
  return words.join(" · ");
}

/** The score of a game, home first; null while it is not known. @returns {[number, number]|null} */
export function score(row) {
  const figures = [number(row?.home_score), number(row?.away_score)];
  return figures.includes(null) ? null : figures;
}

/** A game in one line: its two sides and its score, "Ashford 2–1 Brackley"; without sides its symbol. */
export function gameLine(symbol, row) {
  const figures = score(row)?.join("–");
  if (row.home === undefined || row.away === undefined) return figures ? `${symbol} ${figures}` : symbol;
  return `${text(row.home)} ${figures ?? format.MISSING} ${text(row.away)}`;
}

const ORDINALS = { one: "st", two: "nd", few: "rd", other: "th" };
const ordinals = new Intl.PluralRules("en", { type: "ordinal" });

/** As `gameWords`, for the ear: minutes as words, and no seconds, which would be others before they are heard. */
function heardWords(row, time, clockTime) {
  const told = row.status === "live" && row.clock !== undefined ? clock(row, clockTime) : "";
  const [isMinutes, minute, added] = MINUTES.exec(told) ?? [];
  if (isMinutes === undefined) return gameWords(WATCH.test(told) ? { ...row, clock: undefined } : row, time, clockTime);
  return `${minute}${ORDINALS[ordinals.select(minute)]} minute${added === undefined ? "" : ` plus ${added}`}`;
}

/** A game in one sentence: "Ashford 2, Brackley 1, 67th minute". `symbol` stands for a team that has no name. */
export function spoken(row, symbol, feeds, time, clockTime = time) {
  const side = (name, score) => (score === undefined ? name : `${name} ${text(score)}`);
  const sides = [side(text(row.home ?? symbol), row.home_score)];
  if (row.away !== undefined || row.away_score !== undefined) sides.push(side(text(row.away), row.away_score));
  const isScored = row.home_score !== undefined || row.away_score !== undefined;
  const words = [sides.join(isScored ? ", " : " against ")];
  words.push(heardWords(row, time, clockTime).replaceAll(" · ", ", "), correction(row), qualityWords(row, feeds, time));
  return words.filter(Boolean).join(", ");
}

const ageing = (row) => !isOver(row) && isUnknown(row.quality);

/** How far a game can be trusted, in words; "" for live ones and for results, which stay. */
export const qualityWords = (row, feeds, time) => (isOver(row) ? "" : format.qualityWords(row, feeds, time));

/** That a score was taken back, and what it was; "" otherwise. */
export const correction = (row) => (row.correction === undefined ? "" : `Correction: ${text(row.correction)}`);

/**
 * What a side has just scored, in a word; "" when that is nothing: first sight, another game, or a correction.
 * @param {object} old the row as it was last shown
 * @param {"home_score"|"away_score"} field
 */
export function gain(old, row, field) {
  const [from, to] = [number(old[field]), number(row[field])];
  const isSame = old.home === row.home && old.away === row.away;
  if (from === null || to === null || to <= from || !isSame || row.correction !== undefined) return "";
  const isGoal = to - from === 1 && row.last_event !== old.last_event && /\bgoal\b/i.test(text(row.last_event));
  return isGoal ? "Goal" : `+${format.count(to - from)}`;
}

/**
 * The scores of the latest periods, as columns of a table.
 * @returns {{label: string, name: string, home: string, away: string}[]} `name` is `label` in full
 */
export function periods({ periods, period }) {
  if (!Array.isArray(periods)) return [];
  const [isOvertime, which] = /(\d*)\s*OT\b/i.exec(text(period)) ?? [];
  const regular = isOvertime === undefined ? Infinity : Math.max(0, periods.length - (Number(which) || 1));
  const first = Math.max(0, periods.length - MOST_PERIODS);
  return periods.slice(first).map((scores, i) => {
    const [home, away] = Array.isArray(scores) ? scores : [];
    return { ...periodName(first + i, regular), home: text(home), away: text(away) };
  });
}

function periodName(index, regular) {
  if (index < regular) return { label: `${index + 1}`, name: `Period ${index + 1}` };
  const which = index - regular + 1;
  return which === 1 ? { label: "OT", name: "Overtime" } : { label: `${which}OT`, name: `Overtime ${which}` };
}
