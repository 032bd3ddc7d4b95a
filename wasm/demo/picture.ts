import type { Layer } from "../js/index.js";
import { make, percent, visible } from "./dom.js";
import { NAMES, PATHS, type Transcript, part } from "./transcript.js";

/** Pixels: width of a token's column, maximum height of a layer's row, gap between rows. */
const [COLUMN, MAX_ROW, GAP] = [8, 40, 8];

/** Chart of the gates: columns are tokens, rows are layers, each cell is stacked by path. */
export class Picture {
  readonly #canvas: HTMLCanvasElement;
  readonly #scroll: HTMLElement;
  readonly #sheet: HTMLElement;
  readonly #labels: HTMLElement;
  readonly #transcript: Transcript;
  #rows = 0;
  #row = MAX_ROW;

  constructor(canvas: HTMLCanvasElement, scroll: HTMLElement, sheet: HTMLElement, labels: HTMLElement, transcript: Transcript, select: (token: number) => void) {
    [this.#canvas, this.#scroll, this.#sheet, this.#labels, this.#transcript] = [canvas, scroll, sheet, labels, transcript];
    const at = (event: MouseEvent) => {
      const token = Math.floor((event.clientX - scroll.getBoundingClientRect().left + scroll.scrollLeft) / COLUMN);
      if (token >= 0 && token < transcript.tokens.length) select(token);
    };
    canvas.addEventListener("pointermove", (event) => event.pointerType === "mouse" && at(event));
    canvas.addEventListener("click", (event) => {
      at(event);
      canvas.scrollIntoView({ block: "nearest", inline: "nearest" });
    });
    canvas.addEventListener("keydown", (event) => {
      const [now, last] = [transcript.selected ?? transcript.promptLength, transcript.tokens.length - 1];
      const steps: Record<string, number> = {
        ArrowLeft: now - 1, ArrowDown: now - 1, ArrowRight: now + 1, ArrowUp: now + 1,
        PageDown: now - 10, PageUp: now + 10, Home: 0, End: last,
      };
      const to = steps[event.key];
      if (to === undefined || last < 0) return;
      event.preventDefault();
      select(Math.min(last, Math.max(0, to)));
      this.show();
    });
    scroll.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(scroll);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Sets the number of rows. */
  setLayers(layers: number): void {
    this.#rows = layers;
    this.#row = Math.max(8, Math.min(MAX_ROW, Math.floor(260 / layers) - GAP));
    const label = (layer: number) => {
      const span = make("span", "", String(layer + 1));
      span.style.top = `${layer * (this.#row + GAP) + this.#row / 2}px`;
      return span;
    };
    this.#labels.replaceChildren(...Array.from({ length: layers }, (_, layer) => label(layer)));
    this.draw();
  }

  /** Draws new tokens, and scrolls to the end if the end was visible. */
  update(): void {
    const scroll = this.#scroll;
    const atEnd = scroll.scrollWidth - scroll.scrollLeft - scroll.clientWidth < 4 * COLUMN;
    this.#sheet.style.width = `${this.#transcript.tokens.length * COLUMN}px`;
    if (atEnd) scroll.scrollLeft = scroll.scrollWidth;
    this.draw();
  }

  /** Scrolls the selected token into view. */
  show(): void {
    const [x, scroll] = [(this.#transcript.selected ?? 0) * COLUMN, this.#scroll];
    if (x < scroll.scrollLeft || x + COLUMN > scroll.scrollLeft + scroll.clientWidth) scroll.scrollLeft = x - scroll.clientWidth / 2;
  }

  draw(): void {
    const { tokens, promptLength, selected } = this.#transcript;
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
        paint.globalAlpha = from + i < promptLength ? 0.55 : 1;
        this.#cell(paint, token?.layers?.[layer], start + i * COLUMN, layer * (this.#row + GAP) + this.#row, colours);
      }
    }
    paint.globalAlpha = 1;
    if (selected !== null) paint.strokeRect(start + (selected - from) * COLUMN - 0.5, 1, COLUMN, height - 2);
  }

  /** Resizes the canvas to its displayed size in device pixels. */
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

  /** Stacks the paths' shares from `y` upwards; draws a baseline if there are none. */
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

  /** Describes the selected token for screen readers. */
  announce(): void {
    const { tokens, selected } = this.#transcript;
    const token = selected === null ? undefined : tokens[selected];
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

/** The colour of a path in the legend, for the current colour scheme. */
function colour(path: string): string {
  const sample = document.querySelector(`.legend .${path}`);
  return sample ? getComputedStyle(sample, "::before").backgroundColor : "";
}
