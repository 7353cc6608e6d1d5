/**
 * What `/api/status` says, in words for who runs the server. Pure.
 *
 * A server may say more than this page knows, or less: what is missing is a dash.
 * @module report
 */
import * as format from "./format.js";
import { isMap } from "./values.js";
import { feedWords } from "./words.js";

/** An event loop that is late by this many milliseconds keeps every viewer waiting. */
const LATE_MS = 250;

/** The order of what needs attention, and a sign for each quality: never the colour alone. */
const SIGNS = { down: "✕", stale: "!", delayed: "◔", live: "✓", closed: "–" };

const { MISSING, SECOND, number, text } = format;
const mapOf = (value) => (isMap(value) ? value : {});
const listOf = (value) => (Array.isArray(value) ? value : []);
const entriesOf = (value) => Object.entries(mapOf(value)).sort(([a], [b]) => (a < b ? -1 : 1));

const count = (value) => format.count(value, 0);
const ms = (value) => (number(value) === null ? MISSING : `${format.count(value, number(value) < 10 ? 1 : 0)} ms`);
const ago = (at, now) => (number(at) > 0 && number(now) !== null ? `${format.age(now - at)} ago` : MISSING);
const when = (at, now) => (number(at) > 0 ? `${format.shortTime(at, now ?? at)}, ${ago(at, now)}` : MISSING);

/**
 * Whether everything is as it should be, and what is not.
 * @returns {{isWell: boolean, words: string, causes: string[]}}
 */
export function verdict(status) {
  const causes = [...configCauses(mapOf(status.config)), ...readyCauses(status), ...busCauses(status), ...storeCauses(status), ...feedCauses(status)];
  const late = number(mapOf(status.loop_lag).p99);
  if (late >= LATE_MS) causes.push(`The event loop is late: one time in a hundred by ${ms(late)} or more`);
  const { length } = causes;
  const words = length === 0 ? "All is well" : length === 1 ? "One thing needs attention" : `${length} things need attention`;
  return { isWell: length === 0, words, causes };
}

function configCauses({ ok, error, pending }) {
  const causes = listOf(pending).map((key) => `Config: ${text(key)} counts only after a restart`);
  if (ok === false) causes.unshift(`The config could not be loaded again, the one before still counts: ${text(error)}`);
  return causes;
}

function readyCauses({ ready, bus }) {
  const { status, waiting } = mapOf(ready);
  if (status === "ready") return [];
  const isBus = (name) => name === "bus" && isMap(bus);
  const boards = entriesOf(waiting).map(([board, why]) => `Not ready, ${isBus(board) ? "the bus" : `board ${board}`}: ${text(why)}`);
  return boards.length > 0 ? boards : [status === undefined ? "It is not known whether the server is ready" : `Not ready: ${text(status)}`];
}

const membersOf = ({ bus }) => listOf(mapOf(bus).members).map(mapOf);
const placeOf = ({ host, pid }) => `${text(host)}, ${number(pid) === null ? MISSING : pid}`;

function busCauses(status) {
  if (!isMap(status.bus)) return [];
  const differing = membersOf(status).filter((member) => differences(member).length > 0);
  const causes = differing.map((member) => `Process ${placeOf(member)} has ${differences(member).join(" and ")}`);
  if (!status.bus.poller) causes.unshift("No process reads the feeds");
  return causes;
}

function storeCauses({ store, now }) {
  if (!isMap(store) || store.status === "ok") return [];
  return [`Nothing is kept for after a restart, since ${when(store.since, now)}: ${text(store.why)}`];
}

const differences = ({ same_config, same_version }) =>
  [same_config === false && "another config", same_version === false && "another version"].filter(Boolean);

const feedCauses = ({ feeds, now }) =>
  entriesOf(feeds).map(([name, feed]) => feedWords(name, mapOf(feed), now)).filter(Boolean).map((words) => `Feed ${words}`);

/** What is known of a quality: its word and its sign. */
export function sign(quality) {
  const word = text(quality);
  return { word, sign: Object.hasOwn(SIGNS, word) ? SIGNS[word] : "?" };
}

