/**
 * What an embedded view is asked for by its address, and which rows that means. Pure: nothing in an address throws.
 * @module embed
 */
/** Symbols that are shown at most: a frame is small, and every one costs its page. */
const MOST = 200;

const list = (texts) => [...new Set(texts.flatMap((text) => text.split(",")).map((s) => s.trim()).filter(Boolean))];

const oneOf = (value, ...choices) => (choices.includes(value) ? value : "");

/**
 * @param {string} search of the address
 * @returns {{board: string, symbols: string[], columns: string[], theme: ""|"light"|"dark", ground: ""|"none"}}
 */
export function parameters(search) {
  const given = new URLSearchParams(search);
  return {
    board: given.get("board") ?? "",
    symbols: list(given.getAll("symbols")).slice(0, MOST),
    columns: list(given.getAll("columns")),
    theme: oneOf(given.get("theme"), "light", "dark"),
    ground: oneOf(given.get("ground"), "none"),
  };
}

/** The symbols to show, in order: those that were asked for, whether they are there or not; otherwise the first rows. */
export function chosen(symbols, rows, most = MOST) {
  return symbols.length > 0 ? symbols : [...rows.keys()].slice(0, most);
}

/** The columns of a table: those that were asked for, in that order; otherwise all but the least important. */
export function columnsFor(fields, planned) {
  if (fields.length === 0) return planned.filter(({ rank }) => rank !== "third");
  return fields.map((field) => planned.find((column) => column.field === field)).filter(Boolean);
}

/** What was asked for and is not there, in words; "" when all is there. */
export function missingWords(wanted, { columns, rows }) {
  const fields = wanted.columns.filter((field) => !columns.some((column) => column.field === field));
  const symbols = wanted.symbols.filter((symbol) => !rows.has(symbol));
  const words = [];
  if (symbols.length > 0) words.push(`Not on this board: ${symbols.join(", ")}`);
  if (fields.length > 0) words.push(`No such column: ${fields.join(", ")}`);
  return words.join(". ");
}
