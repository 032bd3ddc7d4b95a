import type { GenerateOptions } from "../js/index.js";
import { element } from "./dom.js";

const number = (id: string) => element<HTMLInputElement>(id).valueAsNumber;

/** Keeps the numbers beside the sliders, and the summary, in step with them. */
export function watch(): void {
  const show = () => {
    for (const id of ["temperature", "topP"]) {
      const output = document.querySelector(`output[for=${id}]`);
      if (output) output.textContent = number(id) === 0 ? "0, always the likeliest" : number(id).toFixed(2);
    }
    const { temperature = 0, topK = 0, topP = 1, seed } = settings();
    const parts = [`temperature ${temperature.toFixed(2)}`];
    if (topK > 0) parts.push(`top-k ${topK}`);
    if (topP < 1) parts.push(`top-p ${topP.toFixed(2)}`);
    element("summary").textContent = [...parts, `seed ${seed}`].join(" · ");
  };
  element("settings").addEventListener("input", show);
  show();
}

/** What the form says. */
export function settings(): GenerateOptions {
  return { temperature: number("temperature"), topK: number("topK"), topP: number("topP"), seed: number("seed"), maxTokens: number("length") };
}

/** Milliseconds that a token is given to be seen; 0 for none. */
export function pace(): number {
  return document.querySelector<HTMLInputElement>("input[name=pace]:checked")?.value === "watch" ? 25 : 0;
}
