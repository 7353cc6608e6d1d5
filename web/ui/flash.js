/**
 * A short tint of what changed, for people who have not asked for less motion.
 * @module flash
 */
const stillness = matchMedia("(prefers-reduced-motion: reduce)");
/** Long enough to be noticed in the corner of an eye, short enough not to pile up. */
const FLASH = { duration: 900, easing: "ease-out" };

/** A short tint of a cell, the same animation played again when values follow each other quickly. */
export class Flash {
  #element;
  #played = {};

  constructor(element) {
    this.#element = element;
  }

  /** @param {"up"|"down"} direction */
  play(direction) {
    if (stillness.matches) return;
    for (const animation of Object.values(this.#played)) animation.cancel();
    const tint = { backgroundColor: [`var(--flash-${direction})`, "transparent"] };
    const animation = (this.#played[direction] ??= this.#element.animate(tint, FLASH));
    animation.play();
  }
}
