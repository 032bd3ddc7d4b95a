import * as module from "./generated/hh_wasm.js";
import type { Embedder, Model, Session, Snapshot } from "./generated/hh_wasm.js";
import { open, pour } from "./source.js";
import type { EmbedOptions, GenerateOptions, ModelInfo, Progress, SessionOptions, Source } from "./types.js";

/** Checkpoints below these bytes run on one thread unless told otherwise: to hand a share over would take longer than the share. */
const SMALL = 8e6;
/** More threads than this wait for each other longer than they help. */
const MANY = 8;

/** A number by which the page knows an object of the host. */
export type Handle = number;

/** A token as it travels: see `Token`, whose layers lie packed in `seen`, an array of `3 + 2 · inspect` numbers a layer. */
export interface Drawn {
  id: number;
  text: string;
  position: number;
  seen: Float64Array | null;
}

/** What the module for one thread and the one for several have in common. */
type Module = Pick<typeof module, "Loader" | "Snapshot">;

/** A module that runs, and its memory. */
interface Running {
  module: Module;
  memory: WebAssembly.Memory;
  /** Threads that have come to help. */
  helpers: number;
}

let running: Promise<Running> | undefined;

/**
 * Starts the module, once a thread: on as many threads as are asked for, or on one where the machine does not give the
 * memory that they would share, which is reserved at its largest.
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

/** Helpers that do not come are not waited for: the work is shared among those that do. */
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

/** The sampler's seed is 64 bits wide. */
function seed(of: number | bigint): bigint {
  if (typeof of === "number" && !Number.isSafeInteger(of)) {
    throw new Error(`seed is ${of}; it must be a whole number, a bigint where it is beyond ${Number.MAX_SAFE_INTEGER}`);
  }
  return BigInt.asUintN(64, BigInt(of));
}

/** A count, which the module would otherwise cut to 32 bits. */
function count(name: string, of: number): number {
  if (Number.isInteger(of) && of >= 0 && of < 2 ** 32) return of;
  throw new Error(`${name} is ${of}; it must be a whole number of at least 0`);
}

/** Holds the module's objects where they run: in this thread, or in a worker. */
export class Host {
  #model: Model | undefined;
  #sessions = new Map<Handle, { session: Session; inspect: number }>();
  #snapshots = new Map<Handle, Snapshot>();
  #handles = 0;

  /** Loads the model, to run on `threads`; on as many as help where they are not given. */
  async load(source: Source, threads: number | undefined, report: (progress: Progress) => void): Promise<ModelInfo> {
    const stream = await open(source);
    const { module } = await start(threads ?? ((stream.total ?? Infinity) < SMALL ? 1 : Math.min(MANY, navigator.hardwareConcurrency)));
    const loader = new module.Loader(stream.total ?? 0);
    let bytes: number;
    try {
      bytes = await pour(stream, (piece) => loader.push(piece), report);
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

  /** Reads a text; its tokens, if they are to be inspected. */
  read(handle: Handle, text: string, inspect: number): Drawn[] {
    const model = this.#loaded();
    const session = this.#watched(handle, inspect);
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
    const session = this.#watched(handle, count("inspect", options.inspect ?? 0));
    session.begin(temperature, count("topK", topK), topP, minP, seed(options.seed ?? 0));
  }

  next(handle: Handle): Drawn {
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
    return this.#keep(this.#session(handle).session.snapshot());
  }

  restore(handle: Handle, snapshot: Handle): void {
    const kept = this.#snapshots.get(snapshot);
    if (!kept) throw new Error("the snapshot was freed");
    this.#session(handle).session.restore(kept);
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

  /** Everything that was made of the model, and the model. */
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
    const kept = this.#sessions.get(handle);
    if (!kept) throw new Error("the session was freed");
    return kept;
  }

  #watched(handle: Handle, inspect: number): Session {
    const kept = this.#session(handle);
    if (kept.inspect !== inspect) {
      kept.session.inspect(inspect);
      kept.inspect = inspect;
    }
    return kept.session;
  }

  #keep(snapshot: Snapshot): Handle {
    this.#snapshots.set(++this.#handles, snapshot);
    return this.#handles;
  }
}
