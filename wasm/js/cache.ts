import { body, length, read } from "./http.js";
import type { Stream } from "./source.js";

const NAME = "hh-wasm";

/** The cache of this origin; undefined where there is none: in node, on a page without TLS, where the user forbids it. */
function cache(): Promise<Cache | undefined> {
  return typeof caches === "undefined" ? Promise.resolve(undefined) : caches.open(NAME).catch(() => undefined);
}

/** The stored checkpoint of an address. */
export async function stored(address: string): Promise<Stream | undefined> {
  const response = await (await cache())?.match(address);
  if (!response?.body) return undefined;
  const close = async (useful: boolean) => {
    if (!useful) await clear(address);
  };
  return { total: length(response), pieces: read(body(response), `the stored ${address} cannot be read`), cached: true, close };
}

/** Stores a response while it is read, and returns the stream to read; undefined where there is no cache. */
export async function keep(address: string, response: Response): Promise<{ body: ReadableStream<Uint8Array<ArrayBuffer>>; close: (useful: boolean) => Promise<void> } | undefined> {
  const found = await cache();
  if (!found) return undefined;
  const [reading, storing] = body(response).tee();
  const size = length(response);
  // Without the other headers: `Vary: *`, for one, would forbid it.
  const copy = new Response(storing, { headers: size === null ? {} : { "content-length": String(size) } });
  // A checkpoint that finds no space is used without being stored.
  const done = found.put(address, copy).then(() => true, () => false);
  const close = async (useful: boolean) => {
    if ((await done) && !useful) await found.delete(address);
  };
  return { body: reading, close };
}

/** The addresses of all stored checkpoints. */
export async function addresses(): Promise<string[]> {
  return ((await (await cache())?.keys()) ?? []).map(({ url }) => url);
}

/** Deletes the stored checkpoint of an address, or all; returns whether there was one. */
export async function clear(address?: string): Promise<boolean> {
  if (address !== undefined) return (await (await cache())?.delete(address)) ?? false;
  return typeof caches === "undefined" ? false : caches.delete(NAME).catch(() => false);
}
