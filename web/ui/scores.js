/**
 * The score cards: the only module that touches them.
 * @module scores
 */
import { make, mark, write, writeCut } from "./dom.js";
import { Flash } from "./flash.js";
import * as format from "../core/format.js";

/** Running games first, then those to come, then those that are over. */
const RANK = { live: 0, break: 0, suspended: 0, scheduled: 1, postponed: 2 };
const LAST_RANK = 3;

const rank = ({ status }) => (Object.hasOwn(RANK, status ?? "") ? RANK[status] : LAST_RANK);

/** Only games to come are ordered among themselves, by their start. */
const start = (row) => (row.status === "scheduled" ? (format.number(row.start) ?? Infinity) : 0);

function before(a, b) {
  return rank(a) - rank(b) || (start(a) === start(b) ? 0 : start(a) - start(b));
}

class Side {
  element;
  #name = make("span", "team");
  #score = make("span", "score");
  #flash = new Flash(this.#score);

  constructor() {
    this.element = make("div", "side", this.#name, this.#score);
  }

  show(name, score, old, isAhead) {
    writeCut(this.#name, format.text(name));
    writeCut(this.#score, format.text(score));
    mark(this.element, "ahead", isAhead ? "yes" : "");
    const [from, to] = [format.number(old), format.number(score)];
    if (from !== null && to !== null && from !== to) this.#flash.play(to > from ? "up" : "down");
  }
}

class Card {
  element = make("li", "card");
  words = "";
  isVisible = true;
  shown = {};
  #league = make("span", "league");
  #badge = make("span", "badge");
  #game = make("span", "game");
  #home = new Side();
  #away = new Side();
  #periods = make("span", "periods");
  #event = make("span", "event");

  constructor(symbol) {
    this.symbol = symbol;
    const head = make("div", "card-head", this.#game, this.#badge, this.#league);
    const foot = make("div", "card-foot", this.#event, this.#periods);
    this.element.append(head, this.#home.element, this.#away.element, foot);
  }

  show(row, now) {
    const old = this.shown;
    const [home, away] = [format.number(row.home_score), format.number(row.away_score)];
    this.#home.show(row.home ?? this.symbol, row.home_score, old.home_score, home > away);
    this.#away.show(row.away, row.away_score, old.away_score, away > home);
    writeCut(this.#game, format.gameWords(row, now));
    writeCut(this.#league, row.league === undefined ? "" : format.text(row.league));
    writeCut(this.#event, row.last_event === undefined ? "" : format.text(row.last_event));
    writeCut(this.#periods, format.periodScores(row.periods));
    const quality = format.quality(row.quality);
    write(this.#badge, quality);
    mark(this.element, "quality", quality);
    mark(this.element, "status", ["live", "break"].includes(row.status) ? "running" : "");
    this.words = [this.symbol, row.home, row.away, row.league].map(format.text).join(" ").toLowerCase();
    this.shown = row;
  }
}

export class ScoresView {
  element = make("ul", "cards");
  #cards = new Map();
  #filter = "";

  /** Cards there are, and cards the filter lets through. */
  get counts() {
    let visible = 0;
    for (const card of this.#cards.values()) visible += card.isVisible;
    return { total: this.#cards.size, visible };
  }

  /** Brings the cards to the state of the store; `changed` is what `store.take()` gave. */
  paint(store, changed) {
    const now = store.at ?? Date.now();
    for (const symbol of changed.symbols) {
      const row = store.rows.get(symbol);
      if (row === undefined) {
        this.#cards.get(symbol)?.element.remove();
        this.#cards.delete(symbol);
        continue;
      }
      const card = this.#cards.get(symbol) ?? new Card(symbol);
      this.#cards.set(symbol, card);
      card.show(row, now);
      this.#sift(card);
    }
    if (changed.reset) this.element.setAttribute("aria-label", store.title);
    if (changed.symbols.size > 0) this.#arrange(store);
  }

  /** Shows only games whose symbol, teams or league contain the text. */
  filter(text) {
    this.#filter = text.trim().toLowerCase();
    for (const card of this.#cards.values()) this.#sift(card);
  }

  #arrange(store) {
    const cards = [...store.rows.keys()].map((symbol) => this.#cards.get(symbol)).filter(Boolean);
    let next = this.element.firstChild;
    for (const card of cards.sort((a, b) => before(a.shown, b.shown))) {
      if (card.element === next) next = next.nextSibling;
      else this.element.insertBefore(card.element, next);
    }
  }

  #sift(card) {
    card.isVisible = card.words.includes(this.#filter);
    card.element.hidden = !card.isVisible;
  }
}
