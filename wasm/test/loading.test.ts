/** How checkpoints are loaded in a browser: progress, failures, aborts and the cache. */

import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import test, { after, before, beforeEach } from "node:test";
import { gzipSync } from "node:zlib";
import type { Browser, Page } from "playwright-core";
import { type Served, serve } from "../serve.js";
import { launch } from "./chromium.js";
import { checkpoint } from "./native.js";

type Package = typeof import("../js/index.js");

let browser: Browser;
let served: Served;
let other: Served;
let page: Page;
/** Requests of each path since the test began, and what answers one instead of the file. */
let requests: Record<string, number>;
let answer: ((path: string, response: ServerResponse) => boolean) | undefined;

function handle(path: string, response: ServerResponse): boolean {
  requests[path] = (requests[path] ?? 0) + 1;
  if (path !== "/") return answer?.(path, response) ?? false;
  response.writeHead(200, { "Content-Type": "text/html" }).end("<!doctype html><title>hh</title>");
  return true;
}

before(async () => {
  browser = await launch();
  served = await serve(0, { handle, isolated: false });
  other = await serve(0, { handle, isolated: false, headers: { "Access-Control-Allow-Origin": "*" } });
});

beforeEach(async () => {
  await page?.context().close();
  page = await (await browser.newContext()).newPage();
  [requests, answer] = [{}, undefined];
  await page.goto(`${served.address}/`);
});

after(async () => {
  await browser?.close();
  served?.close();
  other?.close();
});

const MODEL = "/demo/model.safetensors";

/** Runs a function of the page with the package and an argument. */
function inPage<A, R>(run: (hh: Package, argument: A) => Promise<R>, argument: A): Promise<R> {
  const source = `(async (argument) => (${run.toString()})(await import("/js/index.js"), argument))`;
  return page.evaluate(`${source}(${JSON.stringify(argument)})`);
}

