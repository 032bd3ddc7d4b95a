import type { GenerateOptions } from "../js/index.js";
import { element } from "./dom.js";

const number = (id: string) => element<HTMLInputElement>(id).valueAsNumber;

/** Updates the values of the sliders and the summary on input. */
export function bindSettings(): void {
  const show = () => {
    for (const id of ["temperature", "topP"]) {
      const output = document.querySelector(`output[for=${id}]`);
      if (output) output.textContent = number(id) === 0 ? "0, greedy" : number(id).toFixed(2);
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

/** The sampling options of the form. */
export function settings(): GenerateOptions {
  return { temperature: number("temperature"), topK: number("topK"), topP: number("topP"), seed: number("seed"), maxTokens: number("length") };
}

/** Minimum milliseconds per token; 0 for full speed. */
export function tokenDelay(): number {
  return document.querySelector<HTMLInputElement>("input[name=pace]:checked")?.value === "watch" ? 25 : 0;
}
