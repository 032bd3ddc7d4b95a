import * as module from "./generated/hh_wasm.js";
import type { Embedder, Model, Session, Snapshot } from "./generated/hh_wasm.js";
import { open, readAll } from "./source.js";
import type { EmbedOptions, GenerateOptions, ModelInfo, Progress, SessionOptions, Source } from "./types.js";

/** Checkpoints below this many bytes default to one thread: handing work over would take longer than the work. */
const SMALL_CHECKPOINT = 8e6;
/** The default number of threads at most: beyond it, waiting for each other costs more than it gains. */
const MAX_DEFAULT_THREADS = 8;

/** Identifies an object of the host. */
export type Handle = number;

/** A `Token` as it is sent between threads; `seen` packs its layers, `3 + 2 · inspect` values per layer. */
export interface PackedToken {
  id: number;
  text: string;
  position: number;
  seen: Float64Array | null;
}

/** The common part of the single-threaded and the multi-threaded module. */
type Module = Pick<typeof module, "Loader" | "Snapshot">;

/** An initialised module and its memory. */
interface Running {
  module: Module;
  memory: WebAssembly.Memory;
  /** Helper threads that have started. */
  helpers: number;
}

let running: Promise<Running> | undefined;

/**
 * Initialises the module, once per thread: with `threads` threads, or with one if the shared memory, which is reserved at
 * its maximum size, cannot be allocated.
 */
function start(threads: number): Promise<Running> {
  return (running ??= threads > 1 ? shared(threads).catch(alone) : alone());
}

async function alone(): Promise<Running> {
  const address = new URL("./generated/hh_wasm_bg.wasm", import.meta.url);
  if (address.protocol !== "file:") return { module, memory: (await module.default({ module_or_path: address })).memory, helpers: 0 };
  const { readFile } = await import("node:fs/promises");
  return { module, memory: (await module.default({ module_or_path: await readFile(address) })).memory, helpers: 0 };
}

/** Does not wait for the helpers: the work is divided among those that have started. */
async function shared(threads: number): Promise<Running> {
  const code = WebAssembly.compileStreaming(fetch(new URL("./generated/threads/hh_wasm_bg.wasm", import.meta.url)));
  const module = await import("./generated/threads/hh_wasm.js");
  const { memory } = await module.default({ module_or_path: await code });
  const running = { module, memory, helpers: 0 };
  module.hire(threads);
  for (let helper = 1; helper < threads; helper++) {
    const worker = new Worker(new URL("./helper.js", import.meta.url), { type: "module", name: `hh ${helper}` });
    worker.onmessage = ({ data }: MessageEvent<number>) => (running.helpers += data);
    worker.postMessage({ code: await code, memory });
  }
  return running;
}

/** Converts a seed to the 64 bits of the sampler. */
function seed(of: number | bigint): bigint {
  if (typeof of === "number" && !Number.isSafeInteger(of)) {
    throw new Error(`seed is ${of}; it must be a whole number, a bigint where it is beyond ${Number.MAX_SAFE_INTEGER}`);
  }
  return BigInt.asUintN(64, BigInt(of));
}

/** Checks a count, which the module would otherwise truncate to 32 bits. */
function count(name: string, of: number): number {
  if (Number.isInteger(of) && of >= 0 && of < 2 ** 32) return of;
  throw new Error(`${name} is ${of}; it must be a whole number of at least 0`);
}

/** Holds the objects of the module, in the thread that runs it: this one or a worker. */
export class Host {
  #model: Model | undefined;
  #sessions = new Map<Handle, { session: Session; inspect: number }>();
  #snapshots = new Map<Handle, Snapshot>();
  #handles = 0;

  /** Loads the model to run on `threads` threads; `undefined` chooses by the size of the checkpoint. */
  async load(source: Source, threads: number | undefined, report: (progress: Progress) => void): Promise<ModelInfo> {
    const stream = await open(source);
    const { module } = await start(threads ?? ((stream.total ?? Infinity) < SMALL_CHECKPOINT ? 1 : Math.min(MAX_DEFAULT_THREADS, navigator.hardwareConcurrency)));
    const loader = new module.Loader(stream.total ?? 0);
    let bytes: number;
    try {
      bytes = await readAll(stream, (piece) => loader.push(piece), report);
    } catch (error) {
      loader.free();
      throw error;
    }
    const model = (this.#model = loader.finish());
    return {
      parameters: model.parameters,
      bytes,
      context: model.context,
      step: model.step,
      tokenizer: JSON.parse(model.tokenizer).kind,
      config: JSON.parse(model.config),
      instructions: model.instructions,
      threads: model.threads,
    };
  }

  session({ context, segments }: SessionOptions): Handle {
    const session = this.#loaded().session(
      context === undefined ? undefined : count("context", context),
      segments === undefined ? undefined : count("segments", segments),
    );
    this.#sessions.set(++this.#handles, { session, inspect: 0 });
    return this.#handles;
  }

