/**
 * `node dist/bench.js CHECKPOINT [TOKENS]`: how long a checkpoint takes to load, and how many tokens a second it writes, in
 * node on one thread. Of the processor's time, not the clock's: so neighbours count for less.
 */

import { readFileSync } from "node:fs";
import { Model } from "./js/index.js";

const [path, tokens = "1000"] = process.argv.slice(2);
if (!path) {
  console.error("usage: node dist/bench.js CHECKPOINT [TOKENS]");
  process.exit(2);
}

/** Milliseconds that this process has computed. */
function worked(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

const bytes = new Uint8Array(readFileSync(path));
const began = worked();
const model = await Model.load(bytes, { worker: false });
console.log(`loaded ${(bytes.length / 1e6).toFixed(1)} MB in ${(worked() - began).toFixed(0)} ms`);
for (const inspect of [0, 0, 8]) {
  const session = await model.session();
  await session.prefill((await model.decode([0, 1, 2, 3])) || "a");
  const start = worked();
  for await (const _ of session.tokens({ temperature: 0.8, topK: 40, maxTokens: Number(tokens), inspect }));
  const rate = (1000 * Number(tokens)) / (worked() - start);
  console.log(`${rate.toFixed(1)} tokens/s${inspect ? ", looked into" : ""}`);
  session.free();
}
model.free();
