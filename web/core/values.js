/**
 * What values of messages and of the storage are. Pure.
 * @module values
 */

export const isMap = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** Whether the values of a row of such a quality are not known: a line has a gap there. */
export const isUnknown = (quality) => quality === "stale" || quality === "down";

/** The figure of a field of a row; null where it has none, or where it is not known. */
export const figure = (row, field) => (Number.isFinite(row[field]) && !isUnknown(row.quality) ? row[field] : null);
