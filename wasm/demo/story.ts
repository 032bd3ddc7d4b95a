import type { Layer, Token } from "../js/index.js";

/** The paths, in the order in which they are drawn. */
export const PATHS = ["ssm", "hopfield", "attention"] as const;

export const NAMES = { ssm: "state space", hopfield: "Hopfield", attention: "attention" };

/** A path's part of all that a layer's mixer gave, from 0 to 1; null where the path is off or nothing is mixed. */
export function part(layer: Layer, path: (typeof PATHS)[number]): number | null {
  const gate = layer.gates[path];
  if (gate === null) return null;
  return gate / PATHS.reduce((sum, path) => sum + (layer.gates[path] ?? 0), 0);
}

/** The text so far: what was given, and what the model wrote. */
export class Story {
  readonly tokens: Token[] = [];
  /** How many of them were given. */
  given = 0;
  /** Which one is looked into; null if none. */
  chosen: number | null = null;

  /** The text around a token: up to `before` characters in front of it, and itself. */
  around(position: number, before: number): [string, string] {
    let front = "";
    for (let i = position - 1; i >= 0 && front.length < before; i--) front = (this.tokens[i]?.text ?? "") + front;
    return [front.slice(-before), this.tokens[position]?.text ?? ""];
  }

  /** What the Hopfield memories recalled for a token, by position: the mean share over the layers that have one. */
  recalled(of: Token): Map<number, number> {
    const shares = new Map<number, number>();
    const layers = (of.layers ?? []).filter(({ recalled }) => recalled.length > 0);
    for (const { position, share } of layers.flatMap(({ recalled }) => recalled)) {
      if (position !== null) shares.set(position, (shares.get(position) ?? 0) + share / layers.length);
    }
    return shares;
  }
}
