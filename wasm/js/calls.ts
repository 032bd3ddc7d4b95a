import type { Host, Task } from "./host.js";

/** Milliseconds of computation after which a thread yields to its event loop. */
const YIELD_AFTER = 12;

let lastYield = 0;

/** Lets the events of this thread happen, if that is due; throws if the task was aborted. */
export async function pause({ signal }: Task): Promise<void> {
  if (performance.now() - lastYield > YIELD_AFTER) {
    await new Promise((resolve) => setTimeout(resolve));
    lastYield = performance.now();
  }
  signal?.throwIfAborted();
}

/** Calls methods of a host, one after the other. */
export class Calls {
  #last: Promise<unknown> = Promise.resolve();

  run(host: Host, name: keyof Host, args: unknown[], task: Task): Promise<unknown> {
    const method = host[name] as (...args: unknown[]) => unknown;
    const result = this.#last.then(() => pause(task)).then(() => method.apply(host, [...args, task]));
    this.#last = result.catch(() => {});
    return result;
  }
}
