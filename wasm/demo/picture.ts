import type { Layer } from "../js/index.js";
import { make, percent, visible } from "./dom.js";
import { NAMES, PATHS, type Story, part } from "./story.js";

/** Pixels of a token's column, of a layer's row, and between rows. */
const [COLUMN, TALLEST, GAP] = [8, 40, 8];

/** The gates of every layer for every token: columns are tokens, rows are layers, a cell is stacked by path. */
export class Picture {
  readonly #canvas: HTMLCanvasElement;
  readonly #scroll: HTMLElement;
  readonly #sheet: HTMLElement;
  readonly #labels: HTMLElement;
  readonly #story: Story;
  #rows = 0;
  #row = TALLEST;

  constructor(canvas: HTMLCanvasElement, scroll: HTMLElement, sheet: HTMLElement, labels: HTMLElement, story: Story, choose: (token: number) => void) {
    [this.#canvas, this.#scroll, this.#sheet, this.#labels, this.#story] = [canvas, scroll, sheet, labels, story];
    const at = (event: MouseEvent) => {
      const token = Math.floor((event.clientX - scroll.getBoundingClientRect().left + scroll.scrollLeft) / COLUMN);
      if (token >= 0 && token < story.tokens.length) choose(token);
    };
    canvas.addEventListener("pointermove", (event) => event.pointerType === "mouse" && at(event));
    canvas.addEventListener("click", at);
    canvas.addEventListener("keydown", (event) => {
      const [now, last] = [story.chosen ?? story.given, story.tokens.length - 1];
      const steps: Record<string, number> = {
        ArrowLeft: now - 1, ArrowDown: now - 1, ArrowRight: now + 1, ArrowUp: now + 1,
        PageDown: now - 10, PageUp: now + 10, Home: 0, End: last,
      };
      const to = steps[event.key];
      if (to === undefined || last < 0) return;
      event.preventDefault();
      choose(Math.min(last, Math.max(0, to)));
      this.show();
    });
    scroll.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(scroll);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Makes room for a model of so many layers. */
  lay(layers: number): void {
    this.#rows = layers;
    this.#row = Math.max(8, Math.min(TALLEST, Math.floor(260 / layers) - GAP));
    const label = (layer: number) => {
      const span = make("span", "", String(layer + 1));
      span.style.top = `${layer * (this.#row + GAP) + this.#row / 2}px`;
      return span;
    };
    this.#labels.replaceChildren(...Array.from({ length: layers }, (_, layer) => label(layer)));
    this.draw();
  }

  /** Draws what has come, at its end if that was in sight. */
  update(): void {
    const scroll = this.#scroll;
    const atEnd = scroll.scrollWidth - scroll.scrollLeft - scroll.clientWidth < 4 * COLUMN;
    this.#sheet.style.width = `${this.#story.tokens.length * COLUMN}px`;
    if (atEnd) scroll.scrollLeft = scroll.scrollWidth;
    this.draw();
  }

  /** Brings the chosen token into sight. */
  show(): void {
    const [x, scroll] = [(this.#story.chosen ?? 0) * COLUMN, this.#scroll];
    if (x < scroll.scrollLeft || x + COLUMN > scroll.scrollLeft + scroll.clientWidth) scroll.scrollLeft = x - scroll.clientWidth / 2;
  }

  draw(): void {
    const { tokens, given, chosen } = this.#story;
    const [width, height] = [this.#scroll.clientWidth, this.#rows * (this.#row + GAP) - GAP];
    const paint = this.#canvas.getContext("2d");
    if (!paint || width === 0 || height <= 0) return;
    this.#fit(paint, width, height);
    const colours = PATHS.map(colour);
    paint.strokeStyle = getComputedStyle(this.#canvas).color;
    paint.lineWidth = 2;
    const from = Math.floor(this.#scroll.scrollLeft / COLUMN);
    const start = from * COLUMN - this.#scroll.scrollLeft;
    for (let i = 0; start + i * COLUMN < width; i++) {
      const token = tokens[from + i];
      for (let layer = 0; layer < this.#rows; layer++) {
        paint.globalAlpha = from + i < given ? 0.55 : 1;
        this.#cell(paint, token?.layers?.[layer], start + i * COLUMN, layer * (this.#row + GAP) + this.#row, colours);
      }
    }
    paint.globalAlpha = 1;
    if (chosen !== null) paint.strokeRect(start + (chosen - from) * COLUMN - 0.5, 1, COLUMN, height - 2);
  }

  /** Makes the canvas as large as it is shown, in the pixels of the screen. */
  #fit(paint: CanvasRenderingContext2D, width: number, height: number): void {
    const [canvas, scale] = [this.#canvas, devicePixelRatio];
    const [across, down] = [Math.round(width * scale), Math.round(height * scale)];
    if (canvas.width !== across || canvas.height !== down) {
      [canvas.width, canvas.height] = [across, down];
      [canvas.style.width, canvas.style.height] = [`${width}px`, `${height}px`];
    }
    paint.setTransform(scale, 0, 0, scale, 0, 0);
    paint.clearRect(0, 0, width, height);
  }

  /** Stacks the paths' parts from `y` upwards; a line on the ground where there are none. */
  #cell(paint: CanvasRenderingContext2D, layer: Layer | undefined, x: number, y: number, colours: string[]): void {
    const parts = PATHS.map((path) => layer && part(layer, path));
    if (parts.every((share) => share == null)) {
      paint.globalAlpha = 0.18;
      paint.fillStyle = paint.strokeStyle;
      paint.fillRect(x, y - 1, COLUMN - 1, 1);
      return;
    }
    parts.forEach((share, i) => {
      const tall = (share ?? 0) * this.#row;
      paint.fillStyle = colours[i] ?? "";
      paint.fillRect(x, y - tall, COLUMN - 1, Math.max(tall - 0.75, 0));
      y -= tall;
    });
  }

  /** Says the chosen token to those who hear the page. */
  say(): void {
    const { tokens, chosen } = this.#story;
    const token = chosen === null ? undefined : tokens[chosen];
    this.#canvas.setAttribute("aria-valuemax", String(Math.max(1, tokens.length)));
    if (!token) return;
    const layers = (token.layers ?? []).map((layer, i) => {
      const parts = PATHS.flatMap((path) => {
        const share = part(layer, path);
        return share === null ? [] : [`${NAMES[path]} ${percent(share)}`];
      });
      return parts.length ? `layer ${i + 1}: ${parts.join(", ")}` : "";
    });
    this.#canvas.setAttribute("aria-valuenow", String(token.position + 1));
    const name = token.text === " " ? "space" : token.text === "\n" ? "line break" : visible(token.text);
    this.#canvas.setAttribute("aria-valuetext", `token ${token.position + 1} of ${tokens.length}, ${name}. ${layers.filter(Boolean).join(". ")}`);
  }
}

/** The colour of a path, as the legend has it: by day or by night. */
function colour(path: string): string {
  const sample = document.querySelector(`.legend .${path}`);
  return sample ? getComputedStyle(sample, "::before").backgroundColor : "";
}
