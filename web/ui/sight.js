/**
 * Which rows of a long table are on the screen, or nearly, when every row is as high as the others.
 *
 * Layout is read only after something moved, and before anything is written.
 * @module sight
 */

/** So far beyond the edge a row counts as seen, in pixels: it is up to date before a finger brings it in. */
const MARGIN = 300;

/** The height of a row until one has been measured, in pixels. */
const USUAL_HEIGHT = 38;

/** Those whose region was in the page when last seen: removed ones are let go at once or, if empty, with the next one. */
const present = new Set();

for (const type of ["scroll", "resize"]) window.addEventListener(type, () => note(present), { passive: true });

const note = (sights) => sights.forEach((sight) => sight.note());

export class Sight {
  /** The height of a row, in pixels. */
  height = USUAL_HEIGHT;
  /** Whether that is the height of the rows as they are now. */
  isMeasured = false;
  #region;
  #body;
  #moved;
  #isMoved = true;
  #top = 0; // of what is visible, from the first row's top
  #bottom = 0;
  #sizes = new ResizeObserver(() => {
    this.isMeasured = false; // other letters, for one, make other rows
    this.note();
  });

  /**
   * @param {Element} region what scrolls, unless the page does
   * @param {Element} body holds the rows, and something of the same height for each row that is not in the page
   * @param {() => void} moved is called when other rows may be seen
   */
  constructor(region, body, moved) {
    this.#region = region;
    this.#body = body;
    this.#moved = moved;
    region.addEventListener("scroll", () => this.note(), { passive: true });
    this.#sizes.observe(region);
  }

  /** Notes that the page may look different. */
  stir() {
    this.#isMoved = true;
  }

  /** Notes that the page looks different; forgets it when the region is no longer there. */
  note() {
    if (!this.#region.isConnected) present.delete(this);
    this.#isMoved = true;
    this.#moved();
  }

  /** Measures the rows; returns whether their height is another. */
  measure(row) {
    this.isMeasured = true;
    const before = this.height;
    this.height = row.getBoundingClientRect().height || before;
    this.#isMoved ||= this.height !== before;
    return this.height !== before;
  }

  /** The part of `count` rows that is seen or nearly seen, from `first` up to but not including `end`. */
  span(count) {
    this.#look();
    const first = Math.floor((this.#top - MARGIN) / this.height);
    const end = Math.ceil((this.#bottom + MARGIN) / this.height);
    const from = Math.max(0, Math.min(first, count - 1));
    return { first: from, end: Math.max(from, Math.min(end, count)) };
  }

  /** The first row that is surely on the screen, and how many fit there. */
  get page() {
    this.#look();
    const rows = Math.floor((this.#bottom - this.#top) / this.height);
    return { first: Math.max(0, Math.ceil(this.#top / this.height)), rows: Math.max(1, rows) };
  }

  /** Scrolls so far that the row would be in the middle. */
  scrollTo(index) {
    this.#isMoved = true;
    this.#look();
    const distance = (index + 0.5) * this.height - (this.#top + this.#bottom) / 2;
    if (this.#region.scrollHeight > this.#region.clientHeight) this.#region.scrollBy({ top: distance, behavior: "instant" });
    else window.scrollBy({ top: distance, behavior: "instant" });
    this.#isMoved = true;
  }

  #look() {
    this.#follow();
    if (!this.#isMoved) return;
    this.#isMoved = false;
    const region = this.#region.getBoundingClientRect();
    const origin = this.#body.getBoundingClientRect().top;
    this.#top = Math.max(0, region.top) - origin;
    this.#bottom = Math.max(this.#top, Math.min(window.innerHeight, region.bottom) - origin);
  }

  /** Follows the page's own scrolling, and the size of the table, as long as the region is in the page. */
  #follow() {
    if (present.has(this) || !this.#region.isConnected) return;
    note(present); // those that have gone, go
    present.add(this);
    for (const part of this.#region.children) this.#sizes.observe(part);
  }
}
