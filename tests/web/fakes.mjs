/** Named fakes: a clock that is moved by hand, a socket that follows a script, a page without a browser. */

export class FakeClock {
  time = 1_000_000;
  #timers = new Map();
  #next = 1;

  now = () => this.time;

  setTimeout = (run, ms) => {
    const id = this.#next++;
    this.#timers.set(id, { run, due: this.time + ms });
    return id;
  };

  clearTimeout = (id) => {
    this.#timers.delete(id);
  };

  /** How many timers wait. */
  get pending() {
    return this.#timers.size;
  }

  /** Moves time on, running what becomes due, in its order. */
  advance(ms) {
    const end = this.time + ms;
    for (;;) {
      const due = [...this.#timers].filter(([, timer]) => timer.due <= end);
      if (due.length === 0) break;
      const [id, timer] = due.reduce((first, other) => (other[1].due < first[1].due ? other : first));
      this.#timers.delete(id);
      this.time = Math.max(this.time, timer.due);
      timer.run();
    }
    this.time = end;
  }
}

export class ScriptedWebSocket {
  /** Every socket that was opened, oldest first. */
  static opened = [];

  static get last() {
    return ScriptedWebSocket.opened.at(-1);
  }

  readyState = 0;
  sent = [];
  onopen = null;
  onmessage = null;
  onclose = null;

  constructor(url, protocols) {
    this.url = new URL(url);
    this.protocols = protocols;
    ScriptedWebSocket.opened.push(this);
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.readyState = 3;
  }

  /** The server accepts and welcomes. */
  accept(welcome = {}) {
    this.readyState = 1;
    this.onopen?.({});
    this.say({ type: "welcome", protocol: 1, viewer: "v", heartbeat: 5, boards: ["stocks"], ...welcome });
  }

  /** The server says something. */
  say(message) {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  /** The server, or the network, ends the connection. */
  end(code = 1006, reason = "") {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
}

/** `window` and `document`, as far as a connection follows them. */
export class FakePage {
  window = Object.assign(new EventTarget(), { navigator: { onLine: true } });
  document = Object.assign(new EventTarget(), { visibilityState: "visible" });

  show(visibilityState) {
    this.document.visibilityState = visibilityState;
    this.document.dispatchEvent(new Event("visibilitychange"));
  }

  tell(type, facts = {}) {
    this.window.dispatchEvent(Object.assign(new Event(type), facts));
  }
}

/** The browser's storage, which may be full. */
export class FakeStorage {
  isFull = false;
  #entries;

  constructor(entries = {}) {
    this.#entries = new Map(Object.entries(entries));
  }

  getItem(key) {
    return this.#entries.get(key) ?? null;
  }

  setItem(key, text) {
    if (this.isFull) throw new DOMException("full", "QuotaExceededError");
    this.#entries.set(key, text);
  }
}

/** A region of text as the announcer writes it. */
export class FakeRegion {
  firstChild = null;

  append(text) {
    this.firstChild = { data: text };
  }

  get text() {
    return this.firstChild?.data ?? "";
  }
}
