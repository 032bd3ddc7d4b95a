/** Tests of the package in node. */

import assert from "node:assert/strict";
import test from "node:test";
import { type GenerateOptions, Model, type Session } from "hh-wasm";
import { checkpoint, native } from "./native.js";

const load = () => Model.load(checkpoint(), { worker: false });

async function generated(session: Session, options: GenerateOptions): Promise<string> {
  let text = "";
  for await (const piece of session.generate(options)) text += piece;
  return text;
}

test("loading a checkpoint reports progress and its description", async () => {
  const bytes = checkpoint();
  const seen: number[] = [];
  const model = await Model.load(bytes, { worker: false, onProgress: ({ loaded, total }) => seen.push(loaded / (total ?? NaN)) });
  assert.equal(seen.at(-1), 1);
  assert.deepEqual(seen, seen.toSorted((a, b) => a - b));
  const { parameters, context, tokenizer, config, instructions } = model.info();
  assert.deepEqual({ parameters, context, tokenizer, instructions }, { parameters: 4513832, context: 256, tokenizer: "chars", instructions: "simd128" });
  assert.equal(config.layers, 6);
  assert.equal(model.info().bytes, bytes.length);
  assert.equal(await model.decode(await model.encode("To be,\nor")), "To be,\nor");
  model.free();
});

test("generation equals the native program", async () => {
  const model = await load();
  const cases: [string, GenerateOptions][] = [
    ["ROMEO:\n", { temperature: 0.8, topK: 40, seed: 7, maxTokens: 300 }],
    ["O", { temperature: 1.2, topP: 0.9, seed: 123456789, maxTokens: 300 }],
    ["What say you to my", { temperature: 0.7, minP: 0.05, seed: 2, maxTokens: 300 }],
    ["First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.", { temperature: 0, maxTokens: 300 }],
    ["JULIET:\n", { seed: 18446744073709551615n, maxTokens: 300 }],
    ["ROMEO:\n", { temperature: 0.8, seed: 7, repetitionPenalty: 1.3, maxTokens: 300 }],
    ["Romeo, Romeo, Romeo", { temperature: 0, repetitionPenalty: 1.5, repetitionWindow: 5, maxTokens: 300 }],
    ["ROMEO:\n", { temperature: 0.8, topK: 40, seed: 7, stop: "up the", maxTokens: 300 }],
    ["ROMEO:\n", { temperature: 0.8, topK: 40, seed: 7, stop: ["\n\n", "no such text", ","], maxTokens: 300 }],
  ];
  for (const [prompt, options] of cases) {
    const session = await model.session();
    await session.prefill(prompt);
    assert.equal(await generated(session, options), native(prompt, options));
    session.free();
  }
  model.free();
});

test("a stop string ends the text before it, and what only begins like one is not lost", async () => {
  const model = await load();
  const options = { temperature: 0.8, topK: 40, seed: 7, maxTokens: 40 };
  const text = async (more: GenerateOptions) => {
    const session = await model.session();
    await session.prefill("ROMEO:\n");
    let [text, tokens] = ["", 0];
    for await (const token of session.tokens({ ...options, ...more })) [text, tokens] = [text + token.text, tokens + 1];
    return [text, tokens, await session.position()];
  };
  const [whole] = await text({});
  assert.equal(whole, "Marry, command up the word, and heart th");
  assert.deepEqual(await text({ stop: ["their", "heart thy"] }), [whole, 40, 47], "the end is held back until the last token");
  assert.deepEqual(await text({ stop: "up" }), ["Marry, command ", 17, 24]);
  assert.deepEqual(await text({ stop: ["word", "command"] }), ["Marry, ", 14, 21]);
  model.free();
});

test("the repetition penalty applies to the prompt, and after a restored snapshot or saved bytes", async () => {
  const model = await load();
  const options = { temperature: 0, repetitionPenalty: 1.5, maxTokens: 60 };
  const session = await model.session();
  await session.prefill("Romeo, Romeo, Romeo");
  const [snapshot, bytes] = [await session.snapshot(), await session.toBytes()];
  const first = await generated(session, options);
  assert.equal(first, native("Romeo, Romeo, Romeo", options));
  await session.restore(snapshot);
  assert.equal(await generated(session, options), first);
  const other = await model.session();
  await other.fromBytes(bytes);
  assert.equal(await generated(other, options), first);
  model.free();
});

