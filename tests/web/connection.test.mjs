import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { setImmediate as settled } from "node:timers/promises";

import { Connection } from "../../web/core/connection.js";
import { FakeClock, FakePage, ScriptedWebSocket } from "./fakes.mjs";

let clock, page, connection, states, received, gaps, random, position;

beforeEach(() => {
  ScriptedWebSocket.opened = [];
  clock = new FakeClock();
  page = new FakePage();
  states = [];
  received = [];
  gaps = [];
  random = 0.5;
  position = {};
  connection = new Connection({
    page: "http://host:8000/",
    WebSocket: ScriptedWebSocket,
    clock,
    random: () => random,
    receive: (message) => {
      received.push(message);
      return gaps;
    },
    changed: (state) => states.push(state.kind),
  });
});

const socket = () => ScriptedWebSocket.last;
const opened = () => ScriptedWebSocket.opened.length;
const watch = (board = "stocks") => connection.watch(board, () => position);
const live = () => {
  watch();
  socket().accept();
};
const types = () => socket().sent.map((message) => message.type);
const diff = { type: "diff", board: "stocks", prev: 1, seq: 2, rows: {} };

describe("connecting", () => {
  test("asks for the board at /ws and offers the sub-protocol", () => {
    watch();
    assert.equal(socket().url.href, "ws://host:8000/ws?board=stocks");
    assert.deepEqual(socket().protocols, ["ticker.v1"]);
  });
  test("is live with the welcome, not before", () => {
    live();
    assert.deepEqual(states, ["connecting", "live"]);
  });
  test("hands on every message", () => {
    live();
    socket().say(diff);
    assert.deepEqual(received.map((message) => message.type), ["welcome", "diff"]);
  });
  test("hands on nothing of a shape it does not know", () => {
    live();
    socket().say({ type: "chart" });
    socket().onmessage({ data: "<html>" });
    assert.equal(received.length, 1);
  });
  test("an opening that leads to nothing is given up", () => {
    watch();
    clock.advance(12_500);
    assert.equal(connection.state.kind, "waiting");
  });
  test("a server of another version is final and says what to do", () => {
    watch();
    socket().accept({ protocol: 2 });
    assert.equal(connection.state.kind, "closed");
    assert.match(connection.state.why, /load it again/);
  });
});

describe("a dead link", () => {
  test("is noticed after 2.5 heartbeats without anything", () => {
    watch();
    socket().accept({ heartbeat: 2 });
    clock.advance(4_999);
    assert.equal(connection.state.kind, "live");
    clock.advance(1);
    assert.equal(connection.state.kind, "waiting");
    assert.equal(connection.state.why, "the connection went silent");
  });
  test("is not one on which anything comes", () => {
    watch();
    socket().accept({ heartbeat: 2 });
    for (let i = 0; i < 10; i++) {
      clock.advance(4_000);
      socket().say({ type: "heartbeat" });
    }
    assert.equal(connection.state.kind, "live");
  });
  test("is left without waiting for its close", () => {
    live();
    const dead = socket();
    clock.advance(60_000);
    dead.say(diff);
    assert.equal(received.length, 1);
  });
  test("needs one timer, however much comes", () => {
    live();
    for (let i = 0; i < 1_000; i++) socket().say(diff);
    assert.equal(clock.pending, 1);
  });
});

