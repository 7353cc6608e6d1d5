/**
 * Short messages in a corner, for those who see; for those who listen, the same words go to the page's one voice.
 * @module toasts
 */
import { button, style } from "./dialog.js";
import { make } from "./dom.js";

/** More at once would cover the page; the oldest goes first: it had the most time, and was said aloud. */
const MOST = 3;

/** Long enough to read two lines; held under the pointer, with the focus inside and while the tab is hidden. */
const SHOWN_MS = 10_000;

/** Between two tones: a run of goals is one occasion to look up. */
const TONE_GAP_MS = 5_000;

/** Two notes, the second a fourth higher, in hertz; each so long, in seconds. */
const NOTES = [660, 880];
const NOTE_S = 0.12;

/** A note begins and ends softly, at a part of the full volume. */
const VOLUME = 0.12;

let audio = null;

/** Plays two short notes. Before somebody has touched the page browsers keep it silent: then nothing is heard. */
export function tone() {
  try {
    audio ??= new AudioContext();
    audio.resume().catch(() => {});
  } catch {
    return; // no sound on this machine
  }
  NOTES.forEach((frequency, i) => {
    const begin = audio.currentTime + i * NOTE_S;
    const gain = new GainNode(audio, { gain: 0 });
    gain.gain.setTargetAtTime(VOLUME, begin, NOTE_S / 8);
    gain.gain.setTargetAtTime(0, begin + NOTE_S * 0.6, NOTE_S / 4);
    const note = new OscillatorNode(audio, { frequency });
    note.connect(gain).connect(audio.destination);
    note.start(begin);
    note.stop(begin + 3 * NOTE_S);
  });
}

/** The messages of a page: made by whoever needs them first, the same for all. */
export const toastsOf = (context) => (context.toasts ??= new Toasts(context, context.request));

export class Toasts {
  element = make("ol", "toasts");
  /** Alerts that came while nobody looked, for the title of the tab. */
  unseen = 0;
  #context;
  #changed;
  #shown = []; // {element, tag, timer}, oldest first; at most MOST
  #isPointed = false;
  #before = null; // what had the focus before it came here
  #tonedAt = -Infinity;

  /**
   * @param {{settings: object, say(words: string): void}} context
   * @param {() => void} changed is called when `unseen` is another
   */
  constructor(context, changed = () => {}) {
    this.#context = context;
    this.#changed = changed;
    this.element.setAttribute("aria-label", "Messages");
    this.element.hidden = true;
    this.element.addEventListener("pointerenter", () => this.#point(true));
    this.element.addEventListener("pointerleave", () => this.#point(false));
    this.element.addEventListener("focusin", ({ relatedTarget }) => this.#enter(relatedTarget));
    this.element.addEventListener("focusout", () => this.#time());
    this.element.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("visibilitychange", () => this.#look());
    for (const type of ["toggle", "close"]) document.addEventListener(type, () => this.#place(), true);
    style();
    this.#place();
  }

  /**
   * Shows a message.
   * @param {string} words
   * @param {object} options
   * @param {{label: string, run: () => void}} [options.action] a button beside the words
   * @param {string} [options.tag] a newer message with the same tag takes the place of this one
   * @param {boolean} [options.isAlert] counts as unseen, may sound and may use the system's notifications
   */
  show(words, { action, tag, isAlert = false } = {}) {
    this.#context.say(words);
    const same = tag === undefined ? -1 : this.#shown.findIndex((toast) => toast.tag === tag);
    if (same >= 0) this.#remove(this.#shown[same]);
    else if (this.#shown.length >= MOST) this.#remove(this.#shown[0]);
    const toast = { tag, timer: null };
    toast.element = this.#make(words, action, toast);
    this.#shown.push(toast);
    this.element.append(toast.element);
    this.element.hidden = false;
    this.#place();
    this.#time();
    if (isAlert) this.#alert(words, action, tag);
  }

  #make(words, action, toast) {
    const text = make("p", "", words);
    text.dir = "auto";
    const act = () => {
      this.#remove(toast);
      action.run();
    };
    const actions = action ? [button(action.label, act, `${action.label}: ${words}`)] : [];
    return make("li", "toast", text, ...actions, button("✕", () => this.#remove(toast), `Dismiss: ${words}`));
  }

  /** Takes a message away; focus that was in it goes to the next one, or where it came from. */
  #remove(toast) {
    clearTimeout(toast.timer);
    const hadFocus = toast.element.contains(document.activeElement);
    this.#shown = this.#shown.filter((other) => other !== toast);
    toast.element.remove();
    this.element.hidden = this.#shown.length === 0;
    if (this.element.hidden) this.#isPointed = false; // what is hidden tells no pointer goodbye
    if (hadFocus) (this.#shown.at(-1)?.element.querySelector("button") ?? this.#before)?.focus();
    this.#time();
  }

  /** Starts the time of what is shown, or holds it. */
  #time() {
    const hasFocus = this.element.matches(":focus-within");
    const isHeld = this.#isPointed || hasFocus || document.visibilityState === "hidden";
    for (const toast of this.#shown) {
      if (isHeld) {
        clearTimeout(toast.timer);
        toast.timer = null;
      } else {
        toast.timer ??= setTimeout(() => this.#remove(toast), SHOWN_MS);
      }
    }
  }

  #point(isPointed) {
    this.#isPointed = isPointed;
    this.#time();
  }

  #enter(from) {
    if (from !== null && !this.element.contains(from)) this.#before = from;
    this.#time();
  }

  #key(event) {
    if (event.key !== "Escape") return;
    event.preventDefault(); // the dialog it is shown in stays open
    event.stopPropagation(); // and the page has no use for this Escape
    const toast = this.#shown.find(({ element }) => element.contains(event.target));
    if (toast) this.#remove(toast);
  }

  #look() {
    if (document.visibilityState === "visible" && this.unseen > 0) this.#count(0);
    this.#time();
  }

  #count(unseen) {
    this.unseen = unseen;
    this.#changed();
  }

  /** All outside a modal dialog can be neither seen well nor clicked: messages are shown inside it. */
  #place() {
    const home = [...document.querySelectorAll("dialog:modal")].at(-1) ?? document.body;
    if (this.element.parentElement !== home) home.append(this.element);
  }

  #alert(words, action, tag) {
    const { settings } = this.#context;
    const isHidden = document.visibilityState === "hidden";
    if (isHidden) this.#count(this.unseen + 1);
    const now = performance.now();
    if (settings.get("sound") && now - this.#tonedAt >= TONE_GAP_MS) {
      this.#tonedAt = now;
      tone();
    }
    if (settings.get("notifications") && isHidden) notify(words, action, tag);
  }
}

/** Uses the system's notifications, where the browser allows it; two tabs with the same news show it once. */
function notify(words, action, tag) {
  if (globalThis.Notification?.permission !== "granted") return;
  try {
    const notification = new Notification(words, { tag: tag ?? words });
    notification.addEventListener("click", () => {
      window.focus();
      action?.run();
      notification.close();
    });
  } catch {
    // phones allow it only to installed pages; the message in the page is there anyway
  }
}
