/**
 * Wiring only: the address bar, the connection, the stores and one view, painted at most once per frame.
 * @module app
 */
import { Client } from "./client.js";
import { Announcer } from "./ui/announcer.js";
import { FIRST } from "./core/columns.js";
import { make, mark, write, writeCut } from "./ui/dom.js";
import * as format from "./core/format.js";
import { backoff } from "./core/protocol.js";
import { QuotesView } from "./ui/quotes.js";
import { ScoresView } from "./ui/scores.js";

/** A paint comes at least this often: countdowns are told in seconds, and views put off what is not urgent. */
const PAINT_MS = 1_000;

/** From here on people would have to reckon how old the data is. */
const OLD_MS = 60_000;

const VIEWS = { quotes: QuotesView, scores: ScoresView };
const at = (id) => document.getElementById(id);
const ui = {
  board: at("board"), boards: at("boards"), content: at("content"), counts: at("counts"), empty: at("empty"),
  filter: at("filter"), more: at("more"), notes: at("notes"), pause: at("pause"), reconnect: at("reconnect"),
  state: at("state"), stateWords: at("state-words"), title: at("title"), updated: at("updated"),
};

let boards = [];
let current = null;
let view = null;
let viewLayout = null;
let shownAt = null;
let heardAt = Date.now();
let problem = "";
let noted = "";
let lastKind = "idle";
let frame = 0;

const announcer = new Announcer(at("announcer"), window);
const client = new Client(document.baseURI);
client.listen((message) => (message === null ? changed(client.state) : received(message)));

/** Takes note of what the server says beside the rows. */
function received(message) {
  heardAt = Date.now();
  if (message.type === "welcome") listNames(message.boards);
  if (message.type === "error") problem = format.text(message.message ?? message.code);
  if (message.type === "snapshot" || message.type === "diff") problem = "";
  request();
}

/** Tells the new state of the connection aloud; that it is live is no news at the beginning. */
function changed(state) {
  const kind = state.kind === "live" && state.paused ? "paused" : state.kind;
  if (kind !== lastKind && kind !== "connecting" && kind !== "idle") {
    if (!(kind === "live" && lastKind === "idle")) announcer.say(format.announcement(kind, state.why));
    lastKind = kind;
  }
  request();
}

/** Asks for one paint in the next frame, whatever number of changes came. */
function request() {
  frame ||= requestAnimationFrame(paint);
}

function paint(now) {
  frame = 0;
  const state = client.state;
  if (current?.ready && (!state.paused || view === null)) paintRows(now);
  paintState(state);
  paintNotes();
}

function paintRows(now) {
  const changes = current.take();
  if (view === null || viewLayout !== current.layout) {
    viewLayout = current.layout;
    view = new VIEWS[viewLayout](request);
    view.filter(ui.filter.value);
    ui.content.replaceChildren(view.element);
    current.touch();
    view.paint(current, current.take(), now);
  } else {
    view.paint(current, changes, now);
  }
  shownAt = current.at;
  paintCounts();
}

function paintCounts() {
  const { total, visible } = view.counts;
  const noun = viewLayout === "scores" ? "game" : "row";
  const all = `${total} ${noun}${total === 1 ? "" : "s"}`;
  write(ui.counts, visible === total ? all : `${visible} of ${all}`);
  ui.more.hidden = viewLayout !== "quotes" || current.columns.length <= FIRST;
  const noColumns = viewLayout === "quotes" && current.columns.length === 0;
  let words = "";
  if (total === 0) words = format.emptyWords(current.feeds);
  else if (visible === 0) words = `No ${noun} matches “${ui.filter.value.trim()}”`;
  else if (noColumns) words = "This board has no columns";
  write(ui.empty, words);
  ui.content.hidden = visible === 0;
}

function paintState(state) {
  const board = { at: current?.at ?? null, waiting: current?.waiting ?? null };
  write(ui.stateWords, problem || format.stateWords(state, board, Date.now()));
  mark(ui.state, "kind", problem ? "closed" : state.kind === "live" && state.paused ? "paused" : state.kind);
  mark(ui.board, "live", state.kind === "live" ? "yes" : "no");
  write(ui.pause, state.paused ? "Resume" : "Pause");
  ui.reconnect.hidden = !["waiting", "offline", "closed"].includes(state.kind);
  const title = current?.title ?? "Boards";
  writeCut(ui.title, title);
  document.title = `${title} – ticker`;
  const silence = Date.now() - heardAt;
  const age = state.kind !== "live" && silence >= OLD_MS ? `, ${format.age(silence)} ago` : "";
  write(ui.updated, shownAt === null ? "" : `as of ${format.clock(shownAt)}${age}`);
}

