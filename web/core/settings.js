/**
 * What a person has chosen on this page, kept in the browser: one entry per setting, so that two tabs that change
 * different things do not undo each other.
 *
 * Works without storage, too: then choices last as long as the page, and `problem` says so.
 * @module settings
 */
import { isMap } from "./values.js";
import { RATES } from "./words.js";

/** Before each name in the storage: other programs may live at the same origin. */
const PREFIX = "ticker.";

/** Texts kept in the browser are bounded: a list of a thousand symbols has about 20,000 letters. */
const LONGEST = 200_000;

const isTexts = (value) => Array.isArray(value) && value.every((item) => typeof item === "string");
const oneOf = (...choices) => ({ first: choices[0], is: (value) => choices.includes(value) });
const flag = (first) => ({ first, is: (value) => typeof value === "boolean" });
const byBoard = (is) => ({ first: {}, is: (value) => isMap(value) && Object.values(value).every(is) });
const isColumns = (value) => isMap(value) && isTexts(value.order) && isTexts(value.hidden);
const isLists = (value) => isMap(value) && Object.values(value).every(isTexts);
const isAlert = (value) => isMap(value) && typeof value.board === "string" && typeof value.symbol === "string";

/** Every setting: what it is at first, and what a value must be; anything else was saved by another version. */
const SETTINGS = {
  rate: oneOf(...RATES),
  /** Colours for up and down. */
  colours: oneOf("green-red", "blue-orange", "red-up"),
  density: oneOf("comfortable", "compact"),
  /** Whether single keys do something. */
  shortcuts: flag(true),
  /** Alerts may make a sound, and may use the system's notifications. */
  sound: flag(false),
  notifications: flag(false),
  /** Scores: only running games. */
  liveOnly: flag(false),
  /** Board -> {order, hidden}: fields. */
  columns: byBoard(isColumns),
  /** Board -> {name of a list: symbols}. The stars are the list named "". */
  lists: byBoard(isLists),
  /** Board -> name of the list it is narrowed to; absent: all rows. */
  list: byBoard((value) => typeof value === "string"),
  /** Board -> leagues that are folded. */
  folded: byBoard(isTexts),
  alerts: { first: [], is: (value) => Array.isArray(value) && value.every(isAlert) },
};

export class Settings {
  #storage;
  #values = new Map();
  #listeners = new Map();
  #unsaved = new Set(); // names whose choice the storage did not take
  /** Why choices do not last, in words; "" while they do. */
  problem = "";

  /** @param {() => Storage} storage gives the storage; may throw, as browsers do where it is blocked. */
  constructor(storage) {
    try {
      this.#storage = storage();
      for (const name of Object.keys(SETTINGS)) this.#read(name);
    } catch {
      this.#storage = null;
      this.problem = "This browser keeps no data for this page: choices last until it is closed";
    }
  }

  get(name) {
    return this.#values.has(name) ? this.#values.get(name) : SETTINGS[name].first;
  }

  /** Like `get`, with what another tab has chosen a moment ago, before this one hears of it. */
  fresh(name) {
    if (this.#storage === null || this.#unsaved.has(name)) return this.get(name);
    if (this.#storage.getItem(PREFIX + name) !== JSON.stringify(this.get(name))) this.#readAgain(name);
    return this.get(name);
  }

  /** Keeps a choice, and tells whoever listens. Values are never changed in place. */
  set(name, value) {
    if (!SETTINGS[name].is(value)) throw new TypeError(`setting ${name}: ${JSON.stringify(value)}`);
    this.#values.set(name, value);
    this.#write(name, JSON.stringify(value));
    this.#tell(name, value);
  }

  /**
   * Calls `tell` with the new value whenever a setting changes, here or in another tab; as "problem", with the new one.
   * @returns {() => void} ends it
   */
  on(name, tell) {
    this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), tell]);
    return () => this.#listeners.set(name, this.#listeners.get(name).filter((other) => other !== tell));
  }

  #tell(name, value) {
    for (const tell of this.#listeners.get(name) ?? []) tell(value);
  }

  /** Follows what other tabs of this page choose. */
  follow(window) {
    window.addEventListener("storage", ({ key, storageArea }) => {
      const name = key?.slice(PREFIX.length);
      if (storageArea !== this.#storage || !key?.startsWith(PREFIX) || !Object.hasOwn(SETTINGS, name)) return;
      this.#readAgain(name);
      this.#tell(name, this.get(name));
    });
  }

  #read(name) {
    const text = this.#storage.getItem(PREFIX + name);
    if (text === null) return;
    const value = parsed(text);
    if (SETTINGS[name].is(value)) this.#values.set(name, value);
    else this.#setAside(name, text);
  }

  /** Nothing is lost: another version may read it. Where there is no room it stays until this setting is chosen. */
  #setAside(name, text) {
    try {
      this.#storage.setItem(`${PREFIX}${name}.old`, text);
    } catch {
      // the other settings can be read all the same
    }
  }

  #readAgain(name) {
    this.#values.delete(name);
    this.#unsaved.delete(name);
    this.#read(name);
  }

  #write(name, text) {
    if (this.#storage === null) return;
    const before = this.problem;
    try {
      if (text.length > LONGEST) throw new RangeError(name);
      this.#storage.setItem(PREFIX + name, text);
      this.#unsaved.delete(name);
      this.problem = "";
    } catch {
      this.#unsaved.add(name);
      this.problem = "The browser's storage is full: this choice lasts until the page is closed";
    }
    if (this.problem !== before) this.#tell("problem", this.problem);
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
