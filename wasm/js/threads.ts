import * as shared from "./generated/threads/hh_wasm.js";
import type { Running } from "./modules.js";
import { compile } from "./wasm.js";

/** What a helper thread receives. */
export interface Hired {
  code: WebAssembly.Module;
  memory: WebAssembly.Memory;
}

/**
 * Starts the module on `threads` threads, each a worker with the script of this one. Does not wait for the helpers: the work is
 * divided among those that have started.
 */
export async function together(address: string, threads: number): Promise<Running> {
  const code = await compile(address);
  const { memory } = await shared.default({ module_or_path: code });
  const running: Running = { module: shared, memory, helpers: 0 };
  shared.hire(threads);
  for (let helper = 1; helper < threads; helper++) {
    const worker = new Worker(location.href, { name: `hh ${helper}` });
    worker.onmessage = ({ data }: MessageEvent<number | object>) => {
      if (typeof data === "number") running.helpers += data;
    };
    worker.postMessage({ code, memory } satisfies Hired);
  }
  return running;
}

/** A helper thread: runs the same module on the shared memory and takes part of its work. */
export async function help({ code, memory }: Hired): Promise<void> {
  await shared.default({ module_or_path: code, memory });
  postMessage(1);
  shared.work();
  postMessage(-1); // released
}
