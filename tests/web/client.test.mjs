import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { setImmediate as settled } from "node:timers/promises";

import { Client } from "../../web/client.js";
import { FakeClock, ScriptedWebSocket } from "./fakes.mjs";

let clock, client, heard, reported;

beforeEach(() => {
  ScriptedWebSocket.opened = [];
  clock = new FakeClock();
  heard = [];
  reported = [];
  client = new Client("http://host:8000/", {
    WebSocket: ScriptedWebSocket,
    clock,
    random: () => 0.5,
    report: (error) => reported.push(error.message),
  });
  client.listen((message) => heard.push(message?.type ?? client.state.kind));
});

const socket = () => ScriptedWebSocket.last;
const sent = (type) => socket().sent.filter((message) => message.type === type);
const snapshot = (rows = { A: { last: 1 } }, more = {}) => {
  const columns = [{ field: "last", kind: "price" }];
  socket().say({ type: "snapshot", board: "stocks", epoch: "e", seq: 1, at: 5, columns, rows, feeds: {}, ...more });
};
const diff = (prev, seq, rows) => socket().say({ type: "diff", board: "stocks", prev, seq, at: 6, rows });
const live = () => {
  const store = client.watch("stocks");
  socket().accept();
  snapshot();
  return store;
};

describe("a watched board", () => {
  test("has rows with the snapshot, and what changed is taken once", () => {
    const store = client.watch("stocks");
    assert.equal(store.ready, false);
    socket().accept();
    snapshot();
    assert.equal(store.rows.get("A").last, 1);
    assert.deepEqual(store.take(), { reset: true, symbols: new Set(["A"]) });
    diff(1, 2, { B: { last: 7 } });
    assert.deepEqual(store.take(), { reset: false, symbols: new Set(["B"]) });
  });
  test("is the same store however often it is watched, on one connection", () => {
    assert.equal(live(), client.watch("stocks"));
    assert.equal(ScriptedWebSocket.opened.length, 1);
  });
  test("shares its connection with the next board", async () => {
    live();
    client.watch("games");
    await settled();
    assert.deepEqual(sent("subscribe"), [{ type: "subscribe", board: "games" }]);
    assert.deepEqual(client.watched, ["stocks", "games"]);
  });
  test("is asked for again after a gap, from where it stands", () => {
    live();
    diff(3, 4, { A: { last: 2 } });
    assert.deepEqual(sent("subscribe"), [{ type: "subscribe", board: "stocks", epoch: "e", seq: 1 }]);
  });
  test("keeps what is held when it is let go, and resumes from it", async () => {
    const store = live();
    client.watch("games");
    client.unwatch("stocks");
    await settled();
    diff(1, 2, { A: { last: 9 } });
    assert.equal(store.rows.get("A").last, 1);
    client.watch("stocks");
    await settled();
    assert.deepEqual(sent("subscribe").at(-1), { type: "subscribe", board: "stocks", epoch: "e", seq: 1 });
  });
  test("has the history of its values", () => {
    const store = live();
    diff(1, 2, { A: { last: 2 } });
    assert.equal(store.series("A").value.at(-1), 2);
  });
});

describe("listeners", () => {
  test("hear every message and every change of the state", () => {
    live();
    assert.deepEqual(heard, ["connecting", "live", "welcome", "snapshot"]);
  });
  test("hear nothing more after they have let go", () => {
    live();
    const more = [];
    const stop = client.listen((message) => more.push(message));
    stop();
    diff(1, 2, {});
    assert.deepEqual(more, []);
  });
  test("that fail are reported, and nobody else notices", () => {
    client.listen(() => {
      throw new Error("mine");
    });
    const others = [];
    client.listen((message) => others.push(message?.type));
    const store = live();
    assert.equal(client.state.kind, "live");
    assert.equal(store.rows.size, 1);
    assert.deepEqual(others, [undefined, undefined, "welcome", "snapshot"]);
    assert.deepEqual(new Set(reported), new Set(["mine"]));
  });
  test("that fail do not keep a gap from being asked for", () => {
    live();
    client.listen(() => {
      throw new Error("mine");
    });
    diff(3, 4, {});
    assert.equal(sent("subscribe").length, 1);
  });
});

