/**
 * The single keys of this page. Pure.
 * @module keys
 */

/** Key, the command it gives, and what that does, in the order in which help tells them. */
export const KEYS = [
  ["/", "filter", "Filter the rows"],
  ["p", "pause", "Pause or resume"],
  ["r", "rate", "Next update rate: live, 1 s, 5 s, 30 s"],
  ["s", "star", "Star the row in focus"],
  ["a", "alert", "Set an alert on the row in focus"],
  ["c", "view", "Columns, lists and export"],
  ["l", "running", "Running games only"],
  ["f", "feeds", "Feeds and their state"],
  [",", "settings", "Settings"],
  ["?", "help", "This help"],
];

const COMMANDS = new Map(KEYS.map(([key, command]) => [key, command]));

/** Where letters are text: there they give no command. */
const isTyping = (target) =>
  target?.isContentEditable === true || ["INPUT", "TEXTAREA", "SELECT"].includes(target?.tagName);

/**
 * The command that a key gives, or null. Digits choose a board: "board 1" is the first.
 * @param {KeyboardEvent} event
 * @param {boolean} areOn single keys can be switched off (WCAG 2.2, 2.1.4); Esc is none of them.
 */
export function command({ key, target, ctrlKey, metaKey, altKey, isComposing, defaultPrevented }, areOn) {
  if (defaultPrevented || ctrlKey || metaKey || altKey || isComposing) return null;
  if (key === "Escape") return "escape";
  if (!areOn || isTyping(target)) return null;
  if (/^[1-9]$/.test(key)) return `board ${key}`;
  return COMMANDS.get(key.length === 1 ? key.toLowerCase() : key) ?? null;
}
