/**
 * `node dist/build.js`: bundles the package into `dist/js`, where the compiler has put its declarations, and completes the demo.
 * The worker is one classic script, which pages and bundlers take as it is.
 */

import { cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { type BuildOptions, build } from "esbuild";

const OUT = "dist/js";
/** Modules whose declarations are public. */
const PUBLIC = ["index", "api", "model", "session", "types"].map((name) => `${name}.d.ts`);

for (const name of readdirSync(OUT)) if (!PUBLIC.includes(name)) rmSync(`${OUT}/${name}`, { recursive: true });

const common: BuildOptions = { bundle: true, minify: true, legalComments: "none", logLevel: "warning" };
const node: BuildOptions = { ...common, entryPoints: ["js/node.ts"], platform: "node", target: "node20" };
const commonjs: BuildOptions = {
  format: "cjs",
  define: { "import.meta.url": "moduleAddress" },
  banner: { js: 'const moduleAddress = require("node:url").pathToFileURL(__filename).href;' },
};
await Promise.all([
  build({ ...common, entryPoints: ["js/index.ts"], outfile: `${OUT}/index.js`, format: "esm", target: "es2022" }),
  build({ ...common, entryPoints: ["js/worker.ts"], outfile: `${OUT}/worker.js`, format: "iife", target: "es2022" }),
  build({ ...node, outfile: `${OUT}/node.js`, format: "esm" }),
  build({ ...node, ...commonjs, outfile: `${OUT}/node.cjs` }),
]);
cpSync("js/generated/hh_wasm_bg.wasm", `${OUT}/hh_wasm_bg.wasm`);
cpSync("js/generated/threads/hh_wasm_bg.wasm", `${OUT}/hh_wasm_threads_bg.wasm`);

// The same declarations as those of a CommonJS module.
mkdirSync(`${OUT}/cjs`);
writeFileSync(`${OUT}/cjs/package.json`, '{ "type": "commonjs" }\n');
for (const name of PUBLIC) cpSync(`${OUT}/${name}`, `${OUT}/cjs/${name}`);

cpSync("demo", "dist/demo", { recursive: true, filter: (path) => !path.endsWith(".ts") });