describe("the server's time", () => {
  const HOUR = 3_600_000;
  const pong = () => socket().say({ type: "pong", at: clock.time + HOUR });

  test("is this page's until a ping is answered", () => {
    live();
    assert.deepEqual([client.now(), client.knowsClock], [clock.time, false]);
    pong();
    assert.deepEqual([client.now(), client.knowsClock], [clock.time + HOUR, true]);
  });
  test("stays known while a new link has not answered yet", () => {
    live();
    pong();
    socket().end();
    clock.advance(1_000);
    socket().accept();
    assert.equal(client.now(), clock.time + HOUR);
  });
  test("tells how long changes take", () => {
    live();
    assert.equal(client.latency.typical, null);
    pong();
    socket().say({ type: "diff", board: "stocks", prev: 1, seq: 2, at: clock.time + HOUR - 40, rows: {} });
    assert.equal(client.latency.typical, 40);
  });
  test("is asked for again every 15 seconds, not with every message", () => {
    live();
    pong();
    diff(1, 2, {});
    assert.equal(sent("ping").length, 1);
    for (let second = 0; second < 15; second += 5) {
      clock.advance(5_000);
      socket().say({ type: "heartbeat", at: 1, seqs: {} });
    }
    assert.equal(sent("ping").length, 2);
  });
});

test("viewers of a board are known as far as the server tells it, and unknown on a new link", () => {
  live();
  assert.equal(client.viewers("stocks"), null);
  socket().say({ type: "viewers", board: "stocks", viewers: 12 });
  assert.equal(client.viewers("stocks"), 12);
  socket().end();
  clock.advance(1_000);
  socket().accept();
  assert.equal(client.viewers("stocks"), null);
});

test("an interval is a rate that the server keeps", () => {
  live();
  client.interval = 5;
  assert.equal(sent("subscribe").at(-1).rate, 0.2);
  client.interval = 0;
  assert.equal("rate" in sent("subscribe").at(-1), false);
});

test("a pause tells the server to hold its changes, which are counted", () => {
  const store = live();
  store.take();
  client.pause();
  assert.equal(client.state.paused, true);
  socket().say({ type: "heartbeat", at: 7, seqs: { stocks: 4 } });
  assert.equal(store.waiting, 3);
  client.resume();
  assert.deepEqual(socket().sent.map(({ type }) => type), ["ping", "pause", "resume"]);
});

test("a final close is told, and a retry connects anew", () => {
  live();
  socket().end(4503);
  assert.deepEqual([client.state.kind, client.state.why], ["closed", "a limit of the server is reached"]);
  client.retry();
  assert.equal(client.state.kind, "connecting");
});

test("history asks for symbols and points, and rejects where there is none", async (t) => {
  const asked = [];
  const answers = [{ ok: true, json: async () => ({ rows: { A: { at: [1], value: [2] } } }) }, { ok: false, status: 404 }];
  t.mock.method(globalThis, "fetch", async (url) => {
    asked.push(String(url));
    return answers.shift();
  });
  assert.deepEqual(await client.history("my board", ["A", "B&C"], 60), { A: { at: [1], value: [2] } });
  assert.equal(asked[0], "http://host:8000/api/boards/my%20board/history?symbols=A&symbols=B%26C&points=60");
  await assert.rejects(client.history("stocks", ["A"], 60), /history of stocks: HTTP 404/);
});

