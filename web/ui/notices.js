/**
 * What operators tell the viewers, below the rows, which so stay where they are. Each notice can be dismissed.
 * @module notices
 */
import { make, mark, write } from "./dom.js";

/** Notices that are shown at once: beyond that nobody reads them, and they would hide the rows. */
const MOST = 5;

/** Dismissed ones that are remembered. */
const MOST_DISMISSED = 200;

const KEY = "ticker.dismissed";

export class NoticeBar {
  #warnings;
  #infos;
  #client;
  #request;
  #dismissed;
  #shown = new Map(); // by id: element, the words in it, level, the place where it is

  /**
   * @param {HTMLElement} warnings told at once to who hears the page
   * @param {HTMLElement} infos told when there is time
   * @param {{client: object, request(): void}} context
   * @param {() => Storage} storage remembers what was dismissed; may throw
   */
  constructor(warnings, infos, { client, request }, storage) {
    this.#warnings = warnings;
    this.#infos = infos;
    this.#client = client;
    this.#request = request;
    this.#dismissed = new Dismissed(storage);
  }

  /** Shows what is valid now for a board. */
  paint(board) {
    const notices = this.#client.notices(board).filter(({ id }) => !this.#dismissed.has(id)).slice(0, MOST);
    const wanted = new Map(notices.map((notice) => [notice.id, notice]));
    for (const [id, { level }] of this.#shown) if (wanted.get(id)?.level !== level) this.#remove(id);
    for (const notice of notices) if (!this.#shown.has(notice.id)) this.#add(notice);
    for (const { id, text } of notices) write(this.#shown.get(id).words, text);
    for (const place of [this.#warnings, this.#infos]) this.#order(place, notices);
  }

  /** Puts new notices into their places; those that are there stay, as somebody may be reading them. */
  #order(place, notices) {
    let next = place.firstElementChild;
    for (const { id } of notices) {
      const { element, at } = this.#shown.get(id);
      if (at !== place) continue;
      if (element === next) next = next.nextElementSibling;
      else place.insertBefore(element, next);
    }
  }

  #add({ id, level }) {
    const words = make("span", "notice-words");
    words.dir = "auto";
    const button = make("button", "close", "×");
    button.type = "button";
    button.setAttribute("aria-label", "Dismiss this notice");
    button.addEventListener("click", () => this.#dismiss(id));
    const element = make("p", "notice-line", make("b", "", level === "warning" ? "Warning" : "Notice"), words, button);
    mark(element, "level", level);
    this.#shown.set(id, { element, words, level, at: level === "warning" ? this.#warnings : this.#infos });
  }

  /** The focus goes on to the next notice, as far as there is one. */
  #dismiss(id) {
    this.#dismissed.add(id);
    const { element } = this.#shown.get(id);
    const next = element.nextElementSibling ?? element.previousElementSibling;
    this.#remove(id);
    next?.querySelector("button").focus();
    this.#request(); // of more than are shown another one comes
  }

  #remove(id) {
    this.#shown.get(id).element.remove();
    this.#shown.delete(id);
  }
}

/** Ids of notices that somebody has read: remembered until the tab is closed. */
class Dismissed {
  #storage = null;
  #ids = new Set();

  constructor(storage) {
    try {
      this.#storage = storage();
      const ids = JSON.parse(this.#storage.getItem(KEY) ?? "[]");
      if (Array.isArray(ids)) this.#ids = new Set(ids);
    } catch {
      // then they are remembered until the page is loaded again
    }
  }

  has(id) {
    return this.#ids.has(id);
  }

  add(id) {
    this.#ids = new Set([...this.#ids, id].slice(-MOST_DISMISSED));
    try {
      this.#storage?.setItem(KEY, JSON.stringify([...this.#ids]));
    } catch {
      // no room: as above
    }
  }
}
