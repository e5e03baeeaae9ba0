// What the page knows of the world: its branches, and what each chunk saw and recalled.

// A chunk is a revisit when one at least so many chunks earlier looked within this angle from within this distance.
const REVISIT = { chunks: 10, degrees: 20, distance: 0.25 };

export class World {
  branches = new Map(); // id → {branch, parent, at, length}, counted in chunks made
  current = 0;
  position = 0; // chunks made where the world stands
  first = 0; // chunks that were given before play began: one cannot go back before them
  #chunks = new Map(); // branch → Map of chunk index → what is known of it

  /** @param onPicture is called whenever a picture of a chunk can be drawn */
  constructor(onPicture = () => {}) {
    this.onPicture = onPicture;
  }

  /** Forget all chunks: they are made anew, under other memories or from another seed. */
  clear() {
    this.branches.clear();
    this.#chunks.clear();
  }

  /** Take the server's account of branches; what it leaves out of `chunks` stays known. */
  take({ current, position, first = 0, branches, chunks = [] }) {
    Object.assign(this, { current, position, first });
    this.branches = new Map(branches.map((branch) => [branch.branch, branch]));
    for (const known of this.#chunks.keys()) if (!this.branches.has(known)) this.#chunks.delete(known);
    for (const { branch, length } of branches) {
      const own = this.#own(branch);
      for (const index of own.keys()) if (index >= length) own.delete(index);
    }
    for (const chunk of chunks) this.#keep(chunk);
  }

  /** Take the statistics of a chunk that was just made. */
  add(stats) {
    const branch = stats.branch ?? this.current;
    this.#keep({ ...stats, branch });
    const length = stats.chunk_index + 1;
    this.branches.set(branch, { branch, parent: null, at: 0, ...this.branches.get(branch), length });
    if (branch === this.current) this.position = length;
  }

  /** Return chunk `index` as `branch` sees it, from the ancestor that made it; undefined where it is not known. */
  chunk(index, branch = this.current) {
    let line = this.branches.get(branch);
    while (line && index < line.at && line.parent !== null) line = this.branches.get(line.parent);
    return line && this.#chunks.get(line.branch)?.get(index);
  }

  /** Return the known chunks of the current branch up to where the world stands, oldest first. */
  path() {
    const known = [];
    for (let index = 0; index < this.position; index++) {
      const chunk = this.chunk(index);
      if (chunk) known.push(chunk);
    }
    return known;
  }

  /** The chunk that was made last, where it is known. */
  get last() {
    return this.chunk(this.position - 1);
  }

  /** Return the chunks of `path` that look where an earlier one looked. */
  revisits(path = this.path()) {
    return path.filter((chunk, place) => (chunk.isRevisit ??= this.#looksAgain(chunk, path.slice(0, place))));
  }

  #looksAgain({ index, camera }, earlier) {
    if (!camera) return false;
    const [x, z, yaw] = camera;
    return earlier.some(
      (old) =>
        old.camera &&
        index - old.index >= REVISIT.chunks &&
        angle(old.camera[2], yaw) <= REVISIT.degrees &&
        Math.hypot(old.camera[0] - x, old.camera[1] - z) <= REVISIT.distance,
    );
  }

  #own(branch) {
    if (!this.#chunks.has(branch)) this.#chunks.set(branch, new Map());
    return this.#chunks.get(branch);
  }

  #keep({ branch, chunk_index: index, camera = null, thumbnail = null, lanes, revisit: isRevisit }) {
    lanes ??= this.#own(branch).get(index)?.lanes ?? []; // the account of all branches may come without
    const chunk = { branch, index, camera, lanes, isRevisit, picture: null, bitmap: null };
    this.#own(branch).set(index, chunk);
    if (!thumbnail) return;
    chunk.picture = createImageBitmap(new Blob([thumbnail])).catch(() => null);
    chunk.picture.then((bitmap) => {
      chunk.bitmap = bitmap;
      this.onPicture();
    });
  }
}

/** Return the smaller angle between two directions, in degrees. */
export function angle(from, to) {
  return Math.abs(((((to - from + 180) % 360) + 360) % 360) - 180);
}
