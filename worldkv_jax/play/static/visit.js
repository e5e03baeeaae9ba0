// What this visit asks of the server: the wishes of the address and the forms, and the session to come back to.

import { readAddress } from "./share.js";

const STORED = "worldkv.session"; // {id, hash}: the address that began it, since another address is another world

export class Visit {
  wish = {}; // {model, seed, memories, replay, prompt, first_frame}

  /** Read the page's address; raises an Error that says what is wrong with it. */
  async read() {
    this.wish = {};
    this.wish = await readAddress(location.hash);
  }

  /** Return the `init` message. */
  hello() {
    const { seed, memories, replay, prompt, first_frame } = this.wish;
    const session = this.#stored()?.id;
    const worldkv = session ? { session, idle: "pause" } : { memories, replay, idle: "pause", watch: !replay };
    return { seed, prompt, first_frame, realtime_output_format: "webp", worldkv };
  }

  /** Keep the session's id for a reload, and its settings in the address. */
  remember({ session_id: id, seed, memories }) {
    if (!this.wish.replay) {
      history.replaceState(null, "", `#seed=${seed}&memories=${memories.join(",")}`);
    }
    sessionStorage.setItem(STORED, JSON.stringify({ id, hash: location.hash }));
  }

  /** Let go of the session: the next connection begins a new one. */
  forget() {
    sessionStorage.removeItem(STORED);
  }

  get isComingBack() {
    return Boolean(this.#stored());
  }

  #stored() {
    const stored = JSON.parse(sessionStorage.getItem(STORED) ?? "null");
    return stored?.hash === location.hash ? stored : null;
  }
}
