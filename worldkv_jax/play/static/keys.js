// Held keys of the keyboard and of buttons, as snapshots.

const NAMED = { ArrowUp: "up", ArrowDown: "down", ArrowLeft: "left", ArrowRight: "right", Space: "space" };
const TAKES_LETTERS = "input:not([type=range], [type=checkbox], [type=radio], [type=file]), select, textarea";
const TAKES_OTHERS = `${TAKES_LETTERS}, input, button, a, summary`; // arrows, or a space

/** Return the protocol's name of a keyboard event's key by where it lies, so that other layouts keep their WASD. */
export function keyOf({ code }) {
  return NAMED[code] ?? /^(?:Key|Digit)([A-Z0-9])$/.exec(code)?.[1].toLowerCase() ?? null;
}

export class Keys {
  #held = new Set(); // "key holder": the keyboard and a button may hold the same key
  #offered = new Map(); // key of the keyboard → the model's key

  /** @param onChange is given the keys that are held, in alphabetical order, each time they change */
  constructor(onChange) {
    this.onChange = onChange;
    addEventListener("keydown", (event) => this.#down(event));
    addEventListener("keyup", (event) => this.release(keyOf(event), "keyboard"));
    addEventListener("blur", () => this.releaseAll());
    document.addEventListener("visibilitychange", () => document.hidden && this.releaseAll());
  }

  /** Take the keys that the model knows, and other names for them; all else is left to the browser. */
  offer(keys, aliases = {}) {
    this.#offered = new Map([...Object.entries(aliases), ...keys.map((key) => [key, key])]);
    this.releaseAll();
  }

  get held() {
    return [...new Set([...this.#held].map((hold) => this.#offered.get(hold.split(" ")[0])))].sort();
  }

  press(key, holder) {
    if (this.#offered.has(key)) this.#change(() => this.#held.add(`${key} ${holder}`));
  }

  release(key, holder) {
    this.#change(() => this.#held.delete(`${key} ${holder}`));
  }

  releaseAll() {
    this.#change(() => this.#held.clear());
  }

  #down(event) {
    const key = keyOf(event);
    if (!this.#offered.has(key) || event.ctrlKey || event.metaKey || event.altKey) return;
    const taken = event.code in NAMED ? TAKES_OTHERS : TAKES_LETTERS;
    if (event.target.closest?.(taken)) return;
    event.preventDefault(); // arrows would scroll
    if (!event.repeat) this.press(key, "keyboard");
  }

  #change(alter) {
    const before = this.held.join();
    alter();
    const held = this.held;
    if (held.join() !== before) this.onChange(held);
  }
}
