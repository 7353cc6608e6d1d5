/**
 * Close codes by name, as far as more than the protocol itself must know them.
 * @module codes
 */

/** Of a viewer that has no token, or one that does not count (any more). */
export const NOT_ALLOWED = 4501;

/** Of a viewer that says too much, or watches nothing. */
export const LIMIT = 4503;
