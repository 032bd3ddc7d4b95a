/**
 * `node dist/bench.js CHECKPOINT [TOKENS]`: load time of a checkpoint and tokens/s of generation, in node on one thread. It
 * measures CPU time instead of wall-clock time, so that other processes influence it less.
 */

import { readFileSync } from "node:fs";
import { Model } from "hh-wasm";

const [path, tokens = "1000"] = process.argv.slice(2);
if (!path) {
  console.error("usage: node dist/bench.js CHECKPOINT [TOKENS]");
  process.exit(2);
}

/** CPU time of this process in milliseconds. */
function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

const bytes = new Uint8Array(readFileSync(path));
const began = cpuTime();
const model = await Model.load(bytes, { worker: false });
console.log(`loaded ${(bytes.length / 1e6).toFixed(1)} MB in ${(cpuTime() - began).toFixed(0)} ms`);
for (const inspect of [0, 0, 8]) {
  const session = await model.session();
  await session.prefill((await model.decode([0, 1, 2, 3])) || "a");
  const start = cpuTime();
  for await (const _ of session.tokens({ temperature: 0.8, topK: 40, maxTokens: Number(tokens), inspect }));
  const rate = (1000 * Number(tokens)) / (cpuTime() - start);
  console.log(`${rate.toFixed(1)} tokens/s${inspect ? ", inspected" : ""}`);
  session.free();
}
model.free();
