// The settings: memories, seed, and where the model takes them, start picture and prompt.

import { byId, element } from "./dom.js";
import { titleOf } from "./hud.js";

const NOTHING = "";

/**
 * Wire the form of the top bar, and that of the prompt and the picture.
 *
 * @param send sends an event and remembers the element where a refusal is shown
 * @param begin is given `{prompt, first_frame, seed}` of a world to begin
 */
export function wireSettings({ send, begin, focusPicture }) {
  const [memory, beside, seed] = ["memory", "beside", "seed"].map(byId);
  const prompt = byId("prompt");

  for (const select of [memory, beside]) {
    select.addEventListener("change", () => {
      send("memory", { memories: [memory.value, beside.value].filter((name) => name !== NOTHING) }, byId("problem"));
      // Whoever chose with the mouse goes on walking; whoever chose with the keyboard may choose on.
      if (!select.matches(":focus-visible")) focusPicture();
    });
  }
  byId("again").addEventListener("submit", (event) => {
    event.preventDefault();
    send("reset", { seed: seed.valueAsNumber }, byId("problem"));
    focusPicture();
  });
  byId("prompt-form").addEventListener("submit", (event) => {
    event.preventDefault();
    send("prompt", prompt.value.trim(), byId("prompt-problem"));
    focusPicture();
  });
  byId("begin").addEventListener("click", async () => {
    const [file] = byId("picture").files;
    const first_frame = file && new Uint8Array(await file.arrayBuffer());
    begin({ prompt: prompt.value.trim() || undefined, first_frame, seed: seed.valueAsNumber });
    focusPicture();
  });
  byId("picture").addEventListener("change", ({ target }) => {
    byId("picture-name").textContent = target.files[0]?.name ?? "";
  });
}

/** Show what a session plays, and offer what its model takes. */
export function showSettings({ available_memories: available, memories, seed, accepts = {} }) {
  fill(byId("memory"), available, memories[0]);
  fill(byId("beside"), [NOTHING, ...available], memories[1] ?? NOTHING);
  byId("seed").value = seed;
  byId("prompt-form").hidden = !accepts.prompt && !accepts.first_frame;
  byId("prompt-field").hidden = byId("apply").hidden = !accepts.prompt;
  byId("picture-field").hidden = !accepts.first_frame;
}

function fill(select, names, chosen) {
  select.replaceChildren(
    ...names.map((name) => element("option", { value: name, textContent: name ? titleOf(name) : "nothing" })),
  );
  select.value = chosen;
}
