// What this visit asks of the server: the wishes of the address and the forms, and the session to come back to.

import { readAddress } from "./share.js";

const STORED = "worldkv.session"; // {id, hash}: the address that began it, since another address is another world

export class Visit {
  wish = {}; // {seed, memories, replay, prompt, first_frame}
  #left = null; // what was stored of the session before, until another one has begun

  /** Read the page's address; raises an Error that says what is wrong with it. */
  async read() {
    this.wish = {};
    const info = await fetch("/v1/info").then((answer) => answer.json(), () => ({}));
    // Where the truth is known the comparison says most, and the model is small enough for two.
    const memories = info.truth ? ["default", "window"] : undefined;
    const { model, ...asked } = await readAddress(location.hash);
    if (model && info.model && model !== info.model) {
      throw new Error(`The address is that of a world of ${model}; this server plays ${info.model}.`);
    }
    this.wish = { memories, ...asked };
  }

  /** Return the `init` message. */
  hello() {
    const { seed, memories, replay, prompt, first_frame } = this.wish;
    const session = this.#stored()?.id;
    const watch = !replay && !matchMedia("(prefers-reduced-motion: reduce)").matches;
    const worldkv = session ? { session, idle: "pause" } : { memories, replay, idle: "pause", watch };
    return { seed, prompt, first_frame, realtime_output_format: "webp", worldkv };
  }

  /** Keep the session's id for a reload, and its settings in the address. */
  remember({ session_id: id, seed, memories }) {
    if (!this.wish.replay) {
      history.replaceState(null, "", `#seed=${seed}&memories=${memories.join(",")}`);
    }
    sessionStorage.setItem(STORED, JSON.stringify({ id, hash: location.hash }));
    this.#left = null;
  }

  /** Leave the session: the next connection begins what is wished for, and `goBack` if that is refused. */
  leave() {
    this.#left = sessionStorage.getItem(STORED) ?? this.#left;
    this.forget();
  }

  /** Let go of the session: the next connection begins a new one. */
  forget() {
    sessionStorage.removeItem(STORED);
  }

  /** Wish for nothing any more, and take back the session that was left, if there is one, and its address. */
  goBack() {
    this.wish = {};
    if (!this.#left) return;
    const { hash } = JSON.parse(this.#left);
    history.replaceState(null, "", `${location.pathname}${location.search}${hash}`);
    sessionStorage.setItem(STORED, this.#left);
    this.#left = null;
  }

  get isComingBack() {
    return Boolean(this.#stored());
  }

  #stored() {
    const stored = JSON.parse(sessionStorage.getItem(STORED) ?? "null");
    return stored?.hash === location.hash ? stored : null;
  }
}
