// The WebSocket: says hello, numbers its events, and comes back after a loss.

import { decode, encode } from "./msgpack.js";

const PATH = "/v1/realtime_video/generate";
const RETRIES = [0.5, 1, 2, 4, 8]; // seconds before each try; the last one repeats
const FULL = 1013;
const REFUSED = 1008;
const DONE = 1000;
const ENDS = { "opened in another window": "This world is open in another window. Press a key to have it here." };

export class Connection {
  #socket = null;
  #timer = 0;
  #tries = 0;
  #lastId = 0;
  #sent = 0; // id of the latest event of this connection
  #places = new Map(); // event id → what its sender wants to remember
  #waiting = new Map(); // event id → milliseconds when a control was sent whose picture is not shown yet

  /**
   * @param hello returns the `init` message of the next connection
   * @param onMessage is given each message of the server
   * @param onState is given "connecting", "open", "lost", "asleep", "full" or "refused", and a sentence
   */
  constructor({ hello, onMessage, onState }) {
    Object.assign(this, { hello, onMessage, onState });
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Connect, or connect anew. */
  open() {
    this.#drop();
    this.onState("connecting", "Connecting …");
    const socket = (this.#socket = new WebSocket(`${location.origin.replace("http", "ws")}${PATH}`));
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.#waiting.clear();
      this.#sent = 0;
      this.greet();
      this.onState("open", "");
    };
    socket.onmessage = ({ data }) => {
      this.#tries = 0;
      this.onMessage(decode(new Uint8Array(data)));
    };
    socket.onclose = (event) => this.#closed(event);
  }

  /** Connect now if the connection has ended or waits for its next try. */
  wake() {
    if (!this.#socket) this.open();
  }

  /** Let go of the connection. */
  leave() {
    this.#drop();
  }

  /** Whether no event was sent after this one. */
  isLatest(eventId) {
    return eventId >= this.#sent;
  }

  /** Send the `init` message; again, if the first was refused. */
  greet() {
    this.#socket.send(encode({ type: "init", ...this.hello() }));
  }

  /**
   * Send an event; return its id, or null while there is no connection.
   *
   * `place` is what the sender wants to remember of it, see `sender`; `timed` events wait for a picture, see `elapsed`.
   */
  send(kind, payload, { place = null, timed = false } = {}) {
    if (!this.isOpen) return null;
    const event_id = (this.#sent = ++this.#lastId);
    if (place) this.#places.set(event_id, place);
    if (timed) this.#waiting.set(event_id, performance.now());
    this.#socket.send(encode({ type: "event", kind, payload, event_id }));
    return event_id;
  }

  /** Return the place that a refused event was sent from, and wait for its picture no longer. */
  sender(eventId) {
    this.#waiting.delete(eventId);
    return this.#places.get(eventId) ?? null;
  }

  /** A picture that answers all events up to `eventId` is shown: return the milliseconds since the oldest, or null. */
  elapsed(eventId) {
    const answered = [...this.#waiting].filter(([id]) => id <= eventId);
    for (const [id] of answered) this.#waiting.delete(id);
    return answered.length ? performance.now() - answered[0][1] : null;
  }

  #drop() {
    clearTimeout(this.#timer);
    if (!this.#socket) return;
    this.#socket.onclose = this.#socket.onmessage = this.#socket.onopen = null;
    this.#socket.close();
    this.#socket = null;
  }

  #closed({ code, reason }) {
    this.#socket = null;
    if (code === DONE) return this.onState("asleep", ENDS[reason] ?? "The world sleeps. Press a key to go on with it.");
    if (code === REFUSED) return this.onState("refused", reason || "The server did not admit this page.");
    const seconds = code === FULL ? RETRIES.at(-1) : RETRIES[Math.min(this.#tries++, RETRIES.length - 1)];
    const why = code === FULL ? "The server is full." : "The connection is lost.";
    this.onState(code === FULL ? "full" : "lost", `${why} Trying again in ${seconds} s.`);
    this.#timer = setTimeout(() => this.open(), 1000 * seconds);
  }
}
