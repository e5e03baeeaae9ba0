// Buttons for the keys: to touch, to click, and to show which are held.

import { element } from "./dom.js";

// Where a key lies on its pad: row, column.
const PLACES = {
  w: [1, 2], a: [2, 1], s: [2, 2], d: [2, 3],
  i: [1, 2], j: [2, 1], k: [2, 2], l: [2, 3],
};
const CAPS = { up: "↑", down: "↓", left: "←", right: "→", space: "␣" };
const ARROWS = ["up", "down", "left", "right"];

/**
 * Fill `box` with a pad of buttons for each group of keys.
 *
 * Arrow keys get none where letters do the same.
 */
export function showPads(box, offered, keys) {
  const hasLetters = offered.some(({ key }) => key in PLACES);
  const shown = offered.filter(({ key }) => !(hasLetters && ARROWS.includes(key)));
  const groups = [...new Set(shown.map(({ group }) => group))];
  const pad = (group) => {
    const members = shown.filter((key) => key.group === group);
    const hasMiddle = members.some(({ key }) => PLACES[key]?.[1] === 2);
    return members.map((key) => button(key, keys, hasMiddle ? PLACES[key.key] : [1]));
  };
  box.replaceChildren(
    ...groups.map((group) => element("div", { className: "pad", role: "group", ariaLabel: group }, pad(group))),
  );
}

/** Show which keys are held. */
export function markHeld(box, held) {
  for (const { classList, dataset } of box.querySelectorAll("button")) {
    classList.toggle("held", held.includes(dataset.key));
  }
}

function button({ key, label }, keys, place) {
  const cap = element("button", { type: "button", ariaLabel: label, title: label }, [CAPS[key] ?? key.toUpperCase()]);
  cap.dataset.key = key;
  if (place) [cap.style.gridRow, cap.style.gridColumn = "auto"] = place;
  const press = () => keys.press(key, "button");
  const release = () => keys.release(key, "button");
  cap.addEventListener("pointerdown", (event) => {
    event.preventDefault(); // no long-press menu, no focus stolen from the picture
    cap.setPointerCapture(event.pointerId);
    press();
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) cap.addEventListener(end, release);
  cap.addEventListener("keydown", ({ code, repeat }) => (code === "Enter" || code === "Space") && !repeat && press());
  cap.addEventListener("keyup", ({ code }) => (code === "Enter" || code === "Space") && release());
  cap.addEventListener("contextmenu", (event) => event.preventDefault());
  return cap;
}