for (const worker of [true, false]) {
  const where = worker ? "a worker" : "the calling thread";

  test(`a module that failed to load is loaded again at the next attempt, in ${where}`, async () => {
    answer = (path, response) => path.endsWith(".wasm") && requests[path] === 1 && Boolean(response.writeHead(503).end());
    const [first, second] = await inPage(async ({ Model }, { MODEL, worker }) => {
      const first = await Model.load(MODEL, { worker }).catch((error: Error) => error.message);
      return [first, (await Model.load(MODEL, { worker })).info().parameters];
    }, { MODEL, worker });
    assert.match(String(first), /hh_wasm_bg\.wasm: the server answers 503/);
    assert.equal(second, 4513832);
  });

  test(`an aborted load ends with the reason of its signal and ends the download, in ${where}`, async () => {
    const closed = new Promise<void>((resolve) => {
      answer = (path, response) => {
        if (path !== MODEL) return false;
        response.on("close", resolve).writeHead(200, { "Content-Length": checkpoint().length }).write(checkpoint().subarray(0, 1_000_000));
        return true;
      };
    });
    const outcome = await inPage(async ({ Model }, { MODEL, worker }) => {
      const stop = new AbortController();
      const onProgress = () => stop.abort(new Error("replaced"));
      const failed = await Model.load(MODEL, { worker, cache: true, signal: stop.signal, onProgress }).catch((error: Error) => error.message);
      const before = await Model.load(MODEL, { worker, signal: AbortSignal.abort(new Error("before")) }).catch((error: Error) => error.message);
      return [failed, before, await Model.cached()];
    }, { MODEL, worker });
    assert.deepEqual(outcome, ["replaced", "before", []]);
    await closed;
  });

  test(`an aborted prefill leaves the state as it was, in ${where}`, async () => {
    const { reason, positions, texts } = await inPage(async ({ Model }, { MODEL, worker }) => {
      const model = await Model.load(MODEL, { worker });
      const [session, plain] = [await model.session(), await model.session()];
      for (const each of [session, plain]) await each.prefill("ROMEO:\n");
      const stop = new AbortController();
      setTimeout(() => stop.abort(new Error("enough")), 60);
      const began = performance.now();
      const reason = await session.prefill("x".repeat(100_000), { signal: stop.signal }).catch((error: Error) => error.message);
      const waited = performance.now() - began;
      const texts = [];
      for (const each of [session, plain]) {
        let text = "";
        for await (const piece of each.generate({ seed: 1, maxTokens: 20 })) text += piece;
        texts.push(text);
      }
      const long = "a long text ".repeat(40);
      await session.prefill(long, { signal: new AbortController().signal });
      await plain.prefill(long);
      const positions = [await session.position(), await plain.position(), Number(waited < 5000)];
      return { reason, positions, texts };
    }, { MODEL, worker });
    assert.equal(reason, "enough");
    assert.deepEqual(positions, [7 + 20 + 480, 7 + 20 + 480, 1]);
    assert.equal(texts[0], texts[1]);
  });

  test(`aborting embed ends it between two texts, in ${where}`, async () => {
    const outcome = await inPage(async ({ Model }, { MODEL, worker }) => {
      const model = await Model.load(MODEL, { worker });
      const stop = new AbortController();
      setTimeout(() => stop.abort(new Error("enough")), 60);
      const reason = await model.embed(Array(100_000).fill("ROMEO"), { signal: stop.signal }).catch((error: Error) => error.message);
      return [reason, (await model.embed(["ROMEO"])).length];
    }, { MODEL, worker });
    assert.deepEqual(outcome, ["enough", 1]);
  });

  test(`a stored checkpoint is loaded without the server until it is cleared, in ${where}`, async () => {
    const load = (cache: boolean | "reload") => inPage(async ({ Model }, { MODEL, worker, cache }) => {
      const model = await Model.load(MODEL, { worker, cache });
      const { cached, bytes } = model.info();
      model.free();
      return { cached, bytes, stored: (await Model.cached()).map((address) => new URL(address).pathname) };
    }, { MODEL, worker, cache });
    const bytes = checkpoint().length;
    assert.deepEqual(await load(false), { cached: false, bytes, stored: [] });
    assert.deepEqual(await load(true), { cached: false, bytes, stored: [MODEL] });
    assert.equal(requests[MODEL], 2);
    assert.deepEqual(await load(true), { cached: true, bytes, stored: [MODEL] });
    assert.equal(requests[MODEL], 2);
    assert.deepEqual(await load("reload"), { cached: false, bytes, stored: [MODEL] });
    assert.equal(requests[MODEL], 3);
    const cleared = await inPage(async ({ Model }, MODEL) => [await Model.clearCache(MODEL), await Model.clearCache(MODEL), await Model.cached()], MODEL);
    assert.deepEqual(cleared, [true, false, []]);
    assert.deepEqual(await load(true), { cached: false, bytes, stored: [MODEL] });
    assert.deepEqual(await inPage(async ({ Model }) => [await Model.clearCache(), await Model.cached()], 0), [true, []]);
  });

  test(`what is damaged or incomplete is not kept in the cache, in ${where}`, async () => {
    const load = () => inPage(async ({ Model }, { MODEL, worker }) => {
      const outcome = await Model.load(MODEL, { worker, cache: true }).then((model) => model.info().cached, (error: Error) => error.message);
      return [outcome, (await Model.cached()).length];
    }, { MODEL, worker });
    const half = checkpoint().subarray(0, 1_000_000);
    answer = (path, response) => path === MODEL && Boolean(response.writeHead(200).end(half));
    const [damaged, stored] = await load();
    assert.match(String(damaged), /cut short/);
    assert.equal(stored, 0);
    answer = (path, response) => {
      if (path === MODEL) response.writeHead(200, { "Content-Length": checkpoint().length }).write(half, () => setTimeout(() => response.destroy(), 100));
      return path === MODEL;
    };
    const [broken, none] = await load();
    assert.match(String(broken), /the connection to .*model\.safetensors broke off/);
    assert.equal(none, 0);
    // Neither a module that does not load nor an aborted reload costs what is stored.
    answer = undefined;
    assert.deepEqual(await load(), [false, 1]);
    await page.reload();
    answer = (path, response) => path.endsWith(".wasm") && Boolean(response.writeHead(503).end());
    const [missing, kept] = await load();
    assert.match(String(missing), /answers 503/);
    assert.equal(kept, 1);
    answer = (path, response) => {
      if (path === MODEL) response.writeHead(200).write(half);
      return path === MODEL;
    };
    const aborted = await inPage(async ({ Model }, { MODEL, worker }) => {
      const stop = new AbortController();
      await Model.load(MODEL, { worker, cache: "reload", signal: stop.signal, onProgress: () => stop.abort() }).catch(() => {});
      return (await Model.cached()).length;
    }, { MODEL, worker });
    assert.equal(aborted, 1);
    // What another program put there, or a browser that ended while it stored.
    answer = undefined;
    await page.evaluate(async (MODEL) => (await caches.open("hh-wasm")).put(MODEL, new Response("junk")), MODEL);
    assert.deepEqual(await load(), [false, 1]);
    assert.deepEqual(await load(), [true, 1]);
  });
}

test("progress never passes its total, also where another origin hides that it compresses", async () => {
  const packed = gzipSync(checkpoint());
  answer = (path, response) => path === MODEL && Boolean(response.writeHead(200, { "Content-Encoding": "gzip", "Content-Length": packed.length, "Access-Control-Allow-Origin": "*" }).end(packed));
  for (const { address } of [served, other]) {
    const seen = await inPage(async ({ Model }, source) => {
      const seen: { loaded: number; total: number | null }[] = [];
      (await Model.load(source, (progress) => seen.push(progress))).free();
      return seen;
    }, address + MODEL);
    assert.ok(seen.every(({ loaded, total }) => total === null || loaded <= total), JSON.stringify(seen));
    assert.deepEqual(seen.at(-1), { loaded: checkpoint().length, total: null });
  }
});

test("a server that does not answer or does not allow the origin is named", async () => {
  const closed = await serve(0);
  closed.close();
  const messages = await inPage(async ({ Model }, sources) => Promise.all(sources.map((source) => Model.load(source).then(() => "", (error: Error) => error.message))), [
    `${closed.address}/x`, `${other.address}/missing`, `${served.address}/missing`,
  ]);
  assert.match(messages[0] ?? "", /cannot load .*\/x: the server does not answer/);
  assert.match(messages[1] ?? "", /CORS/);
  assert.match(messages[2] ?? "", /\/missing: the server answers 404/);
});
