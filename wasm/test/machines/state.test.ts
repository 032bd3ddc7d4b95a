/** A text that goes from machine to machine: `cargo xtask web --machines`. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright-core";
import { Model } from "../../js/node.js";
import { serve } from "../../serve.js";
import { launch } from "../chromium.js";
import { runtime } from "../native.js";

const FIRMWARE = fileURLToPath(new URL("../../../../firmware/", import.meta.url));
const CHECKPOINT = join(FIRMWARE, "model.safetensors");
const TOKENS = 1000;
const TEMPERATURE = 0.8;

/** A text that was continued, and its state. */
interface Leg {
  text: string;
  state: Buffer;
}

/** Continues a state by `TOKENS` tokens. */
type Machine = (state: Buffer, seed: number) => Leg | Promise<Leg>;

let folder: string;
let browser: Browser;
let address: string;
let close: () => void;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "hh-machines-"));
  browser = await launch();
  const served = await serve(0);
  address = `${served.address}/demo/`;
  close = served.close;
});

after(async () => {
  await browser?.close();
  close?.();
  rmSync(folder, { recursive: true });
});

/** The program, which begins a text where there is no state. */
function program(state: Buffer | null, seed: number): Leg {
  const file = join(folder, "state");
  if (state) writeFileSync(file, state);
  else rmSync(file, { force: true });
  const sampling = [`--tokens=${TOKENS}`, `--temperature=${TEMPERATURE}`, `--seed=${seed}`, "--threads=1", "--portable"];
  const prompt = state ? [] : ["--prompt=ROMEO:\n"];
  const text = execFileSync(runtime(), ["sample", CHECKPOINT, `--state=${file}`, ...prompt, ...sampling], { encoding: "utf8" });
  return { text, state: readFileSync(file) };
}

const node: Machine = async (state, seed) => {
  const model = await Model.load(new Uint8Array(readFileSync(CHECKPOINT)));
  const session = await model.session();
  await session.fromBytes(new Uint8Array(state));
  let text = "";
  for await (const piece of session.generate({ temperature: TEMPERATURE, seed, maxTokens: TOKENS })) text += piece;
  const saved = Buffer.from(await session.toBytes());
  model.free();
  return { text, state: saved };
};

const chromium: Machine = async (state, seed) => {
  const page = await browser.newPage();
  await page.goto(address);
  const given = { checkpoint: [...readFileSync(CHECKPOINT)], state: [...state], seed, tokens: TOKENS, temperature: TEMPERATURE };
  const found = await page.evaluate(async ({ checkpoint, state, seed, tokens, temperature }) => {
    const { Model } = (await import(new URL("../js/index.js", document.baseURI).href)) as typeof import("../../js/index.js");
    const model = await Model.load(new Uint8Array(checkpoint));
    const session = await model.session();
    await session.fromBytes(new Uint8Array(state));
    let text = "";
    for await (const piece of session.generate({ temperature, seed, maxTokens: tokens })) text += piece;
    return { text, state: [...(await session.toBytes())] };
  }, given);
  await page.close();
  return { text: found.text, state: Buffer.from(found.state) };
};

/** The firmware on the emulated Cortex-M4, whose files are those of its folder. */
const microcontroller: Machine = (state, seed) => {
  const name = `state-${process.pid}`;
  const [from, to] = [join(FIRMWARE, `${name}.from`), join(FIRMWARE, `${name}.to`)];
  try {
    writeFileSync(from, state);
    const line = `${name}.from ${name}.to ${TOKENS} ${seed}`;
    const args = ["run", "--release", "--quiet", "--", "-append", line];
    const text = execFileSync(process.env["CARGO"] ?? "cargo", args, { cwd: FIRMWARE, encoding: "utf8" });
    return { text: text.slice(0, -1), state: readFileSync(to) };
  } finally {
    [from, to].forEach((file) => rmSync(file, { force: true }));
  }
};

test("a text goes from the program through node, Chromium and a Cortex-M4 back to the program, with the bits of one machine", async () => {
  const begun = program(null, 1);
  let [travelling, staying] = [begun, begun];
  const machines: [string, Machine][] = [["node", node], ["Chromium", chromium], ["Cortex-M4", microcontroller], ["program", program]];
  for (const [i, [name, machine]] of machines.entries()) {
    const [found, wanted] = [await machine(travelling.state, i + 2), program(staying.state, i + 2)];
    assert.equal(found.text, wanted.text, `the text of ${name}`);
    assert.ok(found.state.equals(wanted.state), `the state of ${name}`);
    [travelling, staying] = [found, wanted];
  }
});
