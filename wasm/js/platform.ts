import type { Stream } from "./source.js";

/** What differs between a browser and node; the entry module of each fills it in. */
export interface Platform {
  /** Default addresses of the package's files; without a worker, a model runs in the calling thread. */
  files: { worker?: () => string; wasm?: () => string; threads?: () => string };
  /** Opens a file of this machine by its path or `file:` URL. */
  open?(path: string): Promise<Stream>;
}

export const platform: Platform = { files: {} };

/** Whether an address names a file of this machine that the platform can open. */
export function isLocal(address: string): boolean {
  return platform.open !== undefined && (address.startsWith("file:") || !/^[a-z][a-z0-9+.-]+:/i.test(address));
}
