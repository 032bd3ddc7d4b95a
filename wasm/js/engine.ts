import { Host } from "./host.js";
import type { Progress } from "./types.js";

type Call = Exclude<keyof Host, "load">;

/** Access to a host in this thread or in a worker. */
export interface Engine {
  /** Loads a model. */
  load(...args: Parameters<Host["load"]>): ReturnType<Host["load"]>;
  /** Calls a method of the host. */
  call<K extends Call>(name: K, ...args: Parameters<Host[K]>): Promise<Awaited<ReturnType<Host[K]>>>;
  /** Stops the host and frees everything it holds. */
  end(): void;
}

/** A message to the worker. */
export interface Request {
  id: number;
  name: keyof Host;
  args: unknown[];
}

/** A message from the worker. */
export type Reply =
  | { id: number; kind: "progress"; progress: Progress }
  | { id: number; kind: "done"; result: unknown }
  | { id: number; kind: "failed"; message: string };

/** Milliseconds of computation after which this thread yields to the event loop. */
const YIELD_AFTER = 12;

/** A host in this thread. */
export class LocalEngine implements Engine {
  #host = new Host();
  #lastYield = performance.now();

  load(...args: Parameters<Host["load"]>): ReturnType<Host["load"]> {
    return this.#host.load(...args);
  }

  async call<K extends Call>(name: K, ...args: Parameters<Host[K]>): Promise<Awaited<ReturnType<Host[K]>>> {
    if (performance.now() - this.#lastYield > YIELD_AFTER) {
      await new Promise((resolve) => setTimeout(resolve));
      this.#lastYield = performance.now();
    }
    const method = this.#host[name] as (...args: Parameters<Host[K]>) => ReturnType<Host[K]>;
    return await method.apply(this.#host, args);
  }

  end(): void {
    this.#host.freeAll();
  }
}

interface PendingCall {
  resolve: (result: never) => void;
  reject: (error: Error) => void;
  report?: (progress: Progress) => void;
}

/** A host in a worker. */
export class WorkerEngine implements Engine {
  #worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "hh" });
  #pending = new Map<number, PendingCall>();
  #lastId = 0;
  /** Why the worker no longer answers. */
  #failure: string | undefined;

  constructor() {
    this.#worker.onmessage = ({ data }: MessageEvent<Reply>) => {
      const call = this.#pending.get(data.id);
      if (!call) return;
      if (data.kind === "progress") return call.report?.(data.progress);
      this.#pending.delete(data.id);
      if (data.kind === "done") call.resolve(data.result as never);
      else call.reject(new Error(data.message));
    };
    // The module does not start: the page's content security policy forbids it, or a file is missing.
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(`cannot start the worker: ${event.message || "its script cannot be loaded"}`);
    };
  }

  load(...[source, threads, report]: Parameters<Host["load"]>): ReturnType<Host["load"]> {
    return this.#send("load", [source, threads], report);
  }

  call<K extends Call>(name: K, ...args: Parameters<Host[K]>): Promise<Awaited<ReturnType<Host[K]>>> {
    return this.#send(name, args);
  }

  end(): void {
    this.#worker.terminate();
    this.#fail("the model was freed");
  }

  #send<R>(name: keyof Host, args: unknown[], report?: (progress: Progress) => void): Promise<R> {
    if (this.#failure) return Promise.reject(new Error(this.#failure));
    return new Promise<R>((resolve, reject) => {
      const id = ++this.#lastId;
      this.#pending.set(id, { resolve, reject, report });
      this.#worker.postMessage({ id, name, args } satisfies Request);
    });
  }

  #fail(why: string): void {
    this.#failure = why;
    for (const { reject } of this.#pending.values()) reject(new Error(why));
    this.#pending.clear();
  }
}
