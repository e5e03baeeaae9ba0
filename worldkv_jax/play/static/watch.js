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
    if (away - before > TURN) this.#say("The camera turns away: the place leaves the attention window, and is stored.");
    else if (before - away > TURN) this.#say(`It turns back. ${this.#promise()}`);
    else if (this.#farthest > 45 && away < 20) this.#say(`Back where it began. ${this.#promise()}`);
  }

  #promise() {
    return this.hasSecond
      ? "With world memory the place is still there; the sliding window beside it makes up another."
      : "What it recalls, on the map and beside it, is why the place is still there.";
  }

  #say(sentence) {
    const whole = `${sentence} Press a key to walk yourself.`;
    if (this.box.textContent !== whole) this.box.textContent = whole;
  }
}
