/** What the tests of the score cards run in the place of app.js: a board of scores, with nothing around it. */
import { Client } from "./client.js";
import { Settings } from "./core/settings.js";
import { ScoresView } from "./ui/scores.js";

const settings = new Settings(() => localStorage);

/** Stars, and no other lists. */
class Stars {
  has = (board, symbol) => settings.get("lists")[board]?.[""].includes(symbol) ?? false;
  shows = (board, symbol) => !Object.hasOwn(settings.get("list"), board) || this.has(board, symbol);
  toggle = (board, symbol) => {
    const others = (settings.get("lists")[board]?.[""] ?? []).filter((other) => other !== symbol);
    const stars = this.has(board, symbol) ? others : [...others, symbol];
    settings.set("lists", { ...settings.get("lists"), [board]: { "": stars } });
  };
}

const client = new Client(document.baseURI);
const store = client.watch("games");
const opened = [];
let frame = 0;
const request = () => (frame ||= requestAnimationFrame(paint));
const now = () => client.now();
const open = (symbol) => opened.push(symbol);
const view = new ScoresView({ settings, lists: new Stars(), client, request, now, open });

function paint(time) {
  frame = 0;
  if (store.ready && !client.state.paused) view.paint(store, store.take(), time);
}

document.getElementById("content").replaceChildren(view.element);
client.listen(request);
client.follow(window, document);
setInterval(request, 1_000);
window.board = { client, opened, request, settings, store, view };
