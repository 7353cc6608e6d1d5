import { Client } from "./client.js"; // on another site: "https://ticker.example.com/client.js"

const client = new Client(document.baseURI); // on another site: "https://ticker.example.com/"
const board = client.watch("stocks");

function line([symbol, { last, change, quality = "live" }]) {
  const line = document.createElement("tr");
  line.dataset.quality = quality;
  for (const value of [symbol, last, change, quality]) line.insertCell().textContent = value ?? "–";
  return line;
}

function paint() {
  const when = board.ready ? `as of ${new Date(board.at).toLocaleTimeString()}` : `no rows of ${board.name} yet`;
  document.querySelector("#state").textContent = `${client.state.kind}, ${when}`;
  document.body.dataset.live = client.state.kind === "live" ? "yes" : "no";
  if (board.take().symbols.size > 0) document.querySelector("tbody").replaceChildren(...[...board.rows].map(line));
}

client.follow(window, document);
client.listen(() => requestAnimationFrame(paint));
