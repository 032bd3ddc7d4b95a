/** A thread beside the worker: runs the same module on the same memory, and takes a share of its work. */

import init, { work } from "./generated/threads/hh_wasm.js";

addEventListener("message", async ({ data: { code, memory } }: MessageEvent<{ code: WebAssembly.Module; memory: WebAssembly.Memory }>) => {
  await init({ module_or_path: code, memory });
  postMessage(1);
  work();
  postMessage(-1); // let go
});
