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

export class Sight {
  /** The height of a row, in pixels. */
  height = USUAL_HEIGHT;
  #region;
  #body;
  #moved;
  #isMoved = true;
  #top = 0; // of what is visible, from the first row's top
  #bottom = 0;
  #isFollowing = false;

  /**
   * @param {Element} region what scrolls, unless the page does
   * @param {Element} body holds the rows, and something of the same height for each row that is not in the page
   * @param {() => void} moved is called when other rows may be seen
   */
  constructor(region, body, moved) {
    this.#region = region;
    this.#body = body;
    this.#moved = moved;
    region.addEventListener("scroll", this.#note, { passive: true });
    new ResizeObserver(this.#note).observe(region);
  }

  /** Notes that the page may look different. */
  stir() {
    this.#isMoved = true;
  }

  /** Measures the rows; returns whether their height is another. */
  measure(row) {
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

  /** Follows the page's own scrolling, as long as the region is in it. */
  #follow() {
    if (this.#isFollowing || !this.#region.isConnected) return;
    this.#isFollowing = true;
    const ending = new AbortController();
    const options = { passive: true, signal: ending.signal };
    const note = () => {
      this.#isFollowing = this.#region.isConnected;
      if (this.#isFollowing) this.#note();
      else ending.abort();
    };
    for (const type of ["scroll", "resize"]) window.addEventListener(type, note, options);
  }

  #note = () => {
    this.#isMoved = true;
    this.#moved();
  };
}
