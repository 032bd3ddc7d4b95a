import { type Engine, LocalEngine, WorkerEngine } from "./engine.js";
import { Session } from "./session.js";
import type { EmbedOptions, LoadOptions, ModelInfo, Progress, SessionOptions, Source } from "./types.js";

/** Frees unreachable models, with their worker. */
const registry = new FinalizationRegistry<Engine>((engine) => engine.end());

/** Makes a URL absolute, since a worker has another base URL. */
function absolute(source: Source): Exclude<Source, URL> {
  if (source instanceof URL) return source.href;
  return typeof source === "string" && typeof document !== "undefined" ? new URL(source, document.baseURI).href : source;
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
   * @throws Error if the file cannot be loaded, is damaged, or is not a checkpoint.
   */
  static async load(source: Source, options: LoadOptions | ((progress: Progress) => void) = {}): Promise<Model> {
    const { onProgress = () => {}, worker = typeof Worker !== "undefined", threads } =
      typeof options === "function" ? { onProgress: options } : options;
    // Only a worker may block on other threads, and only a cross-origin isolated page may share memory with them.
    const count = worker && globalThis.crossOriginIsolated ? threads && Math.max(1, Math.min(threads, navigator.hardwareConcurrency)) : 1;
    const engine: Engine = worker ? new WorkerEngine() : new LocalEngine();
    try {
      return new Model(engine, await engine.load(absolute(source), count, onProgress));
    } catch (error) {
      engine.end();
      throw error;
    }
  }

  /** Size, architecture and tokenizer of the model. */
  info(): ModelInfo {
    return this.#info;
  }

  /** Opens a session with an empty state. */
  async session(options: SessionOptions = {}): Promise<Session> {
    return new Session(this, this.#engine, await this.#engine.call("session", options));
  }

  /**
   * Returns one embedding of length 1 per text.
   *
   * @throws Error for an empty text, and for a text that the vocabulary cannot express.
   */
  embed(texts: string[], options: EmbedOptions = {}): Promise<Float32Array[]> {
    return this.#engine.call("embed", texts, options);
  }

  /** Encodes a text as token ids. */
  encode(text: string): Promise<number[]> {
    return this.#engine.call("encode", text);
  }

  /** Decodes token ids to text. */
  decode(ids: number[]): Promise<string> {
    return this.#engine.call("decode", ids);
  }

  /** Bytes of WebAssembly memory in use. */
  memory(): Promise<number> {
    return this.#engine.call("memory");
  }

  /** Helper threads that have started; `info().threads - 1` once all have. The first thread does not wait for them. */
  helpers(): Promise<number> {
    return this.#engine.call("helpers");
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
