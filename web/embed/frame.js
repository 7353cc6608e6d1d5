/**
 * What the embedded views share: the address, the connection, one paint per frame, and honest words.
 * @module frame
 */
import { Client } from "../client.js";
import { takeToken } from "../core/access.js";
import { parameters } from "../core/embed.js";
import * as format from "../core/format.js";
import { absentWords, announcement, emptyWords, stateWords } from "../core/words.js";
import { Announcer } from "../ui/announcer.js";
import { make, mark, write, writeCut } from "../ui/dom.js";

/** A paint comes at least this often: countdowns are told in seconds. */
const PAINT_MS = 1_000;

/** A frame has nobody who could load a newer page; not all of them come at once. */
const RELOAD_MS = 30_000;

/** Shows a board with a view of the class: `element`, and `paint(store, changes)`, which returns words or "". */
export function start(View) {
  const wanted = parameters(location.search);
  const root = document.documentElement;
  root.style.colorScheme = wanted.theme;
  mark(root, "ground", wanted.ground);
  const token = takeToken(window, () => sessionStorage);
  const client = new Client(new URL("../", document.baseURI).href, { token });
  const dashboard = `../#/${encodeURIComponent(wanted.board)}`;
  const words = new Words(client, dashboard);
  const view = new View(wanted, dashboard);
  document.body.append(make("main", "frame", view.element, words.element), words.region);
  if (!wanted.board) return words.say("This address names no board: add ?board=NAME");

  const store = client.watch(wanted.board);
  let missing = "";
  let frame = 0;
  let page = null; // the version that this page is, or is about to be
  const renew = () => {
    const before = page;
    page = client.welcome?.page ?? page;
    if (before !== null && page !== before) setTimeout(() => location.reload(), RELOAD_MS * Math.random());
  };
  const paint = () => {
    frame = 0;
    if (store.ready) missing = view.paint(store, store.take());
    words.paint(store, missing);
  };
  const request = () => (frame ||= requestAnimationFrame(paint));
  client.listen((message) => {
    words.hear(message, store);
    if (message?.type === "welcome") renew();
    request();
  });
  client.follow(window, document, () => true);
  setInterval(request, PAINT_MS);
}

/** A link to the dashboard, which opens beside the page that has the frame. */
export function link(address, ...children) {
  const element = make("a", "", ...children);
  element.href = address;
  element.target = "_blank";
  element.rel = "noopener";
  return element;
}

/** The line that says which board this is, as of when, and what is wrong. */
class Words {
  element = make("header", "words");
  region = make("p", "unseen");
  #client;
  #title;
  #text = make("span", "state", "Connecting…");
  #announcer;
  #problem = "";
  #lastKind = "";

  constructor(client, dashboard) {
    this.#client = client;
    this.#title = link(dashboard);
    this.#title.className = "title";
    this.element.append(make("h1", "", this.#title), this.#text);
    this.region.setAttribute("role", "status");
    this.#announcer = new Announcer(this.region, window);
  }

  /** Takes note of what the server says beside the rows; only bad news and their end are told aloud. */
  hear(message, store) {
    if (message?.type === "snapshot") this.#problem = "";
    if (message?.type === "error") {
      const isUnknown = message.code === "unknown_board";
      this.#problem = isUnknown ? absentWords(store.title, store.ready) : format.text(message.message ?? message.code);
    }
    const { kind, ...state } = this.#client.state;
    if (message !== null || !["live", "waiting", "offline", "closed"].includes(kind) || kind === this.#lastKind) return;
    if (kind !== "live" || this.#lastKind) this.#announcer.say(announcement(kind, state));
    this.#lastKind = kind;
  }

  /** Says only this, for good. */
  say(problem) {
    write(this.#text, problem);
    mark(this.element, "bad", "yes");
  }

  paint(store, missing) {
    const state = this.#client.state;
    const isLive = state.kind === "live" && !this.#problem;
    let words = this.#problem;
    if (!words && !isLive) words = stateWords(state, store, Date.now());
    if (!words && !store.ready) words = "Connecting…";
    if (!words && store.rows.size === 0) words = emptyWords(store.feeds);
    if (!words && missing) words = missing;
    mark(document.documentElement, "live", isLive ? "yes" : "no");
    mark(this.element, "bad", words ? "yes" : "");
    writeCut(this.#title, store.title);
    document.title = `${store.title} – ticker`;
    writeCut(this.#text, words || `as of ${format.clock(store.at)}`, 20);
  }
}
