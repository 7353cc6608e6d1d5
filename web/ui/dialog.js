/**
 * The frame that all dialogs share, and the few controls they are made of.
 * @module dialog
 */
import { loadStyle, make, mark, write, writeCut } from "./dom.js";

/** What is focused first: the first control, and of radio buttons the one that is chosen. */
const FIRST = ":is(input, select, button, textarea):not(:disabled, [type=radio]:not(:checked))";

let styled = null;

/** Loads the style sheet of dialogs and messages once; where it cannot be had, they work without it. */
export function style() {
  styled ??= loadStyle(new URL("./dialogs.css", import.meta.url)).catch(() => {
    styled = null; // the next dialog tries again
  });
  return styled;
}

let made = 0;
const newId = () => `control-${(made += 1)}`;

/**
 * Shows a modal dialog with a title and content. Escape, the button and a click beside it close it; the focus goes back.
 * @returns {Promise<HTMLDialogElement|null>} null when a dialog is open already.
 */
export async function show(title, ...content) {
  await style();
  if (document.querySelector("dialog.panel")) return null;
  const heading = make("h2");
  writeCut(heading, title);
  heading.id = newId();
  const close = button("✕", () => dialog.close(), "Close");
  const body = make("div", "panel-body", ...content);
  const dialog = make("dialog", "panel", make("header", "", heading, close), body);
  dialog.setAttribute("aria-labelledby", heading.id);
  dialog.setAttribute("closedby", "any");
  document.body.append(dialog);
  (body.querySelector(FIRST) ?? body).autofocus = true;
  if (body.autofocus) scrollable(body, heading.id);
  dialog.addEventListener("close", () => {
    placeVoice(); // first: it would go with the dialog
    dialog.remove();
  });
  dialog.showModal();
  placeVoice();
  return dialog;
}

/** Like `show`, where people choose: says above all else when what they choose does not last. */
export async function showChoices({ settings, say }, title, ...content) {
  const problem = make("p", "hint", settings.problem);
  problem.dataset.problem = "yes";
  const dialog = await show(title, problem, ...content);
  const stop = settings.on("problem", (words) => {
    write(problem, words);
    if (words) say(words);
  });
  if (dialog === null) stop();
  else dialog.addEventListener("close", stop);
  return dialog;
}

/** Content without controls is scrolled by the keyboard only when it can have the focus. */
function scrollable(body, label) {
  body.tabIndex = 0;
  body.setAttribute("role", "region");
  body.setAttribute("aria-labelledby", label);
}

/** All outside a modal dialog is hidden from screen readers: the region that speaks to them is kept in the one on top. */
export function placeVoice() {
  const voice = document.getElementById("announcer");
  const place = [...document.querySelectorAll("dialog:modal")].at(-1) ?? document.body;
  if (voice && voice.parentNode !== place) place.append(voice);
}

/** A button; `name` is what it is called where its words alone do not say it. */
export function button(words, run, name = "") {
  const element = make("button", "", words);
  element.type = "button";
  if (name) element.setAttribute("aria-label", name);
  element.addEventListener("click", run);
  return element;
}

/** A part of a dialog, under a heading. */
export function section(title, ...content) {
  const heading = make("h3", "", title);
  heading.id = newId();
  const element = make("section", "", heading, ...content);
  element.setAttribute("aria-labelledby", heading.id);
  return element;
}

/** One of a few: `options` are [value, words, more content]; `choose` gets the value. */
export function choice(title, options, current, choose) {
  const name = newId();
  const radios = options.map(([value, words, ...more]) => {
    const radio = make("input");
    Object.assign(radio, { type: "radio", name, value, checked: value === current });
    radio.addEventListener("change", () => choose(value));
    return make("label", "option", radio, make("span", "", words), ...more);
  });
  return make("fieldset", "", make("legend", "", title), ...radios);
}

/** Yes or no; `change` gets the input, which it may set back. */
export function check(words, isOn, change) {
  const input = make("input");
  Object.assign(input, { type: "checkbox", checked: isOn });
  input.addEventListener("change", () => change(input));
  return make("label", "option", input, make("span", "", words));
}

/** A control with its label above and, below, a line of words: a hint, or a problem that the control has. */
export class Field {
  element;
  control;
  #words = make("p", "hint");

  constructor(words, control) {
    this.control = control;
    control.id = newId();
    this.#words.id = newId();
    this.#words.dir = "auto";
    control.setAttribute("aria-describedby", this.#words.id);
    const label = make("label", "", words);
    label.htmlFor = control.id;
    this.element = make("div", "field", label, control, this.#words);
  }

  hint(words) {
    this.#tell(words, "");
  }

  /** Says what is wrong and leads there; with "" nothing is. */
  problem(words) {
    this.#tell(words, words && "yes");
    if (words) this.control.focus();
  }

  #tell(words, isProblem) {
    write(this.#words, words);
    mark(this.#words, "problem", isProblem);
    this.control.setAttribute("aria-invalid", String(isProblem !== ""));
  }
}
