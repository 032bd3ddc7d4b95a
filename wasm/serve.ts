/** `node dist/serve.js [PORT]`: serves the demo on loopback, cross-origin isolated so that threads can share memory. */

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const ROOT = fileURLToPath(new URL(".", import.meta.url));

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".wasm": "application/wasm",
  ".safetensors": "application/octet-stream",
};

const ISOLATED = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

export interface ServeOptions {
  /** The folder to serve. */
  root?: string;
  /** The path under which it is served. */
  base?: string;
  /** Whether the pages are cross-origin isolated. */
  isolated?: boolean;
  /** Further headers of every answer. */
  headers?: Record<string, string>;
  /** Answers a request itself if it returns true. */
  handle?: (path: string, response: ServerResponse) => boolean;
}

export interface Served {
  address: string;
  close: () => void;
}

/** Serves the built package and its demo, or another folder; port 0 chooses a free port. */
export async function serve(port: number, { root = ROOT, base = "/", isolated = true, headers = {}, handle }: ServeOptions = {}): Promise<Served> {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    if (handle?.(pathname, response)) return undefined;
    if (pathname === "/" && root === ROOT) return response.writeHead(302, { Location: "/demo/" }).end();
    const path = join(root, normalize(decodeURIComponent(pathname.slice(base.length - 1))), pathname.endsWith("/") ? "index.html" : "");
    const file = pathname.startsWith(base) ? await stat(path).catch(() => undefined) : undefined;
    if (!file?.isFile()) return response.writeHead(404).end();
    response.writeHead(200, {
      "Content-Type": TYPES[extname(path)] ?? "application/octet-stream",
      "Content-Length": file.size,
      "Cache-Control": "no-cache",
      ...(isolated ? ISOLATED : {}),
      ...headers,
    });
    createReadStream(path).pipe(response);
    return undefined;
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, "127.0.0.1", resolve));
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { address: `http://localhost:${(server.address() as AddressInfo).port}`, close };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { address } = await serve(Number(process.argv[2] ?? 8080));
  console.log(`the demo is at ${address}/demo/; press Ctrl-C to stop`);
}
