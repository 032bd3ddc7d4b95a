import type { Engine } from "./engine.js";
import type { PackedToken, Handle } from "./host.js";
import type { Model } from "./model.js";
import type { GenerateOptions, Layer, PrefillOptions, Recalled, Token } from "./types.js";

/** Frees unreachable sessions and snapshots. */
const registry = new FinalizationRegistry<{ engine: Engine; handle: Handle }>(({ engine, handle }) => {
  engine.call("free", [handle]).catch(() => {}); // fails if the model was freed first, with everything it holds
});

/** An object that the engine holds for the page. */
class Remote {
  /** @internal */
  protected readonly engine: Engine;
  /** @internal */
  readonly handle: Handle;

  /** @internal */
  constructor(engine: Engine, handle: Handle) {
    this.engine = engine;
    this.handle = handle;
    registry.register(this, { engine, handle }, this);
  }

  /** Frees its memory. */
  free(): void {
    registry.unregister(this);
    this.engine.call("free", [this.handle]).catch(() => {});
  }

  [Symbol.dispose](): void {
    this.free();
  }
}

/** A copy of the state of a session. */
export class Snapshot extends Remote {}

/** The state of a model within one text. Calls are executed in order. */
export class Session extends Remote {
  /** The model of this session; the reference keeps it alive. */
  readonly model: Model;

  /** @internal */
  constructor(model: Model, engine: Engine, handle: Handle) {
    super(engine, handle);
    this.model = model;
  }

  /**
   * Reads a text into the state. With `inspect` it returns the tokens of the text, each with the gates and recalled items of
   * every layer; the text is then read token by token, which is slower.
   *
   * @throws Error for a text that the vocabulary cannot express; the state is then unchanged.
   */
  async prefill(text: string, { inspect = 0, signal }: PrefillOptions = {}): Promise<Token[]> {
    return (await this.engine.call("read", [this.handle, text, inspect], { signal })).map((packed) => token(packed, inspect));
  }

  /**
   * Generates text, piece by piece, until a stop string, the end-of-text token or `maxTokens`. Leave the loop to stop; the state
   * then holds exactly the tokens that were generated.
   */
  async *generate(options: GenerateOptions = {}): AsyncGenerator<string, void, undefined> {
    for await (const { text } of this.tokens(options)) if (text) yield text;
  }

  /** {@link generate}, token by token. */
  async *tokens({ signal, ...options }: GenerateOptions = {}): AsyncGenerator<Token, void, undefined> {
    signal?.throwIfAborted();
    const { maxTokens = 256, inspect = 0 } = options;
    await this.engine.call("begin", [this.handle, options]);
    for (let written = 1; written <= maxTokens; written++) {
      signal?.throwIfAborted();
      const { stopped, ...packed } = await this.engine.call("next", [this.handle, written === maxTokens]);
      yield token(packed, inspect);
      if (stopped) return;
    }
  }

  /** Number of tokens read and generated so far. */
  position(): Promise<number> {
    return this.engine.call("position", [this.handle]);
  }

  /** Clears the state. */
  reset(): Promise<void> {
    return this.engine.call("reset", [this.handle]);
  }

  /** Copies the state, to restore later. */
  async snapshot(): Promise<Snapshot> {
    return new Snapshot(this.engine, await this.engine.call("snapshot", [this.handle]));
  }

  /** Restores a snapshot of this session, or of another one with the same model and options. */
  restore(snapshot: Snapshot): Promise<void> {
    return this.engine.call("restore", [this.handle, snapshot.handle]);
  }

  /** The state as bytes to store. */
  toBytes(): Promise<Uint8Array> {
    return this.engine.call("toBytes", [this.handle]);
  }

  /**
   * Restores a state from bytes.
   *
   * @throws Error for bytes that are damaged or belong to another model; the state is then unchanged.
   */
  fromBytes(bytes: Uint8Array): Promise<void> {
    return this.engine.call("fromBytes", [this.handle, bytes]);
  }
}

function token({ id, text, position, seen }: PackedToken, inspect: number): Token {
  return { id, text, position, layers: seen && layers(seen, inspect) };
}

/** Unpacks the layers of a `PackedToken`. */
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
