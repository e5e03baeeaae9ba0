// The numbers: how fast it is, what each memory attends to and holds, how near it is to the truth.

import { bytes, element } from "./dom.js";

const EVERY = 250; // milliseconds from one look at the pace to the next

const MODES = { worldkv: "WorldKV", sliding: "Sliding window", sink_recent: "Sink + recent", full: "Full KV" };

const TITLES = {
  default: MODES.worldkv, // until a session says what it is, see `titleDefault`
  paper: "WorldKV as published",
  official: "WorldKV, released code",
  window: MODES.sliding,
  full: MODES.full,
};

/** Name the memory that the server was started with, which is of one of these modes. */
export function titleDefault(mode) {
  TITLES.default = MODES[mode] ?? "Default";
}

/** Return the name of a memory in the words of the documentation. */
export const titleOf = (memory) => TITLES[memory] ?? memory;

export class Hud {
  #latency = null;
  #stats = null;
  #isMoving = true; // until the server says that nothing comes any more

  constructor(box, screen) {
    Object.assign(this, { box, screen });
    setInterval(() => this.#showPace(), EVERY);
  }

  /** Take the milliseconds from a key to its picture. */
  answered(milliseconds) {
    this.#latency = milliseconds;
  }

  /** The world moves: something was done, or a chunk came. */
  moves() {
    this.#isMoving = true;
    this.#showPace();
  }

  /** Nothing comes until somebody does something. */
  rests() {
    this.#isMoving = false;
    this.#showPace();
  }

  /** Show the statistics of a chunk. */
  show(stats) {
    this.#stats = stats;
    this.moves();
    stats.lanes?.forEach((lane, index) => this.#showLane(lane, this.screen.lanes[index]));
  }

  #showPace() {
    const { rate, waiting } = this.screen;
    const pace = rate ? rate.toFixed(0) : "–";
    const chunk = this.#stats?.chunk_total_ms;
    const others = this.#stats?.queue_ms;
    fill(this.box, [
      ["frames a second", this.#isMoving || waiting ? pace : "at rest"],
      ["key to picture", this.#latency === null ? "–" : `${Math.round(this.#latency)} ms`],
      ["chunk", chunk === undefined ? "–" : `${Math.round(chunk)} ms`],
      ["queue", `${waiting} frame${waiting === 1 ? "" : "s"}`],
      ...(others >= 1 ? [["others' turns", `${Math.round(others)} ms`]] : []),
    ]);
  }

  #showLane({ attended_tokens: tokens, kv_bytes: held = {}, psnr }, view) {
    if (!view) return;
    const tiers = Object.entries(held).filter(([, count]) => count > 0);
    fill(view.numbers, [
      ...(psnr === null || psnr === undefined ? [] : [["PSNR", `${psnr.toFixed(1)} dB`]]),
      ["attends", `${tokens.toLocaleString("en")} tokens`],
      ...(tiers.length ? [["KV", tiers.map(([tier, count]) => `${bytes(count)} ${tier}`).join(", ")]] : []),
    ]);
  }
}

/** Fill a `dl` with names and values, leaving alone what has not changed. */
function fill(list, rows) {
  const old = list.querySelectorAll("dt");
  if (old.length !== rows.length || rows.some(([name], row) => old[row].textContent !== name)) {
    list.replaceChildren(
      ...rows.map(([name]) => element("div", {}, [element("dt", { textContent: name }), element("dd")])),
    );
  }
  list.querySelectorAll("dd").forEach((value, row) => {
    if (value.textContent !== rows[row][1]) value.textContent = rows[row][1];
  });
}
