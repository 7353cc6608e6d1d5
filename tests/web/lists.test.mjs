import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";

import { Lists } from "../../web/core/lists.js";
import { Settings } from "../../web/core/settings.js";
import { FakePage, FakeStorage } from "./fakes.mjs";

let storage, settings, lists;
beforeEach(() => {
  storage = new FakeStorage();
  settings = new Settings(() => storage);
  lists = new Lists(settings);
});

const many = (count) => Array.from({ length: count }, (_, i) => `S${i}`);
const lines = (...texts) => texts.join("\n");

describe("stars", () => {
  test("a symbol is starred, and is no more", () => {
    assert.equal(lists.has("stocks", "AAPL"), false);
    assert.equal(lists.toggle("stocks", "AAPL"), "");
    assert.equal(lists.has("stocks", "AAPL"), true);
    lists.toggle("stocks", "AAPL");
    assert.equal(lists.has("stocks", "AAPL"), false);
  });
  test("belong to one board", () => {
    lists.toggle("stocks", "AAPL");
    assert.equal(lists.has("crypto", "AAPL"), false);
  });
  test("are there again in the next page, and in another tab", () => {
    const page = new FakePage();
    const other = new Settings(() => storage);
    other.follow(page.window);
    const there = new Lists(other);
    assert.equal(there.has("stocks", "AAPL"), false);
    lists.toggle("stocks", "AAPL");
    page.tell("storage", { key: "ticker.lists", storageArea: storage });
    assert.equal(there.has("stocks", "AAPL"), true);
  });
  test("a name from the heart of the language is a symbol and a board like others", () => {
    for (const name of ["__proto__", "constructor"]) {
      assert.equal(lists.has(name, name), false);
      lists.toggle(name, name);
      lists.choose(name, "");
      assert.equal(lists.has(name, name), true);
      assert.equal(lists.current(name), "");
    }
  });
  test("a list that is full, and a symbol beyond all use, are refused in words", () => {
    settings.set("lists", { stocks: { "": many(1_000) } });
    assert.equal(lists.toggle("stocks", "ONE-MORE"), "Starred is full: it has 1000 symbols");
    assert.equal(lists.toggle("stocks", "S7"), "");
    assert.equal(lists.toggle("stocks", "x".repeat(65)), "A symbol in a list has at most 64 letters");
    assert.equal(lists.size("stocks", ""), 999);
  });
});

describe("a board that is narrowed", () => {
  test("shows all rows at first", () => {
    assert.equal(lists.current("stocks"), null);
    assert.equal(lists.shows("stocks", "AAPL"), true);
  });
  test("shows only what is in the list, and stars into it", () => {
    lists.create("stocks", " Tech ");
    assert.equal(lists.current("stocks"), "Tech");
    assert.equal(lists.shows("stocks", "AAPL"), false);
    lists.toggle("stocks", "AAPL");
    assert.equal(lists.shows("stocks", "AAPL"), true);
    lists.choose("stocks", "");
    assert.equal(lists.shows("stocks", "AAPL"), false);
    lists.choose("stocks", null);
    assert.equal(lists.shows("stocks", "AAPL"), true);
  });
  test("to a list that another tab removed shows all rows", () => {
    settings.set("list", { stocks: "Gone" });
    assert.equal(lists.current("stocks"), null);
  });
});

describe("lists", () => {
  test("have an order, the stars first", () => {
    lists.create("stocks", "Tech");
    lists.choose("stocks", null);
    lists.toggle("stocks", "AAPL");
    assert.deepEqual(lists.names("stocks"), ["", "Tech"]);
    assert.deepEqual(lists.names("crypto"), [""]);
  });
  test("are renamed in their place, also while they are shown", () => {
    lists.create("stocks", "Tech");
    lists.create("stocks", "Banks");
    lists.choose("stocks", "Tech");
    assert.equal(lists.rename("stocks", "Tech", "Chips"), "");
    assert.deepEqual(lists.names("stocks"), ["", "Chips", "Banks"]);
    assert.equal(lists.current("stocks"), "Chips");
  });
  test("are removed; the board shows all rows again", () => {
    lists.create("stocks", "Tech");
    lists.remove("stocks", "Tech");
    assert.deepEqual(lists.names("stocks"), [""]);
    assert.equal(settings.get("list").stocks, undefined);
  });
  for (const [name, problem] of [
    ["  ", "A list needs a name"],
    ["Tech", "There is a list Tech already"],
    ["x".repeat(65), "A name has at most 64 letters"],
    ["starred", "Starred is the list of the stars"],
  ]) {
    test(`the name ${JSON.stringify(name.slice(0, 10))} is refused: ${problem}`, () => {
      lists.create("stocks", "Tech");
      lists.create("stocks", "Banks");
      assert.equal(lists.create("stocks", name), problem);
      assert.equal(lists.rename("stocks", "Banks", name), problem);
      assert.deepEqual(lists.names("stocks"), ["", "Tech", "Banks"]);
    });
  }
  test("are at most fifty beside the stars", () => {
    lists.toggle("stocks", "AAPL");
    for (const name of many(50)) assert.equal(lists.create("stocks", name), "");
    assert.equal(lists.create("stocks", "One more"), "A board has at most 50 lists");
  });
});

