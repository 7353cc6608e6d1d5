/**
 * Wiring only: the address bar, the connection, one view and what stands around it, painted at most once per frame.
 * @module app
 */
import { Client } from "./client.js";
import { isRefusal, takeToken } from "./core/access.js";
import { NOT_ALLOWED } from "./core/codes.js";
import * as format from "./core/format.js";
import { command } from "./core/keys.js";
import { Lists } from "./core/lists.js";
import { backoff } from "./core/protocol.js";
import * as route from "./core/route.js";
import { Settings } from "./core/settings.js";
import { ACCESS, ACCESS_ADVICE, RATES, absentAdvice, absentWords, announcement, emptyWords, rateWords } from "./core/words.js";
import { Announcer } from "./ui/announcer.js";
import { mark, write, writeCut } from "./ui/dom.js";
import { Feeds } from "./ui/feeds.js";
import { Nav } from "./ui/nav.js";
import { NoticeBar } from "./ui/notices.js";
import { QuotesView } from "./ui/quotes.js";
import { Status } from "./ui/status.js";
import { Toolbar } from "./ui/toolbar.js";

/** A paint comes at least this often: countdowns are told in seconds, and views put off what is not urgent. */
const PAINT_MS = 1_000;

/** The address follows the filter after this pause in typing: browsers bound how often it may change. */
const ADDRESS_MS = 400;

/** As after so many failures: up to half a minute from one look to the next. */
const SELDOM = 5;

const VIEWS = { quotes: QuotesView }; // score cards are loaded where there are any
const isKiosk = new URLSearchParams(location.search).has("kiosk");
const at = (id) => document.getElementById(id);
const ui = { content: at("content"), empty: at("empty"), notice: at("notice"), others: at("others"), title: at("title") };

const settings = new Settings(() => localStorage);
const lists = new Lists(settings, toast);
const client = new Client(document.baseURI, { token: takeToken(window, () => sessionStorage) });
const announcer = new Announcer(at("announcer"), window);
const context = {
  settings,
  lists,
  client,
  request,
  now: () => client.now(),
  go,
  open: (symbol) => go(current.name, symbol),
  current: () => current?.name,
  say: (words) => announcer.say(words),
  toast,
  alert: (symbol) => openDialog("alert-dialog", current, symbol),
};
const nav = new Nav(at("boards"));
const status = new Status(document, client, settings);
const notices = new NoticeBar(at("warnings"), at("notices"), context, () => sessionStorage);
const feeds = new Feeds(at("notes"), at("feeds"), context);
const toolbar = new Toolbar(document, context, { filter, view: () => openDialog("view-dialog", current, view) });

let current = null;
let view = null;
let drawer = null;
let alarms = null;
let opening = ""; // the symbol whose drawer the address asks for
let problem = "";
let isAbsent = false; // the problem is that there is no such board
let isRefused = false; // the server wants a token that this page does not have
let offered = "";
let lastKind = "idle";
let frame = 0;
let addressTimer = 0;
let boardsTimer = 0;

/** Takes note of what the server says beside the rows. */
function received(message) {
  if (message.type === "welcome") welcomed(message);
  if (message.type === "boards" && nav.names(message.boards)) readBoardsSoon();
  if (message.type === "snapshot") nav.rename(message.board, message.title);
  const isHere = message.board === undefined || message.board === current?.name;
  if (message.type === "error" && isHere) refused(message);
  if ((message.type === "snapshot" || message.type === "diff") && isHere) allIsWell();
  request();
}

function refused({ code, message }) {
  isAbsent = code === "unknown_board" && current !== null;
  problem = isAbsent ? absentWords(current.title, current.ready) : format.text(message);
  if (isAbsent && current.ready) announcer.say(problem);
}

function allIsWell() {
  problem = "";
  isAbsent = false;
}

function welcomed({ boards, page }) {
  if (nav.names(boards)) readBoards(); // their titles are not in the welcome
  const [, own] = /\/static\/([^/]+)\//.exec(import.meta.url) ?? [];
  if (own !== undefined && page && page !== own) notice("There is a new version of this page.");
}

