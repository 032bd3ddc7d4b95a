/** The package as it is published: in bundlers, in both module systems of node, and on pages without a bundler. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import test, { after, before } from "node:test";
import type { Browser } from "playwright-core";
import { type Served, serve } from "../serve.js";
import { OPTIONS, PROMPT, Sites, WASM, addModel, app, assertWorks, page, visit } from "./bundlers/site.js";
import { esbuild, typecheck, vite } from "./bundlers/tools.js";
import { launch } from "./chromium.js";
import { CHECKPOINT, native } from "./native.js";

const MODULES = join(WASM, "node_modules");
const CSP = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; img-src data:";

let browser: Browser;
let sites: Sites;
let wanted: string;

before(async () => {
  browser = await launch();
  sites = new Sites();
  wanted = native(PROMPT, OPTIONS);
});

after(async () => {
  await browser?.close();
  sites?.remove();
});

/** A folder with a page, the package and the model, without a bundler. */
function plain(name: string, load = ""): string {
  const folder = sites.make(name, { "index.html": page("main.js"), "main.js": app("./hh-wasm/index.js", load) });
  sites.copyPackage(join(folder, "hh-wasm"));
  addModel(folder);
  return folder;
}

/** Serves the package and the model for other origins. */
async function other(): Promise<Served & { files: string }> {
  const folder = sites.make(`other-${Math.random()}`, {});
  sites.copyPackage(join(folder, "hh-wasm"));
  const served = await serve(0, { root: folder, headers: { "Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin" } });
  return { ...served, files: `${served.address}/hh-wasm` };
}

test("vite bundles it with default settings, with and without threads", async () => {
  const folder = vite(sites, MODULES, "vite");
  assertWorks(await visit(browser, folder), wanted);
  const isolated = await visit(browser, folder, { isolated: true });
  assertWorks(isolated, wanted);
  assert.equal(isolated.helpers, 1);
});

test("esbuild bundles it as a module and as a classic script, with the files copied beside the bundle", async () => {
  assertWorks(await visit(browser, await esbuild(sites, "esbuild-module", { format: "esm" })), wanted);
  assertWorks(await visit(browser, await esbuild(sites, "esbuild-classic", { logOverride: { "empty-import-meta": "silent" } })), wanted);
});

test("node loads it as a module and as CommonJS, from a path and a file URL", () => {
  const body = `const run = async () => {
    const model = await Model.load(process.argv[2]);
    const session = await model.session();
    await session.prefill(${JSON.stringify(PROMPT)});
    let text = "";
    for await (const piece of session.generate(${JSON.stringify(OPTIONS)})) text += piece;
    process.stdout.write(text);
  };
  run();`;
  const folder = sites.make("node", { "main.js": `import { Model } from "hh-wasm";\n${body}`, "main.cjs": `const { Model } = require("hh-wasm");\n${body}` });
  for (const file of ["main.js", "main.cjs"]) {
    for (const source of [CHECKPOINT, new URL(`file://${CHECKPOINT}`).href]) {
      assert.equal(execFileSync("node", [file, source], { cwd: folder, encoding: "utf8" }), wanted, `${file}, ${source}`);
    }
  }
  const missing = execFileSync("node", ["-e", `import("hh-wasm").then(({ Model }) => Model.load("no.safetensors")).catch((e) => console.log(e.message))`], { cwd: folder, encoding: "utf8" });
  assert.match(missing, /^cannot read no\.safetensors: ENOENT/);
});

test("its types need neither esnext.disposable nor the types of node", () => {
  const use = 'import { Model, type Session } from "hh-wasm";\nexport const load = async (): Promise<Session> => (await Model.load("x", { signal: new AbortController().signal })).session();\n';
  const tsc = join(MODULES, "typescript/bin/tsc");
  typecheck(sites, "types-node", tsc, { "module.ts": use, "common.cts": use }, { module: "nodenext" });
  typecheck(sites, "types-bundler", tsc, { "module.ts": use }, { module: "esnext", moduleResolution: "bundler" });
});

