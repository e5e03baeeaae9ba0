// The time line: a strip of pictures for each branch; a click on it offers to go back, branch off or change over.

import { byId, drawPicture, element, fitCanvas, palette, seconds, throttled } from "./dom.js";

const SHORTEST = 24; // chunks across a strip, at least

export class TimeLine {
  #rows = new Map(); // branch → {row, canvas, slider}
  #chosen = null; // {branch, chunk}

  /** @param send is given the kind and payload of an event of the time line */
  constructor(box, world, send) {
    Object.assign(this, { box, world, send, strips: box.querySelector(".strips"), choice: box.querySelector(".choice") });
    this.secondsPerChunk = 1;
    byId("rewind").onclick = () => this.#go("rewind", { chunk: this.#chosen.chunk });
    byId("fork").onclick = () => this.#go("fork", { at: this.#chosen.chunk });
    byId("switch").onclick = () => this.#go("switch", { branch: this.#chosen.branch });
    byId("fork-now").onclick = () => this.send("fork", {});
    box.addEventListener("keydown", ({ key }) => key === "Escape" && this.#choose(null));
    new ResizeObserver(() => this.show()).observe(this.strips);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.show());
  }

  /** Show the world's branches, soon: many chunks and pictures may come at once. */
  show = throttled(() => this.#draw(), 60);

  #draw() {
    const { branches } = this.world;
    for (const [branch, { row }] of this.#rows) {
      if (branches.has(branch)) continue;
      row.remove();
      this.#rows.delete(branch);
    }
    for (const branch of branches.keys()) if (!this.#rows.has(branch)) this.#addRow(branch);
    const longest = Math.max(SHORTEST, ...[...branches.values()].map(({ length }) => length));
    for (const line of branches.values()) this.#drawRow(line, longest);
    byId("moment").textContent = this.#moment(this.world.position);
    if (this.#chosen && !branches.has(this.#chosen.branch)) this.#choose(null);
  }

  #addRow(branch) {
    const canvas = element("canvas", { ariaHidden: "true" });
    const slider = element("input", { type: "range", step: 1 });
    slider.addEventListener("input", () => this.#choose({ branch, chunk: slider.valueAsNumber }));
    slider.addEventListener("focus", () => this.#describe(branch, slider));
    const name = element("span", { className: "name" });
    const row = element("div", { className: "strip" }, [name, element("div", { className: "track" }, [canvas, slider])]);
    this.#rows.set(branch, { row, canvas, slider, name });
    this.strips.append(row);
  }

  #drawRow({ branch, at, length, parent }, longest) {
    const { row, canvas, slider, name } = this.#rows.get(branch);
    const isCurrent = branch === this.world.current;
    const first = isCurrent ? 0 : at;
    const end = isCurrent ? Math.max(this.world.position, length) : length;
    row.classList.toggle("current", isCurrent);
    name.textContent = titleOf(branch, parent);
    slider.ariaLabel = `${titleOf(branch, parent)}${isCurrent ? ", where the world is" : ""}`;
    [slider.min, slider.max] = [Math.max(first, this.world.first), end];
    slider.style.setProperty("--from", slider.min / longest);
    slider.style.setProperty("--to", end / longest);
    if (this.#chosen?.branch !== branch) slider.value = isCurrent ? this.world.position : end;
    this.#describe(branch, slider);
    this.#drawStrip(canvas, { branch, first, at, end, longest, isCurrent });
  }

  #drawStrip(canvas, { branch, first, at, end, longest, isCurrent }) {
    const { context, width, height } = fitCanvas(canvas);
    const color = palette();
    const x = (chunk) => (chunk / longest) * width;
    context.fillStyle = color("line");
    context.fillRect(x(first), 0, x(end) - x(first), height);
    // Pictures side by side, each of the chunk at its left edge; those that are not decoded yet come with the next draw.
    const step = Math.max(1, Math.ceil((1.5 * height * longest) / width));
    for (let chunk = first - (first % step); chunk < end; chunk += step) {
      const known = this.world.chunk(Math.max(first, chunk), branch);
      if (!known?.picture) continue;
      if (known.bitmap) this.#drawPicture(context, known.bitmap, x(Math.max(first, chunk)), x(Math.min(end, chunk + step)), height);
      else known.picture.then((bitmap) => bitmap && ((known.bitmap = bitmap), this.show()));
    }
    if (isCurrent && at > 0) {
      context.fillStyle = color("panel");
      context.globalAlpha = 0.55; // what it shares with its parent, or was given
      context.fillRect(0, 0, x(at), height);
      context.globalAlpha = 1;
    }
    if (isCurrent) {
      context.fillStyle = color("accent");
      context.fillRect(Math.min(width - 3, Math.max(0, x(this.world.position) - 1.5)), 0, 3, height);
    }
  }

  #drawPicture(context, bitmap, left, right, height) {
    const width = right - left;
    const across = Math.min(bitmap.width, (bitmap.height * width) / height);
    context.imageSmoothingEnabled = bitmap.height > height;
    context.drawImage(bitmap, (bitmap.width - across) / 2, 0, across, bitmap.height, left, 0, width, height);
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
    this.#describe(branch, this.#rows.get(branch).slider);
    const peek = this.choice.querySelector("canvas");
    const known = this.world.chunk(chunk - 1, branch) ?? this.world.chunk(chunk, branch);
    known?.picture?.then((bitmap) => bitmap && drawPicture(peek, bitmap));
  }

  #go(kind, payload) {
    const { slider } = this.#rows.get(this.#chosen.branch);
    this.send(kind, payload);
    this.#choose(null);
    slider.focus({ preventScroll: true });
  }

  #describe(branch, slider) {
    slider.setAttribute("aria-valuetext", `${this.#moment(slider.valueAsNumber)} of ${this.#name(branch)}`);
  }

  #moment(chunk) {
    return `${seconds(chunk * this.secondsPerChunk)}, ${chunk} chunk${chunk === 1 ? "" : "s"}`;
  }

  #name(branch) {
    return titleOf(branch, this.world.branches.get(branch)?.parent ?? null);
  }
}

function titleOf(branch, parent) {
  return parent === null ? "Main" : `Branch ${branch}`;
}
