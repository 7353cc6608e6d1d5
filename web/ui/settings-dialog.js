/**
 * What a person can choose for all boards.
 * @module settings-dialog
 */
import { RATES } from "../core/settings.js";
import { check, choice, section, show } from "./dialog.js";
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
export function open({ settings }) {
  const problem = make("p", "hint");
  problem.dataset.problem = "yes";
  const set = (name, value) => {
    settings.set(name, value);
    write(problem, settings.problem);
  };
  write(problem, settings.problem);
  const colours = COLOURS.map(([value, words]) => [value, words, sample(value)]);
  return show(
    "Settings",
    problem,
    choice("Updates", RATES.map((rate) => [rate, rateWords(rate)]), settings.get("rate"), (value) => set("rate", value)),
    choice("Colours for up and down", colours, settings.get("colours"), (value) => set("colours", value)),
    density(settings, set),
    section("Alerts", sound(settings, set), ...notifications(settings, set)),
    section(
      "Keyboard",
      check("Single keys do something, such as p for pause", settings.get("shortcuts"), ({ checked }) =>
        set("shortcuts", checked),
      ),
    ),
  );
}

/** How close rows are: chosen here and beside the columns. */
export function density(settings, set = (name, value) => settings.set(name, value)) {
  return choice("Density", DENSITIES, settings.get("density"), (value) => set("density", value));
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

function sound(settings, set) {
  return check("Sound", settings.get("sound"), ({ checked }) => {
    set("sound", checked);
    if (checked) tone();
  });
}

/** The browser is asked only by this click, and its answer is told in words. */
function notifications(settings, set) {
  const words = make("p", "hint");
  const isOn = settings.get("notifications") && globalThis.Notification?.permission === "granted";
  const box = check("Notifications of the system, while this tab is hidden", isOn, async (input) => {
    if (input.checked) await globalThis.Notification?.requestPermission();
    input.checked &&= globalThis.Notification?.permission === "granted";
    set("notifications", input.checked);
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