test("a page without a bundler runs it from a sub-path, under a strict Content-Security-Policy, with any media type", async () => {
  const folder = plain("plain");
  assertWorks(await visit(browser, folder, { base: "/a/deep/path/", headers: { "Content-Security-Policy": CSP } }), wanted);
  const threads = await visit(browser, folder, { isolated: true, headers: { "Content-Security-Policy": CSP } });
  assertWorks(threads, wanted);
  assert.equal(threads.helpers, 1);
  const untyped = (path: string, response: ServerResponse) => {
    if (!path.endsWith(".wasm")) return false;
    response.writeHead(200, { "Content-Type": "application/octet-stream" }).end(readFileSync(join(folder, path)));
    return true;
  };
  assertWorks(await visit(browser, folder, { handle: untyped }), wanted);
});

test("a Content-Security-Policy that forbids WebAssembly or workers is named", async () => {
  const folder = plain("forbidden");
  const noWasm = await visit(browser, folder, { headers: { "Content-Security-Policy": CSP.replace(" 'wasm-unsafe-eval'", "") } });
  assert.match(noWasm.error ?? "", /Content-Security-Policy forbids WebAssembly: add 'wasm-unsafe-eval' to its script-src/);
  const noWorker = await visit(browser, folder, { headers: { "Content-Security-Policy": CSP.replace("worker-src 'self'", "worker-src 'none'") } });
  assert.deepEqual([noWorker.text, noWorker.worker], [wanted, false]);
  assert.match(noWorker.warnings.join(), /cannot start the worker .*worker-src.* runs in the calling thread/);
  const must = await visit(browser, plain("must", "worker: true"), { headers: { "Content-Security-Policy": CSP.replace("worker-src 'self'", "worker-src 'none'") } });
  assert.match(must.error ?? "", /cannot start the worker .*worker-src/);
});

test("from another origin it runs in a worker, with and without threads and a Content-Security-Policy", async () => {
  const from = await other();
  try {
    const folder = sites.make("foreign", { "index.html": page("main.js"), "main.js": app(`${from.files}/index.js`) });
    addModel(folder);
    assertWorks(await visit(browser, folder), wanted);
    const isolated = await visit(browser, folder, { isolated: true });
    assertWorks(isolated, wanted);
    assert.equal(isolated.helpers, 1);
    const strict = CSP.replaceAll("'self'", `'self' ${from.address}`).replace(/worker-src [^;]*/, "worker-src blob:");
    assertWorks(await visit(browser, folder, { headers: { "Content-Security-Policy": strict } }), wanted);
    const without = await visit(browser, folder, { headers: { "Content-Security-Policy": strict.replace("worker-src blob:", "worker-src 'self'") } });
    assert.deepEqual([without.text, without.worker], [wanted, false]);
  } finally {
    from.close();
  }
});

test("addresses of the files are options, and a missing file is named", async () => {
  const from = await other();
  try {
    const files = { worker: `${from.files}/worker.js`, wasm: `${from.files}/hh_wasm_bg.wasm`, threads: `${from.files}/hh_wasm_threads_bg.wasm` };
    const folder = sites.make("elsewhere", { "index.html": page("main.js"), "main.js": app("./lone/index.js", `files: ${JSON.stringify(files)}`) });
    sites.copyPackage(join(folder, "lone"));
    addModel(folder);
    const only = (path: string, response: ServerResponse) => {
      if (!/lone\/(worker|.*wasm)/.test(path)) return false;
      response.writeHead(404).end();
      return true;
    };
    assertWorks(await visit(browser, folder, { handle: only }), wanted);
    writeFileSync(join(folder, "main.js"), app("./lone/index.js"));
    const missing = await visit(browser, folder, { handle: only });
    assert.match(missing.error ?? "", /cannot load .*hh_wasm_bg\.wasm: the server answers 404.*option files of Model\.load/);
    const html = await visit(browser, folder, { handle: (path, response) => /lone\/(worker|.*wasm)/.test(path) && Boolean(response.writeHead(200, { "Content-Type": "text/html" }).end("<!doctype html>")) });
    assert.match(html.error ?? "", /hh_wasm_bg\.wasm is not a WebAssembly module but text\/html.*option files of Model\.load/);
  } finally {
    from.close();
  }
});