describe("coming back", () => {
  test("waits a random share of the bound", () => {
    live();
    socket().end(1006);
    clock.advance(499);
    assert.equal(opened(), 1);
    clock.advance(1);
    assert.equal(opened(), 2);
  });
  test("tells until when it waits, and why", () => {
    live();
    socket().end(1012);
    assert.equal(connection.state.until, clock.now() + 500);
    assert.equal(connection.state.why, "the server is restarting");
  });
  test("waits longer after each failure, up to the cap", () => {
    watch();
    const waits = [];
    for (let i = 0; i < 8; i++) {
      socket().end(1006);
      waits.push(connection.state.until - clock.now());
      clock.advance(waits.at(-1));
    }
    assert.deepEqual(waits, [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000]);
  });
  test("starts small again after a link that lasted", () => {
    watch();
    for (let i = 0; i < 5; i++) {
      socket().end(1006);
      clock.advance(connection.state.until - clock.now());
    }
    socket().accept();
    clock.advance(10_000);
    socket().end(1006);
    assert.equal(connection.state.until - clock.now(), 500);
  });
  test("does not start small after a link that was closed at once", () => {
    live();
    socket().end(4001);
    clock.advance(500);
    socket().accept();
    socket().end(4001);
    assert.equal(connection.state.until - clock.now(), 1_000);
  });
  test("resumes by epoch and seq", () => {
    live();
    position = { epoch: "k3x9", seq: 8130 };
    socket().end(1006);
    clock.advance(500);
    assert.equal(socket().url.search, "?board=stocks&epoch=k3x9&seq=8130");
  });
  test("honours the range of a goodbye", () => {
    live();
    socket().say({ type: "goodbye", code: 4000, retry: [10, 30] });
    socket().end(4000);
    assert.equal(connection.state.until - clock.now(), 20_000);
  });
  test("forgets a goodbye with the next attempt", () => {
    live();
    socket().say({ type: "goodbye", code: 4000, retry: [10, 30] });
    socket().end(4000);
    clock.advance(20_000);
    socket().end(1006);
    assert.equal(connection.state.until - clock.now(), 1_000);
  });
  test("stays without alarm while a server that said goodbye starts anew", () => {
    live();
    socket().say({ type: "goodbye", code: 4000, retry: [0, 2] });
    socket().end(4000);
    for (let i = 0; i < 3; i++) {
      assert.deepEqual([connection.state.isPlanned, connection.state.why], [true, "the server will be back in a moment"]);
      clock.advance(connection.state.until - clock.now());
      socket().end(1006);
    }
    clock.advance(60_000);
    socket().end(1006);
    assert.deepEqual([connection.state.isPlanned, connection.state.why], [false, "the connection was lost"]);
  });
  test("is planned no longer once it has come about", () => {
    live();
    socket().end(4003);
    clock.advance(500);
    socket().accept();
    socket().end(1006);
    assert.equal(connection.state.isPlanned, false);
  });
  test("goes on, seldom, while none of what is watched is there", () => {
    live();
    socket().say({ type: "error", code: "unknown_board", board: "stocks", message: "no" });
    socket().end(4503);
    assert.deepEqual([connection.state.kind, connection.state.isPlanned], ["waiting", true]);
    assert.equal(connection.state.until - clock.now(), 15_000);
  });
  test("can be asked for at once", () => {
    live();
    socket().end(1006);
    connection.retryNow();
    assert.equal(opened(), 2);
    clock.advance(5_000);
    assert.equal(opened(), 2);
  });
  test("does not happen after a final code, which is told in words", () => {
    live();
    socket().end(4503);
    clock.advance(3_600_000);
    assert.equal(opened(), 1);
    assert.deepEqual([connection.state.kind, connection.state.why], ["closed", "a limit of the server is reached"]);
  });
  test("happens after a final code when asked for", () => {
    live();
    socket().end(4501);
    connection.retryNow();
    assert.equal(opened(), 2);
  });
});

