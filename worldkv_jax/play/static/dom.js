// Small helpers for elements, canvases and words.

/** Return the element with this id. */
export const byId = (id) => document.getElementById(id);

/** Make an element with properties and children. */
export function element(tag, properties = {}, children = []) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Size a canvas for its place on the screen; return its context in CSS pixels, and its width and height there. */
export function fitCanvas(canvas) {
  const { width, height } = canvas.getBoundingClientRect();
  const scale = devicePixelRatio || 1;
  const [columns, rows] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== columns || canvas.height !== rows) [canvas.width, canvas.height] = [columns, rows];
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** Make a canvas show a picture in the picture's own size. */
export function drawPicture(canvas, bitmap) {
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
}

/** Return a reader of the page's colours, which follow the light or dark scheme. */
export function palette() {
  const style = getComputedStyle(document.documentElement);
  return (name) => style.getPropertyValue(`--${name}`).trim();
}

/** Return a function that calls `act` soon, and at most once in so many milliseconds. */
export function throttled(act, milliseconds) {
  let timer = 0;
  let last = -Infinity;
  return () => {
    timer ||= setTimeout(() => {
      timer = 0;
      last = performance.now();
      act();
    }, last + milliseconds - performance.now());
  };
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Write a number of bytes in the unit that suits it. */
export function bytes(count) {
  const unit = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log2(count || 1) / 10)));
  const value = count / 1024 ** unit;
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

/** Write a number of seconds. */
export function seconds(count) {
  if (count < 10) return `${count.toFixed(1)} s`;
  return count < 60 ? `${Math.round(count)} s` : `${Math.floor(count / 60)} min ${Math.round(count % 60)} s`;
}
