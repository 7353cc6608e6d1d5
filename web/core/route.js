/**
 * The address bar: `?q=FILTER#/BOARD/SYMBOL`. Pure.
 * @module route
 */

const decoded = (text) => {
  try {
    return decodeURIComponent(text);
  } catch {
    return ""; // a stray % names nothing
  }
};

/**
 * What an address asks for; "" for what it does not name. A symbol may have slashes in it, BTC/USD has.
 * @param {{hash: string, search: string}} location
 */
export function parse({ hash, search }) {
  const [, board = "", symbol = ""] = /^#\/?([^/]*)(?:\/(.*))?$/.exec(hash) ?? [];
  return { board: decoded(board), symbol: decoded(symbol), filter: new URLSearchParams(search).get("q") ?? "" };
}

/** The part after # that names a board, and a row of it. */
export const hash = (board, symbol = "") =>
  `#/${encodeURIComponent(board)}${symbol === "" ? "" : `/${encodeURIComponent(symbol)}`}`;

/** The part after ? with another filter: other parameters stay as they are. */
export function search(before, filter) {
  return changed(before, "q", filter);
}

/** The part after ? without a parameter. */
export const without = (before, name) => changed(before, name, "");

function changed(before, name, value) {
  const parameters = new URLSearchParams(before);
  if (value === "") parameters.delete(name);
  else parameters.set(name, value);
  const text = parameters.toString().replace(/=(?=&|$)/g, ""); // ?kiosk stays ?kiosk
  return text && `?${text}`;
}
