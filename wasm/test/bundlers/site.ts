import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright-core";
import { type ServeOptions, serve } from "../../serve.js";
import { CHECKPOINT } from "../native.js";

export const WASM = fileURLToPath(new URL("../../../", import.meta.url));

/** What a page reports; `text` is generated, `worker` and `helpers` are those of the model. */
export interface Outcome {
  text?: string;
  worker?: boolean;
  helpers?: number;
  error?: string;
}

/** The prompt and options of every page, whose text must be the same everywhere. */
export const PROMPT = "ROMEO:\n";
export const OPTIONS = { temperature: 0.8, topK: 40, seed: 7, maxTokens: 40 };

/**
 * The script of a page: loads the model beside the page and generates. `from` is the specifier of the package, `load` the source
 * of further options of `Model.load`.
 */
export function app(from = "hh-wasm", load = ""): string {
  return `import { Model } from ${JSON.stringify(from)};
async function run() {
  const threads = globalThis.crossOriginIsolated ? 2 : 1;
  const model = await Model.load("model.safetensors", { threads, ${load} });
  for (let i = 0; i < 500 && (await model.helpers()) < threads - 1; i++) await new Promise((done) => setTimeout(done, 20));
  const session = await model.session();
  await session.prefill(${JSON.stringify(PROMPT)});
  let text = "";
  for await (const piece of session.generate(${JSON.stringify(OPTIONS)})) text += piece;
  return { text, worker: model.info().worker, helpers: await model.helpers() };
}
run().catch((error) => ({ error: String(error) })).then((outcome) => (globalThis.outcome = outcome));
`;
}

/** A page that runs a script. */
export function page(script: string, type = "module"): string {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>hh</title><link rel="icon" href="data:,"></head>
<body><script ${type ? `type="${type}" ` : ""}src="${script}"></script></body></html>\n`;
}

/** Folders that exist until the end of the tests, in each of which `hh-wasm` is the package as it is published. */
export class Sites {
  readonly #root: string;
  readonly packed: string;

  /** `parent` is a folder whose `node_modules` the folders also see. */
  constructor(parent = tmpdir()) {
    this.#root = mkdtempSync(join(parent, "hh-sites-"));
    const list = execFileSync("npm", ["pack", "--json", "--pack-destination", this.#root], { cwd: WASM, encoding: "utf8" });
    const [{ filename }] = JSON.parse(list) as [{ filename: string }];
    execFileSync("tar", ["-xzf", filename], { cwd: this.#root });
    this.packed = join(this.#root, "package");
  }

  /** A folder of these files. */
  make(name: string, files: Record<string, string>): string {
    const folder = join(this.#root, name);
    cpSync(this.packed, join(folder, "node_modules/hh-wasm"), { recursive: true });
    writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }\n');
    for (const [file, content] of Object.entries(files)) writeFileSync(join(folder, file), content);
    return folder;
  }

  /** The files of the package, as a page without a bundler has them. */
  copyPackage(to: string): void {
    cpSync(join(this.packed, "dist/js"), to, { recursive: true });
  }

  remove(): void {
    rmSync(this.#root, { recursive: true, force: true });
  }
}

/** Puts the checkpoint into a folder of pages. */
export function addModel(folder: string): void {
  mkdirSync(folder, { recursive: true });
  copyFileSync(CHECKPOINT, join(folder, "model.safetensors"));
}

/** Serves a folder, opens its page and returns what its script reports. */
export async function visit(browser: Browser, root: string, options: ServeOptions = {}): Promise<Outcome & { warnings: string[] }> {
  const served = await serve(0, { root, isolated: false, ...options });
  try {
    return await outcomeOf(browser, `${served.address}${options.base ?? "/"}`);
  } finally {
    served.close();
  }
}

/** Opens a page and returns what its script reports. */
export async function outcomeOf(browser: Browser, address: string): Promise<Outcome & { warnings: string[] }> {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    const warnings: string[] = [];
    page.on("console", (message) => message.type() === "warning" && warnings.push(message.text()));
    await page.goto(address);
    const outcome = await page.waitForFunction(() => (globalThis as { outcome?: Outcome }).outcome, undefined, { timeout: 20_000 });
    return { ...((await outcome.jsonValue()) as Outcome), warnings };
  } finally {
    await context.close();
  }
}

/** Asserts that a page generated the text, in a worker. */
export function assertWorks({ text, worker, error }: Outcome, wanted: string): void {
  assert.deepEqual({ text, worker, error }, { text: wanted, worker: true, error: undefined });
}
