import { addresses, clear } from "./cache.js";
import type { Engine } from "./engine.js";
import { platform } from "./platform.js";
import { Session } from "./session.js";
import type { EmbedOptions, LoadOptions, ModelInfo, Progress, SessionOptions, Source } from "./types.js";
import { startEngine } from "./worker-engine.js";

/** Frees unreachable models, with their worker. */
const registry = new FinalizationRegistry<Engine>((engine) => engine.end());

/** Makes a URL absolute, since a worker has another base URL. */
function absolute(address: string | URL): string {
  if (address instanceof URL) return address.href;
  const base = typeof document === "undefined" ? globalThis.location?.href : document.baseURI;
  return base === undefined ? address : new URL(address, base).href;
}

/** A loaded model. */
export class Model {
  readonly #engine: Engine;
  readonly #info: ModelInfo;

  private constructor(engine: Engine, info: ModelInfo) {
    this.#engine = engine;
    this.#info = info;
    registry.register(this, engine, this);
  }

  /**
   * Loads a checkpoint.
   *
   * @throws Error if the file cannot be loaded, is damaged, or is not a checkpoint, and if a file of the package cannot be loaded.
   */
  static async load(source: Source, options: LoadOptions | ((progress: Progress) => void) = {}): Promise<Model> {
    const { onProgress, worker, threads, files = {}, cache = false, signal } = typeof options === "function" ? { onProgress: options } as LoadOptions : options;
    signal?.throwIfAborted();
    const address = (name: keyof typeof files) => {
      const given = files[name] ?? platform.files[name];
      // Some bundlers resolve the default to a path.
      return given === undefined ? undefined : () => absolute(typeof given === "function" ? given() : given);
    };
    const engine = await startEngine(worker, address("worker"));
    try {
      // Only a worker may block on other threads, and only a cross-origin isolated page may share memory with them.
      const several = engine.worker && globalThis.crossOriginIsolated;
      const count = several ? threads && Math.max(1, Math.min(threads, navigator.hardwareConcurrency)) : 1;
      const modules = { wasm: address("wasm")?.() ?? "", threads: several ? address("threads")?.() : undefined };
      const named = typeof source === "string" || source instanceof URL ? absolute(source) : source;
      const info = await engine.call("load", [named, cache, count, modules], { report: onProgress, signal });
      return new Model(engine, { ...info, worker: engine.worker });
    } catch (error) {
      engine.end();
      throw error;
    }
  }

  /** The addresses of the checkpoints that `Model.load` stored in the browser's cache. */
  static cached(): Promise<string[]> {
    return addresses();
  }

  /** Deletes a checkpoint from the browser's cache, or all of them; returns whether there was one. */
  static clearCache(source?: string | URL): Promise<boolean> {
    return clear(source === undefined ? undefined : absolute(source));
  }

  /** Size, architecture and tokenizer of the model. */
  info(): ModelInfo {
    return this.#info;
  }

  /** Opens a session with an empty state. */
  async session(options: SessionOptions = {}): Promise<Session> {
    return new Session(this, this.#engine, await this.#engine.call("session", [options]));
  }

  /**
   * Returns one embedding of length 1 per text.
   *
   * @throws Error for an empty text, and for a text that the vocabulary cannot express.
   */
  embed(texts: string[], { signal, ...options }: EmbedOptions = {}): Promise<Float32Array[]> {
    return this.#engine.call("embed", [texts, options], { signal });
  }

  /** Encodes a text as token ids. */
  encode(text: string): Promise<number[]> {
    return this.#engine.call("encode", [text]);
  }

  /** Decodes token ids to text. */
  decode(ids: number[]): Promise<string> {
    return this.#engine.call("decode", [ids]);
  }

  /** Bytes of WebAssembly memory in use. */
  memory(): Promise<number> {
    return this.#engine.call("memory", []);
  }

  /** Helper threads that have started; `info().threads - 1` once all have. The first thread does not wait for them. */
  helpers(): Promise<number> {
    return this.#engine.call("helpers", []);
  }

  /** Frees the model and all of its sessions. Later calls of their methods fail. */
  free(): void {
    registry.unregister(this);
    this.#engine.end();
  }

  [Symbol.dispose](): void {
    this.free();
  }
}
