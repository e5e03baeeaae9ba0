// The panel that shares a world: its address, and session files.

import { byId } from "./dom.js";
import { download, readSessionFile, writeAddress } from "./share.js";

/** Wire the panel; `receive` of what it returns takes the server's session file. */
export function wireSharing({ send, begin, session }) {
  const [status, problem, address] = ["share-status", "share-problem", "address"].map(byId);
  const waiting = []; // what is done with the session file that was asked for

  function ask(then) {
    status.textContent = problem.textContent = "";
    if (send("session_file", {}, problem)) waiting.push(then);
  }

  byId("copy").addEventListener("click", () =>
    ask(async (file) => {
      address.value = await writeAddress(session(), file);
      address.hidden = false;
      address.select();
      const isCopied = await navigator.clipboard?.writeText(address.value).then(() => true, () => false);
      status.textContent = isCopied ? "The address is copied." : "Here is the address: copy it.";
    }),
  );
  byId("save-file").addEventListener("click", () =>
    ask((file) => {
      download(`${session().model}-${session().seed}.json`, JSON.stringify(file), "application/json");
      status.textContent = "The session file is in your downloads.";
    }),
  );
  byId("open-file").addEventListener("change", async ({ target }) => {
    try {
      if (target.files.length) begin({ memories: undefined, replay: await readSessionFile(target.files[0]) });
      byId("share").hidePopover();
    } catch (error) {
      problem.textContent = error.message;
    }
    target.value = ""; // the same file may be opened again
  });

  return {
    receive(file) {
      // All of them: one that is asked for right after another is that of the same world.
      for (const take of waiting.splice(0)) take(file);
    },
    /** What was asked for over another connection does not come any more. */
    forget() {
      waiting.length = 0;
    },
  };
}
