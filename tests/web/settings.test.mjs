import assert from "node:assert/strict";
import { test } from "node:test";

import { Settings } from "../../web/core/settings.js";
import { FakeStorage, FakePage } from "./fakes.mjs";

test("a choice is there again in the next page", () => {
  const storage = new FakeStorage();
  new Settings(() => storage).set("rate", "5");
  assert.equal(new Settings(() => storage).get("rate"), "5");
});

test("what was never chosen has its first value", () => {
  const settings = new Settings(() => new FakeStorage());
  assert.equal(settings.get("rate"), "live");
  assert.equal(settings.get("shortcuts"), true);
  assert.deepEqual(settings.get("lists"), {});
});

for (const [name, saved] of [
  ["rate", '"17"'],
  ["lists", '{"stocks":["AAPL"]}'],
  ["lists", '{"stocks":{"mine":"AAPL"}}'],
  ["columns", '{"stocks":{"order":[1]}}'],
  ["alerts", '{"v":2}'],
  ["folded", "null"],
  ["density", "{not JSON"],
]) {
  test(`a saved value of another version, ${name} = ${saved}, is set aside, not lost`, () => {
    const storage = new FakeStorage({ [`ticker.${name}`]: saved });
    const settings = new Settings(() => storage);
    assert.deepEqual(settings.get(name), new Settings(() => new FakeStorage()).get(name));
    assert.equal(storage.getItem(`ticker.${name}.old`), saved);
  });
}

test("a value that is not of the setting's kind is a defect of the page", () => {
  const settings = new Settings(() => new FakeStorage());
  assert.throws(() => settings.set("rate", 5), /setting rate: 5/);
});

test("blocked storage: choices last as long as the page, and it says so", () => {
  const settings = new Settings(() => {
    throw new DOMException("denied", "SecurityError");
  });
  assert.match(settings.problem, /keeps no data/);
  settings.set("rate", "1");
  assert.equal(settings.get("rate"), "1");
});

test("full storage: the choice counts, and it is said that it will not last", () => {
  const storage = new FakeStorage();
  const settings = new Settings(() => storage);
  storage.isFull = true;
  settings.set("rate", "30");
  assert.equal(settings.get("rate"), "30");
  assert.match(settings.problem, /storage is full/);
  storage.isFull = false;
  settings.set("rate", "1");
  assert.equal(settings.problem, "");
});

test("a text beyond all use is not kept", () => {
  const storage = new FakeStorage();
  const settings = new Settings(() => storage);
  settings.set("lists", { stocks: { "": ["x".repeat(300_000)] } });
  assert.match(settings.problem, /full/);
  assert.equal(storage.getItem("ticker.lists"), null);
});

test("whoever listens hears of a change here and in another tab", () => {
  const storage = new FakeStorage();
  const page = new FakePage();
  const here = new Settings(() => storage);
  const heard = [];
  here.on("colours", (value) => heard.push(value));
  here.follow(page.window);
  here.set("colours", "red-up");
  new Settings(() => storage).set("colours", "blue-orange");
  page.tell("storage", { key: "ticker.colours", storageArea: storage });
  page.tell("storage", { key: "another.program", storageArea: storage });
  page.tell("storage", { key: "ticker.colours.old", storageArea: storage });
  assert.deepEqual(heard, ["red-up", "blue-orange"]);
});

test("one of another version in a full storage keeps no other from being read", () => {
  const storage = new FakeStorage({ "ticker.rate": '"17"', "ticker.shortcuts": "false" });
  storage.isFull = true;
  const settings = new Settings(() => storage);
  assert.equal(settings.get("shortcuts"), false);
  assert.equal(settings.problem, "");
  storage.isFull = false;
  settings.set("density", "compact");
  assert.equal(storage.getItem("ticker.density"), '"compact"');
});

test("what another tab has chosen is there at once for who asks for it fresh", () => {
  const storage = new FakeStorage();
  const [here, there] = [new Settings(() => storage), new Settings(() => storage)];
  there.set("folded", { scores: ["League"] });
  assert.deepEqual([here.get("folded"), here.fresh("folded")], [{}, { scores: ["League"] }]);
  assert.equal(here.fresh("folded"), here.get("folded"));
});

test("a choice that the storage did not take is not lost to an older one", () => {
  const storage = new FakeStorage();
  const settings = new Settings(() => storage);
  settings.set("rate", "5");
  storage.isFull = true;
  settings.set("rate", "30");
  assert.equal(settings.fresh("rate"), "30");
  const blocked = new Settings(() => { throw new DOMException("denied", "SecurityError"); });
  blocked.set("rate", "1");
  assert.equal(blocked.fresh("rate"), "1");
});

test("that choices do not last is told when it begins and when it ends, until nobody listens", () => {
  const storage = new FakeStorage();
  const settings = new Settings(() => storage);
  const heard = [];
  const stop = settings.on("problem", (words) => heard.push(words.slice(0, 13)));
  storage.isFull = true;
  settings.set("rate", "30");
  settings.set("rate", "5");
  storage.isFull = false;
  settings.set("rate", "1");
  stop();
  storage.isFull = true;
  settings.set("rate", "30");
  assert.deepEqual(heard, ["The browser's", ""]);
});
