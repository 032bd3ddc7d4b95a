import { Model, type Session, type Source } from "../js/index.js";
import { element } from "./dom.js";
import { Panel } from "./panel.js";
import { Picture } from "./picture.js";
import { pace, settings, watch } from "./settings.js";
import { Story } from "./story.js";
import { Text } from "./text.js";

/** Of what a layer recalls, so much is fetched. */
const INSPECT = 8;

const [write, more, stop] = ["write", "more", "stop"].map((id) => element<HTMLButtonElement>(id)) as [HTMLButtonElement, HTMLButtonElement, HTMLButtonElement];
const [status, said, progress, error, speed] = [
  element("model"), element("said"), element<HTMLProgressElement>("progress"), element("error"), element("speed"),
];
const story = new Story();
const text = new Text(element("text"), story, choose);
const picture = new Picture(element("canvas"), element("scroll"), element("sheet"), element("layers"), story, choose);
const panel = new Panel(element("panel"), story);

let model: Model | undefined;
let session: Session | undefined;
let writing: AbortController | undefined;
/** Which of several files that were given one after the other is the last. */
let loads = 0;

function choose(token: number | null): void {
  if (token === story.chosen) return;
  story.chosen = token;
  text.mark();
  picture.draw();
  picture.say();
  panel.show();
}

function complain(what: unknown): void {
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
  const mine = ++loads;
  writing?.abort();
  complain(undefined);
  progress.hidden = false;
  status.textContent = `Loading ${name}`;
  let next: Model;
  try {
    next = await Model.load(source, ({ loaded, total }) => {
      if (mine !== loads) return;
      if (total) progress.value = loaded / total;
      else progress.removeAttribute("value");
    });
  } catch (failure) {
    if (mine !== loads) return;
    complain(failure);
    progress.hidden = true;
    status.textContent = model ? describe(model) : "No model is loaded";
    return;
  }
  if (mine !== loads) return next.free();
  model?.free();
  [model, session] = [next, undefined];
  story.tokens.length = 0;
  choose(null);
  picture.lay(next.info().config.layers);
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
  return `${size} weights in ${config.layers} layers, ${(bytes / 1e6).toFixed(1)} MB · ${tokenizer} · ${machine}`;
}

/** Lets the model write, from the prompt or from where it is. */
async function run(fresh: boolean): Promise<void> {
  if (!model || writing) return;
  const mine = (writing = new AbortController());
  complain(undefined);
  buttons();
  said.textContent = "Writing";
  try {
    if (fresh || !session) {
      const prompt = element<HTMLTextAreaElement>("prompt").value;
      const begun = await model.session();
      let given;
      try {
        given = await begun.prefill(prompt, { inspect: INSPECT });
      } catch (failure) {
        begun.free();
        throw failure;
      }
      session?.free();
      session = begun;
      story.tokens.splice(0, Infinity, ...given);
      story.given = given.length;
      choose(null);
      element("scroll").scrollLeft = 0;
    }
    await stream(session, mine.signal, fresh ? 0 : story.tokens.length);
  } catch (failure) {
    if (!mine.signal.aborted) complain(failure);
  } finally {
    writing = undefined;
    said.textContent = `The text has ${story.tokens.length} tokens`;
    refresh();
    buttons();
  }
}

/** Takes token after token, and shows what has come once a frame. `later`: another text for each stretch of one seed. */
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
      story.tokens.push(value);
      written++;
      performance.mark("token");
      speed.textContent = `${written} tokens · ${Math.round((1000 * written) / worked)} a second`;
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        refresh();
      });
      const rest = pace() - (performance.now() - began);
      if (rest > 0) await new Promise((resolve) => setTimeout(resolve, rest));
    }
  } finally {
    cancelAnimationFrame(frame);
  }
}

function refresh(): void {
  text.update();
  picture.update();
  picture.say();
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

watch();
buttons();
void load("model.safetensors", "the model");
