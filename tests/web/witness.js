// Notes what a reader would notice: shifts, flashes, words said aloud, changes of the page. Runs before the page does.
globalThis.witness = (() => {
  const WINDOW_MS = 1_000;
  const LOOK_MS = 50;
  const begun = { at: Infinity };
  const shifts = [];
  const flashes = new WeakMap(); // element -> the frames of the last second in which an animation of it began
  let most = 0; // flashes of one element within a second
  const said = [];
  let changes = 0;

  const name = (node) => {
    const element = node?.nodeType === Node.TEXT_NODE ? node.parentElement : node;
    return element ? `${element.localName}${element.id ? `#${element.id}` : ""}.${element.className}` : "gone";
  };
  // a flash is there and back again (WCAG 2.2): an animation is both, a transition is one of them
  const flashed = (element, share = 1) => {
    const now = document.timeline.currentTime;
    const recent = (flashes.get(element) ?? []).filter(({ at }) => at > now - WINDOW_MS && at < now);
    flashes.set(element, [...recent, { at: now, share }]); // twice in a frame is one flash
    most = Math.max(most, recent.reduce((sum, it) => sum + it.share, share));
  };
  const { animate } = Element.prototype;
  Element.prototype.animate = function (...given) {
    flashed(this);
    return animate.apply(this, given);
  };
  const { play } = Animation.prototype;
  Animation.prototype.play = function () {
    if (this.effect?.target) flashed(this.effect.target);
    return play.call(this);
  };
  addEventListener("animationstart", ({ target }) => flashed(target), true);
  addEventListener("animationiteration", ({ target }) => flashed(target), true);
  addEventListener("transitionrun", ({ target }) => flashed(target, 0.5), true);
  new PerformanceObserver((list) => {
    for (const { startTime, value, sources } of list.getEntries()) {
      if (startTime < begun.at) continue; // what moves while the page is built is not of these tests
      shifts.push({ value, what: sources.map(({ node }) => name(node)).join(" ") });
    }
  }).observe({ type: "layout-shift", buffered: true });
  new MutationObserver((records) => {
    changes += records.length;
    const isSaid = ({ target }) => (target.parentElement ?? target).closest?.("[aria-live], [role=status], [role=alert]");
    if (records.some(isSaid)) said.push(performance.now());
  }).observe(document, { subtree: true, childList: true, characterData: true, attributes: true });

  return {
    begin: () => (begun.at = performance.now()),
    seconds: () => (performance.now() - begun.at) / 1_000,
    changes: () => changes,
    // resolves when `test` holds; what runs later may not be made of strings here, by the page's policy
    when: (test, withinMs) => new Promise((done, fail) => {
      const timer = setInterval(() => test() && (clearInterval(timer), done(true)), LOOK_MS);
      setTimeout(() => (clearInterval(timer), fail(new Error("it did not happen"))), withinMs);
    }),
    report: () => ({
      shifts,
      changes,
      flashes: most,
      gaps: said.slice(1).map((at, i) => at - said[i]),
      running: document.getAnimations().length,
    }),
  };
})();
