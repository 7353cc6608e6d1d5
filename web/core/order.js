/**
 * The order in which rows are shown: from what is known of them, never from the page. Pure.
 * @module order
 */
import { compare, sortKey } from "./columns.js";

/**
 * The symbols of rows that match, in the order of the board or of a sort.
 * @param {Map<string, object>} rows by symbol, in the order of the board
 * @param {(symbol: string, row: object) => boolean} matches
 * @param {{column: object, direction: "ascending"|"descending"}|null} sort
 * @returns {string[]}
 */
export function ordered(rows, matches, sort) {
  const symbols = [];
  for (const [symbol, row] of rows) if (matches(symbol, row)) symbols.push(symbol);
  if (sort === null) return symbols;
  const { column, direction } = sort;
  const keyed = symbols.map((symbol) => [symbol, sortKey(symbol, rows.get(symbol), column)]);
  return keyed.sort((a, b) => compare(a[1], b[1], direction)).map(([symbol]) => symbol);
}

/** The order as it was, without what is not wanted any more; what is new is at the end. */
export function kept(order, wanted) {
  const [before, after] = [new Set(order), new Set(wanted)];
  return [...order.filter((symbol) => after.has(symbol)), ...wanted.filter((symbol) => !before.has(symbol))];
}

export const same = (one, other) => one.length === other.length && one.every((symbol, i) => symbol === other[i]);
