import type { Layer } from "../js/index.js";
import { make, percent, visible } from "./dom.js";
import { NAMES, PATHS, type Story, part } from "./story.js";

/** Characters of the text that stand before what is shown. */
const BEFORE = 16;
/** A part that has less room has no room for its number. */
const LEGIBLE = 0.11;
/** Of what a layer recalled, so much is shown. */
const MOST = 4;

/** What the layers did for the chosen token. */
export class Panel {
  readonly #place: HTMLElement;
  readonly #story: Story;

  constructor(place: HTMLElement, story: Story) {
    [this.#place, this.#story] = [place, story];
  }

  show(): void {
    const { chosen, tokens, given } = this.#story;
    const token = chosen === null ? undefined : tokens[chosen];
    const title = make("h2", "", "One token, looked into");
    if (!token || chosen === null) {
      this.#place.replaceChildren(title, make("p", "hint", "Choose one in the text or in the picture."));
      return;
    }
    const [before, itself] = this.#story.around(chosen, BEFORE);
    const what = make("p", "what", make("i", "", before ? `${chosen > BEFORE ? "…" : ""}${visible(before)}` : ""), make("b", "", itself === " " ? "␣" : visible(itself)));
    const who = chosen < given ? "was given; this is what stood ready for it" : "was written from this";
    const note = token.layers
      ? `Token ${chosen + 1} ${who}:`
      : `Token ${chosen + 1} is where the text begins: nothing stood before it.`;
    this.#place.replaceChildren(title, what, make("p", "hint", note), ...(token.layers ?? []).map((layer, i) => this.#layer(layer, i)));
  }

  #layer(layer: Layer, number: number): HTMLElement {
    const place = make("section", "layer", make("h3", "", `Layer ${number + 1}`));
    const gates = PATHS.flatMap((path) => {
      const share = part(layer, path);
      if (share === null) return [];
      const bar = make("span", path, share < LEGIBLE ? "" : percent(share));
      bar.style.setProperty("--part", String(share));
      bar.title = `${NAMES[path]} ${percent(share)}`;
      return [bar];
    });
    if (gates.length) {
      const bar = make("div", "gates", ...gates);
      bar.role = "img";
      bar.ariaLabel = gates.map((gate) => gate.title).join(", ");
      place.append(bar);
    } else {
      place.append(make("p", "hint", "This layer weighs nothing: it has one path, or adds them as they are."));
    }
    if (layer.recalled.length) {
      const items = layer.recalled.slice(0, MOST).map(({ position, slot, share }) => {
        const where = make("span", "where");
        if (position === null) where.append(make("em", "", `learned item ${(slot ?? 0) + 1}`));
        else {
          const [before, itself] = this.#story.around(position, 12);
          where.append(before ? visible(before) : "", make("mark", "", itself === " " ? "␣" : visible(itself)));
        }
        return make("li", "", make("span", "share", percent(share)), where);
      });
      place.append(make("p", "hint", "Its Hopfield memory recalled"), make("ul", "recall", ...items));
    }
    return place;
  }
}
