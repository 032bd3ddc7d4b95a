declare global {
  // As in TypeScript's library `esnext.disposable`, for projects without it.
  interface SymbolConstructor {
    readonly dispose: unique symbol;
  }
}

/** Where a checkpoint comes from: a URL, a file, or its bytes; in node also the path of a file. */
export type Source = string | URL | Blob | ArrayBuffer | ArrayBufferView;

/** Bytes loaded so far, at most `total`, which is null if the number of bytes is unknown. */
export interface Progress {
  loaded: number;
  total: number | null;
}

/**
 * Addresses of the package's files, for bundlers that do not emit them and for copies elsewhere. Default: beside the module.
 */
export interface Files {
  /** `worker.js`. From another origin, it needs `worker-src blob:` in a Content-Security-Policy. */
  worker?: string | URL;
  /** `hh_wasm_bg.wasm`. */
  wasm?: string | URL;
  /** `hh_wasm_threads_bg.wasm`, for several threads. */
  threads?: string | URL;
}

/** `true` uses the stored checkpoint or stores the download, `"reload"` downloads and replaces what was stored. */
export type CacheMode = boolean | "reload";

export interface LoadOptions {
  onProgress?: (progress: Progress) => void;
  /**
   * Run in a Web Worker, so that the page stays responsive. Default: a worker where one starts, else the calling thread, with
   * a warning in the console. With `true`, a worker that does not start is an error.
   */
  worker?: boolean;
  /**
   * Number of threads, at most `navigator.hardwareConcurrency`. More than one needs a cross-origin isolated page and a
   * worker. The text does not depend on it. Default: `hardwareConcurrency`, up to 8; one for a checkpoint below 8 MB, where
   * handing work over costs more than it gains.
   */
  threads?: number;
  files?: Files;
  /**
   * Keep a checkpoint that comes from a URL in the browser's Cache Storage, and load it from there without asking the server,
   * until `Model.clearCache()`. Ignored where there is no Cache Storage (node, pages without TLS). Default: false.
   */
  cache?: CacheMode;
  /** Aborts loading, which throws the reason of the signal. */
  signal?: AbortSignal;
}

export interface SessionOptions {
  /** Window of attention and Hopfield memories in positions; older ones are forgotten. Default: as in training. */
  context?: number;
  /** Passes over the blocks per token. Default: as in training. */
  segments?: number;
}

export interface ReadOptions {
  /** Number of recalled items to return per token and Hopfield memory, by largest share; 0 is none. Default 0. */
  inspect?: number;
}

export interface PrefillOptions extends ReadOptions {
  /** Aborts reading, which throws the reason of the signal; the state is then unchanged. */
  signal?: AbortSignal;
}

export interface GenerateOptions extends ReadOptions {
  /** Divides the logits: below 1 favours likely tokens, above 1 unlikely ones; 0 is greedy. Default 1. */
  temperature?: number;
  /** Sample from the k most likely tokens; 0 is off. Default 0. */
  topK?: number;
  /** Nucleus sampling: from the fewest tokens whose probabilities sum to at least this; 1 is off. Default 1. */
  topP?: number;
  /** Sample from tokens at least this fraction as likely as the most likely one; 0 is off. Default 0. */
  minP?: number;
  /** Penalises tokens that occurred recently, in the prompt as well; 1 is off, 1.1 is mild. Default 1. */
  repetitionPenalty?: number;
  /** Number of recent tokens that the penalty applies to. Default 64. */
  repetitionWindow?: number;
  /** Ends the text before the first of these strings. Text that may begin one is held back until that is certain. */
  stop?: string | string[];
  /** Continue past the end-of-text token of the tokenizer. Default: false. */
  ignoreEndOfText?: boolean;
  /** Seed of the sampler; from the same state the same seed gives the same text. Default 0. */
  seed?: number | bigint;
  /** Number of tokens to generate. Default 256. */
  maxTokens?: number;
  /** Aborts the iteration, which throws the reason of the signal. */
  signal?: AbortSignal;
}

/** An item that a Hopfield memory recalled: a position of the text, or a learned slot. */
export interface Recalled {
  /** The position, from 0; null for a slot. */
  position: number | null;
  /** The index of the slot, from 0; null for a position. */
  slot: number | null;
  /** Its weight in the recalled value, from 0 to 1. */
  share: number;
}

/** Gates and recalled items of one layer. */
export interface Layer {
  /** The mixer's weight of each path; they sum to the number of paths. Null if the path is off or the layer has no gates. */
  gates: { ssm: number | null; hopfield: number | null; attention: number | null };
  /** Items that its Hopfield memory recalled, by decreasing share. */
  recalled: Recalled[];
}

/** A token of a text. */
export interface Token {
  id: number;
  /** The text that it completes; a character split over several tokens, or what may begin a stop string, belongs to the last of them. */
  text: string;
  /** Its position in the text, from 0. */
  position: number;
  /** The layers at the previous position, which predicted this token. Null without `inspect`, and for the first token. */
  layers: Layer[] | null;
}

export interface EmbedOptions {
  /** Pooling of the hidden states: their mean, the last one, or a mean with larger weights for later ones. Default: as in training. */
  pooling?: "mean" | "last" | "weighted";
  /** Truncate the embedding to its first dimensions. Default: all. */
  dimensions?: number;
  /** Aborts between two texts, which throws the reason of the signal. */
  signal?: AbortSignal;
}

export interface ModelInfo {
  /** Number of parameters. */
  parameters: number;
  /** Bytes of the checkpoint. */
  bytes: number;
  /** Context length of training, in tokens. */
  context: number;
  /** Training steps; 0 if the checkpoint does not record them. */
  step: number;
  /** Kind of tokenizer: `bytes`, `chars`, `words` or `bpe`. */
  tokenizer: string;
  /** The configuration in the checkpoint. */
  config: Record<string, unknown> & { layers: number; width: number; vocab_size: number };
  /** Vector instructions in use: `simd128` or `scalar`. */
  instructions: string;
  /** Number of threads. */
  threads: number;
  /** Whether it runs in a Web Worker. */
  worker: boolean;
  /** Whether the checkpoint came from the browser's cache. */
  cached: boolean;
}