/** Tells the new state of the connection aloud; that it is live is no news at the beginning. */
function changed(state) {
  const kind = state.kind === "live" && state.paused ? "paused" : state.kind;
  if (kind !== lastKind && kind !== "connecting" && kind !== "idle") {
    if (!(kind === "live" && lastKind === "idle")) announcer.say(announcement(kind, state));
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
  if (current?.ready) paintRows(now);
  else if (advice()) write(ui.empty, advice());
  offerOthers();
  status.paint(current, isShut() ? ACCESS : problem, isAbsent ? "offline" : "closed");
  notices.paint(current?.name);
  toolbar.paint(current, view);
  feeds.paint(current);
  const title = current?.title ?? "Boards";
  writeCut(ui.title, title);
  const tab = `${context.toasts?.unseen ? `(${context.toasts.unseen}) ` : ""}${title} – ticker`;
  if (document.title !== tab) document.title = tab;
}

function paintRows(now) {
  if (!(current.layout in VIEWS)) return void loadScores();
  if (VIEWS[current.layout] === null) return;
  const isNew = view === null || !(view instanceof VIEWS[current.layout]);
  const isHeld = client.state.paused && !isNew;
  if (isNew) {
    view = new VIEWS[current.layout](context);
    view.filter(toolbar.filter);
    ui.content.replaceChildren(view.element);
    current.touch();
  }
  // paused, the values stay; what people choose is shown
  const changes = isHeld ? { reset: false, symbols: new Set() } : current.take();
  view.paint(current, changes, now);
  drawer?.paint(current, changes, now);
  if (!isHeld) status.shown(current.at);
  paintEmptiness();
  if (opening) openDrawer(opening);
}

function paintEmptiness() {
  const { total, visible } = view.counts;
  const noun = current.layout === "scores" ? "game" : "row";
  const hasColumns = current.layout === "scores" || current.columns.length > 0;
  let words = "";
  if (total === 0) words = emptyWords(current.feeds);
  else if (visible === 0 && toolbar.filter.trim()) words = `No ${noun} matches “${toolbar.filter.trim()}”`;
  else if (visible === 0) words = `No ${noun} is in what is chosen above`;
  else if (!hasColumns) words = "This board has no columns";
  write(ui.empty, advice() || words);
  ui.content.hidden = visible === 0;
}

const isShut = () => isRefused || client.state.code === NOT_ALLOWED;

/** What to do about it when there is nothing to see; "" where there is. */
function advice() {
  if (isShut()) return ACCESS_ADVICE;
  return isAbsent ? absentAdvice(nav.entries.some(({ name }) => name !== current.name)) : "";
}

/** Where there is no such board, or no longer, the others are a click away. */
function offerOthers() {
  ui.others.hidden = !isAbsent;
  const key = isAbsent ? JSON.stringify([current.name, nav.entries]) : "";
  if (key === offered) return;
  offered = key;
  ui.others.replaceChildren(...(isAbsent ? nav.others(current.name) : []));
}

/** Shows the board and the row that the address names. */
function follow() {
  const { board, symbol, filter } = route.parse(location);
  const name = board || nav.first;
  if (name === undefined) return;
  // a board that was chosen begins without the filter of the one before; one that was gone back to has its own
  if (name !== current?.name) show(name, current === null ? filter : (history.state?.filter ?? ""));
  opening = symbol;
  if (symbol === "") drawer?.close();
  nav.mark(name);
  request();
}

function show(name, filter) {
  const before = current?.name;
  isAbsent = !nav.knows(name);
  problem = isAbsent ? absentWords(name, false) : "";
  current = client.watch(name); // also one that is not there: it may come
  current.touch();
  if (before !== undefined && !alarms?.boards.includes(before)) client.unwatch(before);
  client.resume(); // a board is chosen in order to be seen
  view = null;
  if (drawer !== null) drawer.onclose = () => {}; // its row is left, not closed
  drawer?.close();
  status.shown(null);
  ui.content.replaceChildren();
  write(ui.empty, "");
  toolbar.clear(filter);
  keepFilter(filter);
}

/** Changes the address, which is followed. */
function go(board, symbol = "") {
  location.hash = route.hash(board, symbol);
}

function filter(text) {
  view?.filter(text);
  clearTimeout(addressTimer);
  addressTimer = setTimeout(() => keepFilter(text), ADDRESS_MS);
  request();
}

/** Puts the filter into the address, as far as it is not there. */
function keepFilter(text) {
  clearTimeout(addressTimer);
  const search = route.search(location.search, text);
  const isKept = search === location.search && (history.state?.filter ?? "") === text;
  if (!isKept) history.replaceState({ filter: text }, "", `${location.pathname}${search}${location.hash}`);
}

// -- what is loaded when it is needed

/** A part of the page; undefined, and said, where it cannot be had. */
async function load(name) {
  try {
    return await import(`./ui/${name}.js`);
  } catch {
    notice("A part of this page could not be loaded.");
    return undefined;
  }
}

async function openDialog(name, ...about) {
  const part = await load(name);
  const isLeft = about.length > 0 && (about[0] === null || about[0] !== current); // it took a while
  if (part && !isLeft) part.open(context, ...about);
}

async function openDrawer(symbol) {
  opening = "";
  const part = await load("drawer");
  if (part === undefined || !current?.ready || route.parse(location).symbol !== symbol) return;
  drawer ??= new part.Drawer(context);
  drawer.onclose = closed;
  drawer.show(current, symbol);
}

/** Takes the row out of the address and gives it the focus back. */
function closed(shown) {
  if (route.parse(location).symbol === shown) go(current.name);
  view?.focus(shown);
}

async function loadScores(attempt = 0) {
  VIEWS.scores = null; // on its way
  const part = await load("scores");
  if (part) VIEWS.scores = part.ScoresView;
  else setTimeout(() => loadScores(attempt + 1), backoff(attempt, Math.random()));
  request();
}

async function toast(...message) {
  const part = await load("toasts");
  part?.toastsOf(context).show(...message);
}

/** Watches for alerts, on whatever board they are, as long as there are any. */
async function watchAlerts() {
  if (settings.get("alerts").length === 0 || alarms !== null) return;
  const part = await load("alarms");
  alarms ??= part ? new part.Alarms(context) : null;
  request();
}

/** Something that only loading the page again can mend. */
function notice(words) {
  write(ui.notice.firstElementChild, words);
  ui.notice.hidden = false;
}

// -- what people do

function nextRate() {
  settings.set("rate", RATES[(RATES.indexOf(settings.get("rate")) + 1) % RATES.length]);
  announcer.say(rateWords(settings.get("rate")));
}

function escape() {
  if (document.activeElement === toolbar.field) toolbar.leave(view);
  else drawer?.close();
}

const focused = () => view?.focused || drawer?.symbol;
const COMMANDS = {
  filter: () => toolbar.field.focus(),
  pause: () => status.togglePause(),
  rate: nextRate,
  star: () => focused() && lists.toggle(current.name, focused()),
  alert: () => focused() && context.alert(focused()),
  view: () => openDialog("view-dialog", current, view),
  running: () => current?.layout === "scores" && settings.set("liveOnly", !settings.get("liveOnly")),
  feeds: () => feeds.toggle(),
  settings: () => openDialog("settings-dialog"),
  help: () => openDialog("help-dialog"),
  escape,
};

function pressed(event) {
  if (document.querySelector("dialog[open]:modal")) return; // its keys are its own
  const name = command(event, settings.get("shortcuts"));
  if (name === null) return;
  if (name !== "escape") event.preventDefault();
  if (name.startsWith("board ")) nav.open(Number(name.slice(6)) - 1);
  else COMMANDS[name]();
}

function applySettings() {
  mark(document.documentElement, "colours", settings.get("colours"));
  mark(document.documentElement, "density", settings.get("density"));
  client.interval = settings.get("rate") === "live" ? 0 : Number(settings.get("rate"));
  request();
}

/** Names are known at once; with their titles all viewers need not come at one moment. */
function readBoardsSoon(attempt = 0) {
  clearTimeout(boardsTimer);
  boardsTimer = setTimeout(() => readBoards(attempt), backoff(attempt, Math.random()));
}

/** Reads the list of boards with their titles; until that works, a board named by the address is shown anyway. */
async function readBoards(attempt = 0) {
  try {
    const response = await client.get("api/boards");
    if (isRefusal(response.status)) return client.state.kind === "live" ? undefined : shut();
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    const { boards } = await response.json();
    nav.list(boards.map(({ name, title }) => ({ name, title: title || name })));
    if (boards.length === 0) write(ui.empty, "No boards are configured");
    if (boards.length === 0) readBoardsSoon(SELDOM); // there is no connection that would tell
  } catch {
    readBoardsSoon(attempt + 1);
    if (current === null) write(ui.empty, "The list of boards cannot be read – trying again");
  }
  if (current === null) follow();
}

/** Without access nothing is asked any more: a new link leads to a new page. */
function shut() {
  isRefused = true;
  for (const name of client.watched) client.unwatch(name);
  announcer.say(ACCESS_ADVICE);
  request();
}

client.listen((message) => (message === null ? changed(client.state) : received(message)));
client.follow(window, document, isKiosk ? undefined : () => !alarms?.boards.length);
for (const name of ["colours", "density", "rate"]) settings.on(name, applySettings);
for (const name of ["columns", "lists", "list", "liveOnly"]) settings.on(name, request);
settings.on("alerts", watchAlerts);
settings.follow(window);
applySettings();
at("settings").addEventListener("click", COMMANDS.settings);
at("help").addEventListener("click", COMMANDS.help);
ui.notice.lastElementChild.addEventListener("click", () => location.reload());
document.addEventListener("keydown", pressed);
window.addEventListener("popstate", follow); // links, the way back, and what this page asks for itself
setInterval(request, PAINT_MS);
follow(); // a board that the address names need not wait for the list
readBoards();
watchAlerts();
if (isKiosk) {
  const showOnWall = (board) => {
    history.replaceState(null, "", `${location.pathname}${location.search}${route.hash(board)}`);
    follow();
  };
  load("kiosk").then((part) => part?.start(context, { show: showOnWall, boards: () => nav.entries.map(({ name }) => name), isShut }));
}
