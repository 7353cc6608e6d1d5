/**
 * Lists of symbols that a person keeps per board: the stars, which are the list named "", and lists with names.
 *
 * Pure: what is kept is in the settings. What cannot be done is said in words, never thrown.
 * @module lists
 */

/** Lists of a board: more would not fit a menu. */
export const MOST_LISTS = 50;

/** Symbols of a list: more than a screen can show, few enough for the browser's storage. */
export const MOST_SYMBOLS = 1_000;

/** Letters of a symbol, and of a list's name. */
export const LONGEST = 64;

/** What people call the list named "". */
const STARS = "Starred";

/** The first line of an export: what it is, and the version of how it is written. */
const FORMAT = "ticker lists 1";

/** Text that could be taken for something else is written as a JSON string. */
const isPlain = (text) => text !== "" && text.trim() === text && !/^[#"]|\p{Cc}/u.test(text);
const written = (text) => (isPlain(text) ? text : JSON.stringify(text));

const label = (name) => name || STARS;

/** The text that `written` gave; undefined when a JSON string is broken. */
function read(line) {
  if (!line.startsWith('"')) return line;
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function nameProblem(name) {
  if (name === "") return "A list needs a name";
  if (name.length > LONGEST) return `A name has at most ${LONGEST} letters`;
  return name.toLowerCase() === STARS.toLowerCase() ? `${STARS} is the list of the stars` : "";
}

export class Lists {
  #settings;
  #tell;
  #saved = null;
  #boards = new Map(); // board -> name -> set of symbols: what is saved, in the form in which it is asked

  /**
   * @param {import("./settings.js").Settings} settings
   * @param {(problem: string) => void} tell is told why a star could not be set, or will not last
   */
  constructor(settings, tell = () => {}) {
    this.#settings = settings;
    this.#tell = tell;
  }

  /** Whether a symbol is in the list the board is narrowed to; in the stars when it is narrowed to none. */
  has(board, symbol) {
    return this.#sets(board).get(this.current(board) ?? "")?.has(symbol) ?? false;
  }

  /** Whether a row is shown: all are, unless the board is narrowed to a list. */
  shows(board, symbol) {
    return this.current(board) === null || this.has(board, symbol);
  }

  /** The name of the list the board is narrowed to; null for all rows. */
  current(board) {
    const name = this.#settings.get("list")[board];
    return name === "" || this.#sets(board).has(name) ? name : null;
  }

  /** Narrows the board to a list; null shows all rows. */
  choose(board, name) {
    const { [board]: _, ...others } = this.#settings.get("list");
    this.#settings.set("list", name === null ? others : { ...others, [board]: name });
  }

  /** The names of a board's lists, the stars first. */
  names(board) {
    return ["", ...[...this.#sets(board).keys()].filter((name) => name !== "")];
  }

  /** What a list is called. */
  label(name) {
    return label(name);
  }

  /** How many symbols are in a list. */
  size(board, name) {
    return this.#sets(board).get(name)?.size ?? 0;
  }

  /** Puts a symbol into the current list or the stars, or takes it out; tells, and returns, why it cannot, or "". */
  toggle(board, symbol) {
    const problem = this.#toggle(board, symbol) || this.#settings.problem;
    if (problem) this.#tell(problem);
    return problem;
  }

  #toggle(board, symbol) {
    const name = this.current(board) ?? "";
    const set = new Set(this.#sets(board).get(name));
    if (!set.delete(symbol)) {
      if (symbol.length > LONGEST) return `A symbol in a list has at most ${LONGEST} letters`;
      if (set.size >= MOST_SYMBOLS) return `${label(name)} is full: it has ${MOST_SYMBOLS} symbols`;
      set.add(symbol);
    }
    this.#save(board, new Map(this.#sets(board)).set(name, set));
    return "";
  }

  /** Makes an empty list and narrows the board to it; returns why it cannot, or "". */
  create(board, name) {
    name = name.trim();
    const problem = this.#refusal(board, name);
    if (problem) return problem;
    this.#save(board, new Map(this.#sets(board)).set(name, new Set()));
    this.choose(board, name);
    return "";
  }

  /** Gives a list another name, in its place among the others; returns why it cannot, or "". */
  rename(board, from, to) {
    to = to.trim();
    if (to === from) return "";
    const problem = nameProblem(to) || (this.#sets(board).has(to) ? `There is a list ${to} already` : "");
    if (problem) return problem;
    const isCurrent = this.current(board) === from;
    this.#save(board, new Map([...this.#sets(board)].map(([name, set]) => [name === from ? to : name, set])));
    if (isCurrent) this.choose(board, to);
    return "";
  }

  /** Removes a list; a board narrowed to it shows all rows again. The stars are emptied. */
  remove(board, name) {
    const isCurrent = this.current(board) === name;
    const lists = new Map(this.#sets(board));
    lists.delete(name);
    this.#save(board, lists);
    if (isCurrent) this.choose(board, null);
  }

  /** All lists of a board as text for people: a heading for each list, one symbol per line. */
  exported(board) {
    const part = (name) => [`# ${written(label(name))}`, ...[...(this.#sets(board).get(name) ?? [])].map(written)];
    return [FORMAT, ...this.names(board).flatMap(part), ""].join("\n");
  }

  /**
   * Adds what an export says to the lists there are.
   * @returns {{lists: number, symbols: number, problems: string[]}} what was understood, and each line that was not.
   */
  imported(board, text) {
    const lines = text.split(/\r\n|\n|\r/).map((line) => line.trim());
    const first = lines.findIndex((line) => line !== "");
    if (lines[first] !== FORMAT) {
      const problem = `Line ${Math.max(0, first) + 1}: expected “${FORMAT}”, got “${cut(lines[first] ?? "")}”`;
      return { lists: 0, symbols: 0, problems: [problem] };
    }
    const taken = new Merge(this.#sets(board));
    lines.forEach((line, i) => i > first && line !== "" && taken.read(line, i + 1));
    this.#save(board, taken.lists);
    return { lists: taken.named.size, symbols: taken.symbols, problems: taken.problems };
  }

  #refusal(board, name) {
    if (this.#sets(board).has(name)) return `There is a list ${name} already`;
    return nameProblem(name) || roomProblem(this.#sets(board));
  }

  #save(board, lists) {
    const plain = Object.fromEntries([...lists].map(([name, set]) => [name, [...set]]));
    this.#settings.set("lists", { ...this.#settings.get("lists"), [board]: plain });
  }

  /** Settings never change in place: another object means other lists, also from another tab. */
  #sets(board) {
    const saved = this.#settings.get("lists");
    if (saved !== this.#saved) {
      this.#saved = saved;
      const sets = (lists) => new Map(Object.entries(lists).map(([name, symbols]) => [name, new Set(symbols)]));
      this.#boards = new Map(Object.entries(saved).map(([name, lists]) => [name, sets(lists)]));
    }
    return this.#boards.get(board) ?? new Map();
  }
}

const roomProblem = (lists) =>
  lists.size - lists.has("") < MOST_LISTS ? "" : `A board has at most ${MOST_LISTS} lists`;

/** A line as it is quoted in a message. */
const cut = (line) => (line.length > 40 ? `${line.slice(0, 40)}…` : line);

/** Reads the lines of an export on top of the lists there are. */
class Merge {
  lists;
  named = new Set();
  symbols = 0;
  problems = [];
  #set = null;
  #name = null;

  constructor(lists) {
    this.lists = new Map([...lists].map(([name, set]) => [name, new Set(set)]));
  }

  read(line, number) {
    const isHeading = line.startsWith("#");
    const text = read(isHeading ? line.slice(1).trim() : line);
    let problem = "a text in quotes is not complete";
    if (typeof text === "string") problem = isHeading ? this.#open(text) : this.#take(text);
    if (problem) this.problems.push(`Line ${number}: “${cut(line)}” was left out: ${problem}`);
  }

  #open(heading) {
    const name = heading.toLowerCase() === STARS.toLowerCase() ? "" : heading;
    const problem = name === "" || this.lists.has(name) ? "" : nameProblem(name) || roomProblem(this.lists);
    if (heading === "" || problem) {
      this.#set = null;
      return problem || nameProblem("");
    }
    this.#name = name;
    this.#set = this.lists.get(name) ?? new Set();
    this.lists.set(name, this.#set);
    this.named.add(name);
    return "";
  }

  #take(symbol) {
    if (this.#set === null) return "no list is named above it";
    if (symbol === "" || symbol.length > LONGEST) return `a symbol has one to ${LONGEST} letters`;
    if (this.#set.size >= MOST_SYMBOLS && !this.#set.has(symbol)) {
      return `${label(this.#name)} has ${MOST_SYMBOLS} symbols already`;
    }
    this.#set.add(symbol);
    this.symbols += 1;
    return "";
  }
}
