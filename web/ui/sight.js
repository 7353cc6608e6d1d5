/**
 * Which elements are on the screen, or nearly.
 * @module sight
 */

/** So far beyond the edge an element counts as seen: it is up to date before a finger brings it in. */
const MARGIN = "300px";

export class Sight {
  #seen = new WeakSet();
  #observer;

  /** @param {() => void} appeared is called when elements come into sight. */
  constructor(appeared) {
    this.#observer = new IntersectionObserver(
      (entries) => {
        for (const { target, isIntersecting } of entries) {
          if (isIntersecting) this.#seen.add(target);
          else this.#seen.delete(target);
        }
        if (entries.some((entry) => entry.isIntersecting)) appeared();
      },
      { rootMargin: MARGIN },
    );
  }

  watch(element) {
    this.#observer.observe(element);
  }

  leave(element) {
    this.#observer.unobserve(element);
  }

  has(element) {
    return this.#seen.has(element);
  }
}