describe("a token", () => {
  const made = (token) => new Client("http://host:8000/", { WebSocket: ScriptedWebSocket, clock, random: () => 0.5, token });
  const token = () => socket().url.searchParams.get("token");

  test("that is a text goes to the socket at once, and to HTTP of this server alone", async (t) => {
    const asked = [];
    t.mock.method(globalThis, "fetch", async (url, options) => asked.push([String(url), options.headers?.authorization]));
    const mine = made("abc");
    mine.watch("stocks");
    assert.equal(token(), "abc");
    await mine.get("api/boards");
    await mine.get("http://elsewhere/api/boards");
    assert.deepEqual(asked, [["http://host:8000/api/boards", "Bearer abc"], ["http://elsewhere/api/boards", undefined]]);
  });
  test("is asked for before each link", async () => {
    let count = 0;
    made(async () => `t${++count}`).watch("stocks");
    assert.equal(ScriptedWebSocket.opened.length, 0);
    await settled();
    assert.equal(token(), "t1");
    socket().accept();
    socket().end(4003);
    clock.advance(1_000);
    await settled();
    assert.equal(token(), "t2");
  });
  test("that cannot be had is waited for", async () => {
    let isThere = false;
    const mine = made(async () => {
      if (!isThere) throw new Error("signed out");
      return "t";
    });
    mine.watch("stocks");
    await settled();
    assert.deepEqual([mine.state.kind, mine.state.why], ["waiting", "no token could be had"]);
    isThere = true;
    clock.advance(1_000);
    await settled();
    assert.equal(token(), "t");
  });
  test("that never comes is given up like an opening that leads to nothing", async () => {
    const mine = made(() => new Promise(() => {}));
    mine.watch("stocks");
    clock.advance(12_500);
    assert.equal(mine.state.kind, "waiting");
  });
  test("that comes when nothing is watched any more opens nothing", async () => {
    const mine = made(async () => "t");
    mine.watch("stocks");
    mine.unwatch("stocks");
    await settled();
    assert.equal(ScriptedWebSocket.opened.length, 0);
  });
  test("is renewed on the open link before it ends, again and again", async () => {
    let count = 0;
    made(() => `t${++count}`).watch("stocks");
    await settled();
    socket().accept({ until: clock.time + 10_000, heartbeat: 600 });
    clock.advance(9_000);
    await settled();
    assert.deepEqual(sent("token"), [{ type: "token", token: "t2" }]);
    socket().say({ type: "token", until: clock.time + 10_000 });
    clock.advance(9_000);
    await settled();
    assert.deepEqual(sent("token").at(-1), { type: "token", token: "t3" });
    assert.equal(ScriptedWebSocket.opened.length, 1);
  });
  const answers = (t, ...given) => {
    const asked = [];
    t.mock.method(globalThis, "fetch", async (url) => {
      asked.push(new URL(url).pathname);
      const [status, names = []] = given.shift();
      return { ok: status === 200, status, json: async () => ({ boards: names.map((name) => ({ name })) }) };
    });
    return asked;
  };
  test("that is refused for good is told with the code, and nothing is tried again", () => {
    const mine = made("old");
    mine.watch("stocks");
    socket().accept();
    socket().end(4501);
    clock.advance(600_000);
    assert.deepEqual([mine.state.kind, mine.state.code, ScriptedWebSocket.opened.length], ["closed", 4501, 1]);
  });
  test("that has ended is followed by another one, where there may be one", async (t) => {
    answers(t, [401]);
    let asked = 0;
    const mine = made(async () => `t${++asked}`);
    mine.watch("stocks");
    await settled();
    socket().accept();
    socket().end(4501);
    assert.deepEqual([mine.state.kind, mine.state.isPlanned], ["waiting", true]);
    clock.advance(500);
    await settled();
    assert.equal(token(), "t2");
    socket().end(1006);
    await settled();
    assert.deepEqual([mine.state.kind, mine.state.code], ["closed", 4501]);
  });
  for (const status of [401, 403]) {
    test(`that opens nothing (HTTP ${status}) is final, though a browser tells nothing but 1006`, async (t) => {
      const asked = answers(t, [status]);
      const mine = made("bad");
      mine.watch("stocks");
      socket().end(1006);
      await settled();
      clock.advance(600_000);
      assert.deepEqual(asked, ["/api/boards"]);
      assert.deepEqual([mine.state.kind, mine.state.code, ScriptedWebSocket.opened.length], ["closed", 4501, 1]);
    });
  }
  test("that is for other boards is final, too", async (t) => {
    const asked = answers(t, [200, ["games"]], [403]);
    const mine = made("other");
    mine.watch("stocks");
    socket().end(1006);
    await settled();
    assert.deepEqual(asked, ["/api/boards", "/api/boards/stocks"]);
    assert.equal(mine.state.code, 4501);
  });
  test("that is for one of two boards names the other one next time", async (t) => {
    answers(t, [200, ["games"]]);
    const mine = made("games");
    mine.watch("stocks");
    mine.watch("games");
    socket().end(1006);
    await settled();
    clock.advance(500);
    assert.equal(socket().url.searchParams.get("board"), "games");
    socket().accept();
    assert.deepEqual(sent("subscribe"), [{ type: "subscribe", board: "stocks" }]);
  });
  test("is not to blame when the server is full, gone, or has no such board now", async (t) => {
    answers(t, [503], [200, ["stocks"]], [200, ["games"]], [404]);
    const mine = made("good");
    mine.watch("stocks");
    for (let i = 1; i < 4; i++) {
      socket().end(1006);
      await settled();
      assert.equal(mine.state.kind, "waiting");
      clock.advance(mine.state.until - clock.now());
      assert.equal(ScriptedWebSocket.opened.length, i + 1);
    }
  });
  test("an answer that does not come holds nothing up", async (t) => {
    t.mock.method(globalThis, "fetch", () => new Promise(() => {}));
    const mine = made("good");
    mine.watch("stocks");
    socket().end(1006);
    await settled();
    assert.equal(mine.state.kind, "connecting");
    clock.advance(12_500);
    assert.equal(mine.state.kind, "waiting");
  });
});

