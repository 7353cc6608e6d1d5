/**
 * Values into words and figures. Pure; every function accepts anything a source may send.
 *
 * The page is English, so its figures are too: mixing languages misleads readers and screen readers.
 * @module format
 */

const LOCALE = "en";
const MINUS = "\u2212"; // as wide as + in tabular figures, and read as "minus"
export const MISSING = "–";

export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Figures beyond these cannot be read as plain digits in a column. */
const LARGEST_PLAIN = 1e10;
const LARGEST_COMPACT = 1e15;
const SMALLEST_PLAIN = 1e-12;

/** Significant figures that a price keeps: small ones spend their width on zeros. */
const significant = (value) => (value >= 1 ? 6 : value >= 0.001 ? 4 : 3);

const formatters = new Map();

/** Intl objects are costly to build: one per set of options is kept. The sets are few and fixed. */
function cached(Type, options) {
  const key = Type.name + JSON.stringify(options);
  if (!formatters.has(key)) formatters.set(key, new Type(LOCALE, options));
  return formatters.get(key);
}

const plain = (value, least, most) =>
  cached(Intl.NumberFormat, { minimumFractionDigits: least, maximumFractionDigits: most }).format(value);

/** Always as many figures as told, so that a count does not change its width with each change: 10.0M, 10.1M. */
const compact = (value, figures) =>
  cached(Intl.NumberFormat, {
    notation: "compact",
    minimumSignificantDigits: value < 1_000 ? 1 : figures,
    maximumSignificantDigits: figures,
  }).format(value);

