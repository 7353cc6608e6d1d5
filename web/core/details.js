/**
 * Everything a board knows about one row, in words. Pure: times come in.
 * @module details
 */
import { KINDS, kindOf, labelOf } from "./fields.js";
import * as format from "./format.js";

/** Fields that the head of the drawer shows, or that only steer how others are shown. */
const ELSEWHERE = {
  quotes: ["name", "quality", "last", "change", "change_pct"],
  scores: [
    "quality", "home", "away", "home_score", "away_score", "status", "period", "periods", "clock", "clock_at",
    "clock_rate", "last_event", "correction",
  ],
};

/** More fields than these nobody reads; a source may send any number. */
const MOST = 100;

/** The column of a field: as the board says it, otherwise as its name does. */
export function column(store, field) {
  const given = store.columns.find((other) => other.field === field);
  return { field, kind: [given?.kind, kindOf(field)].find(format.isKind), label: format.text(given?.label ?? labelOf(field)), digits: given?.digits };
}

/** The fields of a row that its head does not show: the board's columns first, then what else is known, then the rest. */
export function fields(store, row) {
  const all = [...store.columns.map(({ field }) => field), ...Object.keys(KINDS).filter((f) => f in row), ...Object.keys(row)];
  const shown = [...new Set(all)].filter((field) => !ELSEWHERE[store.layout].includes(field));
  return shown.slice(0, MOST).map((field) => column(store, field));
}

/** A value of such a field. Prices without decimals of their own take on those of the price that is followed. */
export function value(store, row, { field, kind, digits }, now) {
  if (kind === "time") return format.number(row[field]) === null ? format.text(row[field]) : format.shortTime(row[field], now);
  const inherited = kind === "price" ? column(store, store.trackedField).digits : undefined;
  const guess = kind ?? (typeof row[field] === "number" ? "number" : "text");
  return format.cell(row[field], { field, kind: guess, digits: digits ?? inherited }, row.last);
}

const capital = (words) => words[0].toUpperCase() + words.slice(1);
const ago = (at, now) => `${format.age(now - at)} ago`;

/** How far a row can be trusted, and how old it is. */
export function trust(row, changedAt, now) {
  const words = capital(format.quality(row.quality) || "live");
  return changedAt === null ? words : `${words}, last change ${ago(changedAt, now)}`;
}

/** When a row last changed, as far as this page knows. */
export const changeWords = (changedAt, now) =>
  changedAt === null ? "No change seen on this page yet" : `Last change here at ${format.clock(changedAt)}, ${ago(changedAt, now)}`;

/** Where the page stands, when that makes the row older than it looks; "" while it is live. */
export function connectionWords({ kind, paused }, at) {
  if (kind === "live" && !paused) return "";
  return `${paused ? "Paused" : "Not live"}${at === null ? "" : `, as of ${format.clock(at)}`}`;
}

/** The two teams of a game, or its symbol. */
export function title(store, symbol, row) {
  if (store.layout !== "scores" || row?.home === undefined) return symbol;
  return `${format.text(row.home)} – ${format.text(row.away)}`;
}
