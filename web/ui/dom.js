/**
 * The few ways in which this page makes and changes elements. Data only ever becomes text.
 * @module dom
 */

/** Makes an element of a class, with children: elements or strings. */
export function make(tag, className = "", ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** Writes text only where it differs: an equal write would still cost layout. */
export function write(element, text) {
  const node = element.firstChild;
  if (node === null) element.append(text);
  else if (node.data !== text) node.data = text;
}

/** Writes text of unknown length and direction; what may be cut off, beyond `fits` letters, is in the tooltip. */
export function writeCut(element, text, fits = 0) {
  if (element.dir !== "auto") element.dir = "auto";
  write(element, text);
  const title = text.length > fits ? text : "";
  if (element.title !== title) element.title = title;
}

/** Sets a data attribute, or takes it away when the value is empty. */
export function mark(element, name, value) {
  if ((element.dataset[name] ?? "") === value) return;
  if (value) element.dataset[name] = value;
  else delete element.dataset[name];
}

/** Loads a style sheet; resolves when it applies, rejects when it cannot be had. */
export function loadStyle(url) {
  const link = make("link");
  link.rel = "stylesheet";
  link.href = url;
  return loaded(link, url);
}

/** Loads a classic script; resolves when it has run, rejects when it cannot be had. */
export function loadScript(url) {
  const script = make("script");
  script.src = url;
  return loaded(script, url);
}

function loaded(element, url) {
  return new Promise((resolve, reject) => {
    element.addEventListener("load", () => resolve());
    element.addEventListener("error", () => {
      element.remove();
      reject(new Error(`${url} cannot be loaded`));
    });
    document.head.append(element);
  });
}
