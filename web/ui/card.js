/**
 * One game: a card, made once and then only written to where something differs.
 *
 * All cards are equally high whatever they show: a line that has nothing to say stays empty.
 * @module card
 */
import { make, mark, write, writeCut } from "./dom.js";
import * as format from "../core/format.js";
import * as games from "../core/games.js";

/** So long a score that has just changed is emphasised, once and without flashing (WCAG 2.2, 2.3.1). */
const GAIN_MS = 4_000;

/** Letters that surely fit, as wide as `app.css` makes it: longer text needs a tooltip. */
const FITS = { team: 12, score: 3, period: 2, line: 28 };

class Side {
  element;
  #name = make("span", "team");
  #gain = make("span", "gain");
  #score = make("td", "score");
  #periods = [];

  constructor() {
    const head = make("th", "", make("span", "team-line", this.#name, this.#gain));
    head.scope = "row";
    this.element = make("tr", "side", head, this.#score);
  }

  show(name, score, periods, isAhead) {
    writeCut(this.#name, name, FITS.team);
    writeCut(this.#score, score, FITS.score);
    mark(this.element, "ahead", isAhead ? "yes" : "");
    fit(this.#periods, periods.length, () => {
      const cell = make("td", "period");
      this.#score.before(cell);
      return cell;
    });
    periods.forEach((text, i) => writeCut(this.#periods[i], text, FITS.period));
  }

  /** Emphasises the score with a word; "" ends it. */
  emphasise(words) {
    write(this.#gain, words);
    mark(this.element, "gain", words && "yes");
  }
}

/** Makes a list of elements as long as told. */
function fit(elements, length, add) {
  while (elements.length > length) elements.pop().remove();
  while (elements.length < length) elements.push(add());
}

export class Card {
  element = make("li", "card");
  /** What covers the whole card for keyboards and screen readers. */
  button = make("button", "open");
  star = make("button", "star");
  /** The row as it was last shown. */
  row = {};
  /** When its words are others although nothing has come, in milliseconds of `performance.now()`. */
  due = Infinity;
  isStarred = false;
  #words = "";
  #game = make("span", "game");
  #badge = make("span", "badge");
  #table = make("table", "line");
  #heads = [];
  #total = make("th", "total", make("span", "unseen", "Score"));
  #home = new Side();
  #away = new Side();
  #correction = make("span", "correction");
  #event = make("span", "event");
  #clockTime = null; // held while nobody knows whether the clock runs
  #calmAt = Infinity; // when an emphasis ends

  constructor(symbol) {
    this.symbol = symbol;
    this.element.dataset.symbol = symbol;
    this.button.type = this.star.type = "button";
    this.button.tabIndex = this.star.tabIndex = -1;
    this.#total.scope = "col";
    const head = make("div", "card-head", this.#game, this.#badge, this.star);
    const labels = make("tr", "", make("td"), this.#total);
    this.#table.append(make("thead", "", labels), make("tbody", "", this.#home.element, this.#away.element));
    const foot = make("div", "card-foot", this.#correction, this.#event);
    this.element.append(this.button, head, this.#table, foot);
    this.markStar(false);
  }

  /** The league as it is grouped by; "" when the source names none. */
  get league() {
    return this.row.league === undefined ? "" : format.text(this.row.league);
  }

  /** Whether its symbol, teams or league contain the text, in lower case. */
  matches(text) {
    return this.#words.includes(text);
  }

  /** Shows a row, and emphasises what has been scored since the last one. */
  show(row, now) {
    const old = this.row;
    this.row = row;
    const gains = ["home_score", "away_score"].map((field) => games.gain(old, row, field));
    if (gains.some(Boolean)) {
      this.#emphasise(...gains);
      this.#calmAt = now + GAIN_MS;
    }
    this.#showScores(row);
    write(this.#correction, games.correction(row));
    writeCut(this.#event, row.last_event === undefined ? "" : format.text(row.last_event), FITS.line);
    mark(this.element, "status", games.isRunning(row) ? "running" : games.isOver(row) ? "over" : "");
    this.#words = [this.symbol, row.home, row.away, row.league].map(format.text).join(" ").toLowerCase();
    const name = `Star ${format.text(row.home ?? this.symbol)}${row.away === undefined ? "" : ` – ${format.text(row.away)}`}`;
    if (this.star.ariaLabel !== name) this.star.ariaLabel = name;
    this.due = now;
  }

  /**
   * Writes what depends on the time.
   * @param {number} now of `performance.now()`
   * @param {number} time epoch milliseconds of the server
   * @param {boolean} isLive whether what the server knows is here: otherwise clocks stand
   */
  tick(feeds, now, time, isLive) {
    if (isLive && games.isTicking(this.row)) this.#clockTime = time;
    if (now >= this.#calmAt) this.#emphasise("", "");
    writeCut(this.#game, games.gameWords(this.row, time, this.#clockTime), FITS.line);
    const badge = games.qualityWords(this.row, feeds, time);
    write(this.#badge, badge);
    mark(this.element, "quality", badge && format.quality(this.row.quality));
    this.#label(games.spoken(this.row, this.symbol, feeds, time, this.#clockTime));
    this.due = Math.min(this.#calmAt, now + games.due(this.row, time));
  }

  /** Whether the tab key leads here. */
  reach(isReached) {
    this.button.tabIndex = this.star.tabIndex = isReached ? 0 : -1;
  }

  markStar(isStarred) {
    this.isStarred = isStarred;
    this.star.ariaPressed = String(isStarred);
    write(this.star, isStarred ? "★" : "☆");
  }

  #emphasise(home, away) {
    this.#home.emphasise(home);
    this.#away.emphasise(away);
    this.#calmAt = Infinity;
  }

  #showScores(row) {
    const [home, away] = [format.number(row.home_score), format.number(row.away_score)];
    const isScored = row.home_score !== undefined || row.away_score !== undefined;
    const scores = [row.home_score, row.away_score].map((score) => (isScored ? format.text(score) : ""));
    const periods = games.periods(row);
    const [homes, aways] = [periods.map((period) => period.home), periods.map((period) => period.away)];
    this.#home.show(format.text(row.home ?? this.symbol), scores[0], homes, home > away);
    this.#away.show(format.text(row.away), scores[1], aways, away > home);
    mark(this.#table, "wide", scores.some((score) => score.length > FITS.score) ? "yes" : "");
    fit(this.#heads, periods.length, () => {
      const head = make("th", "period", make("span", "label"), make("span", "unseen"));
      head.scope = "col";
      head.firstChild.ariaHidden = "true";
      this.#total.before(head);
      return head;
    });
    periods.forEach(({ label, name }, i) => {
      write(this.#heads[i].firstChild, label);
      write(this.#heads[i].lastChild, name);
    });
  }

  /** A name that changes under the focus would be read out again and again, so it then stays. */
  #label(words) {
    if (this.button.ariaLabel !== words && document.activeElement !== this.button) this.button.ariaLabel = words;
  }
}