/** One line for each feed that is not as it should be. */
function paintNotes() {
  const feeds = Object.entries(current?.feeds ?? {});
  const lines = feeds.map(([name, feed]) => format.feedWords(name, feed, Date.now())).filter(Boolean);
  const words = lines.join("\n");
  if (words === noted) return;
  noted = words;
  ui.notes.replaceChildren(...lines.map((line) => make("li", "", line)));
  if (words) announcer.say(words);
}

function listNames(names) {
  if (!Array.isArray(names)) return;
  const titles = new Map(boards.map(({ name, title }) => [name, title]));
  list(names.filter((name) => typeof name === "string").map((name) => ({ name, title: titles.get(name) ?? name })));
}

function list(entries) {
  if (JSON.stringify(entries) === JSON.stringify(boards)) return;
  boards = entries;
  ui.boards.replaceChildren(
    ...entries.map(({ name, title }) => {
      const link = make("a");
      writeCut(link, title);
      link.href = `#/${encodeURIComponent(name)}`;
      return make("li", "", link);
    }),
  );
  markCurrent();
}

function markCurrent() {
  for (const link of ui.boards.querySelectorAll("a")) {
    const isCurrent = link.hash === `#/${encodeURIComponent(current?.name ?? "")}`;
    if (isCurrent) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    if (isCurrent) link.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
}

/** The board named by the address bar, `#/NAME`. */
function named() {
  try {
    return decodeURIComponent(location.hash.replace(/^#\/?/, ""));
  } catch {
    return ""; // a stray % in the address names no board
  }
}

function route() {
  const name = named() || boards[0]?.name;
  if (name === undefined || name === current?.name) return;
  problem = "";
  shownAt = null;
  view = null;
  ui.content.replaceChildren();
  ui.filter.value = "";
  write(ui.counts, "");
  write(ui.empty, "");
  const before = current?.name;
  const isThere = boards.length === 0 || boards.some((board) => board.name === name);
  current = isThere ? client.watch(name) : null;
  current?.touch();
  if (!isThere) problem = `There is no board named ${name}`;
  if (before !== undefined) client.unwatch(before);
  client.resume(); // a board is chosen in order to be seen
  markCurrent();
  request();
}

/** Reads the list of boards with their titles; until that works, a board named by the address is shown anyway. */
async function load(attempt = 0) {
  try {
    const response = await fetch("api/boards");
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    const body = await response.json();
    list(body.boards.map(({ name, title }) => ({ name, title: title || name })));
    write(ui.empty, boards.length === 0 ? "No boards are configured" : "");
  } catch {
    setTimeout(() => load(attempt + 1), backoff(attempt, Math.random()));
    if (current === null) write(ui.empty, "The list of boards cannot be read – trying again");
  }
  route();
}

ui.pause.addEventListener("click", () => (client.state.paused ? client.resume() : client.pause()));
ui.reconnect.addEventListener("click", () => client.retry());
ui.more.addEventListener("click", () => {
  const isAll = ui.more.getAttribute("aria-pressed") !== "true";
  ui.more.setAttribute("aria-pressed", String(isAll));
  mark(ui.board, "columns", isAll ? "all" : "");
});
ui.filter.addEventListener("input", () => {
  view?.filter(ui.filter.value);
  if (view) paintCounts();
});
window.addEventListener("hashchange", route);
setInterval(request, PAINT_MS);
const isWall = new URLSearchParams(location.search).has("kiosk");
client.follow(window, document, () => !isWall);
load();
if (isWall) {
  const show = (board) => {
    history.replaceState(null, "", `#/${encodeURIComponent(board)}`);
    route();
  };
  import("./ui/kiosk.js").then(({ start }) =>
    start({ client, now: () => client.now() }, { show, boards: () => boards.map(({ name }) => name) }),
  );
}
