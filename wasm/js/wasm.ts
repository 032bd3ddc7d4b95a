import { fetched } from "./http.js";
import { isLocal, platform } from "./platform.js";

/** What to do where a file of the package is missing. */
function advice(address: string): string {
  return address.includes("/.vite/")
    ? 'add optimizeDeps: { exclude: ["hh-wasm"] } to the configuration of vite'
    : "copy worker.js and the .wasm files of the package there, or set their addresses in the option files of Model.load";
}

/** Loads and compiles a WebAssembly module. */
export async function compile(address: string): Promise<WebAssembly.Module> {
  try {
    if (isLocal(address)) return await WebAssembly.compile(await bytesOf(address));
    const response = await fetched(address);
    const type = response.headers.get("content-type")?.split(";")[0]?.trim();
    if (type === "application/wasm" && typeof WebAssembly.compileStreaming === "function") return await WebAssembly.compileStreaming(response);
    const bytes = await response.arrayBuffer();
    if (new TextDecoder().decode(bytes.slice(0, 4)) !== "\0asm") throw new Error(`${address} is not a WebAssembly module but ${type ?? "something else"}`);
    return await WebAssembly.compile(bytes);
  } catch (cause) {
    throw explained(cause, address);
  }
}

async function bytesOf(address: string): Promise<ArrayBuffer> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for await (const piece of (await platform.open?.(address))?.pieces ?? []) parts.push(piece);
  return new Blob(parts).arrayBuffer();
}

function explained(cause: unknown, address: string): Error {
  const { message } = cause as Error;
  if (!(cause instanceof WebAssembly.CompileError)) return new Error(`${message}; ${advice(address)}`, { cause });
  const forbidden = /content security policy|unsafe-eval/i.test(message);
  const what = forbidden
    ? "the Content-Security-Policy forbids WebAssembly: add 'wasm-unsafe-eval' to its script-src"
    : `this browser cannot compile the module, which needs SIMD and reference types (Chrome 100, Firefox 97, Safari 16.4): ${message}`;
  return new Error(what, { cause });
}
