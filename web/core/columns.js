/**
 * Which columns a quotes table has, how long each stays as the screen narrows, and how it orders rows. Pure.
 * @module columns
 */
import { kindOf, labelOf } from "./fields.js";
import * as format from "./format.js";

const FIGURES = ["price", "number", "percent", "volume", "time", "range"];
const KINDS = ["price", "number", "percent", "volume", "time", "text", "clock"];

/** Fields that are part of a row's head, not columns of their own. */
const HEAD_FIELDS = ["symbol", "name", "quality"];

/** The column of the symbols. */
export const HEAD = { field: "", label: "Symbol", kind: "text" };

/** Columns that are no field of a row: its history as a line, and where its price stands in the day's range. */
const TREND = { field: "trend", label: "Trend", kind: "trend" };
const RANGE = { field: "range", label: "Day range", kind: "range" };
const RANGE_FIELDS = ["last", "low", "high"];

/** How many columns stay on the narrowest screen, and on a middling one. */
export const FIRST = 2;
const SECOND = 4;

/** Rows that are asked which fields there are: sources send the same fields for all, or nearly. */
const SAMPLE = 200;

/** Fields beside the configured columns that are offered: more would not fit a menu. */
const MOST_EXTRAS = 60;

const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

export const isFigure = ({ kind }) => FIGURES.includes(kind);

/** A column that says nothing of its kind is one of numbers when the first value there is one. */
function guess(field, rows) {
  for (const row of rows.values()) {
    if (row[field] !== undefined) return typeof row[field] === "number" ? "number" : "text";
  }
  return "text";
}

function fieldsOf(rows) {
  const fields = new Set();
  let left = SAMPLE;
  for (const row of rows.values()) {
    for (const field of Object.keys(row)) fields.add(field);
    if (--left === 0) break;
  }
  return fields;
}

/** The columns of the board that are not part of a row's head. */
const named = ({ columns, rows }) =>
  columns
    .filter(({ field }) => !HEAD_FIELDS.includes(field))
    .map(({ field, label, kind, digits }) => ({
      field,
      label: format.text(label ?? field),
      kind: KINDS.includes(kind) ? kind : guess(field, rows),
      digits,
      shown: true,
    }));

/** The columns of the board with the two that are no fields: the line first, the range behind the movements. */
function withPictures(columns, fields) {
  const isTaken = (picture) => columns.some(({ field }) => field === picture.field);
  const place = columns.findLastIndex((column) => column.field === "last" || format.isChange(column));
  const hasRange = RANGE_FIELDS.every((field) => fields.has(field)) && !isTaken(RANGE);
  const digits = columns.find(({ field }) => field === "last")?.digits;
  const range = hasRange ? [{ ...RANGE, digits, shown: true }] : [];
  const trend = isTaken(TREND) ? [] : [{ ...TREND, shown: true }];
  return [...trend, ...columns.slice(0, place + 1), ...range, ...columns.slice(place + 1)];
}

/**
 * Every column a viewer can have, in the order shown: those of the board, and fields of the rows that the board has no
 * column for, which are hidden until they are asked for.
 * @param {import("./store.js").BoardStore} store
 * @param {{order: string[], hidden: string[]}} [choice] what the viewer chose; fields that are not there now are left out
 * @returns {{field: string, label: string, kind: string, digits: number|undefined, shown: boolean}[]}
 */
export function available(store, choice) {
  const fields = fieldsOf(store.rows);
  const all = withPictures(named(store), fields);
  const known = new Set([...HEAD_FIELDS, ...all.map(({ field }) => field)]);
  for (const field of [...fields].filter((name) => !known.has(name)).slice(0, MOST_EXTRAS)) {
    const kind = kindOf(field) ?? guess(field, store.rows);
    all.push({ field, label: labelOf(field), kind, digits: undefined, shown: false });
  }
  if (choice === undefined) return all;
  const place = new Map(choice.order.map((field, i) => [field, i]));
  const hidden = new Set(choice.hidden);
  for (const column of all) column.shown = (column.shown || place.has(column.field)) && !hidden.has(column.field);
  return all.sort((a, b) => (place.get(a.field) ?? Infinity) - (place.get(b.field) ?? Infinity) || 0);
}

function importance(column) {
  if (column.field === "last") return 0;
  if (column.hasArrow) return 1;
  if (column.isChange) return 2;
  if (column.kind === "volume") return 3;
  return column.kind === "range" ? 4 : 5;
}

/** Says of each column how it shows its values, and how long it stays as the screen narrows. */
function ranked(columns) {
  const all = columns.map(({ shown, ...column }) => ({ ...column, isChange: format.isChange(column) }));
  const arrow = all.find((c) => c.isChange && c.kind === "percent") ?? all.find((c) => c.isChange);
  const hasLast = all.some(({ field }) => field === "last");
  for (const column of all) {
    column.hasArrow = column === arrow;
    column.hasFlash = column.kind === "price" && !column.isChange && (!hasLast || column.field === "last");
  }
  all
    .filter(({ kind }) => kind !== TREND.kind) // stays or goes by a rule of its own
    .sort((a, b) => importance(a) - importance(b))
    .forEach((column, i) => (column.rank = i < FIRST ? "first" : i < SECOND ? "second" : "third"));
  return all;
}

/**
 * The columns of a board.
 * @param {import("./store.js").BoardStore} store
 * @returns {object[]} field, label, kind, digits; isChange, hasArrow, hasFlash; rank "first", "second" or "third".
 */
export const plan = (store) => ranked(named(store));

/**
 * The columns a viewer's table shows, in order: like `plan`, and with those of kind "trend" and "range".
 * @param {import("./store.js").BoardStore} store
 * @param {{order: string[], hidden: string[]}} [choice] what the viewer chose
 */
export const arrange = (store, choice) => ranked(available(store, choice).filter((column) => column.shown));

/** Where the price stands between the day's lowest (0) and highest (1); null when that is not known. */
export function placeInRange(row) {
  const [last, low, high] = RANGE_FIELDS.map((field) => format.number(row[field]));
  if (last === null || low === null || high === null) return null;
  const span = high / 2 - low / 2; // halves, as the span of two absurd values may overflow
  return span > 0 ? Math.min(1, Math.max(0, (last / 2 - low / 2) / span)) : 0.5;
}

/** What a row is ordered by in a column: a number, a text or, where it is missing, null. */
export function sortKey(symbol, row, column) {
  if (column.kind === "range") return placeInRange(row);
  const value = column.field === HEAD.field ? symbol : row[column.field];
  if (isFigure(column)) return format.number(value);
  return value === undefined || value === null ? null : format.text(value);
}

/**
 * Compares two keys of a column, for Array.prototype.sort, which is stable (ECMA-262 section 23.1.3.30): rows with
 * equal keys stay in the order of the board. Missing ones are last, whichever the direction.
 * @param {"ascending"|"descending"} direction
 */
export function compare(a, b, direction) {
  if (a === null || b === null) return (a === null) - (b === null);
  const order = typeof a === "number" ? a - b : collator.compare(a, b);
  return direction === "ascending" ? order : -order;
}
