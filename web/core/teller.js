/**
 * Of all tabs of this page one tells what is to be told once: the one that was looked at last.
 *
 * A lock of the browser says which; where there are no locks, as on pages without https, every tab tells.
 * @module teller
 */

const NAME = "ticker.alerts";

/** A lock is held until its tab is closed or another tab takes it over. */
const FOREVER = new Promise(() => {});

export class Teller {
  #locks;
  #began = () => {};
  #hold = null; // what makes this tab the one that tells; another one with each request
  #isQueued = false; // at most one request waits, however often people go from tab to tab

  /** @param {LockManager|undefined} locks `navigator.locks` */
  constructor(locks) {
    this.#locks = locks;
  }

  /** Whether this tab tells. */
  get isTelling() {
    return this.#hold !== null;
  }

  /** Follows whether anybody looks at this tab; `began` is called each time it begins to tell. */
  follow(document, began) {
    this.#began = began;
    if (this.#locks === undefined) return this.#begin(Symbol("no locks"));
    document.addEventListener("visibilitychange", () => this.#look(document));
    this.#look(document);
    if (document.visibilityState === "hidden") this.#queue();
  }

  #look({ visibilityState }) {
    if (visibilityState === "visible" && !this.isTelling) this.#request({ steal: true });
  }

  /** Waits until the tab that tells is closed. */
  #queue() {
    if (!this.#isQueued) this.#request({});
    this.#isQueued = true;
  }

  async #request(options) {
    const hold = Symbol("lock");
    try {
      await this.#locks.request(NAME, options, () => {
        if (!options.steal) this.#isQueued = false;
        this.#begin(hold);
        return FOREVER;
      });
    } catch (error) {
      if (error.name !== "AbortError") this.#begin(hold); // this page may have no locks
      else if (this.#hold === hold) this.#end(); // unless this tab took over from itself
    }
  }

  #begin(hold) {
    const isNew = !this.isTelling;
    this.#hold = hold;
    if (isNew) this.#began();
  }

  #end() {
    this.#hold = null;
    this.#queue();
  }
}
