/** A small language model in a browser tab or in node. */

export { Model } from "./model.js";
export { Session, Snapshot } from "./session.js";
export type * from "./types.js";
