/**
 * The connection in words, how old what is shown is, and the controls of the updates: pause, rate, reconnect.
 * @module status
 */
import * as format from "../core/format.js";
import * as words from "../core/words.js";
import { mark, write } from "./dom.js";

/** From here on people would have to reckon how old the data is. */
const OLD_MS = 60_000;

export class Status {
  #client;
  #ui;
  #shownAt = null;
  #heardAt = Date.now();

  constructor(document, client, settings) {
    const at = (id) => document.getElementById(id);
    this.#client = client;
    this.#ui = {
      board: at("board"), facts: at("facts"), pause: at("pause"), rate: at("rate"), reconnect: at("reconnect"),
      state: at("state"), updated: at("updated"), words: at("state-words"),
    };
    const { pause, rate, reconnect } = this.#ui;
    pause.addEventListener("click", () => this.togglePause());
    reconnect.addEventListener("click", () => client.retry());
    rate.addEventListener("change", () => settings.set("rate", rate.value));
    rate.value = settings.get("rate");
    settings.on("rate", (value) => (rate.value = value));
    client.listen((message) => message && (this.#heardAt = Date.now()));
  }

  togglePause() {
    if (this.#client.state.paused) this.#client.resume();
    else this.#client.pause();
  }

  /** Takes note of the server's time of what is shown now; null for nothing. */
  shown(at) {
    this.#shownAt = at;
  }

  /** Shows the connection, or a problem in words instead; `kind` is the look of that. */
  paint(store, problem, kind = "closed") {
    const state = this.#client.state;
    const isPaused = state.kind === "live" && state.paused;
    const rate = this.#ui.rate.value;
    const board = { at: store?.at ?? null, waiting: store?.waiting ?? null };
    const said = problem || words.stateWords(state, board, Date.now());
    write(this.#ui.words, said === "Live" ? words.rateWords(rate) : said);
    mark(this.#ui.state, "kind", problem ? kind : isPaused ? "paused" : state.kind);
    mark(this.#ui.board, "live", state.kind === "live" && !problem ? "yes" : "no");
    write(this.#ui.pause, state.paused ? "Resume" : "Pause");
    this.#ui.reconnect.hidden = !["waiting", "offline", "closed"].includes(state.kind);
    this.#paintFacts(store, state.kind === "live" && !problem);
    this.#paintAge(state);
  }

  /** How long changes take to get here, and how many watch: as long as it is known, not longer. */
  #paintFacts(store, isLive) {
    const facts = isLive
      ? [words.latencyWords(this.#client.latency.typical), words.viewersWords(this.#client.viewers(store?.name))]
      : [];
    write(this.#ui.facts, facts.filter(Boolean).join(" · "));
  }

  #paintAge(state) {
    const silence = Date.now() - this.#heardAt;
    const age = state.kind !== "live" && silence >= OLD_MS ? `, ${format.age(silence)} ago` : "";
    write(this.#ui.updated, this.#shownAt === null ? "" : `as of ${format.clock(this.#shownAt)}${age}`);
  }
}
