// A strip of the time line: the pictures of a branch side by side.

import { fitCanvas, palette } from "./dom.js";

const ACROSS = 1.5; // width of a picture in the strip, as a multiple of its height
const MARK = 3; // pixels: width of the mark where the world stands

/**
 * Draw a branch from chunk `first` to `end` on a canvas that is `longest` chunks wide.
 *
 * @param pictureOf returns the picture of a chunk, or nothing
 * @param shared chunks that are not the branch's own: drawn pale
 * @param position where the world stands, or null if it is on another branch
 */
export function drawStrip(canvas, pictureOf, { first, end, longest, shared, position }) {
  const { context, width, height } = fitCanvas(canvas);
  const color = palette();
  const x = (chunk) => (chunk / longest) * width;
  context.fillStyle = color("line");
  context.fillRect(x(first), 0, x(end) - x(first), height);

  const step = Math.max(1, Math.ceil((ACROSS * height * longest) / width));
  for (let chunk = first - (first % step); chunk < end; chunk += step) {
    const from = Math.max(first, chunk);
    const picture = pictureOf(from);
    if (picture) drawCut(context, picture, x(from), x(Math.min(end, chunk + step)), height);
  }
  if (position === null) return;
  context.fillStyle = color("panel");
  context.globalAlpha = 0.55;
  context.fillRect(0, 0, x(shared), height);
  context.globalAlpha = 1;
  context.fillStyle = color("accent");
  context.fillRect(Math.min(width - MARK, Math.max(0, x(position) - MARK / 2)), 0, MARK, height);
}

/** Draw the middle of a picture, as much of it as fits. */
function drawCut(context, picture, left, right, height) {
  const width = right - left;
  const across = Math.min(picture.width, (picture.height * width) / height);
  context.imageSmoothingEnabled = picture.height > height;
  context.drawImage(picture, (picture.width - across) / 2, 0, across, picture.height, left, 0, width, height);
}