describe("export and import", () => {
  const STRANGE = ["AAPL", "# no heading", '"quoted"', " spaced ", "two\nlines", "שלום", "🚀", "__proto__", ""];

  test("an export is text for people", () => {
    lists.toggle("stocks", "MSFT");
    lists.create("stocks", "Tech");
    lists.toggle("stocks", "AAPL");
    assert.equal(lists.exported("stocks"), lines("ticker lists 1", "# Starred", "MSFT", "# Tech", "AAPL", ""));
  });
  test("what was exported is imported as it was, however strange", () => {
    const symbols = STRANGE.slice(0, -1);
    settings.set("lists", { stocks: { "": symbols, "# odd": symbols, "two\nlines": [] } });
    const other = new Lists(new Settings(() => new FakeStorage()));
    const result = other.imported("stocks", lists.exported("stocks"));
    assert.deepEqual(result, { lists: 3, symbols: 2 * symbols.length, problems: [] });
    assert.equal(other.exported("stocks"), lists.exported("stocks"));
  });
  test("an import adds to what is there; Windows line ends and blank lines do no harm", () => {
    lists.toggle("stocks", "MSFT");
    const text = "\ufeffticker lists 1\r\n\r\n# starred\r\nAAPL\r\n# Tech\r\nAAPL\r\n";
    assert.deepEqual(lists.imported("stocks", text), { lists: 2, symbols: 2, problems: [] });
    assert.equal(lists.exported("stocks"), lines("ticker lists 1", "# Starred", "MSFT", "AAPL", "# Tech", "AAPL", ""));
  });
  for (const [text, problems] of [
    ["", ["Line 1: expected “ticker lists 1”, got “”"]],
    ["AAPL\nMSFT", ["Line 1: expected “ticker lists 1”, got “AAPL”"]],
    ["\nticker lists 2\n# Tech", ["Line 2: expected “ticker lists 1”, got “ticker lists 2”"]],
    [lines("ticker lists 1", "AAPL"), ["Line 2: “AAPL” was left out: no list is named above it"]],
    [lines("ticker lists 1", "#"), ["Line 2: “#” was left out: A list needs a name"]],
    [lines("ticker lists 1", "# Tech", '"AAPL'), ["Line 3: “\"AAPL” was left out: a text in quotes is not complete"]],
    [lines("ticker lists 1", "# Tech", '""'), ["Line 3: “\"\"” was left out: a symbol has one to 64 letters"]],
    [
      lines("ticker lists 1", "# Tech", `# ${"x".repeat(65)}`, "AAPL"),
      [
        `Line 3: “# ${"x".repeat(38)}…” was left out: A name has at most 64 letters`,
        "Line 4: “AAPL” was left out: no list is named above it",
      ],
    ],
    [
      lines("ticker lists 1", "# Tech", ...many(1_001)),
      ["Line 1003: “S1000” was left out: Tech has 1000 symbols already"],
    ],
  ]) {
    test(`what is not understood is told with its line: ${problems[0].slice(0, 60)}`, () => {
      assert.deepEqual(lists.imported("stocks", text).problems, problems);
    });
  }
  test("more lists than there may be are named", () => {
    for (const name of many(50)) lists.create("stocks", name);
    const { problems } = lists.imported("stocks", lines("ticker lists 1", "# S1", "AAPL", "# More"));
    assert.deepEqual(problems, ["Line 4: “# More” was left out: A board has at most 50 lists"]);
  });
});