test("inspection does not change the text, and gates and shares sum correctly", async () => {
  const model = await load();
  const options = { temperature: 0.8, seed: 5, maxTokens: 80 };
  const plain = await model.session();
  await plain.prefill("KING ");
  const session = await model.session();
  const given = await session.prefill("KING ", { inspect: 4 });
  assert.deepEqual(given.map(({ text, position }) => [text, position]), [..."KING "].map((c, i) => [c, i]));
  assert.equal(given[0]?.layers, null);
  let text = "";
  for await (const token of session.tokens({ ...options, inspect: 4 })) {
    text += token.text;
    assert.equal(token.layers?.length, 6);
    for (const { gates, recalled } of token.layers ?? []) {
      const sum = (gates.ssm ?? NaN) + (gates.hopfield ?? NaN) + (gates.attention ?? NaN);
      assert.ok(Math.abs(sum - 3) < 1e-4, `gates sum to ${sum}`);
      const shares = recalled.map(({ share }) => share);
      assert.equal(shares.length, 4);
      assert.deepEqual(shares, shares.toSorted((a, b) => b - a));
      assert.ok(shares.reduce((a, b) => a + b) <= 1.0001);
      for (const { position, slot } of recalled) {
        assert.ok((position === null) !== (slot === null));
        assert.ok(position === null || (position > 0 && position < token.position), `${position} of ${token.position}`);
      }
    }
  }
  assert.equal(text, await generated(plain, options));
  model.free();
});

test("a session restores a snapshot, and another session restores its bytes", async () => {
  const model = await load();
  const session = await model.session();
  await session.prefill("The ");
  await generated(session, { seed: 1, maxTokens: 17 });
  const [snapshot, bytes, position] = [await session.snapshot(), await session.toBytes(), await session.position()];
  assert.equal(position, 4 + 17);
  const first = await generated(session, { seed: 2, maxTokens: 60 });
  await session.restore(snapshot);
  assert.equal(await session.position(), position);
  assert.equal(await generated(session, { seed: 2, maxTokens: 60 }), first);
  const other = await model.session();
  await other.fromBytes(bytes);
  assert.equal(await generated(other, { seed: 2, maxTokens: 60 }), first);

  const narrow = await model.session({ context: 8 });
  await assert.rejects(narrow.fromBytes(bytes), /context 256/);
  await assert.rejects(other.fromBytes(bytes.subarray(0, 100)), /cut short or damaged/);
  await assert.rejects(other.fromBytes(bytes.with(500, (bytes[500] ?? 0) ^ 1)), /checksum/);
  await assert.rejects(other.fromBytes(new Uint8Array(3)), /no saved session/);
  snapshot.free();
  await assert.rejects(session.restore(snapshot), /snapshot was freed/);
  model.free();
});

test("freeing the model ends a prefill that is under way", async () => {
  const model = await load();
  const session = await model.session();
  const reading = session.prefill("x".repeat(20_000), { signal: new AbortController().signal });
  setTimeout(() => model.free(), 30);
  await assert.rejects(reading, /session was freed/);
});

test("several prefills equal one prefill of the whole text", async () => {
  const model = await load();
  const [whole, cut] = [await model.session(), await model.session()];
  await whole.prefill("JULIET:\nO Romeo, Romeo!");
  for (const part of ["JULIET:\nO", " Rom", "", "eo, Romeo!"]) await cut.prefill(part);
  const options = { temperature: 0, maxTokens: 50 };
  assert.equal(await generated(cut, options), await generated(whole, options));
  await cut.reset();
  await assert.rejects(generated(cut, options), /no logits to draw from/);
  model.free();
});

test("embeddings have length 1", async () => {
  const model = await load();
  const [king, queen, again] = await model.embed(["the king is dead", "the queen is dead", "the king is dead"]);
  assert.ok(king && queen && again);
  const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, x, i) => sum + x * (b[i] ?? NaN), 0);
  assert.deepEqual([king.length, Math.abs(dot(king, king) - 1) < 1e-5], [256, true]);
  assert.deepEqual(again, king);
  assert.ok(dot(king, queen) < 0.9999);
  const [short] = await model.embed(["the king is dead"], { dimensions: 16, pooling: "weighted" });
  assert.equal(short?.length, 16);
  await assert.rejects(model.embed([""]), /an empty text has no vector/);
  await assert.rejects(model.embed(["x"], { pooling: "max" as "mean" }), /no pooling; there are mean, last and weighted/);
  await assert.rejects(model.embed(["x"], { dimensions: 257 }), /257 numbers was asked of a model whose vectors have 256/);
  model.free();
});

