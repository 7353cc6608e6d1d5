import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";

import { BoardStore, SPARK_POINTS } from "../../web/core/store.js";

const snapshot = (more = {}) => ({
  type: "snapshot", board: "stocks", epoch: "k3x9", seq: 10, at: 1_000, title: "US stocks", layout: "quotes",
  columns: [{ field: "last", label: "Last", kind: "price" }],
  rows: { AAPL: { last: 1, volume: 5 }, MSFT: { last: 2 } },
  feeds: { nyse: { quality: "live" } },
  ...more,
});
const diff = (prev, seq, rows, at = 2_000) => ({ type: "diff", board: "stocks", prev, seq, at, rows });
const rowsOf = (store) => Object.fromEntries([...store.rows].map(([symbol, row]) => [symbol, { ...row }]));

let store;
beforeEach(() => {
  store = new BoardStore("stocks");
  store.apply(snapshot());
});

describe("before the first snapshot", () => {
  test("there is no position to resume from", () => assert.deepEqual(new BoardStore("b").position, {}));
  test("a diff is a gap", () => assert.equal(new BoardStore("b").apply(diff(1, 2, {})), "gap"));
  test("the title is the name", () => assert.equal(new BoardStore("b").title, "b"));
});

describe("snapshot", () => {
  test("gives the position to resume from", () => assert.deepEqual(store.position, { epoch: "k3x9", seq: 10 }));
  test("keeps the order of the rows", () => assert.deepEqual([...store.rows.keys()], ["AAPL", "MSFT"]));
  test("replaces all rows and forgets those that are gone", () => {
    store.apply(snapshot({ seq: 20, rows: { MSFT: { last: 3 } } }));
    assert.deepEqual(rowsOf(store), { MSFT: { last: 3 } });
  });
  test("of a new epoch replaces a greater seq", () => {
    store.apply(snapshot({ epoch: "new", seq: 1 }));
    assert.deepEqual(store.position, { epoch: "new", seq: 1 });
  });
  test("marks rows that are gone, so that they leave the page", () => {
    store.take();
    store.apply(snapshot({ seq: 20, rows: { MSFT: { last: 3 } } }));
    assert.deepEqual([...store.take().symbols].sort(), ["AAPL", "MSFT"]);
  });
  test("skips rows that are no maps", () => {
    store.apply(snapshot({ rows: { A: null, B: 5, C: [1], D: { last: 1 } } }));
    assert.deepEqual(rowsOf(store), { D: { last: 1 } });
  });
  test("of a board that never published has no time", () => {
    const fresh = new BoardStore("b");
    fresh.apply(snapshot({ at: 0 }));
    assert.equal(fresh.at, null);
  });
  test("with absurd columns keeps those that have a field", () => {
    store.apply(snapshot({ columns: [null, 5, {}, { field: "last" }] }));
    assert.deepEqual(store.columns, [{ field: "last" }]);
  });
  test("without columns, feeds and title is still shown", () => {
    store.apply(snapshot({ columns: undefined, feeds: undefined, title: undefined }));
    assert.deepEqual([store.columns, store.feeds, store.title], [[], {}, "stocks"]);
  });
});