describe("a gap", () => {
  test("subscribes again with what we have", () => {
    live();
    position = { epoch: "k3x9", seq: 5 };
    gaps = ["stocks"];
    socket().say(diff);
    assert.deepEqual(socket().sent, [{ type: "subscribe", board: "stocks", epoch: "k3x9", seq: 5 }]);
  });
  test("asks once, though each diff is one until the answer comes", () => {
    live();
    gaps = ["stocks"];
    for (let i = 0; i < 5; i++) socket().say(diff);
    assert.equal(socket().sent.length, 1);
  });
  test("asks again when nobody answered", () => {
    live();
    gaps = ["stocks"];
    socket().say(diff);
    clock.advance(2_000);
    socket().say(diff);
    assert.equal(socket().sent.length, 2);
  });
  test("after an answer is a new one", () => {
    live();
    for (gaps of [["stocks"], [], ["stocks"]]) socket().say(diff);
    assert.deepEqual(types(), ["subscribe", "subscribe"]);
  });
  test("told by a heartbeat is none while paused", () => {
    live();
    connection.pause();
    gaps = ["stocks"];
    socket().say({ type: "heartbeat", seqs: { stocks: 99 } });
    assert.deepEqual(types(), ["pause"]);
  });
});

describe("pause", () => {
  test("tells the server, and resume does", () => {
    live();
    connection.pause();
    connection.resume();
    assert.deepEqual(types(), ["pause", "resume"]);
  });
  test("is told as a state", () => {
    live();
    connection.pause();
    assert.equal(connection.state.paused, true);
  });
  test("is what a page that nobody looks at does", () => {
    live();
    connection.attend("resting");
    connection.attend("awake");
    assert.deepEqual(types(), ["pause", "resume"]);
    assert.equal(connection.state.paused, false);
  });
  test("of the person outlasts the resting of the page", () => {
    live();
    connection.pause();
    connection.attend("resting");
    connection.attend("awake");
    assert.deepEqual(types(), ["pause"]);
  });
  test("is told again after a reconnect", () => {
    live();
    connection.pause();
    socket().end(1006);
    clock.advance(500);
    socket().accept();
    assert.deepEqual(types(), ["pause"]);
  });
  test("of a page that rests from the beginning is told with the opening", () => {
    connection.attend("resting");
    live();
    assert.deepEqual(types(), ["pause"]);
  });
});

describe("several boards", () => {
  test("are watched on one socket; what is let go of is told first, as their number is limited", async () => {
    live();
    watch("games");
    connection.unwatch("stocks");
    await settled();
    assert.equal(opened(), 1);
    assert.deepEqual(socket().sent, [
      { type: "unsubscribe", board: "stocks" },
      { type: "subscribe", board: "games" },
    ]);
  });
  test("watched and let go of in one turn are never asked for", async () => {
    live();
    watch("games");
    connection.unwatch("games");
    await settled();
    assert.deepEqual(socket().sent, []);
  });
  test("that were refused are asked for when the choice changes", async () => {
    live();
    watch("games");
    await settled();
    socket().say({ type: "error", code: "limit", message: "at most 1 boards on one connection", board: "games" });
    assert.deepEqual(types(), ["subscribe"]);
    connection.unwatch("stocks");
    await settled();
    assert.deepEqual(types(), ["subscribe", "unsubscribe", "subscribe"]);
    assert.equal(socket().sent.at(-1).board, "games");
  });
  test("chosen while connecting are asked for with the opening", () => {
    watch();
    watch("games");
    connection.unwatch("stocks");
    assert.deepEqual(socket().sent, []);
    socket().accept();
    assert.deepEqual(types(), ["unsubscribe", "subscribe"]);
  });
  test("chosen while waiting are the ones that are connected to", () => {
    live();
    socket().end(1006);
    watch("games");
    connection.unwatch("stocks");
    clock.advance(500);
    assert.equal(socket().url.searchParams.get("board"), "games");
  });
  test("are all asked for again after a reconnect, from where they stand", () => {
    live();
    connection.watch("games", () => ({ epoch: "e", seq: 7 }));
    socket().end(1006);
    clock.advance(500);
    socket().accept();
    assert.deepEqual(socket().sent, [{ type: "subscribe", board: "games", epoch: "e", seq: 7 }]);
  });
  test("a gap in one asks for that one alone", async () => {
    live();
    watch("games");
    await settled();
    gaps = ["games"];
    socket().say({ ...diff, board: "games" });
    assert.deepEqual(socket().sent.map(({ board }) => board), ["games", "games"]);
  });
  test("chosen after a final close are tried", () => {
    live();
    socket().end(4501);
    watch("games");
    assert.equal(opened(), 2);
  });
  test("without any nothing is left behind", () => {
    live();
    connection.unwatch("stocks");
    assert.equal(clock.pending, 0);
    assert.equal(connection.state.kind, "idle");
  });
});

