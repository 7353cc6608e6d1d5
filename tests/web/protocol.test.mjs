import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { address, backoff, closeRule, message, parse, retryDelay } from "../../web/core/protocol.js";

const text = (value) => JSON.stringify(value);

describe("parse", () => {
  const good = [
    { type: "welcome", protocol: 1, viewer: "9f3ac2", heartbeat: 5, boards: ["stocks"] },
    { type: "snapshot", board: "stocks", epoch: "k3x9", seq: 8130, at: 1, rows: {} },
    { type: "diff", board: "stocks", prev: 8130, seq: 8133, at: 1, rows: { AAPL: { last: 191.31 }, OLD: null } },
    { type: "status", board: "stocks", feeds: { nyse: { quality: "stale" } } },
    { type: "heartbeat", at: 1, seqs: { stocks: 8133 } },
    { type: "error", code: "unknown_board", message: "no" },
    { type: "goodbye", code: 4000, retry: [0, 30] },
    { type: "pong", at: 1 },
    { type: "boards", boards: ["stocks", "crypto"] },
    { type: "notice", id: "ab12", text: "Maintenance at 18:00", level: "info", at: 1, until: 2 },
    { type: "notice", id: "ab12", text: null },
    { type: "token", until: 1 },
  ];
  for (const value of good) {
    test(`reads a ${value.type}`, () => assert.deepEqual(parse(text(value)), value));
  }

  const bad = {
    "a type of a later version": text({ type: "chart" }),
    "a type that is a name of Object.prototype": text({ type: "constructor" }),
    "no type": text({ board: "stocks" }),
    "a list": "[]",
    null: "null",
    "what is no JSON": "<html>",
    "a binary frame": new ArrayBuffer(2),
    "a snapshot without rows": text({ type: "snapshot", board: "b", epoch: "e", seq: 1 }),
    "a snapshot whose rows are a list": text({ type: "snapshot", board: "b", epoch: "e", seq: 1, rows: [] }),
    "a diff whose seq is text": text({ type: "diff", board: "b", prev: 1, seq: "2", rows: {} }),
    "a diff with a negative seq": text({ type: "diff", board: "b", prev: -1, seq: 2, rows: {} }),
    "a diff without prev": text({ type: "diff", board: "b", seq: 2, rows: {} }),
    "a welcome without its version": text({ type: "welcome" }),
    "boards without names": text({ type: "boards", boards: [1] }),
    "a notice without an id": text({ type: "notice", text: "x" }),
    "a notice whose text is none": text({ type: "notice", id: "a", text: ["x"] }),
    "a token whose end is text": text({ type: "token", until: "soon" }),
    "a status without feeds": text({ type: "status", board: "b" }),
  };
  for (const [name, value] of Object.entries(bad)) {
    test(`ignores ${name}`, () => assert.equal(parse(value), null));
  }
});

describe("client messages", () => {
  test("a subscribe resumes by epoch and seq", () => {
    assert.deepEqual(JSON.parse(message.subscribe("stocks", { epoch: "k3x9", seq: 8130 })), {
      type: "subscribe", board: "stocks", epoch: "k3x9", seq: 8130,
    });
  });
  test("a subscribe of a new board names the board only", () => {
    assert.deepEqual(JSON.parse(message.subscribe("stocks", {})), { type: "subscribe", board: "stocks" });
  });
  test("pause, resume and ping are their type only", () => {
    const types = ["pause", "resume", "ping"];
    assert.deepEqual(types.map((type) => JSON.parse(message[type]())), types.map((type) => ({ type })));
  });
});

describe("address", () => {
  test("is the neighbour /ws of the page, over ws", () => {
    assert.equal(address("http://host:8000/#/stocks", "stocks", {}), "ws://host:8000/ws?board=stocks");
  });
  test("is wss for a page over https, below a prefix", () => {
    assert.equal(address("https://host/live/?x=1", "stocks", {}), "wss://host/live/ws?board=stocks");
  });
  test("carries epoch and seq", () => {
    assert.match(address("http://h/", "stocks", { epoch: "k3", seq: 0 }), /\?board=stocks&epoch=k3&seq=0$/);
  });
  test("carries a token, where there is one", () => {
    assert.match(address("http://h/", "stocks", {}, null, "a&b"), /\?board=stocks&token=a%26b$/);
  });
  test("escapes the board's name", () => {
    assert.equal(new URL(address("http://h/", "a&b=c/é", {})).searchParams.get("board"), "a&b=c/é");
  });
});

describe("close codes", () => {
  for (const code of [1000, 1001, 1005, 1006, 1011, 1012, 1013, 4000, 4001, 4002, 4003, 4499]) {
    test(`${code} comes back`, () => assert.equal(closeRule(code).comeBack, true));
  }
  for (const code of [1008, 1009, 4500, 4501, 4502, 4503, 4999]) {
    test(`${code} is final and says why`, () => {
      const { comeBack, why } = closeRule(code);
      assert.equal(comeBack, false);
      assert.ok(why.length > 10);
    });
  }
  test("what the server does every day is told from what is wrong", () => {
    const planned = [1006, 1012, 4000, 4001, 4002, 4003, 4501].filter((code) => closeRule(code).isPlanned);
    assert.deepEqual(planned, [4000, 4003]);
  });
  test("the server's own reason is told where the code alone says little", () => {
    assert.equal(closeRule(4777, "tuesday").why, "the server closed with code 4777 (tuesday)");
  });
  test("the short name of a known code is not repeated", () => {
    assert.equal(closeRule(4503, "limit").why, "a limit of the server is reached");
  });
});

describe("waiting", () => {
  test("backoff is full jitter: from nothing up to the bound", () => {
    assert.deepEqual([backoff(0, 0), backoff(0, 0.5), backoff(2, 0.5)], [0, 500, 2_000]);
  });
  test("backoff has a cap, however many attempts failed", () => {
    assert.equal(backoff(5_000, 0.5), 15_000);
  });
  test("a goodbye's range is honoured", () => {
    assert.deepEqual([retryDelay([2, 30], 0), retryDelay([2, 30], 0.5)], [2_000, 16_000]);
  });
  for (const range of [undefined, [], [1], ["0", "1"], [-1, 5], [9, 3], [0, null]]) {
    test(`a range ${text(range)} is no range`, () => assert.equal(retryDelay(range, 0.5), null));
  }
  test("no goodbye sends a viewer away for more than ten minutes", () => {
    assert.equal(retryDelay([1e9, 1e12], 0.9), 600_000);
  });
});
