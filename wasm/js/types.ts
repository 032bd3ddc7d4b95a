/** Where a checkpoint comes from: an address, a file that was dropped, or its bytes. */
export type Source = string | URL | Blob | ArrayBuffer | ArrayBufferView<ArrayBuffer>;

/** How much of a checkpoint has come; `total` is null where the server does not say. */
export interface Progress {
  loaded: number;
  total: number | null;
}

export interface LoadOptions {
  onProgress?: (progress: Progress) => void;
  /** Run in a Web Worker, so that the page never freezes. Default: true where there is one. */
  worker?: boolean;
  /**
   * Threads that share the work, at most as many as the machine has. Only where the page is cross-origin isolated and
   * the model runs in a worker; one elsewhere. The text is the same. Default: those of the machine, up to 8, and one for a
   * checkpoint below 8 MB, whose work is not worth handing over.
   */
  threads?: number;
}

export interface SessionOptions {
  /** Positions that attention and Hopfield memories hold; older ones are forgotten. Default: those of training. */
  context?: number;
  /** Passes over the blocks for each token. Default: those of training. */
  segments?: number;
}

/** What is asked of a text that is to be read. */
export interface ReadOptions {
  /** How many of the largest shares of what each Hopfield memory recalled are wanted of each token; 0 is none. */
  inspect?: number;
}

export interface GenerateOptions extends ReadOptions {
  /** Below 1 more likely tokens gain, above 1 unlikely ones; 0 always takes the likeliest. Default 1. */
  temperature?: number;
  /** Draw among the k likeliest tokens; 0 is off. Default 0. */
  topK?: number;
  /** Draw among the fewest tokens that have this probability together; 1 is off. Default 1. */
  topP?: number;
  /** Draw among the tokens at least this fraction as likely as the likeliest; 0 is off. Default 0. */
  minP?: number;
  /** Another seed gives another text; the same one the same text. Default 0. */
  seed?: number | bigint;
  /** Tokens to write. Default 256. */
  maxTokens?: number;
  /** Ends the iteration by throwing its reason. */
  signal?: AbortSignal;
}

/** Something that a Hopfield memory recalled: a position of the text, or a learned item. */
export interface Recalled {
  /** The position, from 0; null for a learned item. */
  position: number | null;
  /** The number of the learned item; null for a position. */
  slot: number | null;
  /** Its part of all that was recalled, from 0 to 1. */
  share: number;
}

/** What a layer did. */
export interface Layer {
  /** What its mixer gave to each path; they sum to the number of paths. Null where a path is off, or nothing is mixed. */
  gates: { ssm: number | null; hopfield: number | null; attention: number | null };
  /** What its Hopfield memory recalled, the largest share first. */
  recalled: Recalled[];
}

/** A token of a text. */
export interface Token {
  id: number;
  /** What it adds to the text; a character that several tokens share comes with the last of them. */
  text: string;
  /** Its place in the text, from 0. */
  position: number;
  /** What the layers did at the position before, from which this token follows. Null unless asked for, and at the beginning. */
  layers: Layer[] | null;
}

export interface EmbedOptions {
  /** How the hidden states of a text become one vector: their mean, the last, or a mean in which later ones weigh more. Default: as the model was trained to. */
  pooling?: "mean" | "last" | "weighted";
  /** The first so many numbers. Default: all. */
  dimensions?: number;
}

export interface ModelInfo {
  /** Number of weights. */
  parameters: number;
  /** Bytes of the checkpoint. */
  bytes: number;
  /** Positions of the sequences that it was trained on. */
  context: number;
  /** Training steps taken; 0 if the checkpoint does not say. */
  step: number;
  /** Its tokenizer: `bytes`, `chars`, `words` or `bpe`. */
  tokenizer: string;
  /** The architecture, field by field as the checkpoint holds it. */
  config: Record<string, unknown> & { layers: number; width: number; vocab_size: number };
  /** Vector instructions: `simd128` or `scalar`. */
  instructions: string;
  /** Threads that share the work. */
  threads: number;
}
