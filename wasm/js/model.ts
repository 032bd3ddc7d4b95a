import { Elsewhere, type Engine, Here } from "./engine.js";
import { Session } from "./session.js";
import type { EmbedOptions, LoadOptions, ModelInfo, Progress, SessionOptions, Source } from "./types.js";

/** Models that nobody refers to any more are freed, with their worker. */
const forgotten = new FinalizationRegistry<Engine>((engine) => engine.end());

/** An address that means the same in a worker. */
function absolute(source: Source): Exclude<Source, URL> {
  if (source instanceof URL) return source.href;
  return typeof source === "string" && typeof document !== "undefined" ? new URL(source, document.baseURI).href : source;
}

/** A model that is ready to run. */
export class Model {
  readonly #engine: Engine;
  readonly #info: ModelInfo;

  private constructor(engine: Engine, info: ModelInfo) {
    this.#engine = engine;
    this.#info = info;
    forgotten.register(this, engine, this);
  }

  /**
   * Loads a checkpoint.
   *
   * @throws Error with one sentence for a file that does not come, is damaged, or is no checkpoint.
   */
  static async load(source: Source, options: LoadOptions | ((progress: Progress) => void) = {}): Promise<Model> {
    const { onProgress = () => {}, worker = typeof Worker !== "undefined", threads } =
      typeof options === "function" ? { onProgress: options } : options;
    // Only a worker may wait for others, and only an isolated page may share memory with them.
    const together = worker && globalThis.crossOriginIsolated ? threads && Math.max(1, Math.min(threads, navigator.hardwareConcurrency)) : 1;
    const engine: Engine = worker ? new Elsewhere() : new Here();
    try {
      return new Model(engine, await engine.load(absolute(source), together, onProgress));
    } catch (error) {
      engine.end();
      throw error;
    }
  }

  /** What kind of model it is. */
  info(): ModelInfo {
    return this.#info;
  }

  /** A text of its own, of which the model remembers nothing yet. */
  async session(options: SessionOptions = {}): Promise<Session> {
    return new Session(this, this.#engine, await this.#engine.call("session", options));
  }

  /**
   * A vector of length 1 for each text.
   *
   * @throws Error for an empty text, and for one that the vocabulary cannot express.
   */
  embed(texts: string[], options: EmbedOptions = {}): Promise<Float32Array[]> {
    return this.#engine.call("embed", texts, options);
  }

  /** The ids of a text. */
  encode(text: string): Promise<number[]> {
    return this.#engine.call("encode", text);
  }

  /** The text of ids. */
  decode(ids: number[]): Promise<string> {
    return this.#engine.call("decode", ids);
  }

  /** Bytes of memory that its module holds. */
  memory(): Promise<number> {
    return this.#engine.call("memory");
  }

  /** Threads that have come to help the first, which does not wait for them: in the end one less than `info().threads`. */
  helpers(): Promise<number> {
    return this.#engine.call("helpers");
  }

  /** Gives its memory back, with all of its sessions. What is called of them afterwards fails. */
  free(): void {
    forgotten.unregister(this);
    this.#engine.end();
  }

  [Symbol.dispose](): void {
    this.free();
  }
}
