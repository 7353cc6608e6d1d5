/**
 * A line of what arrived, newest at the right edge.
 * @module sparkline
 */
import { HISTORY_POINTS } from "./store.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 120;
const HEIGHT = 24;
/** Keeps the stroke of the highest and lowest point inside the picture. */
const MARGIN = 2;

/** The path of some points: a flat line lies in the middle; "" for fewer than two points. */
export function path(points, capacity = HISTORY_POINTS, width = WIDTH, height = HEIGHT) {
  if (points.length < 2) return "";
  const low = Math.min(...points) / 2; // halves, as the span of two absurd values may overflow
  const span = Math.max(...points) / 2 - low;
  const step = (width - 2 * MARGIN) / (capacity - 1);
  const left = width - MARGIN - step * (points.length - 1);
  const y = (value) => (span > 0 ? MARGIN + (1 - (value / 2 - low) / span) * (height - 2 * MARGIN) : height / 2);
  return points.map((value, i) => `${i ? "L" : "M"}${(left + i * step).toFixed(1)} ${y(value).toFixed(1)}`).join("");
}

/** The picture in a cell; figures beside it tell the same, so it is hidden from screen readers. */
export class Sparkline {
  element = document.createElementNS(SVG, "svg");
  #line = document.createElementNS(SVG, "path");

  constructor() {
    this.element.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.element.setAttribute("preserveAspectRatio", "none");
    this.element.setAttribute("aria-hidden", "true");
    this.element.classList.add("sparkline");
    this.element.append(this.#line);
  }

  draw(points) {
    this.#line.setAttribute("d", path(points));
    const rise = points.length ? points.at(-1) - points[0] : 0;
    this.element.dataset.direction = rise > 0 ? "up" : rise < 0 ? "down" : "";
  }
}