  /** Reads a text into the state; returns its tokens if `inspect` is not 0. */
  read(handle: Handle, text: string, inspect: number): PackedToken[] {
    const model = this.#loaded();
    const session = this.#inspected(handle, inspect);
    const ids = model.encode(text);
    if (inspect === 0) {
      session.read(ids);
      return [];
    }
    return Array.from(ids, (id) => {
      const [position, seen] = [session.position, session.seen(inspect)];
      session.read(Uint32Array.of(id));
      return { id, text: model.decode(Uint32Array.of(id)), position, seen: seen.length ? seen : null };
    });
  }

  begin(handle: Handle, options: Omit<GenerateOptions, "signal">): void {
    const { temperature = 1, topK = 0, topP = 1, minP = 0 } = options;
    const session = this.#inspected(handle, count("inspect", options.inspect ?? 0));
    session.begin(temperature, count("topK", topK), topP, minP, seed(options.seed ?? 0));
  }

  next(handle: Handle): PackedToken {
    const { session, inspect } = this.#session(handle);
    const id = session.draw();
    const seen = inspect ? session.seen(inspect) : [];
    return { id, text: session.text, position: session.position - 1, seen: seen.length ? (seen as Float64Array) : null };
  }

  position(handle: Handle): number {
    return this.#session(handle).session.position;
  }

  reset(handle: Handle): void {
    this.#session(handle).session.reset();
  }

  snapshot(handle: Handle): Handle {
    return this.#store(this.#session(handle).session.snapshot());
  }

  restore(handle: Handle, snapshot: Handle): void {
    const found = this.#snapshots.get(snapshot);
    if (!found) throw new Error("the snapshot was freed");
    this.#session(handle).session.restore(found);
  }

  toBytes(handle: Handle): Uint8Array {
    const snapshot = this.#session(handle).session.snapshot();
    try {
      return snapshot.to_bytes();
    } finally {
      snapshot.free();
    }
  }

  async fromBytes(handle: Handle, bytes: Uint8Array): Promise<void> {
    const snapshot = new (await start(1)).module.Snapshot(bytes);
    try {
      this.#session(handle).session.restore(snapshot);
    } finally {
      snapshot.free();
    }
  }

  embed(texts: string[], { pooling, dimensions }: EmbedOptions): Float32Array[] {
    const embedder: Embedder = this.#loaded().embedder(pooling, dimensions === undefined ? undefined : count("dimensions", dimensions));
    try {
      return texts.map((text) => embedder.embed(text));
    } finally {
      embedder.free();
    }
  }

  encode(text: string): number[] {
    return Array.from(this.#loaded().encode(text));
  }

  decode(ids: number[]): string {
    return this.#loaded().decode(Uint32Array.from(ids));
  }

  async memory(): Promise<number> {
    return (await start(1)).memory.buffer.byteLength;
  }

  async helpers(): Promise<number> {
    return (await start(1)).helpers;
  }

  free(handle: Handle): void {
    this.#sessions.get(handle)?.session.free();
    this.#snapshots.get(handle)?.free();
    this.#sessions.delete(handle);
    this.#snapshots.delete(handle);
  }

  /** Frees all sessions and snapshots, and the model. */
  freeAll(): void {
    for (const handle of [...this.#sessions.keys(), ...this.#snapshots.keys()]) this.free(handle);
    this.#model?.free();
    this.#model = undefined;
  }

  #loaded(): Model {
    if (!this.#model) throw new Error("the model was freed");
    return this.#model;
  }

  #session(handle: Handle): { session: Session; inspect: number } {
    const found = this.#sessions.get(handle);
    if (!found) throw new Error("the session was freed");
    return found;
  }

  #inspected(handle: Handle, inspect: number): Session {
    const found = this.#session(handle);
    if (found.inspect !== inspect) {
      found.session.inspect(inspect);
      found.inspect = inspect;
    }
    return found.session;
  }

  #store(snapshot: Snapshot): Handle {
    this.#snapshots.set(++this.#handles, snapshot);
    return this.#handles;
  }
}
