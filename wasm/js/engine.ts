import { Host } from "./host.js";
import type { Progress } from "./types.js";

type Call = Exclude<keyof Host, "load">;

/** A host that is spoken to, wherever it runs. */
export interface Engine {
  /** Loads a model. */
  load(...args: Parameters<Host["load"]>): ReturnType<Host["load"]>;
  /** Calls a method of the host. */
  call<K extends Call>(name: K, ...args: Parameters<Host[K]>): Promise<Awaited<ReturnType<Host[K]>>>;
  /** Ends it, with all that it holds. */
  end(): void;
}

/** What goes to a worker. */
export interface Request {
  id: number;
  name: keyof Host;
  args: unknown[];
}

/** What comes from a worker. */
export type Reply =
  | { id: number; kind: "progress"; progress: Progress }
  | { id: number; kind: "done"; result: unknown }
  | { id: number; kind: "failed"; message: string };

/** How long this thread computes before it lets others have a turn. */
const TURN = 12;

/** A host in this thread. */
export class Here implements Engine {
  #host = new Host();
  #turn = performance.now();

  load(...args: Parameters<Host["load"]>): ReturnType<Host["load"]> {
    return this.#host.load(...args);
  }

  async call<K extends Call>(name: K, ...args: Parameters<Host[K]>): Promise<Awaited<ReturnType<Host[K]>>> {
    if (performance.now() - this.#turn > TURN) {
      await new Promise((resolve) => setTimeout(resolve));
      this.#turn = performance.now();
    }
    const method = this.#host[name] as (...args: Parameters<Host[K]>) => ReturnType<Host[K]>;
    return await method.apply(this.#host, args);
  }

  end(): void {
    this.#host.freeAll();
  }
}

interface Waiting {
  resolve: (result: never) => void;
  reject: (error: Error) => void;
  report?: (progress: Progress) => void;
}

/** A host in a worker. */
export class Elsewhere implements Engine {
  #worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "hh" });
  #waiting = new Map<number, Waiting>();
  #requests = 0;
  /** Why it answers no more. */
  #over: string | undefined;

  constructor() {
    this.#worker.onmessage = ({ data }: MessageEvent<Reply>) => {
      const waiting = this.#waiting.get(data.id);
      if (!waiting) return;
      if (data.kind === "progress") return waiting.report?.(data.progress);
      this.#waiting.delete(data.id);
      if (data.kind === "done") waiting.resolve(data.result as never);
      else waiting.reject(new Error(data.message));
    };
    // A module that does not start: the page's policy forbids it, or a file is missing.
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(`the worker does not run: ${event.message || "its script cannot be loaded"}`);
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
    if (this.#over) return Promise.reject(new Error(this.#over));
    return new Promise<R>((resolve, reject) => {
      const id = ++this.#requests;
      this.#waiting.set(id, { resolve, reject, report });
      this.#worker.postMessage({ id, name, args } satisfies Request);
    });
  }

  #fail(why: string): void {
    this.#over = why;
    for (const { reject } of this.#waiting.values()) reject(new Error(why));
    this.#waiting.clear();
  }
}
