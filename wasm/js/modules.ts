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

/** Absolute addresses of the WebAssembly modules. */
export interface Modules {
  wasm: string;
  threads?: string;
}

/** How a thread starts the module; only a worker can start it on several threads. */
export interface Starts {
  alone: (address: string) => Promise<Running>;
  together?: (address: string, threads: number) => Promise<Running>;
}

/** The module of this thread, which all of its hosts share. */
let running: Promise<Running> | undefined;

/**
 * Starts the module, once per thread: with `threads` threads, or with one if the shared memory, which is reserved at its maximum
 * size, cannot be allocated. After a failure, the next call starts it again.
 */
export function start(starts: Starts, modules: Modules, threads: number): Promise<Running> {
  return (running ??= started(starts, modules, threads).catch((error: unknown) => {
    running = undefined;
    throw error;
  }));
}

async function started({ alone, together }: Starts, { wasm, threads: address }: Modules, threads: number): Promise<Running> {
  if (together && address !== undefined && threads > 1) return together(address, threads).catch(() => alone(wasm));
  return alone(wasm);
}
