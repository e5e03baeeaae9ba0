// What each memory recalled for the newest chunk: thumbnails with their age.

import { drawPicture, element, seconds } from "./dom.js";
import { titleOf } from "./hud.js";

export class Recall {
  #shown = "";

  constructor(box, world) {
    Object.assign(this, { box, world });
  }

  /** Show what `chunk` recalled, if there is one; `secondsPerChunk` turns chunk ids into ages. */
  show({ index: now, lanes } = { index: 0, lanes: [] }, secondsPerChunk) {
    const shown = JSON.stringify([now, lanes.map(({ memory, picks }) => [memory, picks])]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.box.replaceChildren(
      ...lanes.map(({ memory, picks = [] }, lane) => {
        const items = picks.map((index) => this.#item(index, (now - index) * secondsPerChunk));
        const list = element("ul", { className: "thumbnails", role: "list" }, items);
        const nothing = element("span", { className: "quiet", textContent: nothingOf(memory) });
        const title = element("h3", { className: `mark mark-${lane}` }, [titleOf(memory)]);
        if (picks.length === 0) title.append(nothing);
        return element("section", {}, [title, list]);
      }),
    );
  }

  #item(index, age) {
    const canvas = element("canvas", { role: "img", ariaLabel: `Chunk ${index}` });
    const chunk = this.world.chunk(index);
    chunk?.picture?.then((bitmap) => bitmap && drawPicture(canvas, bitmap));
    return element("li", {}, [canvas, element("span", { textContent: `${seconds(age)} ago` })]);
  }
}

function nothingOf(memory) {
  if (memory === "window") return "recalls nothing";
  if (memory === "full") return "attends to all, recalls nothing";
  return "recalls nothing yet";
}
