/**
 * What fields with a well-known name are, and what people read above them: as in the server's `ticker/fields.py`. Pure.
 * @module fields
 */

/** Kinds of fields, in the order in which a row is told. */
export const KINDS = {
  open: "price", high: "price", low: "price", previous_close: "price", bid: "price", ask: "price", bid_size: "volume",
  ask_size: "volume", volume: "volume", quote_volume: "volume", currency: "text", venue: "text", time: "time",
  start: "time", league: "text", last: "price", change: "price", change_pct: "percent",
};

/** Labels that do not follow from the name. */
const LABELS = {
  change_pct: "Change %", previous_close: "Prev. close", quote_volume: "Turnover", periods: "Period scores",
};

/** The kind of a field; undefined where its name says nothing. */
export const kindOf = (field) => (Object.hasOwn(KINDS, field) ? KINDS[field] : undefined);

export function labelOf(field) {
  if (Object.hasOwn(LABELS, field)) return LABELS[field];
  const words = field.replaceAll("_", " ");
  return words.slice(0, 1).toUpperCase() + words.slice(1).toLowerCase();
}
