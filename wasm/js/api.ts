export { Model } from "./model.js";
export { Session, Snapshot } from "./session.js";
export type {
  CacheMode, EmbedOptions, Files, GenerateOptions, Layer, LoadOptions, ModelInfo, PrefillOptions, Progress, ReadOptions, Recalled,
  SessionOptions, Source, Token,
} from "./types.js";
