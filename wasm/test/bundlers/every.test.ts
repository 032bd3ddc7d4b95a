/** The package in every bundler of `package.json` in this folder: `cargo xtask web --bundlers`. */

import assert from "node:assert/strict";
import { join } from "node:path";
import test, { after, before } from "node:test";
import type { Browser } from "playwright-core";
import { launch } from "../chromium.js";
import { native } from "../native.js";
import { OPTIONS, PROMPT, Sites, WASM, assertWorks, outcomeOf, visit } from "./site.js";
import { next, typecheck, vite, viteServer, webpack } from "./tools.js";

const MODULES = join(WASM, "test/bundlers/node_modules");

let browser: Browser;
let sites: Sites;
let wanted: string;

before(async () => {
  browser = await launch();
  sites = new Sites(join(MODULES, ".."));
  wanted = native(PROMPT, OPTIONS);
});

after(async () => {
  await browser?.close();
  sites?.remove();
});

for (const name of ["vite5", "vite6", "vite7"]) {
  test(`${name} builds it with default settings`, async () => {
    assertWorks(await visit(browser, vite(sites, MODULES, name)), wanted);
  });

  test(`the development server of ${name} serves it, excluded from optimizeDeps`, async () => {
    const { address, close } = await viteServer(sites, MODULES, name, { exclude: ["hh-wasm"] });
    try {
      assertWorks(await outcomeOf(browser, address), wanted);
    } finally {
      await close();
    }
  });

  test(`the development server of ${name} otherwise says to exclude it`, async () => {
    const { address, close } = await viteServer(sites, MODULES, name);
    try {
      const { error } = await outcomeOf(browser, address);
      assert.match(error ?? "", /optimizeDeps: \{ exclude: \["hh-wasm"\] \}/);
    } finally {
      await close();
    }
  });
}

test("webpack 5 builds it without a configuration", async () => {
  assertWorks(await visit(browser, webpack(sites, MODULES)), wanted);
});

for (const bundler of ["--turbopack", "--webpack"] as const) {
  test(`next exports it ${bundler}`, async () => {
    assertWorks(await visit(browser, next(sites, MODULES, bundler)), wanted);
  });
}

test("TypeScript 5.0 reads its types", () => {
  const use = 'import { Model } from "hh-wasm";\nexport const load = () => Model.load("x", { cache: true });\n';
  typecheck(sites, "types", join(MODULES, "typescript5/bin/tsc"), { "module.ts": use }, { module: "esnext", moduleResolution: "bundler" });
});