/** Facts: pairs of a label and words. */
export function configFacts({ config, now }) {
  const { loaded_at, tried_at, reloads, failures, error } = mapOf(config);
  return [
    ["Loaded", when(loaded_at, now)],
    ["Last try", when(tried_at, now)],
    ["Reloads", count(reloads)],
    ["Failed reloads", count(failures)],
    ["Error", error ? text(error) : error === null ? "none" : MISSING],
  ];
}

export function viewerFacts({ viewers }) {
  const labels = { now: "Now", most: "At most", live: "Live", lagging: "Lagging", paused: "Paused" };
  const facts = Object.entries(labels).map(([key, label]) => [label, count(mapOf(viewers)[key])]);
  const { everywhere } = mapOf(viewers);
  return everywhere === undefined ? facts : [...facts, ["At all processes", count(everywhere)]];
}

/** How many connections were ended, by reason. */
export const closedFacts = ({ closed }) => entriesOf(closed).map(([reason, times]) => [reason, count(times)]);

export function programFacts({ version, started, now, loop_lag, ready }) {
  const { p50, p99, max } = mapOf(loop_lag);
  return [
    ["Version", text(version)],
    ["Started", when(started, now)],
    ["Ready", text(mapOf(ready).status)],
    ["Loop lag", `${ms(p50)} typical, ${ms(p99)} p99, ${ms(max)} most`],
  ];
}

/** Every feed, those that need attention first. */
export function feedReports({ feeds, now }) {
  const signs = Object.keys(SIGNS);
  const rank = ({ quality }) => (signs.includes(quality) ? signs.indexOf(quality) : -1);
  const all = entriesOf(feeds).map(([name, feed]) => ({ name, ...mapOf(feed) }));
  return all.sort((a, b) => rank(a) - rank(b)).map((feed) => feedReport(feed, now));
}

function feedReport(feed, now) {
  const rejectedNow = number(feed.rejected_now) > 0 ? `, ${count(feed.rejected_now)} of the last reading` : "";
  const every = number(feed.every) === null ? "" : ` of ${format.count(feed.every / SECOND)} s`;
  const facts = [
    ["Since", when(feed.since, now)],
    ["Last success", when(feed.last_success, now)],
    ["Duration", ms(feed.duration) + every],
    ["Failures in a row", count(feed.failures)],
    ["Skipped", count(feed.skipped)],
    ["Rejected", count(feed.rejected) + rejectedNow],
  ];
  const notes = [feed.why, feed.trouble, ...listOf(feed.rejections)].filter((note) => typeof note === "string" && note);
  return { name: feed.name, kind: text(feed.kind), quality: sign(feed.quality), facts, notes: [...new Set(notes)] };
}

/** Every board: title, quality, and figures. */
export const boardReports = ({ boards, viewers }) =>
  listOf(boards).map(mapOf).map(({ name, title, quality, rows, viewers: own }) => ({
    name: text(name),
    title: text(title ?? name),
    quality: sign(quality),
    rows: count(rows),
    viewers: count(own ?? mapOf(mapOf(viewers).boards)[name]),
  }));

/** Where there is a bus: how this process is on it, and since when it knows what it says. */
export function busFacts({ bus }) {
  if (!isMap(bus)) return [];
  const age = (value) => (number(value) === null ? MISSING : `${format.age(value)} ago`);
  return [
    ["This process", text(bus.process)],
    ["Bus", bus.why === null ? "followed" : text(bus.why)],
    ["Last answer", age(bus.age)],
    ["Feeds as told", age(mapOf(bus.feeds).age)],
  ];
}

/** Every process that serves the same boards: where it is, how it is, and figures. */
export const memberReports = (status) =>
  membersOf(status).map((member) => {
    const { id, version, ready, draining, poller, viewers, up } = member;
    const differing = differences(member);
    const state = draining === true ? "draining" : ready === true ? "ready" : "not ready";
    const isWell = state === "ready" && differing.length === 0;
    const own = id === mapOf(status.bus).process ? ["this one"] : [];
    return {
      name: placeOf(member),
      version: text(version),
      state: { sign: isWell ? SIGNS.live : SIGNS.stale, isWell, words: [state, ...(poller === true ? ["reads the feeds"] : []), ...own, ...differing].join(", ") },
      viewers: count(viewers),
      up: number(up) === null ? MISSING : format.age(up),
    };
  });
