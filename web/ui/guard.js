/* Nobody stands at a wall to load it again: when the page did not start, this does. A classic script, without imports. */
(() => {
  if (!new URLSearchParams(location.search).has("kiosk")) return;
  const wait = 20_000 * (1 + Math.random()); // a slow link may need this long; a crowd of walls is spread
  async function look() {
    if (document.documentElement.dataset.kiosk) return;
    // only while the server answers: the browser's own error page would never try again
    const answers = await fetch(location.href, { cache: "no-store" }).then((response) => response.ok, () => false);
    if (answers) location.reload();
    setTimeout(look, wait);
  }
  setTimeout(look, wait);
})();