describe("the rate", () => {
  test("is asked of the server, for all boards", async () => {
    live();
    watch("games");
    await settled();
    connection.rate = 0.2;
    const asked = socket().sent.slice(1);
    assert.deepEqual(asked.map(({ board, rate }) => [board, rate]), [["stocks", 0.2], ["games", 0.2]]);
  });
  test("is asked for with the connection", () => {
    connection.rate = 1;
    live();
    assert.equal(socket().url.searchParams.get("rate"), "1");
    assert.deepEqual(socket().sent, []);
  });
  test("changed while connecting is asked for with the opening", () => {
    watch();
    connection.rate = 1;
    socket().accept();
    assert.deepEqual(socket().sent, [{ type: "subscribe", board: "stocks", rate: 1 }]);
  });
  test("goes back to every change", () => {
    connection.rate = 1;
    live();
    connection.rate = null;
    assert.deepEqual(socket().sent, [{ type: "subscribe", board: "stocks" }]);
  });
});

describe("a page that nobody looks at", () => {
  test("gives up its link, and resumes when it is seen", () => {
    live();
    connection.attend("away");
    assert.equal(connection.state.kind, "idle");
    assert.equal(clock.pending, 0);
    position = { epoch: "e", seq: 5 };
    connection.attend("awake");
    assert.equal(opened(), 2);
    assert.equal(socket().url.searchParams.get("seq"), "5");
  });
  test("connects to nothing while it is away", () => {
    connection.follow(page.window);
    live();
    connection.attend("away");
    page.tell("pageshow");
    assert.equal(opened(), 1);
  });
});

describe("the network", () => {
  beforeEach(() => connection.follow(page.window));

  test("lost: the link is probed, and kept when it answers", () => {
    live();
    page.tell("offline");
    assert.deepEqual(types(), ["ping"]);
    socket().say({ type: "pong" });
    clock.advance(3_000);
    assert.equal(connection.state.kind, "live");
  });
  test("lost: a link that does not answer is offline", () => {
    live();
    page.tell("offline");
    clock.advance(3_000);
    assert.equal(connection.state.kind, "offline");
  });
  test("lost: attempts go on, as being told so is no proof", () => {
    live();
    page.tell("offline");
    clock.advance(3_500);
    assert.equal(opened(), 2);
  });
  test("found: the next attempt is soon", () => {
    live();
    socket().say({ type: "goodbye", retry: [300, 300] });
    socket().end(4000);
    page.tell("offline");
    assert.equal(connection.state.kind, "offline");
    page.tell("online");
    clock.advance(500);
    assert.equal(opened(), 2);
  });
});

describe("the page's life", () => {
  beforeEach(() => connection.follow(page.window));

  test("a page kept aside has no socket and no timer", () => {
    live();
    page.tell("pagehide");
    assert.equal(socket().readyState, 3);
    assert.equal(clock.pending, 0);
  });
  test("a page taken back resumes", () => {
    live();
    page.tell("pagehide");
    position = { epoch: "e", seq: 3 };
    page.tell("pageshow");
    assert.equal(socket().url.search, "?board=stocks&epoch=e&seq=3");
  });
  test("the first showing of a page connects only once", () => {
    watch();
    page.tell("pageshow");
    assert.equal(opened(), 1);
  });
  test("a laptop that slept finds the dead link when the tab is seen", () => {
    live();
    connection.attend("resting");
    clock.time += 3_600_000;
    connection.attend("awake");
    assert.equal(connection.state.kind, "waiting");
  });
});
