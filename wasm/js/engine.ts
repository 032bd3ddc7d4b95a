import { Calls } from "./calls.js";
import { Host, type Task } from "./host.js";
import { alone } from "./modules.js";

/** Names of the host's methods. */
export type Name = keyof Host;
/** Arguments of a method without its task. */
export type Args<K extends Name> = Parameters<Host[K]> extends [...infer A, Task] ? A : Parameters<Host[K]>;
export type Result<K extends Name> = Awaited<ReturnType<Host[K]>>;

/** Access to a host in this thread or in a worker. Calls are executed in order. */
export interface Engine {
  /** Whether it is in a worker. */
  readonly worker: boolean;
  /** Calls a method of the host. */
  call<K extends Name>(name: K, args: Args<K>, task?: Task): Promise<Result<K>>;
  /** Stops the host and frees everything it holds. */
  end(): void;
}

/** A host in this thread. */
export class LocalEngine implements Engine {
  readonly worker = false;
  #host = new Host({ alone });
  #calls = new Calls();

  call<K extends Name>(name: K, args: Args<K>, task: Task = {}): Promise<Result<K>> {
    return this.#calls.run(this.#host, name, args, task) as Promise<Result<K>>;
  }

  end(): void {
    this.#host.freeAll();
  }
}
