// Sharing: an address that carries a world, and session files.

/** Read what a page's address asks for: `#seed=3&memories=default,window&world=…`. */
export async function readAddress(hash) {
  const asked = new URLSearchParams(hash.replace(/^#/, ""));
  const seed = asked.has("seed") ? Number(asked.get("seed")) : undefined;
  if (seed !== undefined && !Number.isSafeInteger(seed)) throw new Error("The seed in the address is not a whole number.");
  return {
    ...(asked.get("model") && { model: asked.get("model") }),
    ...(seed !== undefined && { seed }),
    ...(asked.get("memories") && { memories: asked.get("memories").split(",") }),
    ...(asked.has("world") && { replay: await unpack(asked.get("world")) }),
  };
}

/** Write an address that carries seed, memories and model, and with `file` every key that was pressed. */
export async function writeAddress({ model, seed, memories }, file) {
  const carried = new URLSearchParams({ model, seed, memories: memories.join(",") });
  const world = file ? `&world=${await pack(file)}` : "";
  return `${location.origin}${location.pathname}#${carried.toString().replaceAll("%2C", ",")}${world}`;
}

/** Give a file to the browser's downloads. */
export function download(name, content, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Read a session file; raises an Error that says what is wrong. */
export async function readSessionFile(file) {
  try {
    return JSON.parse(await file.text());
  } catch {
    throw new Error(`${file.name} is no session file: it is not JSON.`);
  }
}

async function pack(value) {
  const packed = await through(new CompressionStream("deflate-raw"), new TextEncoder().encode(JSON.stringify(value)));
  const letters = Array.from(packed, (byte) => String.fromCharCode(byte)).join("");
  return btoa(letters).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

async function unpack(packed) {
  try {
    const letters = atob(packed.replaceAll("-", "+").replaceAll("_", "/"));
    const raw = Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(await through(new DecompressionStream("deflate-raw"), raw)));
  } catch {
    throw new Error("The world in the address cannot be read: it may have been cut off. Ask for the session file.");
  }
}

async function through(stream, input) {
  return new Uint8Array(await new Response(new Blob([input]).stream().pipeThrough(stream)).arrayBuffer());
}
