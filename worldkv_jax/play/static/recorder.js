// Recording what is played, and the file to download.

import { byId } from "./dom.js";

/** Wire the button; return what shows the server's `recording` messages. */
export function wireRecorder(send) {
  const [button, link] = [byId("record"), byId("recording")];
  button.addEventListener("click", () => {
    send("record", { on: button.getAttribute("aria-pressed") !== "true" }, byId("problem"));
  });

  return function show({ state, frames = 0, url }) {
    button.setAttribute("aria-pressed", state === "on");
    button.lastElementChild.textContent = state === "on" ? "Stop recording" : "Record";
    link.hidden = state !== "ready";
    if (state !== "ready") return;
    link.href = url;
    link.textContent = `Download mp4 (${frames} frames)`;
  };
}
