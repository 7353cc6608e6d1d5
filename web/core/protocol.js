/**
 * Every message of wire version 1, in both directions, and every rule about closing and coming back.
 *
 * Pure: no socket, no clock, no randomness of its own.
 * @module protocol
 */
import { isMap } from "./values.js";

/** The version this page speaks; a server that welcomes with another one needs a newer page. */
export const PROTOCOL = 1;

/** The WebSocket sub-protocol that names the version. */
export const SUBPROTOCOL = "ticker.v1";

/** First upper bound of the wait before coming back: long enough to spread a crowd over a second. */
export const BACKOFF_BASE_MS = 1_000;

/** Last upper bound: nobody looks at a dead board for longer than this without another attempt. */
export const BACKOFF_CAP_MS = 30_000;

/** No goodbye may send a viewer away for longer than this, whatever number it carries. */
const RETRY_CAP_S = 600;

const isSeq = (value) => Number.isSafeInteger(value) && value >= 0;
const isName = (value) => typeof value === "string" && value !== "";

/** What a message must have before anyone may rely on it; a type that is not here is ignored. */
const SHAPES = {
  welcome: (m) => Number.isInteger(m.protocol),
  snapshot: (m) => isName(m.board) && isName(m.epoch) && isSeq(m.seq) && isMap(m.rows),
  diff: (m) => isName(m.board) && isSeq(m.prev) && isSeq(m.seq) && isMap(m.rows),
  status: (m) => isName(m.board) && isMap(m.feeds),
  viewers: (m) => isName(m.board) && isSeq(m.viewers),
  boards: (m) => Array.isArray(m.boards) && m.boards.every(isName),
  notice: (m) => isName(m.id) && (m.text === null || isName(m.text)),
  token: (m) => m.until === undefined || m.until === null || Number.isFinite(m.until),
  heartbeat: (m) => m.seqs === undefined || isMap(m.seqs),
  error: (m) => typeof m.code === "string",
  goodbye: () => true,
  pong: (m) => Number.isFinite(m.at),
};

/**
 * Reads one text frame.
 * @param {unknown} text
 * @returns {object|null} the message, or null for anything that is not a known message of the right shape.
 */
export function parse(text) {
  if (typeof text !== "string") return null;
  let message;
  try {
    message = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isMap(message) || !Object.hasOwn(SHAPES, message.type)) return null;
  return SHAPES[message.type](message) ? message : null;
}

/** Where a viewer stands on a board, as far as it is known: what a resume needs. */
const position = ({ epoch, seq } = {}) => (isName(epoch) && isSeq(seq) ? { epoch, seq } : {});

/** The most frames per second a viewer wants; null: as they come. */
const rated = (rate) => (rate > 0 ? { rate } : {});

/** Client messages, as text ready to be sent. */
export const message = {
  subscribe: (board, at, rate = null) =>
    JSON.stringify({ type: "subscribe", board, ...position(at), ...rated(rate) }),
  unsubscribe: (board) => JSON.stringify({ type: "unsubscribe", board }),
  pause: () => '{"type":"pause"}',
  resume: () => '{"type":"resume"}',
  ping: () => '{"type":"ping"}',
  token: (token) => JSON.stringify({ type: "token", token }),
};

/**
 * The address that watches one board, resuming where the viewer stands.
 * @param {string} page address of the page; the endpoint is its neighbour `ws`.
 * @param {string|null} token that lets the viewer in: a browser's WebSocket sends no headers of one's own.
 */
export function address(page, board, at, rate = null, token = null) {
  const url = new URL("ws", page);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.search = new URLSearchParams({ board, ...position(at), ...rated(rate), ...(token ? { token } : {}) }).toString();
  url.hash = "";
  return url.href;
}

const WHY = {
  1001: "the server went away",
  1006: "the connection was lost",
  1008: "the server refused this page",
  1009: "a message was too large",
  1011: "the server had a fault",
  1012: "the server is restarting",
  1013: "the server is busy",
  4000: "the server will be back in a moment",
  4001: "this connection was too slow",
  4002: "the server heard nothing from this page",
  4003: "the server renews its connections",
  4500: "the server could not read a message of this page",
  4501: "access to this server is not allowed",
  4502: "an operator of the server ended this connection",
  4503: "a limit of the server is reached",
};

/** Close codes of what the server does on purpose and every day. */
const PLANNED = [4000, 4003];

/**
 * What a close code asks of the viewer: 4500 and above, 1008 and 1009 are final, all others come back.
 * @returns {{comeBack: boolean, isPlanned: boolean, why: string}} planned: nothing is wrong
 */
export function closeRule(code, reason = "") {
  const comeBack = !(code >= 4500 || code === 1008 || code === 1009);
  const known = WHY[code] ?? (comeBack ? "the connection was lost" : `the server closed with code ${code}`);
  const saysMore = reason !== "" && !comeBack && !(code >= 4000 && Object.hasOwn(WHY, code));
  return { comeBack, isPlanned: PLANNED.includes(code), why: saysMore ? `${known} (${reason})` : known };
}

/**
 * Full jitter: a random share of an exponentially growing, capped bound.
 * @param {number} attempt failed attempts so far, from 0.
 * @param {number} random in [0, 1).
 * @returns {number} milliseconds
 */
export function backoff(attempt, random, base = BACKOFF_BASE_MS, cap = BACKOFF_CAP_MS) {
  return random * Math.min(cap, base * 2 ** attempt);
}

/**
 * The wait a goodbye asks for: uniform in its `retry` range of seconds.
 * @returns {number|null} milliseconds, or null when the range is missing or makes no sense.
 */
export function retryDelay(retry, random) {
  if (!Array.isArray(retry) || retry.length !== 2 || !retry.every(Number.isFinite)) return null;
  const [from, to] = retry.map((seconds) => Math.min(RETRY_CAP_S, seconds));
  return from < 0 || to < from ? null : 1000 * (from + random * (to - from));
}
