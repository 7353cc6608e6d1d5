/**
 * The history of a value as a line: time from left to right, with a gap where the value was not known.
 * @module sparkline
 */
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 120;
const HEIGHT = 24;
/** Keeps the stroke of the highest and lowest point inside the picture. */
const MARGIN = 2;

/** The path of a series: a flat line lies in the middle; "" for fewer than two known values. */
export function path({ at, value }, width = WIDTH, height = HEIGHT) {
  const known = value.filter((v) => v !== null);
  if (known.length < 2) return "";
  const low = Math.min(...known) / 2; // halves, as the span of two absurd values may overflow
  const span = Math.max(...known) / 2 - low;
  const time = at.at(-1) - at[0];
  const x = (i) => MARGIN + (time > 0 ? (at[i] - at[0]) / time : i / (at.length - 1)) * (width - 2 * MARGIN);
  const y = (v) => (span > 0 ? MARGIN + (1 - (v / 2 - low) / span) * (height - 2 * MARGIN) : height / 2);
  const part = (v, i) => (v === null ? "" : `${value[i - 1] == null ? "M" : "L"}${x(i).toFixed(1)} ${y(v).toFixed(1)}`);
  return value.map(part).join("");
}

/** The picture in a cell; figures beside it tell the same, so it is hidden from screen readers. */
export class Sparkline {
  element = document.createElementNS(SVG, "svg");
  #line = document.createElementNS(SVG, "path");
  #drawn = [];

  constructor() {
    this.element.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.element.setAttribute("preserveAspectRatio", "none");
    this.element.setAttribute("aria-hidden", "true");
    this.element.classList.add("sparkline");
    this.element.append(this.#line);
  }

  /**
   * Draws a series unless it is the one drawn before: a path is the costliest part of a row.
   * @param {import("../core/series.js").Series|undefined} series
   */
  draw(series) {
    const state = [series, series?.length, series?.at.at(-1), series?.value.at(-1)];
    if (this.#drawn.length && state.every((part, i) => part === this.#drawn[i])) return;
    this.#drawn = state;
    this.#line.setAttribute("d", series ? path(series) : "");
    const known = series?.value.filter((value) => value !== null) ?? [];
    const rise = known.length ? known.at(-1) - known[0] : 0;
    this.element.dataset.direction = rise > 0 ? "up" : rise < 0 ? "down" : "";
  }
}
