/** A small language model in a browser tab. */

import { platform } from "./platform.js";

export * from "./api.js";

/** The classic script that holds this module, for a bundle without `import.meta`. */
const script = typeof document === "undefined" ? undefined : (document.currentScript as HTMLScriptElement | null)?.src;

/** The address of a file beside this module, or beside the script that it was bundled into. */
function beside(name: string, address: () => URL): string {
  try {
    return address().href;
  } catch {
    if (script) return new URL(name, script).href;
    throw new Error(`the address of ${name} is unknown, because the bundle has no import.meta.url: set it in the option files of Model.load`);
  }
}

// Bundlers recognise these expressions and emit the files.
platform.files = {
  worker: () => beside("worker.js", () => new URL("./worker.js", import.meta.url)),
  wasm: () => beside("hh_wasm_bg.wasm", () => new URL("./hh_wasm_bg.wasm", import.meta.url)),
  threads: () => beside("hh_wasm_threads_bg.wasm", () => new URL("./hh_wasm_threads_bg.wasm", import.meta.url)),
};
