/** A helper thread: runs the same module on the shared memory of the worker and takes part of its work. */

import init, { work } from "./generated/threads/hh_wasm.js";

addEventListener("message", async ({ data: { code, memory } }: MessageEvent<{ code: WebAssembly.Module; memory: WebAssembly.Memory }>) => {
  await init({ module_or_path: code, memory });
  postMessage(1);
  work();
  postMessage(-1); // released
});
