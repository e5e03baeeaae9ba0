// The pictures: frames wait in a short queue and are shown at the model's pace, those of all lanes together.

import { element } from "./dom.js";

const SMALL = 320; // pixels: narrower pictures are enlarged with sharp edges
const MOST_WAITING = 2; // chunks: a slow screen leaves frames out, so that keys are answered in time
const REST = 500; // milliseconds without a picture before the count of frames a second begins anew

export class Screen {
  #queues = [];
  #plan = "";
  #isStale = true; // no frame since the world was moved
  #due = 0;
  #shown = []; // times of the frames of the last second

  /** @param onShow is given what was pushed with a frame, once it is on the screen */
  constructor(box, onShow) {
    Object.assign(this, { box, onShow, lanes: [], fps: 16, chunk: 1 });
    requestAnimationFrame((now) => this.#tick(now));
  }

  /** Make room for the pictures of these memories. */
  arrange({ width, height, fps, frames_per_chunk: chunk }, titles) {
    Object.assign(this, { fps, chunk });
    const plan = [width, height, ...titles].join();
    if (plan === this.#plan) return; // the pictures stay while a connection comes back
    this.#plan = plan;
    this.lanes = titles.map((title, lane) => {
      const canvas = element("canvas", { width, height, role: "img", ariaLabel: `The world under ${title}` });
      canvas.classList.toggle("pixels", width < SMALL);
      const numbers = element("dl", { className: "numbers" });
      const name = element("b", { className: `mark mark-${lane}`, textContent: title });
      const figure = element("figure", { className: "lane" }, [element("figcaption", {}, [name, numbers]), canvas]);
      figure.style.setProperty("--shape", width / height);
      return { figure, canvas, numbers };
    });
    this.box.style.setProperty("--lanes", titles.length);
    this.box.replaceChildren(...this.lanes.map(({ figure }) => figure));
    this.#queues = this.lanes.map(() => []);
    this.#shown = [];
  }

  /** Queue the frames of a `frame_batch`. */
  push({ lane = 0, format, content_type, width, height, payload, payload_lengths, num_frames, ...about }) {
    const queue = this.#queues[lane];
    if (!queue) return;
    const lengths = payload_lengths ?? Array(num_frames).fill(payload.length / num_frames);
    let start = 0;
    for (const length of lengths) {
      const data = payload.subarray(start, (start += length));
      const frame = { about, bitmap: null };
      const picture = format === "rgb24" ? fromRgb(data, width, height) : new Blob([data], { type: content_type });
      createImageBitmap(picture).then(
        (bitmap) => (frame.bitmap = bitmap),
        () => queue.includes(frame) && queue.splice(queue.indexOf(frame), 1), // what cannot be read is left out
      );
      queue.push(frame);
    }
  }

  /** The world stands elsewhere: forget the frames that wait, and show a picture of that place until others come. */
  async moveTo(picture) {
    for (const queue of this.#queues) queue.length = 0;
    this.#isStale = true;
    const bitmap = await picture;
    if (bitmap && this.#isStale) draw(this.lanes[0].canvas, bitmap); // pictures are kept of the first lane
  }

  get waiting() {
    return this.#queues[0]?.length ?? 0;
  }

  /** Frames shown a second, over the last second; 0 at rest. */
  get rate() {
    const now = performance.now();
    this.#shown = this.#shown.filter((time) => now - time < 1000);
    const first = this.#shown[0];
    return this.#shown.length < 2 ? 0 : (1000 * (this.#shown.length - 1)) / (this.#shown.at(-1) - first);
  }

  #tick(now) {
    requestAnimationFrame((next) => this.#tick(next));
    const isReady = () => this.#queues.length > 0 && this.#queues.every((queue) => queue[0]?.bitmap);
    if (now < this.#due || !isReady()) return;
    const period = 1000 / this.fps;
    let late = Math.floor((now - this.#due) / period); // frames that should have been shown already
    this.#due += (late + 1) * period;
    if (now - (this.#shown.at(-1) ?? 0) > REST) {
      [this.#shown, this.#due, late] = [[], now + period, 0];
    }
    const behind = this.waiting - MOST_WAITING * this.chunk;
    let frames = this.#take();
    for (let skip = Math.max(late, behind); skip > 0 && isReady(); skip--) frames = this.#take(frames);
    this.#shown.push(now);
    this.#isStale = false;
    frames.forEach(({ bitmap }, lane) => draw(this.lanes[lane].canvas, bitmap));
    for (const { bitmap } of frames) bitmap.close();
    this.onShow(frames[0].about);
  }

  /** Take the next frame of each lane, instead of those that are skipped. */
  #take(skipped = []) {
    for (const { bitmap } of skipped) bitmap.close();
    return this.#queues.map((queue) => queue.shift());
  }
}

function draw(canvas, bitmap) {
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = canvas.width >= SMALL; // matters to thumbnails only
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
}

function fromRgb(data, width, height) {
  const image = new ImageData(width, height);
  for (let from = 0, to = 0; from < data.length; to += 4) {
    image.data[to] = data[from++];
    image.data[to + 1] = data[from++];
    image.data[to + 2] = data[from++];
    image.data[to + 3] = 255;
  }
  return image;
}
