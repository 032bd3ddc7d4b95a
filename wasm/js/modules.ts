import * as single from "./generated/hh_wasm.js";
import { compile } from "./wasm.js";

/** The common part of the single-threaded and the multi-threaded module. */
export type Module = Pick<typeof single, "Loader" | "Sampling" | "Snapshot">;

/** An initialised module and its memory. */
export interface Running {
  module: Module;
  memory: WebAssembly.Memory;
  /** Helper threads that have started. */
  helpers: number;
}

/** Starts the module on one thread. */
export async function alone(address: string): Promise<Running> {
  const { memory } = await single.default({ module_or_path: await compile(address) });
  return { module: single, memory, helpers: 0 };
}
