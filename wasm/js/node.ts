/** A small language model in node. */

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { platform } from "./platform.js";

export * from "./api.js";

platform.files = { wasm: () => new URL("./hh_wasm_bg.wasm", import.meta.url).href };

platform.open = async (address) => {
  const path = address.startsWith("file:") ? fileURLToPath(address) : address;
  try {
    return { total: (await stat(path)).size, pieces: createReadStream(path) };
  } catch (cause) {
    throw new Error(`cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
};
