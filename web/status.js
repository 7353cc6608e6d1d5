/**
 * The page for who runs the server: whether everything is well, and what is known of its parts.
 * @module status
 */
import { isRefusal } from "./core/access.js";
import * as format from "./core/format.js";
import * as report from "./core/report.js";
import { isMap } from "./core/values.js";
import { make, mark, write, writeCut } from "./ui/dom.js";

/** From one look to the next. */
const EVERY_MS = 5_000;

/** A server that has not answered by then is not well. */
const PATIENCE_MS = 10_000;

/** Of more causes than these the page says only how many. */
const MOST_CAUSES = 20;

const KEY = "ticker.status.token";
const SIGNS = { well: "✓", attention: "!", unknown: "✕" };

const at = (id) => document.getElementById(id);
const ui = {
  access: at("access"), asOf: at("as-of"), causes: at("causes"), feeds: at("feeds"), boards: at("boards"),
  refused: at("refused"), report: at("report"), token: at("token"), verdict: at("verdict"),
};

let token = kept();
let timer = 0;
let isAsking = false;
let told = ""; // the causes as they were written
let answeredAt = null;

function kept() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function keep(value) {
  token = value;
  try {
    sessionStorage.setItem(KEY, value);
  } catch {
    // it counts until the page is loaded again
  }
}

/** Looks once, and plans the next look; a page that nobody sees, or that waits for a token, does not look. */
async function look() {
  clearTimeout(timer);
  if (isAsking || document.visibilityState === "hidden") return;
  isAsking = true;
  const needsToken = await ask().catch((error) => fail(error));
  isAsking = false;
  if (needsToken !== true) timer = setTimeout(look, EVERY_MS);
}