/** A finite number, or null. Sources send numbers as text, too. */
export function number(value) {
  if (typeof value === "string" && value.trim() !== "") value = Number(value);
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/** Any value as one line of text. */
export function text(value) {
  if (value === null || value === undefined || value === "") return MISSING;
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** Applies `write` to a number's absolute value, and puts the sign in front; what is no number stays as text. */
function signed(value, write, plus = "") {
  const figure = number(value);
  if (figure === null) return text(value);
  const digits = write(Math.abs(figure));
  const isZero = !/[1-9]/.test(digits);
  return (isZero ? "" : figure < 0 ? MINUS : plus) + digits;
}

function magnitude(value, least, most) {
  if (value >= LARGEST_COMPACT || (value > 0 && value < SMALLEST_PLAIN)) {
    return value.toExponential(2).replace("-", MINUS);
  }
  return value >= LARGEST_PLAIN ? compact(value, 4) : plain(value, least, most);
}

/**
 * A price whose column names no decimals gets as many as the size of a `reference` needs: two to twelve. Between 0.001
 * and 1 it keeps its last zeros, so that 0.1240 is as wide as 0.1242.
 */
function adaptive(value, reference = value) {
  const needed = reference === 0 ? 2 : significant(reference) - 1 - Math.floor(Math.log10(reference));
  const most = Math.max(2, Math.min(12, needed));
  return magnitude(value, reference >= 0.001 && reference < 1 ? most : 2, most);
}

/** As many decimals as the column names; more for a price that they would show as nothing. */
function fixed(value, digits) {
  return value > 0 && value < 0.5 / 10 ** digits ? adaptive(value) : magnitude(value, digits, digits);
}

const decimals = (digits) => (Number.isInteger(digits) ? Math.max(0, Math.min(12, digits)) : null);

/** A price: `digits` decimals, or as many as it needs. */
export function price(value, digits) {
  const places = decimals(digits);
  return signed(value, places === null ? adaptive : (figure) => fixed(figure, places));
}

/** A change of a price: with + or −, and the decimals of the column or of the price that changed. */
export function change(value, digits, changed) {
  const places = decimals(digits);
  const reference = Math.abs(number(changed) ?? number(value) ?? 0);
  return signed(value, (f) => (places === null ? adaptive(f, reference) : magnitude(f, places, places)), "+");
}

const percentFigure = (digits) => {
  const places = decimals(digits) ?? 2;
  return (value) => `${magnitude(value, places, places)}%`;
};

/** Per cent, of a value that is in per cent already. */
export const percent = (value, digits) => signed(value, percentFigure(digits));

/** A change in per cent: with + or −. */
export const changePercent = (value, digits) => signed(value, percentFigure(digits), "+");

/** A count in short: 1.23M. */
export const volume = (value) =>
  signed(value, (figure) => (figure >= LARGEST_COMPACT ? figure.toExponential(2) : compact(figure, 3)));

/** A plain number: `digits` decimals, or at most four. */
export const count = (value, digits) => {
  const places = decimals(digits);
  return signed(value, (figure) => magnitude(figure, places ?? 0, places ?? 4));
};

const CLOCK = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };

function moment(at, options) {
  const time = number(at);
  if (time === null || Math.abs(time) > 8.64e15) return null; // the range of Date, ECMA-262 section 21.4.1.1
  return cached(Intl.DateTimeFormat, options).format(time);
}

/** Local time of day with seconds, of epoch milliseconds. */
export const clock = (at) => moment(at, { ...CLOCK, second: "2-digit" }) ?? text(at);

/** Local time in short; with the date when that is not the day of `now`. */
export function shortTime(at, now) {
  const day = { day: "numeric", month: "short" };
  const today = moment(at, day) === moment(now, day);
  return moment(at, today ? CLOCK : { ...CLOCK, ...day }) ?? text(at);
}

/** How long something is ago or lasts, in words. */
export function age(ms) {
  if (!(ms >= SECOND)) return "a moment";
  const [size, unit] = ms < MINUTE ? [SECOND, "s"] : ms < HOUR ? [MINUTE, "min"] : ms < DAY ? [HOUR, "h"] : [DAY, "d"];
  return `${Math.floor(ms / size)} ${unit}`;
}

const COLUMN_KINDS = { price, percent, volume, number: count, time: clock };

/** Whether values can be written by such a kind; of any other the value itself tells how. */
export const isKind = (kind) => kind === "text" || Object.hasOwn(COLUMN_KINDS, kind);

/** Columns whose figures are movements: shown with a sign and a direction. */
export const isChange = ({ field, kind }) =>
  /change|chg|delta/i.test(field) && (kind === "price" || kind === "number" || kind === "percent");

/** The text of a value in a column; `last` is the price of the row, whose decimals its change takes on. */
export function cell(value, column, last) {
  if (value === null || value === undefined) return MISSING;
  if (isChange(column) && column.kind === "percent") return changePercent(value, column.digits);
  if (isChange(column)) return change(value, column.digits, last);
  const write = Object.hasOwn(COLUMN_KINDS, column.kind) ? COLUMN_KINDS[column.kind] : text;
  return write(value, column.digits);
}

/** Qualities worth a word beside a row; live is the absence of one. */
const QUALITIES = ["delayed", "closed", "stale", "down"];

/** The word for a row's quality; "" when it is live. */
export const quality = (value) => (QUALITIES.includes(value) ? value : "");

/** Below this an age says nothing: sources answer every few seconds. Below a minute it is told in these steps. */
const AGE_STEP = 10 * SECOND;

const feedTime = (word, feeds) => {
  const known = Object.values(feeds).filter((feed) => number(feed?.at) !== null);
  const alike = known.filter((feed) => feed.quality === word);
  return Math.min(...(alike.length ? alike : known).map((feed) => number(feed.at)));
};

/** By how much sources are late by contract, in milliseconds; 0 where they do not say. */
const delayOf = (feeds) => Math.max(0, ...Object.values(feeds).map((feed) => number(feed?.delay) ?? 0));

/**
 * A row's quality with its age, "stale 3 min"; "" when it is live. A delayed row says by how much its source is late.
 * The row's own time tells its age; where it has none, the oldest feed of its quality, but not of a delayed row: its
 * feed was read a moment ago.
 * @param {number} now the server's time in epoch milliseconds
 */
export function qualityWords(row, feeds, now) {
  const word = quality(row.quality);
  if (word === "" || word === "closed") return word;
  if (word === "delayed" && delayOf(feeds) > 0) return `${word} ${age(delayOf(feeds))}`;
  const ms = now - (number(row.time) ?? (word === "delayed" ? Infinity : feedTime(word, feeds)));
  if (!(ms >= AGE_STEP && ms < Infinity)) return word;
  return `${word} ${age(ms < MINUTE ? ms - (ms % AGE_STEP) : ms)}`;
}

/** The day's range in words. */
export const rangeWords = ({ low, high }, digits) => `Low ${price(low, digits)}, high ${price(high, digits)}`;
