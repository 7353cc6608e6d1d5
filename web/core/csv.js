/**
 * A table as comma-separated values (RFC 4180), for spreadsheets. Pure.
 * @module csv
 */

/** Spreadsheets take text that begins like this for a formula, which could send data away; so do full-width forms. */
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/;

/** Numbers that came as text stay numbers, also with a sign. */
const NUMBER = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;

function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  let text = typeof value === "object" ? JSON.stringify(value) : String(value);
  if (FORMULA.test(text) && !NUMBER.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/**
 * Writes a header line and one line per row, numbers with all their digits.
 * @param {{field: string, label: string}[]} columns
 * @param {object[]} rows maps field -> value
 */
export function csv(columns, rows) {
  const lines = [columns.map(({ label }) => label), ...rows.map((row) => columns.map(({ field }) => row[field]))];
  return lines.map((cells) => `${cells.map(cell).join(",")}\r\n`).join("");
}
