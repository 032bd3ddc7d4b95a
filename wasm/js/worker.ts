/** The script of a model's worker and of its helper threads: one classic script without imports, which any page can start. */

import { Calls } from "./calls.js";
import { Host, type Task } from "./host.js";
import { alone } from "./modules.js";
import { type Hired, help, together } from "./threads.js";
import type { Reply, Request } from "./worker-engine.js";

const host = new Host({ alone, together });
const calls = new Calls();
const abortable = new Map<number, AbortController>();

function reply(message: Reply): void {
  postMessage(message);
}

async function serve(request: Request): Promise<void> {
  const { id } = request;
  if (request.kind === "abort") return abortable.get(id)?.abort();
  const task: Task = { report: (progress) => reply({ id, kind: "progress", progress }) };
  if (request.abortable) {
    const controller = new AbortController();
    abortable.set(id, controller);
    task.signal = controller.signal;
  }
  try {
    reply({ id, kind: "done", result: await calls.run(host, request.name, request.args, task) });
  } catch (error) {
    reply({ id, kind: "failed", message: error instanceof Error ? error.message : String(error) });
  } finally {
    abortable.delete(id);
  }
}

addEventListener("message", ({ data }: MessageEvent<Request | Hired>) => void ("code" in data ? help(data) : serve(data)));
reply({ id: 0, kind: "ready" });
