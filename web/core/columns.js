/**
 * Which columns a quotes table has, how long each stays as the screen narrows, and how it orders rows. Pure.
 * @module columns
 */
import * as format from "./format.js";

const FIGURES = ["price", "number", "percent", "volume", "time"];
const KINDS = [...FIGURES, "text", "clock"];

/** Fields that are part of a row's head, not columns of their own. */
const HEAD_FIELDS = ["symbol", "name", "quality"];

/** The column of the symbols. */
export const HEAD = { field: "", label: "Symbol", kind: "text" };

/** How many columns stay on the narrowest screen, and on a middling one. */
export const FIRST = 2;
const SECOND = 4;

const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

export const isFigure = ({ kind }) => FIGURES.includes(kind);

/** A column that says nothing of its kind is one of numbers when the first value there is one. */
function guess(field, rows) {
  for (const row of rows.values()) {
    if (row[field] !== undefined) return typeof row[field] === "number" ? "number" : "text";
  }
  return "text";
}

function importance(column) {
  if (column.field === "last") return 0;
  if (column.hasArrow) return 1;
  if (column.isChange) return 2;
  return column.kind === "volume" ? 3 : 4;
}

/**
 * The columns a table shows, in the order of the board.
 * @param {import("./store.js").BoardStore} store
 * @returns {object[]} field, label, kind, digits; isChange, hasArrow, hasFlash; rank "first", "second" or "third".
 */
export function plan({ columns, rows }) {
  const shown = columns
    .filter(({ field }) => !HEAD_FIELDS.includes(field))
    .map((column) => ({
      field: column.field,
      label: format.text(column.label ?? column.field),
      kind: KINDS.includes(column.kind) ? column.kind : guess(column.field, rows),
      digits: column.digits,
      isChange: format.isChange(column),
    }));
  const arrow = shown.find((c) => c.isChange && c.kind === "percent") ?? shown.find((c) => c.isChange);
  const hasLast = shown.some(({ field }) => field === "last");
  for (const column of shown) {
    column.hasArrow = column === arrow;
    column.hasFlash = column.kind === "price" && !column.isChange && (!hasLast || column.field === "last");
  }
  [...shown]
    .sort((a, b) => importance(a) - importance(b))
    .forEach((column, i) => (column.rank = i < FIRST ? "first" : i < SECOND ? "second" : "third"));
  return shown;
}

/**
 * Compares two values of a column, for Array.prototype.sort, which is stable (ECMA-262 section 23.1.3.30): rows with
 * equal values stay in the order of the board. Missing values are last, whichever the direction.
 * @param {"ascending"|"descending"} direction
 */
export function compare(a, b, column, direction) {
  const figures = isFigure(column);
  const value = (v) => (figures ? format.number(v) : v === undefined || v === null ? null : format.text(v));
  const [left, right] = [value(a), value(b)];
  if (left === null || right === null) return (left === null) - (right === null);
  const order = figures ? left - right : collator.compare(left, right);
  return direction === "ascending" ? order : -order;
}
