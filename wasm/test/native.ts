import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { GenerateOptions } from "../js/index.js";

export const CHECKPOINT = fileURLToPath(new URL("../demo/model.safetensors", import.meta.url));

/** The bytes of the demo checkpoint. */
export function checkpoint(): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(CHECKPOINT));
}

/** The path of the native program, `HH_RUNTIME`. */
export function runtime(): string {
  const program = process.env["HH_RUNTIME"];
  if (!program) throw new Error("HH_RUNTIME must be the path of the native program: run `cargo xtask web --test`");
  return program;
}

/** Text that the native program generates from the demo checkpoint. */
export function native(prompt: string, options: GenerateOptions): string {
  const { temperature = 1, topK = 0, topP = 1, minP = 0, repetitionPenalty = 1, repetitionWindow = 64, seed = 0, maxTokens = 256, stop = [] } = options;
  const values = {
    temperature, "top-k": topK, "top-p": topP, "min-p": minP, "repetition-penalty": repetitionPenalty, "repetition-window": repetitionWindow,
    seed, tokens: maxTokens,
  };
  const flags = Object.entries(values).map(([name, value]) => `--${name}=${value}`);
  const stops = [stop].flat().map((text) => `--stop=${text}`);
  return execFileSync(runtime(), ["sample", CHECKPOINT, `--prompt=${prompt}`, "--threads=1", ...flags, ...stops], { encoding: "utf8" });
}
