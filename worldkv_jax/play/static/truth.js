// Likeness to the truth, where it is known: the PSNR of each memory over the chunks, and its mean on revisits.

import { element, fitCanvas, palette } from "./dom.js";
import { titleOf } from "./hud.js";

const SHOWN = 160; // chunks across the chart
const LEFT = 30; // pixels for the scale
const STEP = 10; // decibels from one line of the scale to the next

export class Truth {
  constructor(box) {
    Object.assign(this, { box, canvas: box.querySelector("canvas"), means: box.querySelector("ul"), path: [] });
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Show the chunks of a path, oldest first; `revisits` are those that look where an earlier one looked. */
  show(path, revisits) {
    this.path = path;
    const lanes = path.at(-1)?.lanes ?? [];
    this.means.replaceChildren(
      ...lanes.map(({ memory }, lane) => {
        const mean = average(revisits.map((chunk) => chunk.lanes[lane]?.psnr));
        const value = element("b", { textContent: mean === null ? "–" : `${mean.toFixed(1)} dB` });
        value.dataset.decibels = mean ?? "";
        return element("li", { className: `mark mark-${lane}` }, [`${titleOf(memory)} `, value]);
      }),
    );
    this.draw();
  }

  draw() {
    const { context, width, height } = fitCanvas(this.canvas);
    const shown = this.path.slice(-SHOWN);
    const lanes = shown.at(-1)?.lanes.length ?? 0;
    const values = shown.flatMap((chunk) => chunk.lanes.map(({ psnr }) => psnr)).filter((psnr) => psnr != null);
    if (values.length === 0 || width <= LEFT) return;
    const low = STEP * Math.floor(Math.min(...values) / STEP);
    const high = Math.max(low + STEP, STEP * Math.ceil(Math.max(...values) / STEP));
    const y = (psnr) => height - 6 - ((psnr - low) / (high - low)) * (height - 12);
    const x = (index) => LEFT + ((width - LEFT - 4) * index) / Math.max(24, shown.length - 1);
    const color = palette();

    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "middle";
    for (let psnr = low; psnr <= high; psnr += STEP) {
      context.fillStyle = color("quiet");
      context.fillText(psnr, 6, y(psnr));
      context.fillStyle = color("line");
      context.fillRect(LEFT, Math.round(y(psnr)), width - LEFT, 1);
    }
    for (let lane = lanes - 1; lane >= 0; lane--) {
      context.strokeStyle = color(`lane-${lane}`);
      context.lineWidth = 2;
      context.setLineDash(lane ? [4, 3] : []);
      context.beginPath();
      let isDrawing = false;
      shown.forEach((chunk, index) => {
        const psnr = chunk.lanes[lane]?.psnr;
        if (psnr != null) context[isDrawing ? "lineTo" : "moveTo"](x(index), y(psnr));
        isDrawing = psnr != null;
      });
      context.stroke();
    }
    context.setLineDash([]);
  }
}

function average(values) {
  const known = values.filter((value) => value != null);
  return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
}
