import { pause } from "./calls.js";
import type { Embedder, Model, Session, Snapshot } from "./generated/hh_wasm.js";
import { type Module, type Modules, type Running, type Starts, start } from "./modules.js";
import { type Stream, open, readAll } from "./source.js";
import type { CacheMode, EmbedOptions, GenerateOptions, ModelInfo, Progress, SessionOptions, Source } from "./types.js";

/** Checkpoints below this many bytes default to one thread: handing work over would take longer than the work. */
const SMALL_CHECKPOINT = 8e6;
/** The default number of threads at most: beyond it, waiting for each other costs more than it gains. */
const MAX_DEFAULT_THREADS = 8;

/** Tokens that are read between two looks at the signal: the longest chunk of a prefill, so that the chunks are the same. */
const CHUNK = 128;

/** Identifies an object of the host. */
export type Handle = number;

/** A `Token` as it is sent between threads; `seen` packs its layers, `3 + 2 · inspect` values per layer. */
export interface PackedToken {
  id: number;
  text: string;
  position: number;
  seen: Float64Array | null;
}

/** What accompanies a call: where its progress goes, and what aborts it. */
export interface Task {
  report?: (progress: Progress) => void;
  signal?: AbortSignal;
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
  readonly #starts: Starts;
  #running: Running | undefined;
  #model: Model | undefined;
  #sessions = new Map<Handle, { session: Session; inspect: number }>();
  #snapshots = new Map<Handle, Snapshot>();
  #handles = 0;

  constructor(starts: Starts) {
    this.#starts = starts;
  }

  /** Loads the model to run on `threads` threads; `undefined` chooses by the size of the checkpoint. */
  async load(source: Exclude<Source, URL>, cache: CacheMode, threads: number | undefined, modules: Modules, task: Task): Promise<Omit<ModelInfo, "worker">> {
    const stream = await open(source, cache, task.signal);
    const count = threads ?? ((stream.total ?? Infinity) < SMALL_CHECKPOINT ? 1 : Math.min(MAX_DEFAULT_THREADS, navigator.hardwareConcurrency));
    try {
      this.#running = await start(this.#starts, modules, count);
    } catch (error) {
      // That says nothing about a stored checkpoint, which stays.
      await stream.close?.(stream.cached ?? false);
      throw error;
    }
    try {
      const bytes = await this.#receive(stream, task);
      await stream.close?.(true);
      return { ...this.#info(), bytes, cached: stream.cached ?? false };
    } catch (error) {
      const aborted = task.signal?.aborted ?? false;
      await stream.close?.(aborted && (stream.cached ?? false));
      if (aborted) throw task.signal?.reason;
      // What was stored is damaged, and deleted now.
      if (stream.cached) return this.load(source, cache, threads, modules, task);
      throw error;
    }
  }

  /** Reads the model from a stream and returns the number of bytes. */
  async #receive(stream: Stream, { signal, report = () => {} }: Task): Promise<number> {
    const loader = new (this.#module().Loader)(stream.total ?? 0);
    let bytes: number;
    try {
      bytes = await readAll(stream, (piece) => loader.push(piece), report, signal);
    } catch (error) {
      loader.free();
      throw error;
    }
    this.#model = loader.finish();
    return bytes;
  }

  #info(): Omit<ModelInfo, "bytes" | "cached" | "worker"> {
    const { parameters, context, step, tokenizer, config, instructions, threads } = this.#loaded();
    return { parameters, context, step, tokenizer: JSON.parse(tokenizer).kind, config: JSON.parse(config), instructions, threads };
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
  async read(handle: Handle, text: string, inspect: number, task: Task): Promise<PackedToken[]> {
    const ids = this.#loaded().encode(text);
    const session = this.#inspected(handle, count("inspect", inspect));
    if (inspect === 0 && !(task.signal && ids.length > CHUNK)) {
      session.read(ids);
      return [];
    }
    const before = session.snapshot();
    try {
      return inspect === 0 ? await this.#readChunks(handle, ids, task) : await this.#readTokens(handle, ids, inspect, task);
    } catch (error) {
      // The session may have been freed meanwhile, with the model of this thread.
      if (this.#sessions.has(handle)) session.restore(before);
      throw error;
    } finally {
      before.free();
    }
  }

  async #readChunks(handle: Handle, ids: Uint32Array, task: Task): Promise<PackedToken[]> {
    for (let at = 0; at < ids.length; at += CHUNK) {
      await pause(task);
      this.#session(handle).session.read(ids.subarray(at, at + CHUNK));
    }
    return [];
  }

  async #readTokens(handle: Handle, ids: Uint32Array, inspect: number, task: Task): Promise<PackedToken[]> {
    const tokens: PackedToken[] = [];
    for (const id of ids) {
      await pause(task);
      const { session } = this.#session(handle);
      const [position, seen] = [session.position, session.seen(inspect)];
      session.read(Uint32Array.of(id));
      tokens.push({ id, text: this.#loaded().decode(Uint32Array.of(id)), position, seen: seen.length ? seen : null });
    }
    return tokens;
  }

  begin(handle: Handle, options: Omit<GenerateOptions, "signal">): void {
    const { temperature = 1, topK = 0, topP = 1, minP = 0, repetitionPenalty = 1, repetitionWindow, stop = [] } = options;
    const session = this.#inspected(handle, count("inspect", options.inspect ?? 0));
    const sampling = new (this.#module().Sampling)(temperature, count("topK", topK), topP, minP, seed(options.seed ?? 0));
    try {
      sampling.penalise(repetitionPenalty, repetitionWindow === undefined ? undefined : count("repetitionWindow", repetitionWindow));
      for (const text of typeof stop === "string" ? [stop] : stop) {
        if (typeof text !== "string" || !text) throw new Error(`stop has ${JSON.stringify(text)}; it must be a string of at least one character, or an array of them`);
        sampling.stop(text);
      }
      if (options.ignoreEndOfText) sampling.ignoreEndOfText();
      session.begin(sampling);
    } finally {
      sampling.free();
    }
  }

  /** Generates a token; the text of the `last` one includes what a stop string held back. */
  next(handle: Handle, last: boolean): PackedToken & { stopped: boolean } {
    const { session, inspect } = this.#session(handle);
    const id = session.draw(last);
    const seen = inspect ? session.seen(inspect) : [];
    const { text, position, stopped } = session;
    return { id, text, position: position - 1, seen: seen.length ? (seen as Float64Array) : null, stopped };
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

  fromBytes(handle: Handle, bytes: Uint8Array): void {
    const snapshot = new (this.#module().Snapshot)(bytes);
    try {
      this.#session(handle).session.restore(snapshot);
    } finally {
      snapshot.free();
    }
  }

  async embed(texts: string[], { pooling, dimensions }: Omit<EmbedOptions, "signal">, task: Task): Promise<Float32Array[]> {
    const embedder: Embedder = this.#loaded().embedder(pooling, dimensions === undefined ? undefined : count("dimensions", dimensions));
    try {
      const embeddings: Float32Array[] = [];
      for (const text of texts) {
        await pause(task);
        embeddings.push(embedder.embed(text));
      }
      return embeddings;
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

  memory(): number {
    return this.#running?.memory.buffer.byteLength ?? 0;
  }

  helpers(): number {
    return this.#running?.helpers ?? 0;
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

  #module(): Module {
    if (!this.#running) throw new Error("no model is loaded");
    return this.#running.module;
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