describe("diff", () => {
  test("is applied when prev is our seq", () => {
    assert.equal(store.apply(diff(10, 13, { AAPL: { last: 9 } })), "applied");
    assert.deepEqual(rowsOf(store).AAPL, { last: 9, volume: 5 });
    assert.equal(store.seq, 13);
  });
  test("is ignored when its seq is not newer", () => {
    assert.equal(store.apply(diff(9, 10, { AAPL: { last: 9 } })), "ignored");
    assert.equal(store.rows.get("AAPL").last, 1);
  });
  test("from elsewhere is a gap and changes nothing", () => {
    assert.equal(store.apply(diff(11, 12, { AAPL: { last: 9 } })), "gap");
    assert.deepEqual(store.position, { epoch: "k3x9", seq: 10 });
    assert.equal(store.rows.get("AAPL").last, 1);
  });
  test("of another epoch is a gap", () => {
    assert.equal(store.apply({ ...diff(10, 11, {}), epoch: "new" }), "gap");
  });
  test("removes a row with null", () => {
    store.apply(diff(10, 11, { AAPL: null }));
    assert.deepEqual([...store.rows.keys()], ["MSFT"]);
  });
  test("clears a field with null", () => {
    store.apply(diff(10, 11, { AAPL: { volume: null } }));
    assert.deepEqual(rowsOf(store).AAPL, { last: 1 });
  });
  test("adds a row at the end, without its null fields", () => {
    store.apply(diff(10, 11, { NVDA: { last: 5, volume: null } }));
    assert.deepEqual(Object.entries(rowsOf(store)).at(-1), ["NVDA", { last: 5 }]);
  });
  test("replaces lists whole", () => {
    store.apply(diff(10, 11, { AAPL: { periods: [[1, 0], [2, 2]] } }));
    store.apply(diff(11, 12, { AAPL: { periods: [[3, 0]] } }));
    assert.deepEqual(store.rows.get("AAPL").periods, [[3, 0]]);
  });
  test("leaves the row that somebody kept as it was", () => {
    const kept = store.rows.get("AAPL");
    store.apply(diff(10, 11, { AAPL: { last: 9 } }));
    assert.equal(kept.last, 1);
  });
  test("treats __proto__ as a name like any other", () => {
    store.apply(JSON.parse('{"type":"diff","prev":10,"seq":11,"rows":{"__proto__":{"__proto__":{"x":1}}}}'));
    assert.deepEqual(store.rows.get("__proto__").__proto__, { x: 1 });
    assert.equal({}.x, undefined);
  });
});

describe("what changed", () => {
  test("is taken once", () => {
    store.take();
    store.apply(diff(10, 11, { AAPL: { last: 9 } }));
    store.apply(diff(11, 12, { AAPL: { last: 8 }, MSFT: null }));
    assert.deepEqual([...store.take().symbols], ["AAPL", "MSFT"]);
    assert.equal(store.take().symbols.size, 0);
  });
  test("says whether the table starts afresh", () => {
    assert.equal(store.take().reset, true);
    store.apply(diff(10, 11, {}));
    assert.equal(store.take().reset, false);
  });
  test("is everything for a view that starts afresh", () => {
    store.take();
    store.touch();
    assert.deepEqual(store.take(), { reset: true, symbols: new Set(["AAPL", "MSFT"]) });
  });
});

