import { keep, stored } from "./cache.js";
import { body, fetched, length, read } from "./http.js";
import { isLocal, platform } from "./platform.js";
import type { CacheMode, Progress, Source } from "./types.js";

const PIECE = 1 << 20;

/** A checkpoint as a stream of bytes. */
export interface Stream {
  /** Total bytes; null if unknown. */
  total: number | null;
  pieces: AsyncIterable<Uint8Array<ArrayBuffer>> | Iterable<Uint8Array<ArrayBuffer>>;
  /** Whether it comes from the browser's cache. */
  cached?: boolean;
  /** Ends the stream: stores it where that was asked for, or discards what was stored if it turned out to be useless. */
  close?(useful: boolean): Promise<void>;
}

/** Opens a source. URLs must be absolute, since a worker has another base URL than its page. */
export async function open(source: Exclude<Source, URL>, cache: CacheMode, signal?: AbortSignal): Promise<Stream> {
  if (typeof source === "string") {
    if (isLocal(source)) return (await platform.open?.(source)) as Stream;
    return (cache === true && (await stored(source))) || download(source, cache !== false, signal);
  }
  if (source instanceof Blob) return { total: source.size, pieces: read(source.stream(), "the file cannot be read, perhaps because it has changed") };
  const bytes = ArrayBuffer.isView(source)
    ? new Uint8Array(source.buffer as ArrayBuffer, source.byteOffset, source.byteLength)
    : new Uint8Array(source);
  return { total: bytes.length, pieces: cut(bytes) };
}

async function download(address: string, storing: boolean, signal?: AbortSignal): Promise<Stream> {
  const stop = new AbortController();
  const abort = () => stop.abort(signal?.reason);
  signal?.addEventListener("abort", abort);
  const response = await fetched(address, stop.signal);
  const kept = storing ? await keep(address, response) : undefined;
  const close = async (useful: boolean) => {
    signal?.removeEventListener("abort", abort);
    if (!useful) stop.abort();
    await kept?.close(useful);
  };
  return { total: length(response), pieces: read(kept?.body ?? body(response), `the connection to ${address} broke off`), close };
}

function* cut(bytes: Uint8Array<ArrayBuffer>): Generator<Uint8Array<ArrayBuffer>> {
  for (let at = 0; at < bytes.length; at += PIECE) yield bytes.subarray(at, at + PIECE);
}

/** Passes each piece to `take`, reports progress, and returns the number of bytes. */
export async function readAll({ total, pieces }: Stream, take: (piece: Uint8Array) => void, report: (progress: Progress) => void, signal?: AbortSignal): Promise<number> {
  let loaded = 0;
  for await (const piece of pieces) {
    signal?.throwIfAborted();
    take(piece);
    loaded += piece.length;
    // Another origin may hide that its response is compressed: its length is then not that of the content.
    report({ loaded, total: total !== null && loaded <= total ? total : null });
  }
  return loaded;
}