describe("boards", () => {
  test("that come and go are known by name", () => {
    assert.equal(client.boards, null);
    live();
    assert.deepEqual(client.boards, ["stocks"]);
    socket().say({ type: "boards", boards: ["stocks", "games"] });
    assert.deepEqual(client.boards, ["stocks", "games"]);
  });
  test("that were removed are asked for again when they are back, once", () => {
    live();
    socket().say({ type: "error", code: "unknown_board", board: "stocks", message: "removed" });
    socket().say({ type: "boards", boards: ["games"] });
    assert.equal(sent("subscribe").length, 0);
    for (let i = 0; i < 2; i++) socket().say({ type: "boards", boards: ["games", "stocks"] });
    assert.deepEqual(sent("subscribe"), [{ type: "subscribe", board: "stocks", epoch: "e", seq: 1 }]);
  });
  test("whose snapshot comes unasked begin anew", () => {
    const store = live();
    store.take();
    snapshot({ A: { bid: 9 }, B: { bid: 7 } }, { epoch: "f", seq: 0, columns: [{ field: "bid", kind: "price" }], title: "New" });
    assert.deepEqual([store.title, store.trackedField, [...store.rows.keys()]], ["New", "bid", ["A", "B"]]);
    assert.deepEqual(store.take(), { reset: true, symbols: new Set(["A", "B"]) });
    assert.deepEqual([store.series("A").value, store.series("B").value], [[9], [7]]);
    diff(0, 1, { B: { bid: 8 } });
    assert.equal(store.rows.get("B").bid, 8);
  });
});

test("notices are known until their time is over on the server", () => {
  live();
  socket().say({ type: "pong", at: clock.time + 3_600_000 });
  socket().say({ type: "notice", id: "n", text: "soon over", until: clock.time + 3_600_001 });
  assert.deepEqual(client.notices().map(({ text }) => text), ["soon over"]);
  clock.advance(1);
  assert.deepEqual(client.notices(), []);
});

test("after close nothing is open, waits or is told", () => {
  live();
  client.watch("games");
  const link = socket();
  client.close();
  heard.length = 0;
  assert.equal(link.readyState, 3);
  assert.equal(clock.pending, 0);
  clock.advance(60_000);
  assert.deepEqual([heard, client.watched], [[], []]);
});
