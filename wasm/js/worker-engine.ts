import { type Args, type Engine, LocalEngine, type Name, type Result } from "./engine.js";
import type { Task } from "./host.js";
import type { Progress } from "./types.js";

/** A message to the worker. */
export type Request = { id: number; kind: "call"; name: Name; args: unknown[]; abortable: boolean } | { id: number; kind: "abort" };

/** A message from the worker; it sends `ready` first. */
export type Reply =
  | { id: 0; kind: "ready" }
  | { id: number; kind: "progress"; progress: Progress }
  | { id: number; kind: "done"; result: unknown }
  | { id: number; kind: "failed"; message: string };

interface PendingCall {
  resolve: (result: never) => void;
  reject: (error: unknown) => void;
  report?: (progress: Progress) => void;
  /** Releases the signal. */
  settled: () => void;
}

/**
 * Starts an engine in a worker, whose script is at `address()`. If `worker` is undefined and no worker starts, it is one in
 * this thread.
 */
export async function startEngine(worker: boolean | undefined, address: (() => string) | undefined): Promise<Engine> {
  if (worker === false || (worker === undefined && (!address || typeof Worker === "undefined"))) return new LocalEngine();
  try {
    if (!address || typeof Worker === "undefined") throw new Error("cannot start a worker: this platform has no Web Workers; leave out the option worker");
    return await WorkerEngine.start(address());
  } catch (error) {
    if (worker) throw error;
    console.warn(`hh-wasm: ${(error as Error).message}. The model runs in the calling thread, which it blocks while it computes.`);
    return new LocalEngine();
  }
}

/** A host in a worker. */
class WorkerEngine implements Engine {
  readonly worker = true;
  #worker: Worker;
  /** A script of this origin that loads the one of another origin. */
  #script: string | undefined;
  #pending = new Map<number, PendingCall>();
  #lastId = 0;
  /** Why the worker no longer answers. */
  #failure: string | undefined;

  private constructor(address: string) {
    // A worker must be of the page's origin, but may import scripts of others.
    if (new URL(address).origin !== location.origin) {
      this.#script = URL.createObjectURL(new Blob([`importScripts(${JSON.stringify(address)})`], { type: "text/javascript" }));
    }
    this.#worker = new Worker(this.#script ?? address, { name: "hh" });
    this.#worker.onmessage = ({ data }: MessageEvent<Reply>) => {
      const call = this.#pending.get(data.id);
      if (!call) return;
      if (data.kind === "progress") return call.report?.(data.progress);
      this.#take(data.id);
      if (data.kind === "failed") call.reject(new Error(data.message));
      else call.resolve((data.kind === "done" ? data.result : undefined) as never);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(`cannot start the worker ${address}: ${event.message || "its script cannot be loaded, or the Content-Security-Policy forbids it (worker-src)"}`);
    };
  }

  static async start(address: string): Promise<WorkerEngine> {
    const engine = new WorkerEngine(address);
    try {
      await engine.#reply(0, {});
    } catch (error) {
      engine.end();
      throw error;
    }
    return engine;
  }

  async call<K extends Name>(name: K, args: Args<K>, task: Task = {}): Promise<Result<K>> {
    if (this.#failure) throw new Error(this.#failure);
    task.signal?.throwIfAborted();
    const id = ++this.#lastId;
    const reply = this.#reply(id, task);
    try {
      this.#worker.postMessage({ id, kind: "call", name, args, abortable: task.signal !== undefined } satisfies Request);
    } catch (error) {
      this.#take(id);
      throw error;
    }
    return (await reply) as Result<K>;
  }

  end(): void {
    this.#worker.terminate();
    if (this.#script) URL.revokeObjectURL(this.#script);
    this.#fail("the model was freed");
  }

  /** The reply to a call, or the reason of its signal. */
  #reply(id: number, { signal, report }: Task): Promise<unknown> {
    return new Promise<unknown>((resolve, reject) => {
      const abort = () => {
        this.#take(id);
        this.#worker.postMessage({ id, kind: "abort" } satisfies Request);
        reject(signal?.reason);
      };
      signal?.addEventListener("abort", abort);
      this.#pending.set(id, { resolve, reject, report, settled: () => signal?.removeEventListener("abort", abort) });
    });
  }

  #take(id: number): void {
    this.#pending.get(id)?.settled();
    this.#pending.delete(id);
  }

  #fail(why: string): void {
    this.#failure ??= why;
    for (const [id, { reject }] of this.#pending) {
      this.#take(id);
      reject(new Error(why));
    }
  }
}
