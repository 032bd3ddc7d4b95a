import type { Engine } from "./engine.js";
import type { Drawn, Handle } from "./host.js";
import type { Model } from "./model.js";
import type { GenerateOptions, Layer, ReadOptions, Recalled, Token } from "./types.js";

/** Sessions and snapshots that nobody refers to any more are freed. */
const forgotten = new FinalizationRegistry<{ engine: Engine; handle: Handle }>(({ engine, handle }) => {
  engine.call("free", handle).catch(() => {}); // the model may have gone first, and all with it
});

/** Something that the engine holds for the page. */
class Held {
  protected readonly engine: Engine;
  /** @internal */
  readonly handle: Handle;

  constructor(engine: Engine, handle: Handle) {
    this.engine = engine;
    this.handle = handle;
    forgotten.register(this, { engine, handle }, this);
  }

  /** Gives its memory back. */
  free(): void {
    forgotten.unregister(this);
    this.engine.call("free", this.handle).catch(() => {});
  }

  [Symbol.dispose](): void {
    this.free();
  }
}

/** A copy of everything that a session remembers. */
export class Snapshot extends Held {}

/** A text that a model is in the middle of. Calls are done in the order in which they are made. */
export class Session extends Held {
  /** Whose session it is; keeps the model alive. */
  readonly model: Model;

  /** @internal */
  constructor(model: Model, engine: Engine, handle: Handle) {
    super(engine, handle);
    this.model = model;
  }

  /**
   * Reads a text that follows what there is. With `inspect` its tokens come back, each with what the layers did; it is
   * then read token by token, which takes longer.
   *
   * @throws Error for a text that the vocabulary cannot express; nothing was read then.
   */
  async prefill(text: string, { inspect = 0 }: ReadOptions = {}): Promise<Token[]> {
    return (await this.engine.call("read", this.handle, text, inspect)).map((drawn) => token(drawn, inspect));
  }

  /** Writes on, piece by piece. To stop is to leave the loop; the session remembers what was taken out, and no more. */
  async *generate(options: GenerateOptions = {}): AsyncGenerator<string, void, undefined> {
    for await (const { text } of this.tokens(options)) if (text) yield text;
  }

  /** {@link generate}, token by token. */
  async *tokens({ signal, ...options }: GenerateOptions = {}): AsyncGenerator<Token, void, undefined> {
    signal?.throwIfAborted();
    const { maxTokens = 256, inspect = 0 } = options;
    await this.engine.call("begin", this.handle, options);
    for (let written = 0; written < maxTokens; written++) {
      signal?.throwIfAborted();
      yield token(await this.engine.call("next", this.handle), inspect);
    }
  }

  /** Tokens read and written since the beginning. */
  position(): Promise<number> {
    return this.engine.call("position", this.handle);
  }

  /** Forgets everything. */
  reset(): Promise<void> {
    return this.engine.call("reset", this.handle);
  }

  /** Keeps what it remembers, to go back to. */
  async snapshot(): Promise<Snapshot> {
    return new Snapshot(this.engine, await this.engine.call("snapshot", this.handle));
  }

  /** Goes back to a snapshot, of this session or of another one of the same model and options. */
  restore(snapshot: Snapshot): Promise<void> {
    return this.engine.call("restore", this.handle, snapshot.handle);
  }

  /** What it remembers, as bytes to store. */
  toBytes(): Promise<Uint8Array> {
    return this.engine.call("toBytes", this.handle);
  }

  /**
   * Goes back to stored bytes.
   *
   * @throws Error with one sentence for bytes that are damaged, or belong to another model; nothing has changed then.
   */
  fromBytes(bytes: Uint8Array): Promise<void> {
    return this.engine.call("fromBytes", this.handle, bytes);
  }
}

function token({ id, text, position, seen }: Drawn, inspect: number): Token {
  return { id, text, position, layers: seen && layers(seen, inspect) };
}

/** Unpacks what a host has seen. */
function layers(seen: Float64Array, inspect: number): Layer[] {
  const one = 3 + 2 * inspect;
  return Array.from({ length: seen.length / one }, (_, layer) => {
    const at = (i: number) => seen[layer * one + i] ?? NaN;
    const gate = (i: number) => (Number.isNaN(at(i)) ? null : at(i));
    const recalled = Array.from({ length: inspect }, (_, i): Recalled => {
      const [item, share] = [at(3 + 2 * i), at(4 + 2 * i)];
      return { position: item >= 0 ? item : null, slot: item < 0 ? -1 - item : null, share };
    });
    const gates = { ssm: gate(0), hopfield: gate(1), attention: gate(2) };
    return { gates, recalled: recalled.filter(({ share }) => !Number.isNaN(share)) };
  });
}
