import { Model, type Progress, type Session, type Source } from "../js/index.js";
import { element } from "./dom.js";
import { Panel } from "./panel.js";
import { Picture } from "./picture.js";
import { bindSettings, settings, tokenDelay } from "./settings.js";
import { Transcript } from "./transcript.js";
import { Text } from "./text.js";

/** Number of recalled items fetched per layer. */
const INSPECT = 8;

const [write, more, stop] = ["write", "more", "stop"].map((id) => element<HTMLButtonElement>(id)) as [HTMLButtonElement, HTMLButtonElement, HTMLButtonElement];
const [status, announcement, progress, error, speed] = [
  element("model"), element("said"), element<HTMLProgressElement>("progress"), element("error"), element("speed"),
];
const transcript = new Transcript();
const text = new Text(element("text"), transcript, select);
const picture = new Picture(element("canvas"), element("scroll"), element("sheet"), element("layers"), transcript, select);
const panel = new Panel(element("panel"), transcript, select);

let model: Model | undefined;
let session: Session | undefined;
let writing: AbortController | undefined;
/** The newest load; a newer one aborts it. */
let loading: AbortController | undefined;

function select(token: number | null): void {
  if (token === transcript.selected) return;
  transcript.selected = token;
  text.mark();
  picture.draw();
  picture.announce();
  panel.show();
}

function showError(what: unknown): void {
  error.hidden = what === undefined;
  error.textContent = what === undefined ? "" : what instanceof Error ? what.message : String(what);
}

function buttons(): void {
  const busy = writing !== undefined;
  write.disabled = busy || !model;
  more.disabled = busy || !session;
  stop.disabled = !busy;
}

async function load(source: Source, name: string): Promise<void> {
  loading?.abort();
  const mine = (loading = new AbortController());
  writing?.abort();
  showError(undefined);
  progress.hidden = false;
  status.textContent = `Loading ${name}`;
  let next: Model;
  try {
    const onProgress = ({ loaded, total }: Progress) => {
      if (total) progress.value = loaded / total;
      else progress.removeAttribute("value");
    };
    next = await Model.load(source, { onProgress, signal: mine.signal });
  } catch (failure) {
    if (mine.signal.aborted) return;
    showError(failure);
    progress.hidden = true;
    status.textContent = model ? describe(model) : "No model loaded";
    return;
  }
  if (mine.signal.aborted) return next.free();
  model?.free();
  [model, session] = [next, undefined];
  transcript.tokens.length = 0;
  select(null);
  picture.setLayers(next.info().config.layers);
  picture.update();
  text.update();
  progress.hidden = true;
  status.textContent = describe(next);
  buttons();
}

function describe(model: Model): string {
  const { parameters, bytes, config, tokenizer, instructions, threads } = model.info();
  const size = parameters < 1e6 ? `${Math.round(parameters / 1e3)} thousand` : `${(parameters / 1e6).toFixed(1)} million`;
  const machine = `${instructions}, ${threads} ${threads === 1 ? "thread" : "threads"}`;
  return `${size} parameters in ${config.layers} layers, ${(bytes / 1e6).toFixed(1)} MB · ${tokenizer} · ${machine}`;
}

/** Generates from the prompt (`fresh`), or continues the text. */
async function run(fresh: boolean): Promise<void> {
  if (!model || writing) return;
  const mine = (writing = new AbortController());
  showError(undefined);
  buttons();
  announcement.textContent = "Generating";
  try {
    if (fresh || !session) {
      const prompt = element<HTMLTextAreaElement>("prompt").value;
      const begun = await model.session();
      let promptTokens;
      try {
        promptTokens = await begun.prefill(prompt, { inspect: INSPECT });
      } catch (failure) {
        begun.free();
        throw failure;
      }
      session?.free();
      session = begun;
      transcript.tokens.splice(0, Infinity, ...promptTokens);
      transcript.promptLength = promptTokens.length;
      select(null);
      element("scroll").scrollLeft = 0;
    }
    await stream(session, mine.signal, fresh ? 0 : transcript.tokens.length);
  } catch (failure) {
    if (!mine.signal.aborted) showError(failure);
  } finally {
    writing = undefined;
    announcement.textContent = `The text has ${transcript.tokens.length} tokens`;
    refresh();
    buttons();
  }
}

/** Generates tokens and updates the page once per frame. `later` is added to the seed, so that a continuation samples differently. */
async function stream(session: Session, signal: AbortSignal, later: number): Promise<void> {
  const options = settings();
  let [worked, written, frame] = [0, 0, 0];
  const tokens = session.tokens({ ...options, seed: Number(options.seed) + later, inspect: INSPECT, signal });
  try {
    for (;;) {
      const began = performance.now();
      const { done, value } = await tokens.next();
      worked += performance.now() - began;
      if (done) break;
      transcript.tokens.push(value);
      written++;
      performance.mark("token");
      speed.textContent = `${written} tokens · ${Math.round((1000 * written) / worked)} tokens/s`;
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        refresh();
      });
      const rest = tokenDelay() - (performance.now() - began);
      if (rest > 0) await new Promise((resolve) => setTimeout(resolve, rest));
    }
  } finally {
    cancelAnimationFrame(frame);
  }
}

function refresh(): void {
  text.update();
  picture.update();
  picture.announce();
}

element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  void run(true);
});
element("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) element<HTMLFormElement>("form").requestSubmit();
});
more.addEventListener("click", () => void run(false));
stop.addEventListener("click", () => writing?.abort());
element<HTMLInputElement>("file").addEventListener("change", ({ target }) => {
  const file = (target as HTMLInputElement).files?.[0];
  if (file) void load(file, file.name);
});

const drop = element("drop");
const carries = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
addEventListener("dragover", (event) => {
  if (!carries(event)) return;
  event.preventDefault();
  drop.hidden = false;
});
addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) drop.hidden = true;
});
addEventListener("drop", (event) => {
  drop.hidden = true;
  const file = event.dataTransfer?.files[0];
  if (!file) return;
  event.preventDefault();
  void load(file, file.name);
});

bindSettings();
buttons();
void load("model.safetensors", "the model");
