/**
 * The score cards, by league: the only module that touches them, once per paint.
 * @module scores
 */
import { Card } from "./card.js";
import { make, write, writeCut } from "./dom.js";
import * as games from "../core/games.js";

/** Cards and leagues change places at most this often: one that jumps while it is being read is lost. */
const REORDER_MS = 5_000;

/** Words that depend on the time are written at most this often: clocks of a demo run faster than people read. */
const TICK_MS = 250;

/** A live board is some seconds old: a time farther away is that of a clock which differs, until a ping has told. */
const PLAUSIBLE_MS = 60_000;

const NOTHING = Object.freeze({});

/** Where a view has no page around it, nothing can be chosen. */
const ALONE = {
  settings: { get: (name) => (name === "liveOnly" ? false : NOTHING), set: () => {} },
  lists: { has: () => false, shows: () => true, toggle: () => {} },
  client: { state: { kind: "live", paused: false } },
  request: () => {},
  now: () => Date.now(),
  open: () => {},
};

/** Folded leagues that are remembered per board: leagues come and go for years. */
const MOST_FOLDED = 100;

/** The settings this view obeys: looked at in each paint, since their values are never changed in place. */
const CHOICES = ["liveOnly", "list", "lists", "folded"];

class League {
  element = make("section", "league");
  button = make("button");
  list = make("ul", "cards");
  cards = [];
  #name = make("span", "league-name");
  #counts = make("span", "league-counts");
  #heading = make("h2", "", this.button);

