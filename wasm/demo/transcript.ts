import type { Layer, Token } from "../js/index.js";

/** The paths, in drawing order. */
export const PATHS = ["ssm", "hopfield", "attention"] as const;

export const NAMES = { ssm: "state space", hopfield: "Hopfield", attention: "attention" };

/** A path's share of a layer's gates, from 0 to 1; null if the path is off or the layer has no gates. */
export function part(layer: Layer, path: (typeof PATHS)[number]): number | null {
  const gate = layer.gates[path];
  if (gate === null) return null;
  return gate / PATHS.reduce((sum, path) => sum + (layer.gates[path] ?? 0), 0);
}

/** The text so far: the prompt and the generated tokens. */
export class Transcript {
  readonly tokens: Token[] = [];
  /** How many of them are the prompt. */
  promptLength = 0;
  /** Index of the selected token; null if none. */
  selected: number | null = null;

  /** Up to `before` characters of text in front of a token, and the token's text. */
  around(position: number, before: number): [string, string] {
    let front = "";
    for (let i = position - 1; i >= 0 && front.length < before; i--) front = (this.tokens[i]?.text ?? "") + front;
    return [front.slice(-before), this.tokens[position]?.text ?? ""];
  }

  /** Recalled positions for a token, with the mean share over the layers with a Hopfield memory. */
  recalled(of: Token): Map<number, number> {
    const shares = new Map<number, number>();
    const layers = (of.layers ?? []).filter(({ recalled }) => recalled.length > 0);
    for (const { position, share } of layers.flatMap(({ recalled }) => recalled)) {
      if (position !== null) shares.set(position, (shares.get(position) ?? 0) + share / layers.length);
    }
    return shares;
  }
}
