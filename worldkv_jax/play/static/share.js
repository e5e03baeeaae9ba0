// Sharing: an address that carries a world, and session files.

/** Read what a page's address asks for: `#seed=3&memories=default,window&world=…`. */
export async function readAddress(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const asked = {};
  if (given.has("model")) asked.model = given.get("model");
  if (given.has("seed")) asked.seed = Number(given.get("seed"));
  if (given.has("memories")) asked.memories = given.get("memories").split(",");
  if (given.has("world")) asked.replay = await unpack(given.get("world"));
  if (!Number.isSafeInteger(asked.seed ?? 0)) throw new Error("The seed in the address is not a whole number.");
  return asked;
}

/** Write an address that carries a world: model, seed, memories, and in the session file every key that was pressed. */
export async function writeAddress({ model, seed, memories }, file) {
  const settings = `model=${encodeURIComponent(model)}&seed=${seed}&memories=${memories.join(",")}`;
  return `${location.origin}${location.pathname}#${settings}&world=${await pack(file)}`;
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
