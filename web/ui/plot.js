/**
 * The picture of a history, drawn by uPlot: the only module that knows that library.
 * @module plot
 */
import { STEPS, bounds, decimals, indexAt } from "../core/chart.js";
import { loadScript, loadStyle, make, mark } from "./dom.js";
import * as format from "../core/format.js";

const LIBRARY = new URL("../vendor/uplot/", import.meta.url);

/** Pixels. */
const HEIGHT = 208;
const TIME_SPACE = 76;
const PRICE_SPACE = 36;
const FIGURE = 7;
const WIDTH = 1.5;
const FONT = "12px system-ui, sans-serif";

const SECONDS = 60_000;
const NOWHERE = { left: -10, top: -10 };

/** Does something once, and again when it is asked for again after it failed. */
function once(work) {
  let working = null;
  return () =>
    (working ??= work().catch((error) => {
      working = null;
      throw error;
    }));
}

const style = once(() => loadStyle(new URL("uPlot.min.css", LIBRARY)));
const script = once(() => loadScript(new URL("uPlot.iife.min.js", LIBRARY)));

/** Loads the library, once; rejects when it is not installed, and then tries again when it is asked again. */
export async function load() {
  await Promise.all([style(), script()]);
  return globalThis.uPlot ?? Promise.reject(new Error("uPlot is not there"));
}

export class Plot {
  element = make("div", "plot");
  #uPlot;
  #plot = null;
  #part = null;
  #reference = null;
  #column;
  #pointed; // called when the cursor moves
  #hovered = null;
  #pinned = null; // the time at which the keys put the cursor
  #ink = {};
  #size = new ResizeObserver(() => this.#plot?.setSize({ width: this.element.clientWidth, height: HEIGHT }));

  constructor(uPlot, pointed) {
    this.#uPlot = uPlot;
    this.#pointed = pointed;
    this.element.tabIndex = 0;
    this.element.setAttribute("role", "img");
    this.element.addEventListener("keydown", (event) => this.#key(event));
    this.element.addEventListener("pointermove", (event) => this.#pointer(event));
    this.element.addEventListener("blur", () => this.#pin(null));
    this.#size.observe(this.element);
  }

  /** The index of the point under the cursor; null when it points at nothing. */
  get index() {
    return this.#pinned === null ? this.#hovered : indexAt(this.#part.at, this.#pinned);
  }

  /**
   * @param part as of `cut`
   * @param {number|null} reference where the dashed line is
   * @param column of the prices: field, kind, digits
   */
  draw(part, reference, column) {
    this.#part = part;
    this.#reference = reference;
    this.#column = column;
    const rise = part.last === null ? 0 : part.last - (reference ?? part.first);
    mark(this.element, "direction", rise > 0 ? "up" : rise < 0 ? "down" : "");
    const style = getComputedStyle(this.element);
    for (const name of ["ink", "tint", "axis", "grid"]) this.#ink[name] = style.getPropertyValue(`--${name}`).trim();
    const data = [part.at, part.value];
    if (this.#plot === null) this.#plot = new this.#uPlot(this.#options(), data, this.element);
    else this.#plot.setData(data);
    if (this.#pinned !== null) queueMicrotask(() => this.#place()); // the library puts off its scales as long
  }

  /** Ends it: nothing of it stays in the page. */
  destroy() {
    this.#size.disconnect();
    this.#plot?.destroy();
    this.#plot = null;
    this.element.remove();
  }

  #options() {
    const ink = (name) => () => this.#ink[name];
    const lines = { stroke: ink("grid"), width: 1 };
    const axis = { stroke: ink("axis"), grid: lines, ticks: { show: false }, font: FONT };
    return {
      width: this.element.clientWidth,
      height: HEIGHT,
      ms: 1,
      padding: [8, 0, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false } },
      scales: { x: { range: () => [this.#part.from, this.#part.until] }, y: { range: () => bounds(this.#part, this.#reference) } },
      axes: [
        { ...axis, size: 28, space: TIME_SPACE, values: (_, times, __, ___, step) => this.#times(times, step) },
        {
          ...axis,
          side: 1,
          space: PRICE_SPACE,
          incrs: STEPS,
          size: (_, labels) => 12 + FIGURE * Math.max(4, ...(labels ?? []).map((label) => label.length)),
          values: (_, prices, __, ___, step) => this.#prices(prices, step),
        },
      ],
      series: [
        {},
        {
          stroke: ink("ink"),
          fill: ink("tint"),
          width: WIDTH,
          points: { show: false },
          paths: this.#uPlot.paths.stepped({ align: 1 }), // a price holds until the next
          gaps: (_, __, ___, ____, gaps) => gaps.map(([from, to]) => [from, to + WIDTH * devicePixelRatio]), // hides the step out of one
        },
      ],
      hooks: { draw: [() => this.#drawReference()], setCursor: [({ cursor }) => this.#hover(cursor.idx ?? null)] },
    };
  }

  #times(times, step) {
    const write = step < SECONDS ? format.clock : (time) => format.shortTime(time, this.#part.until);
    return times.map(write);
  }

  #prices(prices, step) {
    const column = { ...this.#column, digits: decimals(step, this.#column.digits) };
    return prices.map((price) => format.cell(price, column));
  }

  #drawReference() {
    const [low, high] = bounds(this.#part, this.#reference);
    if (this.#reference === null || this.#reference < low || this.#reference > high) return;
    const { ctx, bbox } = this.#plot;
    const y = Math.round(this.#plot.valToPos(this.#reference, "y", true));
    ctx.save();
    ctx.strokeStyle = this.#ink.axis;
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.restore();
  }

  #hover(index) {
    this.#hovered = index;
    this.#pointed(false);
  }

  /** A pointer takes the cursor from the keys; the library itself follows only mice. */
  #pointer({ pointerType, clientX }) {
    this.#pinned = null;
    if (pointerType === "mouse" || this.#plot === null) return;
    this.#plot.setCursor({ left: clientX - this.#plot.over.getBoundingClientRect().left, top: 0 });
  }

  #key(event) {
    const end = this.#part === null ? 0 : this.#part.at.length - 1;
    const from = this.index ?? end + 1;
    const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: end }[event.key];
    if (to === undefined || end < 0 || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    this.#pin(this.#part.at[Math.max(0, Math.min(end, to))]);
  }

  #pin(time) {
    if (time === this.#pinned) return;
    this.#pinned = time;
    this.#place();
    this.#pointed(time !== null);
  }

  #place() {
    if (this.#plot === null) return;
    const i = this.#pinned === null ? null : this.index;
    if (i === null) return this.#plot.setCursor(NOWHERE);
    const left = this.#plot.valToPos(this.#part.at[i], "x");
    this.#plot.setCursor({ left, top: 0 });
  }
}
