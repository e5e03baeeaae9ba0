// The time line: a strip for each branch; a place chosen on it offers to go back, branch off or change over.

import { byId, drawPicture, element, seconds, throttled } from "./dom.js";
import { drawStrip } from "./strip.js";

const SHORTEST = 24; // chunks across a strip, at least
const REDRAW = 60; // milliseconds

export class TimeLine {
  #rows = new Map(); // branch → {row, name, canvas, slider}
  #chosen = null; // {branch, chunk}

  /** Show the world's branches, soon: many chunks and pictures may come at once. */
  show = throttled(() => this.draw(), REDRAW);

  /** @param send is given the kind and payload of an event of the time line */
  constructor(box, world, send) {
    Object.assign(this, { world, send, strips: box.querySelector(".strips"), choice: box.querySelector(".choice") });
    this.secondsPerChunk = 1;
    byId("rewind").addEventListener("click", () => this.#go("rewind", { chunk: this.#chosen.chunk }));
    byId("fork").addEventListener("click", () => this.#go("fork", { at: this.#chosen.chunk }));
    byId("switch").addEventListener("click", () => this.#go("switch", { branch: this.#chosen.branch }));
    byId("fork-now").addEventListener("click", () => this.send("fork", {}));
    box.addEventListener("keydown", ({ key }) => key === "Escape" && this.#choose(null));
    new ResizeObserver(() => this.show()).observe(this.strips);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.show());
  }

  /** Show them now. */
  draw() {
    const { branches, position } = this.world;
    for (const [branch, { row }] of this.#rows) {
      if (branches.has(branch)) continue;
      row.remove();
      this.#rows.delete(branch);
    }
    if (this.#chosen && !branches.has(this.#chosen.branch)) this.#choose(null);
    const longest = Math.max(SHORTEST, ...[...branches.values()].map(({ length }) => length));
    for (const line of branches.values()) this.#drawRow(line, longest);
    byId("moment").textContent = this.#moment(position);
  }

  #drawRow({ branch, at, length }, longest) {
    if (!this.#rows.has(branch)) this.#addRow(branch);
    const { row, name, canvas, slider } = this.#rows.get(branch);
    const isCurrent = branch === this.world.current;
    const first = isCurrent ? 0 : at; // the current branch is shown with all that came before it
    row.classList.toggle("current", isCurrent);
    name.textContent = this.#name(branch);
    [slider.min, slider.max] = [Math.max(first, this.world.first), length];
    slider.style.setProperty("--from", slider.min / longest);
    slider.style.setProperty("--to", length / longest);
    if (this.#chosen?.branch !== branch) slider.value = isCurrent ? this.world.position : length;
    this.#describe(branch, isCurrent);
    const position = isCurrent ? this.world.position : null;
    const pictureOf = (chunk) => this.world.chunk(chunk, branch)?.bitmap;
    drawStrip(canvas, pictureOf, { first, end: length, longest, shared: at, position });
  }

  #addRow(branch) {
    const name = element("span", { className: "name" });
    const canvas = element("canvas", { ariaHidden: "true" });
    const slider = element("input", { type: "range", step: 1 });
    slider.addEventListener("input", () => this.#choose({ branch, chunk: slider.valueAsNumber }));
    const track = element("div", { className: "track" }, [canvas, slider]);
    const row = element("div", { className: "strip" }, [name, track]);
    this.#rows.set(branch, { row, name, canvas, slider });
    this.strips.append(row);
  }

  /** Offer what can be done with a place on a branch, or nothing. */
  #choose(chosen) {
    this.#chosen = chosen;
    this.choice.hidden = !chosen;
    if (!chosen) return this.show();
    const { branch, chunk } = chosen;
    const isCurrent = branch === this.world.current;
    byId("rewind").hidden = byId("fork").hidden = !isCurrent;
    byId("switch").hidden = isCurrent;
    byId("chosen").textContent = `${this.#name(branch)}, ${this.#moment(chunk)}`;
    this.#describe(branch, isCurrent);
    const last = this.world.chunk(chunk - 1, branch);
    if (last?.bitmap) drawPicture(this.choice.querySelector("canvas"), last.bitmap);
  }

  #go(kind, payload) {
    const { slider } = this.#rows.get(this.#chosen.branch);
    this.send(kind, payload);
    this.#choose(null);
    slider.focus({ preventScroll: true });
  }

  #describe(branch, isCurrent) {
    const { slider } = this.#rows.get(branch);
    slider.ariaLabel = `${this.#name(branch)}${isCurrent ? ", where the world is" : ""}`;
    slider.setAttribute("aria-valuetext", this.#moment(slider.valueAsNumber));
  }

  #name(branch) {
    return this.world.branches.get(branch).parent === null ? "Main" : `Branch ${branch}`;
  }

  #moment(chunk) {
    return `${seconds(chunk * this.secondsPerChunk)}, ${chunk} chunk${chunk === 1 ? "" : "s"}`;
  }
}
