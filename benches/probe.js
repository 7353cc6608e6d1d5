// Notes when quotes are painted and how regular frames are. Runs before the page does.
globalThis.probe = (() => {
  const frames = []; // times between two frames, in milliseconds
  const delays = []; // from publishing to painting
  let waiting = []; // when changes that are not painted yet were published
  let painted = 0; // frames in which the page changed something
  let isNoted = false;
  let isOn = false;
  let first = null; // when the first quote was painted, after the navigation began

  const Native = globalThis.WebSocket;
  globalThis.WebSocket = class extends Native {
    constructor(...given) {
      super(...given);
      this.addEventListener("message", ({ data }) => {
        const at = isOn && /^\{"type":"diff".{0,120}?"at":(\d+)/.exec(data.slice(0, 200));
        if (at) waiting.push(Number(at[1]));
      });
    }
  };
  const hasQuote = () => [...document.querySelectorAll("tbody tr:first-of-type td")].some((td) => /\d/.test(td.textContent));
  // the frame after the one in which the page was changed: by then the change is on the screen
  const shown = (now) => {
    isNoted = false;
    if (first === null && hasQuote()) first = now;
    if (!isOn) return;
    painted += 1;
    for (const at of waiting.splice(0)) delays.push(performance.timeOrigin + now - at);
  };
  new MutationObserver(() => {
    if (isNoted || (!isOn && first !== null)) return;
    isNoted = true;
    requestAnimationFrame(shown);
  }).observe(document, { subtree: true, childList: true, characterData: true });

  let before = 0;
  const tick = (now) => {
    if (!isOn) return;
    if (before) frames.push(now - before);
    before = now;
    requestAnimationFrame(tick);
  };
  const settled = (test, withinMs) => new Promise((done, fail) => {
    const look = setInterval(() => test() && (clearInterval(look), done(performance.now())), 5);
    setTimeout(() => fail(new Error(`not within ${withinMs} ms`)), withinMs);
  });
  return {
    first: () => settled(() => first !== null, 30_000).then(() => first),
    when: settled,
    begin: () => {
      frames.length = delays.length = waiting.length = painted = before = 0;
      isOn = true;
      requestAnimationFrame(tick);
    },
    end: () => {
      isOn = false;
      return { frames, delays, painted };
    },
  };
})();
