// Sentences: what the page waits for, across the picture, and problems, where they happened.

import { byId } from "./dom.js";

const STAYS = 12_000; // milliseconds
const timers = new WeakMap(); // element → timer that clears it

/** Say what the page waits for; an empty sentence takes the notice away. */
export function notice(sentence, canRetry = false) {
  const box = byId("notice");
  box.hidden = !sentence;
  box.querySelector("p").textContent = sentence;
  box.querySelector("button").hidden = !canRetry;
}

/** Show a sentence about what went wrong at the element where it happened, for a while. */
export function showProblem(sentence, place = null) {
  const box = place ?? byId("problem");
  box.textContent = sentence;
  clearTimeout(timers.get(box));
  timers.set(box, setTimeout(() => (box.textContent = ""), STAYS));
}