  constructor(name) {
    this.name = name;
    this.button.type = "button";
    this.button.append(this.#name, this.#counts);
    writeCut(this.#name, name || "Other games");
    this.list.ariaLabel = name || "Games";
    this.element.append(this.#heading, this.list);
  }

  get isRunning() {
    return this.cards.some(({ row }) => games.isRunning(row));
  }

  /**
   * Puts cards into the list. All of them anew where one has another place: moving single ones costs more layout.
   */
  place(cards) {
    const isSame = cards.length === this.cards.length && cards.every((card, i) => card === this.cards[i]);
    this.cards = cards;
    if (!isSame) this.list.replaceChildren(...cards.map((card) => card.element));
  }

  append(card) {
    this.cards = [...this.cards, card];
    this.list.append(card.element);
  }

  remove(card) {
    if (!this.cards.includes(card)) return;
    this.cards = this.cards.filter((other) => other !== card);
    card.element.remove();
  }

  /** Folds or unfolds the list; without a heading, where there is only one nameless league, nothing can be folded. */
  show(isFolded, hasHeading) {
    this.#heading.hidden = !hasHeading;
    this.button.ariaExpanded = String(!isFolded);
    this.list.hidden = isFolded && hasHeading;
  }

  count() {
    const total = this.cards.length;
    this.element.hidden = total === 0;
    const running = this.cards.filter(({ row }) => games.isRunning(row)).length;
    write(this.#counts, `${total} game${total === 1 ? "" : "s"}${running > 0 ? `, ${running} live` : ""}`);
  }
}

export class ScoresView {
  element = make("div", "leagues");
  #context;
  #store = null;
  #cards = new Map();
  #leagues = new Map(); // at most one per card, and one for folded names that come back
  #filter = "";
  #choices = [];
  #isStirred = false; // whether places may be other than they should
  #orderedAt = -Infinity;
  #isPointed = false;
  #active = null; // the symbol that the tab key leads to
  #timer = 0;

  constructor(context) {
    this.#context = { ...ALONE, ...context };
    this.element.addEventListener("pointerover", ({ pointerType }) => {
      this.#isPointed = pointerType !== "touch"; // a finger leaves no pointer behind
    });
    this.element.addEventListener("pointerleave", () => this.#released());
    this.element.addEventListener("focusout", () => this.#released(this.#isPointed));
    this.element.addEventListener("focusin", ({ target }) => {
      const card = this.#cardOf(target);
      if (card !== null) this.#activate(card);
    });
    this.element.addEventListener("click", (event) => this.#click(event));
    this.element.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Games there are, and games the filter and the choices let through. */
  get counts() {
    let visible = 0;
    for (const { cards } of this.#leagues.values()) visible += cards.length;
    return { total: this.#cards.size, visible };
  }

  /** The symbols that can be seen, in their order. */
  get symbols() {
    return this.#shown().map((card) => card.symbol);
  }

  /** The symbol of the card that has the focus; null for none. */
  get focused() {
    return this.#cardOf(document.activeElement)?.symbol ?? null;
  }

  /** Whether places stay as they are because the pointer or the focus is among the cards. */
  get held() {
    return this.#isPointed || this.element.querySelector(":focus-visible") !== null;
  }

  /** Scrolls to a card and gives it the focus, unfolding its league; returns whether it is there. */
  focus(symbol) {
    const card = this.#cards.get(symbol);
    const league = [...this.#leagues.values()].find(({ cards }) => cards.includes(card));
    if (card === undefined || league === undefined) return false;
    if (league.list.hidden) this.#fold(league.name, false);
    card.button.focus();
    return true;
  }

  /** Brings the cards to the state of the store; `changed` is what `store.take()` gave. */
  paint(store, changed, now) {
    this.#store = store;
    for (const symbol of changed.symbols) this.#update(symbol, store.rows.get(symbol), now);
    this.#isStirred ||= changed.symbols.size > 0;
    const isChosen = this.#choose();
    const isDue = this.#isStirred && now - this.#orderedAt >= REORDER_MS && !this.held;
    if (isChosen || isDue) this.#arrange(now);
    if (changed.symbols.size > 0) for (const league of this.#leagues.values()) league.count();
    this.#tick(now);
  }

  /** Shows only games whose symbol, teams or league contain the text. */
  filter(text) {
    this.#filter = text.trim().toLowerCase();
    if (this.#store !== null) this.#arrange(performance.now());
  }

  #update(symbol, row, now) {
    const card = this.#cards.get(symbol) ?? null;
    if (row === undefined) {
      if (card !== null) this.#remove(card);
    } else if (card !== null) {
      card.show(row, now);
    } else {
      this.#add(new Card(symbol), row, now);
    }
  }

  /** A new card stands last until it is its turn to be put in order. */
  #add(card, row, now) {
    this.#cards.set(card.symbol, card);
    card.show(row, now);
    this.#markStar(card);
    if (this.#orderedAt > -Infinity && this.#passes(card)) {
      const league = this.#league(card.league);
      league.append(card);
      if (!league.element.isConnected) this.element.append(league.element);
      this.#showFolds();
    }
  }

  #remove(card) {
    const isFocused = this.focused === card.symbol;
    const shown = isFocused ? this.#shown() : [];
    const place = shown.indexOf(card);
    this.#cards.delete(card.symbol);
    for (const league of this.#leagues.values()) league.remove(card);
    (shown[place + 1] ?? shown[place - 1])?.button.focus(); // the reader stays among the cards
  }

  /** Takes notice of what was chosen; returns whether other games are to be shown, at once. */
  #choose() {
    const old = this.#choices;
    const choices = (this.#choices = CHOICES.map((name) => this.#context.settings.get(name)));
    const [isNarrowed, isNarrowedTo, isStarred, isFolded] = choices.map((choice, i) => choice !== old[i]);
    if (isFolded) this.#showFolds();
    if (isStarred) for (const card of this.#cards.values()) this.#markStar(card);
    return isNarrowed || isNarrowedTo;
  }

  /** The card takes its new place when places may change: not under the finger that has just chosen it. */
  #markStar(card) {
    const isStarred = this.#context.lists.has(this.#store.name, card.symbol);
    if (card.isStarred === isStarred) return;
    card.markStar(isStarred);
    this.#isStirred = true;
    this.#orderedAt = Math.min(this.#orderedAt, performance.now() - REORDER_MS);
  }

  #passes(card) {
    if (this.#context.settings.get("liveOnly") && !games.isRunning(card.row)) return false;
    return card.matches(this.#filter) && this.#context.lists.shows(this.#store.name, card.symbol);
  }

  /** Puts every card into its league and its place. */
  #arrange(now) {
    this.#orderedAt = now;
    this.#isStirred = false;
    const focused = document.activeElement;
    const groups = new Map();
    for (const card of this.#sorted()) {
      if (!groups.has(card.league)) groups.set(card.league, []);
      groups.get(card.league).push(card);
    }
    for (const [name, league] of this.#leagues) {
      if (groups.has(name)) continue;
      league.element.remove();
      this.#leagues.delete(name);
    }
    for (const [name, cards] of groups) this.#league(name).place(cards);
    this.#placeLeagues();
    if (focused !== document.activeElement && this.element.contains(focused)) focused.focus({ preventScroll: true });
    const shown = this.#shown();
    if (!shown.some((card) => card.symbol === this.#active)) this.#activate(shown[0] ?? null);
  }

  #sorted() {
    const cards = [...this.#store.rows.keys()].map((symbol) => this.#cards.get(symbol));
    const shown = cards.filter((card) => card !== undefined && this.#passes(card));
    return shown.sort((a, b) => b.isStarred - a.isStarred || games.compare(a.row, b.row));
  }

  #league(name) {
    if (!this.#leagues.has(name)) this.#leagues.set(name, new League(name));
    return this.#leagues.get(name);
  }

  #placeLeagues() {
    const leagues = [...this.#leagues.values()].sort(before);
    if (leagues.some(({ element }, i) => element !== this.element.children[i])) {
      this.element.replaceChildren(...leagues.map((league) => league.element));
    }
    this.#showFolds();
    for (const league of leagues) league.count();
  }

  #showFolds() {
    const folded = this.#folded;
    const hasHeadings = this.#leagues.size > 1 || !this.#leagues.has("");
    for (const league of this.#leagues.values()) league.show(folded.includes(league.name), hasHeadings);
  }

  get #folded() {
    const folded = this.#context.settings.get("folded");
    const board = this.#store.name;
    return Object.hasOwn(folded, board) ? folded[board] : [];
  }

  #fold(name, isFolded) {
    const others = this.#folded.filter((league) => league !== name);
    const names = isFolded ? [...others, name].slice(-MOST_FOLDED) : others;
    const { settings, request } = this.#context;
    settings.set("folded", { ...settings.get("folded"), [this.#store.name]: names });
    this.#showFolds();
    request();
  }

  /** The cards that can be seen, in their order. */
  #shown() {
    const leagues = [...this.#leagues.values()].filter(({ list }) => !list.hidden);
    const order = [...this.element.children];
    leagues.sort((a, b) => order.indexOf(a.element) - order.indexOf(b.element));
    return leagues.flatMap(({ cards }) => cards);
  }

  #tick(now) {
    const { client, now: serverNow, request } = this.#context;
    const { at, feeds } = this.#store;
    const isLive = client.state.kind === "live" && !client.state.paused;
    const isOff = !client.knowsClock && at !== null && Math.abs(serverNow() - at) > PLAUSIBLE_MS;
    const time = isOff ? at : serverNow();
    let next = Infinity;
    for (const card of this.#cards.values()) {
      if (now >= card.due) card.tick(feeds, now, time, isLive);
      next = Math.min(next, card.due);
    }
    clearTimeout(this.#timer);
    if (isLive && next < Infinity) this.#timer = setTimeout(request, Math.max(TICK_MS, next - now));
  }

  #released(isPointed = false) {
    this.#isPointed = isPointed;
    if (this.#isStirred) this.#context.request();
  }

  /** Of all cards, the tab key leads to one, and from its button to its star. */
  #activate(card) {
    this.#cards.get(this.#active)?.reach(false);
    this.#active = card?.symbol ?? null;
    card?.reach(true);
  }

  #cardOf(element) {
    return this.#cards.get(element?.closest?.(".card")?.dataset.symbol) ?? null;
  }

  #click({ target, detail }) {
    const card = this.#cardOf(target);
    const league = [...this.#leagues.values()].find(({ button }) => button.contains(target));
    if (league !== undefined) {
      this.#fold(league.name, !league.list.hidden);
    } else if (card?.star.contains(target)) {
      this.#context.lists.toggle(this.#store.name, card.symbol);
      this.#markStar(card);
      this.#context.request();
    } else if (card !== null && (detail === 0 || getSelection().isCollapsed)) {
      this.#context.open(card.symbol); // detail 0: a key; who has just selected text wants that text
    }
  }

  #key(event) {
    const card = this.#cardOf(event.target);
    if (card === null || event.altKey || event.ctrlKey || event.metaKey) return;
    const cards = this.#shown();
    const next = cards[neighbour(cards, cards.indexOf(card), event.key)];
    if (next === undefined) return;
    event.preventDefault();
    next.button.focus();
  }
}

/** Leagues with running games first, then by name; games without a league come last. */
function before(a, b) {
  return b.isRunning - a.isRunning || (a.name === "") - (b.name === "") || a.name.localeCompare(b.name, "en");
}

/** Where a key leads from the card at a place; the place itself at an edge, undefined for other keys. */
function neighbour(cards, place, key) {
  switch (key) {
    case "ArrowLeft":
      return Math.max(0, place - 1);
    case "ArrowRight":
      return Math.min(cards.length - 1, place + 1);
    case "Home":
      return 0;
    case "End":
      return cards.length - 1;
    case "ArrowUp":
      return across(cards, place, -1);
    case "ArrowDown":
      return across(cards, place, 1);
    default:
      return undefined;
  }
}

/** The card above (-1) or below (1): of the nearest line of cards the one that is nearest sideways. */
function across(cards, place, direction) {
  const from = cards[place].element.getBoundingClientRect();
  let nearest = { place, lines: Infinity, sideways: Infinity };
  cards.forEach(({ element }, i) => {
    const { top, left } = element.getBoundingClientRect();
    const lines = Math.round((top - from.top) * direction);
    const sideways = Math.abs(left - from.left);
    if (lines < 1 || lines > nearest.lines || (lines === nearest.lines && sideways >= nearest.sideways)) return;
    nearest = { place: i, lines, sideways };
  });
  return nearest.place;
}
