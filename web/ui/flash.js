/**
 * A short tint of what changed, for people who have not asked for less motion.
 * @module flash
 */
const stillness = matchMedia("(prefers-reduced-motion: reduce)");
/** Long enough to be noticed in the corner of an eye, short enough not to pile up. */
const FLASH = { duration: 900, easing: "ease-out" };

/** Between two flashes of one cell: fewer than three in any second (WCAG 2.2, 2.3.1). */
const GAP_MS = 500;

/** Tints at one time: where everything changes at once a tint tells nothing, and each costs a paint in every frame. */
const MOST = 24;

/** When the tints that are shown now end, the first to end first. */
const ends = [];

/** A short tint of a cell, the same animation played again when values follow each other quickly. */
export class Flash {
  #element;
  #played = {};
  #playedAt = -Infinity;

  constructor(element) {
    this.#element = element;
  }

  /** @param {"up"|"down"} direction */
  play(direction) {
    const now = performance.now();
    if (stillness.matches || now - this.#playedAt < GAP_MS) return;
    while (ends[0] <= now) ends.shift();
    if (ends.length >= MOST) return;
    ends.push(now + FLASH.duration);
    this.stop();
    this.#playedAt = now;
    const tint = { backgroundColor: [`var(--flash-${direction})`, "transparent"] };
    const animation = (this.#played[direction] ??= this.#element.animate(tint, FLASH));
    animation.play();
  }

  /** Ends the tint: the cell is another row's now. */
  stop() {
    for (const animation of Object.values(this.#played)) animation.cancel();
  }
}