test("generation stops on abort, and the state holds the consumed tokens", async () => {
  const model = await load();
  const session = await model.session();
  await session.prefill("A");
  const stop = new AbortController();
  let count = 0;
  const all = (async () => {
    for await (const _ of session.tokens({ maxTokens: 1e6, signal: stop.signal })) if (++count === 30) stop.abort();
  })();
  await assert.rejects(all, { name: "AbortError" });
  assert.deepEqual([count, await session.position()], [30, 31]);
  for await (const _ of session.generate()) break;
  assert.equal(await session.position(), 32);
  model.free();
});

test("invalid input is rejected with a message", async () => {
  const broken = async (bytes: Uint8Array<ArrayBuffer>, sentence: RegExp) =>
    assert.rejects(Model.load(bytes, { worker: false }), (error) => error instanceof Error && sentence.test(error.message));
  const bytes = checkpoint();
  await broken(new Uint8Array(), /the file is empty/);
  await broken(bytes.slice(0, 1e6), /cut short/);
  await broken(new TextEncoder().encode("First Citizen:\nBefore we proceed"), /not a safetensors file/);
  await broken(bytes.with(100, 0), /header of the file is damaged/);
  const model = await load();
  const session = await model.session();
  await assert.rejects(session.prefill("π"), /U\+03C0.* is not among the 65 characters/);
  await session.prefill("A");
  for (const [options, sentence] of [
    [{ temperature: -1 }, /temperature is -1; it must be 0 \(greedy\) or above/],
    [{ topP: 0 }, /top_p is 0; it must be above 0/],
    [{ topK: -1 }, /topK is -1; it must be a whole number/],
    [{ seed: 0.5 }, /seed is 0.5; it must be a whole number/],
    [{ repetitionPenalty: 0 }, /repetition_penalty is 0; it must be above 0/],
    [{ repetitionWindow: 1.5 }, /repetitionWindow is 1.5; it must be a whole number/],
    [{ stop: "" }, /stop has ""; it must be a string of at least one character/],
    [{ stop: ["a", 1 as unknown as string] }, /stop has 1; it must be a string/],
  ] as [GenerateOptions, RegExp][]) {
    await assert.rejects(generated(session, options), sentence);
  }
  await assert.rejects(model.session({ context: 0 }), /context is 0; it must be at least 1/);
  await assert.rejects(model.session({ segments: -1 }), /segments is -1/);
  session.free();
  await assert.rejects(session.prefill("A"), /session was freed/);
  model.free();
  await assert.rejects(model.session(), /model was freed/);
});

test("freed memory is reused", async () => {
  const round = async () => {
    const model = await load();
    for (let i = 0; i < 3; i++) {
      const session = await model.session();
      await session.prefill("ROMEO:");
      await generated(session, { maxTokens: 5 });
      (await session.snapshot()).free();
      await model.embed(["Romeo"]);
      session.free();
    }
    const memory = await model.memory();
    model.free();
    return memory;
  };
  await round();
  const settled = await round();
  for (let i = 0; i < 20; i++) assert.equal(await round(), settled);
});

test("memory of unreachable sessions is reused", async () => {
  const collect = globalThis.gc;
  assert.ok(collect, "run node with --expose-gc");
  const model = await load();
  const abandon = async () => {
    const session = await model.session({ context: 1024 });
    await session.prefill("ROMEO:");
    await session.snapshot();
  };
  const round = async () => {
    for (let i = 0; i < 8; i++) await abandon();
    // Finalizers run in a task of their own.
    for (let i = 0; i < 4; i++) {
      await collect({ execution: "async", type: "major" });
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return model.memory();
  };
  let settled = 0;
  for (let i = 0; i < 5; i++) settled = await round();
  for (let i = 0; i < 8; i++) assert.ok((await round()) <= settled, "the heap grows");
  model.free();
});
