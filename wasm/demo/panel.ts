import type { Layer } from "../js/index.js";
import { element, make, percent, visible } from "./dom.js";
import { NAMES, PATHS, type Transcript, part } from "./transcript.js";

/** Characters of context in front of the selected token. */
const CONTEXT = 16;
/** Narrower bars have no label. */
const MIN_LABEL_SHARE = 0.11;
/** Number of recalled items shown per layer. */
const MAX_RECALLED = 4;

/** Shows the gates and recalled items of every layer for the selected token. */
export class Panel {
  readonly #place: HTMLElement;
  readonly #transcript: Transcript;

  /** The button that closes the panel where it is a sheet. */
  readonly #close = make("button", "", "Close") as HTMLButtonElement;

  constructor(place: HTMLElement, transcript: Transcript, select: (token: null) => void) {
    [this.#place, this.#transcript] = [place, transcript];
    this.#close.type = "button";
    this.#close.id = "close";
    this.#close.addEventListener("click", () => {
      select(null);
      element("text").focus({ preventScroll: true });
    });
    addEventListener("keydown", (event) => event.key === "Escape" && select(null));
    this.show();
  }

  show(): void {
    const { selected, tokens, promptLength } = this.#transcript;
    const token = selected === null ? undefined : tokens[selected];
    const title = make("h2", "", "Token details");
    this.#place.classList.toggle("selected", token !== undefined);
    document.documentElement.classList.toggle("inspecting", token !== undefined);
    if (!token || selected === null) {
      this.#place.replaceChildren(title, make("p", "hint", "Select a token in the text or in the chart."));
      return;
    }
    const [before, itself] = this.#transcript.around(selected, CONTEXT);
    const context = make("p", "what", make("i", "", before ? `${selected > CONTEXT ? "…" : ""}${visible(before)}` : ""), make("b", "", itself === " " ? "␣" : visible(itself)));
    const origin = selected < promptLength ? "is part of the prompt" : "was generated";
    this.#place.scrollTop = 0;
    const note = token.layers
      ? `Token ${selected + 1} ${origin}. The layers at the position before it:`
      : `Token ${selected + 1} is the first token: no position precedes it.`;
    this.#place.replaceChildren(title, this.#close, context, make("p", "hint", note), ...(token.layers ?? []).map((layer, i) => this.#layer(layer, i)));
  }

  #layer(layer: Layer, number: number): HTMLElement {
    const place = make("section", "layer", make("h3", "", `Layer ${number + 1}`));
    const gates = PATHS.flatMap((path) => {
      const share = part(layer, path);
      if (share === null) return [];
      const bar = make("span", path, share < MIN_LABEL_SHARE ? "" : percent(share));
      bar.style.setProperty("--part", String(share));
      bar.title = `${NAMES[path]} ${percent(share)}`;
      return [bar];
    });
    if (gates.length) {
      const bar = make("div", "gates", ...gates);
      bar.setAttribute("role", "img");
      bar.setAttribute("aria-label", gates.map((gate) => gate.title).join(", "));
      place.append(bar);
    } else {
      place.append(make("p", "hint", "This layer has no gates: it has a single path, or sums its paths."));
    }
    if (layer.recalled.length) {
      const items = layer.recalled.slice(0, MAX_RECALLED).map(({ position, slot, share }) => {
        const where = make("span", "where");
        if (position === null) where.append(make("em", "", `slot ${(slot ?? 0) + 1}`));
        else {
          const [before, itself] = this.#transcript.around(position, 12);
          where.append(before ? visible(before) : "", make("mark", "", itself === " " ? "␣" : visible(itself)));
        }
        return make("li", "", make("span", "share", percent(share)), where);
      });
      place.append(make("p", "hint", "Recalled by the Hopfield memory"), make("ul", "recall", ...items));
    }
    return place;
  }
}
