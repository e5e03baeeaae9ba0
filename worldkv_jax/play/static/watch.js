// The scripted walk for a visitor who touches nothing: a sentence of what to watch for.

import { angle } from "./world.js";

const TURN = 2; // degrees a chunk that count as turning

/** Follows the camera of the walk, and says what to watch for. */
export class WatchedWalk {
  #start = null;
  #farthest = 0;
  #last = null;

  constructor(box, hasSecond) {
    Object.assign(this, { box, hasSecond });
    this.#say("Look well at this place. In a moment the camera turns away from it.");
  }

  /** Take the camera of the newest chunk, `[x, z, yaw]`. */
  follow(camera) {
    if (!camera) return;
    const yaw = camera[2];
    this.#start ??= yaw;
    const away = angle(this.#start, yaw);
    const before = this.#last === null ? away : angle(this.#start, this.#last);
    this.#last = yaw;
    this.#farthest = Math.max(this.#farthest, away);
    if (this.#farthest > 45 && away < 20) this.#say(`Back where it began. ${this.#promise()}`);
    else if (away - before > TURN) this.#say("The camera turns away: the place leaves the window, and is stored.");
    else if (before - away > TURN) this.#say(`It turns back. ${this.#promise()}`);
  }

  #promise() {
    return this.hasSecond
      ? "With world memory the place is still there; the sliding window makes up another."
      : "The place is still there: see on the map what was recalled.";
  }

  #say(sentence) {
    if (this.box.textContent !== sentence) this.box.textContent = sentence; // once, for screen readers
  }
}
