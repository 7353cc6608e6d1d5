/**
 * How much may be written in one frame. What is written costs far more later in the frame, for layout and paint, than
 * here; so a frame is measured to its end, and the next ones get less time when it was long, and more when it was short.
 * @module pace
 */

/** What one frame may take for writing, in milliseconds: at most half of it, at least some progress. */
const MOST = 8;
const LEAST = 0.5;

/** A frame whose work on this thread ends by then leaves room in its 16 ms; the rest is for drawing it elsewhere. */
const SHORT_MS = 6;
const LONG_MS = 9;

/** One channel for all: each would be kept as long as the page. */
const channel = new MessageChannel();
let measured = []; // what is told when the browser has drawn the frame
channel.port1.onmessage = () => {
  const told = measured;
  measured = [];
  for (const tell of told) tell();
};

export class Pace {
  #budget = MOST;
  #deadline = 0;
  #began = 0;
  #isMeasuring = false;

  /** Begins a frame: to be called from an animation frame. */
  begin() {
    this.#began = performance.now();
    this.#deadline = this.#began + this.#budget;
    if (this.#isMeasuring) return;
    this.#isMeasuring = true;
    measured.push(() => this.#ended());
    channel.port2.postMessage(null); // arrives when the browser has drawn the frame
  }

  /** Whether there is time for more in this frame. */
  get hasTime() {
    return performance.now() < this.#deadline;
  }

  #ended() {
    this.#isMeasuring = false;
    const took = performance.now() - this.#began;
    if (took > LONG_MS) this.#budget = Math.max(LEAST, this.#budget * 0.75);
    else if (took < SHORT_MS) this.#budget = Math.min(MOST, this.#budget * 1.1);
  }
}