describe("series", () => {
  const at = (ms) => 1e12 + ms;
  const values = (symbol) => store.series(symbol)?.value;

  test("holds what arrived, oldest first, at the server's time", () => {
    store.apply(diff(10, 11, { AAPL: { last: 9 } }, at(1000)));
    store.apply(diff(11, 12, { AAPL: { volume: 7 } }, at(2000)));
    assert.deepEqual(values("AAPL"), [1, 9]);
    assert.equal(store.series("AAPL").at.at(-1), at(1000));
  });
  test("has a limit", () => {
    for (let i = 0; i < 999; i++) store.apply(diff(10 + i, 11 + i, { AAPL: { last: i } }, at(i * 1000)));
    assert.ok(store.series("AAPL").length <= SPARK_POINTS);
    assert.equal(values("AAPL").at(-1), 998);
  });
  test("outlives a reconnect", () => {
    store.apply(snapshot({ epoch: "new", seq: 1, at: at(5000), rows: { AAPL: { last: 4 } } }));
    assert.deepEqual(values("AAPL"), [1, 4]);
  });
  test("of a removed row is forgotten", () => {
    store.apply(diff(10, 11, { AAPL: null }));
    assert.equal(store.series("AAPL"), undefined);
  });
  test("has a gap where a value is cleared or no number", () => {
    store.apply(diff(10, 11, { AAPL: { last: "n/a" } }, at(1000)));
    store.apply(diff(11, 12, { AAPL: { last: 2 } }, at(2000)));
    store.apply(diff(12, 13, { AAPL: { last: null } }, at(3000)));
    assert.deepEqual(values("AAPL"), [1, null, 2, null]);
  });
  test("has a gap where a snapshot has no value any more", () => {
    store.apply(snapshot({ epoch: "new", seq: 1, at: at(5000), rows: { AAPL: { volume: 4 } } }));
    assert.deepEqual(values("AAPL"), [1, null]);
  });
  test("begins with the first number", () => {
    store.apply(diff(10, 11, { NEW: { last: "n/a" } }, at(1000)));
    assert.equal(store.series("NEW"), undefined);
    store.apply(diff(11, 12, { NEW: { last: 3 } }, at(2000)));
    assert.deepEqual(values("NEW"), [3]);
  });
  test("follows the first price where there is no last", () => {
    const other = new BoardStore("b");
    other.apply(snapshot({ columns: [{ field: "bid", kind: "price" }], rows: { A: { bid: 3 } } }));
    assert.deepEqual(other.series("A").value, [3]);
    assert.equal(other.trackedField, "bid");
  });
  test("has a gap while the row is stale or down, and goes on after it", () => {
    store.apply(diff(10, 11, { AAPL: { quality: "stale" } }, at(1000)));
    store.apply(diff(11, 12, { AAPL: { quality: null } }, at(2000)));
    assert.deepEqual(values("AAPL"), [1, null, 1]);
  });
  test("begins with what the server remembers", () => {
    store.take();
    store.seed("AAPL", [100, 200], [5, 6]);
    store.seed("nobody", [1000], [5]);
    assert.deepEqual(values("AAPL"), [5, 6, 1]);
    assert.deepEqual(store.take().symbols, new Set(["AAPL"]));
  });
});

describe("status and heartbeat", () => {
  test("feeds that are no maps are left out, wherever they come from", () => {
    const live = { quality: "live" };
    store.apply(snapshot({ feeds: { nyse: null, lse: "up", xetra: live } }));
    assert.deepEqual({ ...store.feeds }, { xetra: live });
    store.apply({ type: "status", board: "stocks", feeds: { nyse: live, lse: null, xetra: 5 } });
    assert.deepEqual({ ...store.feeds }, { nyse: live });
  });
  test("a status is of all feeds: one that it does not name is gone", () => {
    store.apply(snapshot({ feeds: { nyse: { quality: "live" }, lse: { quality: "live" } } }));
    store.apply({ type: "status", board: "stocks", feeds: { nyse: { quality: "stale", why: "HTTP 503" } } });
    assert.deepEqual({ ...store.feeds }, { nyse: { quality: "stale", why: "HTTP 503" } });
  });
  test("a heartbeat at our seq makes the rows as new as it is", () => {
    assert.equal(store.apply({ type: "heartbeat", at: 9_000, seqs: { stocks: 10 } }), "applied");
    assert.equal(store.at, 9_000);
  });
  test("a heartbeat that knows more is a gap, and does not make the rows newer", () => {
    assert.equal(store.apply({ type: "heartbeat", at: 9_000, seqs: { stocks: 12 } }), "gap");
    assert.equal(store.at, 1_000);
  });
  test("a heartbeat about other boards says nothing", () => {
    assert.equal(store.apply({ type: "heartbeat", at: 9_000, seqs: { other: 12 } }), "ignored");
  });
  test("changes that wait are the heartbeat's seq minus the one that was taken", () => {
    store.take();
    store.apply({ type: "heartbeat", at: 9_000, seqs: { stocks: 47 } });
    assert.equal(store.waiting, 37);
  });
  test("changes that came but were not taken wait, too", () => {
    store.take();
    store.apply(diff(10, 13, {}));
    assert.equal(store.waiting, 3);
  });
  test("changes cannot be counted across epochs", () => {
    store.take();
    store.apply(snapshot({ epoch: "new", seq: 90 }));
    assert.equal(store.waiting, null);
  });
});
