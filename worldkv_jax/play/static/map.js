// The map from above: where every stored chunk looked, where the camera is, and what it recalls now.

import { fitCanvas, palette } from "./dom.js";

const MARGIN = 16; // pixels
const FIELD_OF_VIEW = 60; // degrees, where the model tells none
const WEDGE = 0.36; // length of a wedge, as a share of the map
const SMALLEST = 0.5; // side of the smallest square that is drawn, in the world's units

export class WorldMap {
  #square = null; // {x, z, side} of what is drawn; it only grows, so that the map stands still

  constructor(canvas) {
    Object.assign(this, { canvas, fieldOfView: FIELD_OF_VIEW, cameras: [], camera: null, recalled: [] });
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Forget what was drawn: another world begins. */
  clear(fieldOfView) {
    this.fieldOfView = fieldOfView ?? FIELD_OF_VIEW;
    this.#square = null;
    this.show([], null, []);
  }

  /**
   * Show the chunks, the camera and what it recalls.
   *
   * @param cameras `[x, z, yaw]` of each stored chunk, yaw in degrees, 0 along +z, positive to the right
   * @param camera the current one, or null where the model tells none
   * @param recalled for each lane, the cameras of the chunks that it recalled
   */
  show(cameras, camera, recalled) {
    Object.assign(this, { cameras, camera, recalled });
    const count = recalled[0]?.length ?? 0;
    this.canvas.ariaLabel = `Map from above: ${cameras.length} chunks seen, ${count} of them recalled now`;
    this.draw();
  }

  draw() {
    const { context, width, height } = fitCanvas(this.canvas);
    const side = Math.min(width, height) - 2 * MARGIN;
    if (side <= 0) return;
    const color = palette();
    this.#include(this.camera ? [...this.cameras, this.camera] : this.cameras);
    const square = this.#square ?? { x: 0, z: 0, side: SMALLEST };
    const length = WEDGE * side;
    const scale = (side - 2 * length) / square.side; // wedges stay inside
    const place = ([x, z]) => [width / 2 + (x - square.x) * scale, height / 2 - (z - square.z) * scale];

    context.fillStyle = color("seen");
    context.globalAlpha = Math.max(0.035, Math.min(0.16, 2.5 / this.cameras.length));
    for (const camera of this.cameras) this.#wedge(context, place(camera), camera[2], length).fill();
    context.globalAlpha = 1;
    this.#path(context, place, color("quiet"));
    if (!this.camera) return this.#say(context, width, height, color("quiet"));
    this.recalled.forEach((lane, index) => {
      for (const camera of lane) this.#recall(context, place, camera, length, color(`lane-${index}`), index);
    });
    this.#here(context, place(this.camera), this.camera[2], length, color("ink"), color("panel"));
  }

  #include(cameras) {
    for (const [x, z] of cameras) {
      const old = this.#square ?? { x, z, side: SMALLEST };
      const low = [Math.min(old.x - old.side / 2, x), Math.min(old.z - old.side / 2, z)];
      const high = [Math.max(old.x + old.side / 2, x), Math.max(old.z + old.side / 2, z)];
      const side = Math.max(high[0] - low[0], high[1] - low[1]);
      this.#square = { x: (low[0] + high[0]) / 2, z: (low[1] + high[1]) / 2, side };
    }
  }

  #wedge(context, [x, y], yaw, length) {
    const [middle, half] = [((yaw - 90) * Math.PI) / 180, (this.fieldOfView * Math.PI) / 360];
    context.beginPath();
    context.moveTo(x, y);
    context.arc(x, y, length, middle - half, middle + half);
    context.closePath();
    return context;
  }

  #path(context, place, color) {
    context.strokeStyle = color;
    context.lineWidth = 1;
    context.setLineDash([2, 3]);
    context.beginPath();
    for (const camera of this.cameras) context.lineTo(...place(camera));
    context.stroke();
    context.setLineDash([]);
  }

  /** A recalled chunk: its wedge outlined, and a line from the camera to a dot in it; dashed for the second lane. */
  #recall(context, place, camera, length, color, lane) {
    const [x, y] = place(camera);
    const angle = ((camera[2] - 90) * Math.PI) / 180;
    const reach = length * (0.92 - 0.12 * lane);
    const dot = [x + reach * Math.cos(angle), y + reach * Math.sin(angle)];
    context.strokeStyle = context.fillStyle = color;
    context.lineWidth = 1.5;
    context.setLineDash(lane ? [5, 3] : []);
    context.globalAlpha = 0.12;
    this.#wedge(context, [x, y], camera[2], length).fill();
    context.globalAlpha = 1;
    this.#wedge(context, [x, y], camera[2], length).stroke();
    context.beginPath();
    context.moveTo(...place(this.camera));
    context.lineTo(...dot);
    context.stroke();
    context.setLineDash([]);
    context.beginPath();
    context.arc(...dot, 4, 0, 2 * Math.PI);
    context.fill();
  }

  #here(context, [x, y], yaw, length, ink, ground) {
    context.strokeStyle = ink;
    context.lineWidth = 2;
    this.#wedge(context, [x, y], yaw, length).stroke();
    context.save();
    context.translate(x, y);
    context.rotate((yaw * Math.PI) / 180);
    context.beginPath();
    for (const point of [[0, -9], [6.5, 7], [0, 3.5], [-6.5, 7]]) context.lineTo(...point);
    context.closePath();
    context.fillStyle = ink;
    context.strokeStyle = ground;
    context.stroke();
    context.fill();
    context.restore();
  }

  #say(context, width, height, color) {
    if (this.cameras.length === 0) return;
    context.fillStyle = color;
    context.textAlign = "center";
    context.fillText("This model tells no camera.", width / 2, height / 2);
  }
}
