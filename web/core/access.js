/**
 * The token that the page's address has, where viewers need one: `?token=...`.
 * @module access
 */
import { without } from "./route.js";

const KEY = "ticker.token";

/**
 * Takes the token out of the address, where others could read it, and keeps it for as long as the tab is open.
 * @param {{location: Location, history: History}} window
 * @param {() => Storage} storage gives the storage; may throw, as browsers do where it is blocked
 * @returns {string|null} that token, or the one that is kept
 */
export function takeToken({ location, history }, storage) {
  const given = new URLSearchParams(location.search).get("token");
  if (given !== null) {
    history.replaceState(history.state, "", `${location.pathname}${without(location.search, "token")}${location.hash}`);
  }
  try {
    const kept = storage();
    if (given) kept.setItem(KEY, given);
    return given || kept.getItem(KEY);
  } catch {
    return given || null; // it counts until the page is loaded again
  }
}

/** Whether an HTTP status says that a token is missing or does not count. */
export const isRefusal = (status) => status === 401 || status === 403;