/** Reads the status and shows it; returns whether a token is needed first. */
async function ask() {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const response = await fetch("api/status", { headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  if (isRefusal(response.status)) return needToken();
  if (!response.ok) throw new Error(`it answers HTTP ${response.status}`);
  const status = await response.json();
  if (!isMap(status)) throw new Error("its answer is no status");
  answeredAt = Date.now();
  show(status);
  return false;
}

function needToken() {
  write(ui.refused, token ? "This token is not accepted" : "");
  ui.access.hidden = false;
  judge("attention", "A token is needed", []);
  grow();
  return true;
}

function fail({ name, message }) {
  const why = name === "TimeoutError" ? "it takes too long" : name === "TypeError" ? "it cannot be reached" : message;
  judge("unknown", `The server does not tell its status: ${why}`, []);
  grow();
}

/** What was seen before stays, and looks old. */
function grow() {
  mark(ui.report, "old", "yes");
  if (answeredAt !== null) write(ui.asOf, `as of ${format.clock(answeredAt)}`);
}

function judge(kind, words, causes) {
  mark(ui.verdict, "kind", kind);
  write(ui.verdict.querySelector(".sign"), SIGNS[kind]);
  write(ui.verdict.querySelector(".words"), words);
  const lines = causes.slice(0, MOST_CAUSES);
  if (lines.length < causes.length) lines.push(`and ${causes.length - lines.length} more`);
  if (lines.join("\n") === told) return;
  told = lines.join("\n");
  ui.causes.replaceChildren(...lines.map((line) => make("li", "", line)));
}

function show(status) {
  const { isWell, words, causes } = report.verdict(status);
  judge(isWell ? "well" : "attention", words, causes);
  write(ui.asOf, `as of ${format.clock(status.now)}, read again every ${EVERY_MS / format.SECOND} s`);
  ui.access.hidden = true;
  ui.report.hidden = false;
  mark(ui.report, "old", "");
  showFacts(at("config"), report.configFacts(status));
  showFacts(at("viewers"), report.viewerFacts(status));
  showFacts(at("closed"), or(report.closedFacts(status), [["None", format.MISSING]]));
  showFacts(at("program"), report.programFacts(status));
  showAll(ui.feeds, report.feedReports(status), makeFeed, showFeed, "No feeds are configured");
  showAll(ui.boards, report.boardReports(status), makeBoard, showBoard, "");
  at("bus-part").hidden = !isMap(status.bus);
  showFacts(at("bus"), report.busFacts(status));
  showAll(at("members"), report.memberReports(status), makeMember, showMember, "");
}

const or = (list, other) => (list.length > 0 ? list : other);

/** Labels and words: those that are there already are only written to, so that what is marked stays marked. */
function showFacts(list, facts) {
  const key = JSON.stringify(facts.map(([label]) => label));
  if (list.dataset.key !== key) {
    list.dataset.key = key;
    const isLong = (label) => label === "Error" || label === "Loop lag";
    list.replaceChildren(...facts.map(([label]) => make("div", isLong(label) ? "long" : "", make("dt", "", label), make("dd"))));
  }
  facts.forEach(([, words], i) => write(list.children[i].lastChild, words));
}

/** One element for each report, in their order. */
function showAll(list, reports, makeOne, showOne, nothing) {
  if (reports.length > 0 && list.dataset.empty) list.replaceChildren();
  mark(list, "empty", reports.length > 0 ? "" : "yes");
  if (reports.length === 0) return list.replaceChildren(...(nothing ? [make("li", "", nothing)] : []));
  while (list.children.length > reports.length) list.lastChild.remove();
  while (list.children.length < reports.length) list.append(makeOne());
  reports.forEach((one, i) => showOne(list.children[i], one));
}

const makeQuality = () => {
  const symbol = make("span", "sign");
  symbol.setAttribute("aria-hidden", "true");
  return make("span", "quality", symbol, " ", make("span", "word"));
};

function showQuality(element, { word, sign }) {
  mark(element, "quality", word);
  write(element.firstChild, sign);
  write(element.lastChild, word);
}

function makeFeed() {
  const head = make("h3", "", make("span", "feed-name", make("span", "name-words"), " ", make("span", "kind")), makeQuality());
  return make("li", "", head, make("dl"), make("ul", "feed-notes"));
}

function showFeed(element, { name, kind, quality, facts, notes }) {
  writeCut(element.querySelector(".name-words"), name, 40);
  write(element.querySelector(".kind"), kind);
  showQuality(element.querySelector(".quality"), quality);
  showFacts(element.querySelector("dl"), facts);
  const list = element.querySelector(".feed-notes");
  while (list.children.length > notes.length) list.lastChild.remove();
  while (list.children.length < notes.length) list.append(make("li"));
  notes.forEach((note, i) => write(list.children[i], note));
}

function makeBoard() {
  const head = make("th");
  head.scope = "row";
  return make("tr", "", head, make("td", "", makeQuality()), make("td"), make("td"));
}

function showBoard(row, { title, quality, rows, viewers }) {
  writeCut(row.cells[0], title, 12);
  showQuality(row.cells[1].firstChild, quality);
  write(row.cells[2], rows);
  write(row.cells[3], viewers);
}

function makeMember() {
  const head = make("th", "", make("span", "place"), " ", make("span", "kind"));
  head.scope = "row";
  return make("tr", "", head, make("td", "", makeQuality()), make("td"), make("td"));
}

function showMember(row, { name, version, state, viewers, up }) {
  writeCut(row.cells[0].querySelector(".place"), name, 24);
  write(row.cells[0].querySelector(".kind"), version);
  const quality = row.cells[1].firstChild;
  showQuality(quality, { word: state.words, sign: state.sign });
  mark(quality, "quality", state.isWell ? "live" : "stale");
  write(row.cells[2], viewers);
  write(row.cells[3], up);
}

ui.access.addEventListener("submit", (event) => {
  event.preventDefault();
  keep(ui.token.value.trim());
  ui.token.value = "";
  look();
});
document.addEventListener("visibilitychange", look);
look();
