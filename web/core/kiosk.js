/**
 * What a screen on the wall shows, and when. Pure: times and sizes come in.
 * @module kiosk
 */

/** How long a page stays, in seconds: at least long enough to be read, at most a day. */
const SECONDS = { first: 20, least: 3, most: 86_400 };

/** The ring on which the picture wanders, in pixels: seen by the screen, not by people. */
const RING = [[0, 0], [2, 1], [3, 3], [1, 4], [-1, 4], [-3, 3], [-4, 1], [-2, 0]];

/**
 * @param {string} search of the address
 * @returns {{boards: string[], seconds: number, theme: ""|"light"|"dark"}} `boards` is empty for all.
 */
export function parameters(search) {
  const given = new URLSearchParams(search);
  const named = given.getAll("boards").flatMap((text) => text.split(",")).map((name) => name.trim());
  const seconds = Number.parseFloat(given.get("seconds"));
  const theme = given.get("theme");
  return {
    boards: [...new Set(named.filter(Boolean))],
    seconds: Number.isNaN(seconds) ? SECONDS.first : Math.min(SECONDS.most, Math.max(SECONDS.least, seconds)),
    theme: theme === "light" || theme === "dark" ? theme : "",
  };
}

/** The address of the ordinary page, for whoever leaves the wall. */
export function left(address) {
  const url = new URL(address);
  for (const name of ["kiosk", "boards", "seconds", "theme"]) url.searchParams.delete(name);
  return url.href;
}

/** The boards that take turns: those that are wanted and there; all, when none of them is there. */
export function rotation(wanted, there) {
  const both = wanted.filter((name) => there.includes(name));
  return both.length > 0 ? both : there;
}

/**
 * What comes after a page: the next page of its board, then the next board.
 * @param {{board: string, page: number}} turn
 * @param {string[]} boards that take turns, one at least
 * @param {number} pages of the board that is shown
 */
export function following({ board, page }, boards, pages) {
  if (boards.includes(board) && page + 1 < pages) return { board, page: page + 1 };
  return { board: boards[(boards.indexOf(board) + 1) % boards.length], page: 0 };
}

/**
 * Cuts a long list into pages without cutting through anything.
 * @param {{from: number, to: number}[]} boxes places of rows or cards, from the top; those side by side share a place
 * @param {number} room height of a page
 * @returns {{from: number, to: number}[]} one page at least; a box that is higher than the room has one for itself
 */
export function pagesOf(boxes, room) {
  const pages = [];
  for (const { from, to } of boxes) {
    const page = pages.at(-1);
    if (page && (from === page.last || to - page.from <= room)) {
      page.to = Math.max(page.to, to);
      page.last = from;
    } else {
      pages.push({ from, to, last: from });
    }
  }
  if (pages.length === 0) return [{ from: 0, to: 0 }];
  return pages.map(({ from, to }) => ({ from, to }));
}

/** Where the picture lies in a minute, in pixels to the right and down: no pixel of a screen shows one thing for ever. */
export const shift = (minute) => RING[minute % RING.length];
