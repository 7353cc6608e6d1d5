/**
 * What a chart shows of the history of a value, and the words for it. Pure: times and formats come in.
 * @module chart
 */
import * as format from "./format.js";

const MINUTE = 60_000;

/** How much of the end of a history can be looked at, in milliseconds. */
export const RANGES = [
  { label: "All", length: Infinity },
  { label: "1 h", length: 60 * MINUTE },
  { label: "15 min", length: 15 * MINUTE },
  { label: "5 min", length: 5 * MINUTE },
];

/** A history of one moment is drawn as one of a quarter of a minute. */
const SHORTEST = MINUTE / 4;

/** No axis can tell values beyond this apart: where they are, a line has a gap. */
const LARGEST = 1e30;

/** A line is not drawn steeper than a span of this part of the value: the last digit's noise is no mountain. */
const LEAST_SPAN = 0.001;

/** Room above and below a line, as a part of its span. */
const ROOM = 0.08;

/** A previous close is on the picture when that costs the line at most half of the height. */
const NEAR = 1;

/** The range of Date, ECMA-262 section 21.4.1.1. */
const LATEST = 8.64e15;

/** Steps between the lines of a price axis: each can be written with as many decimals as its power of ten has. */
export const STEPS = Array.from({ length: 42 }, (_, i) => [1, 2, 5].map((digit) => Number(`${digit}e${i - 12}`))).flat();

/** Decimals with which multiples of a step can be told apart, at least `digits`. */
export const decimals = (step, digits) =>
  Math.min(12, Math.max(Number.isInteger(digits) ? digits : 2, Math.ceil(-Math.log10(step) - 1e-9)));

const drawable = (value) => (typeof value === "number" && Math.abs(value) < LARGEST ? value : null);

/** Points of a server's history that can be used: in order, with times that are times. */
export function points(history) {
  const [at, value] = [[], []];
  if (!Array.isArray(history?.at) || !Array.isArray(history.value)) return { at, value };
  history.at.forEach((time, i) => {
    if (!(time > 0 && time <= LATEST && time >= (at.at(-1) ?? 0))) return;
    at.push(time);
    value.push(drawable(history.value[i]));
  });
  return { at, value };
}

/**
 * The end of a history, and what there is to say of it. A value holds until the next: so it begins with the value that
 * held at its beginning, and ends at `until`, the time up to which the rows are known.
 * @param {{at: number[], value: (number|null)[]}} series
 * @param {number} length of a range, in milliseconds
 * @returns {{from, until, at, value, first, last, low, high}} the last four null where no value is known
 */
export function cut({ at, value }, length, until) {
  const end = Math.max(until ?? 0, at.at(-1) ?? 0);
  const from = Math.min(length === Infinity ? (at[0] ?? end) : end - length, end - SHORTEST);
  const begin = at.findIndex((time) => time >= from);
  const index = begin < 0 ? at.length : begin;
  const part = { from, until: end, at: at.slice(index), value: value.slice(index).map(drawable) };
  if (index > 0 && part.at[0] !== from) {
    part.at.unshift(from);
    part.value.unshift(drawable(value[index - 1]));
  }
  if (at.length > 0 && part.at.at(-1) < end) {
    part.at.push(end);
    part.value.push(part.value.at(-1));
  }
  const known = part.value.filter((v) => v !== null);
  const [first, last] = [known[0] ?? null, known.at(-1) ?? null];
  const [low, high] = known.length ? [Math.min(...known), Math.max(...known)] : [null, null];
  return { ...part, first, last, low, high };
}

/** The lowest and highest value of the picture; with the reference, where that is near. */
export function bounds({ low, high }, reference) {
  if (low === null) return [0, 1];
  const isNear = reference !== null && Math.max(high, reference) - Math.min(low, reference) <= (1 + NEAR) * (high - low);
  const [bottom, top] = isNear ? [Math.min(low, reference), Math.max(high, reference)] : [low, high];
  const middle = bottom / 2 + top / 2;
  const span = Math.max(top - bottom, Math.abs(middle) * LEAST_SPAN) || 1;
  return [middle - span * (0.5 + ROOM), middle + span * (0.5 + ROOM)];
}

/** The index of the last point at or before a time; 0 when all are later. */
export function indexAt(at, time) {
  const after = at.findIndex((other) => other > time);
  return Math.max(0, (after < 0 ? at.length : after) - 1);
}

/** A point in words. */
export function pointWords(at, value, write) {
  return `${format.clock(at)}: ${value === null || value === undefined ? "not known" : write(value)}`;
}

/** The picture in words, for those who do not see it. */
export function words(symbol, { at, value, until, first, last, low, high }, write) {
  if (first === null) return `${symbol}: no history yet`;
  const since = format.shortTime(at[value.indexOf(first)], until);
  return `${symbol} since ${since}: from ${write(first)} to ${write(last)}, low ${write(low)}, high ${write(high)}`;
}
