import type { Reply, Request } from "./engine.js";
import { Host } from "./host.js";

const host = new Host();

function reply(message: Reply): void {
  postMessage(message);
}

addEventListener("message", async ({ data: { id, name, args } }: MessageEvent<Request>) => {
  const report = name === "load" ? [(progress: { loaded: number; total: number | null }) => reply({ id, kind: "progress", progress })] : [];
  try {
    const method = host[name] as (...args: unknown[]) => unknown;
    reply({ id, kind: "done", result: await method.apply(host, [...args, ...report]) });
  } catch (error) {
    reply({ id, kind: "failed", message: error instanceof Error ? error.message : String(error) });
  }
});
