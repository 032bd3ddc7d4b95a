import type { Progress, Source } from "./types.js";

const PIECE = 1 << 20;

/** A checkpoint as a stream of bytes. */
export interface Stream {
  /** Total bytes; null if unknown. */
  total: number | null;
  pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** Opens a source. URLs must be absolute, since a worker has another base URL than its page. */
export async function open(source: Source): Promise<Stream> {
  if (typeof source === "string" || source instanceof URL) return download(source);
  if (source instanceof Blob) return { total: source.size, pieces: read(source.stream()) };
  const bytes = ArrayBuffer.isView(source)
    ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
    : new Uint8Array(source);
  return { total: bytes.length, pieces: cut(bytes) };
}

async function download(address: string | URL): Promise<Stream> {
  let response: Response;
  try {
    response = await fetch(address);
  } catch (cause) {
    throw new Error(`cannot load ${address}: the server does not answer`, { cause });
  }
  if (!response.ok || !response.body) {
    throw new Error(`cannot load ${address}: the server answers ${response.status} ${response.statusText}`.trimEnd());
  }
  // The length of a compressed response is not the length of its content.
  const length = response.headers.get("content-encoding") ? null : response.headers.get("content-length");
  return { total: length === null ? null : Number(length), pieces: read(response.body) };
}

async function* read(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

function* cut(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PIECE) yield bytes.subarray(at, at + PIECE);
}

/** Passes each piece to `take`, reports progress, and returns the number of bytes. */
export async function readAll({ total, pieces }: Stream, take: (piece: Uint8Array) => void, report: (progress: Progress) => void): Promise<number> {
  let loaded = 0;
  for await (const piece of pieces) {
    take(piece);
    loaded += piece.length;
    report({ loaded, total });
  }
  return loaded;
}
