/**
 * What a person can choose for all boards.
 * @module settings-dialog
 */
import { RATES } from "../core/words.js";
import { check, choice, section, showChoices } from "./dialog.js";
import { make, write } from "./dom.js";
import { tone } from "./toasts.js";

const COLOURS = [
  ["green-red", "Green up, red down"],
  ["blue-orange", "Blue up, orange down"],
  ["red-up", "Red up, green down"],
];

const DENSITIES = [
  ["comfortable", "Comfortable"],
  ["compact", "Compact"],
];

function rateWords(rate) {
  if (rate === "live") return "Every change";
  return rate === "1" ? "Once a second" : `Every ${rate} seconds`;
}

/** Opens the settings. */
export function open(context) {
  const { settings } = context;
  const chosen = (title, name, options) =>
    choice(title, options, settings.get(name), (value) => settings.set(name, value));
  return showChoices(
    context,
    "Settings",
    chosen("Updates", "rate", RATES.map((rate) => [rate, rateWords(rate)])),
    chosen("Colours for up and down", "colours", COLOURS.map(([value, words]) => [value, words, sample(value)])),
    density(settings),
    section("Alerts", sound(settings), ...notifications(settings)),
    section(
      "Keyboard",
      check("Single keys do something, such as p for pause", settings.get("shortcuts"), ({ checked }) =>
        settings.set("shortcuts", checked),
      ),
    ),
  );
}

/** How close rows are: chosen here and beside the columns. */
export function density(settings) {
  return choice("Density", DENSITIES, settings.get("density"), (value) => settings.set("density", value));
}

function sample(colours) {
  const part = (direction, words) => {
    const element = make("span", "", words);
    element.dataset.direction = direction;
    return element;
  };
  const element = make("span", "sample", part("up", "▲ +1.24%"), " ", part("down", "▼ −0.87%"));
  element.dataset.colours = colours;
  element.setAttribute("aria-hidden", "true"); // the words before it say the same
  return element;
}

function sound(settings) {
  return check("Sound", settings.get("sound"), ({ checked }) => {
    settings.set("sound", checked);
    if (checked) tone();
  });
}

/** The browser is asked only by this click, and its answer is told in words. */
function notifications(settings) {
  const words = make("p", "hint");
  const isOn = settings.get("notifications") && globalThis.Notification?.permission === "granted";
  const box = check("Notifications of the system, while this tab is hidden", isOn, async (input) => {
    if (input.checked) await globalThis.Notification?.requestPermission();
    input.checked &&= globalThis.Notification?.permission === "granted";
    settings.set("notifications", input.checked);
    write(words, answer());
  });
  const input = box.querySelector("input");
  words.id = "notifications-answer";
  input.setAttribute("aria-describedby", words.id);
  write(words, answer());
  return [box, words];
}

function answer() {
  if (!globalThis.isSecureContext) return "Browsers allow notifications only to pages with an https address.";
  switch (globalThis.Notification?.permission) {
    case "granted":
      return "The browser allows notifications of this page.";
    case "denied":
      return "The browser blocks notifications of this page; its own settings for this site can change that.";
    case "default":
      return "The browser will ask whether this page may.";
    default:
      return "This browser has no notifications for pages.";
  }
}
