import { make } from "./dom.js";
import type { Story } from "./story.js";

/** The text, a span for each token. */
export class Text {
  readonly #place: HTMLElement;
  readonly #story: Story;
  #marked: HTMLElement[] = [];

  constructor(place: HTMLElement, story: Story, choose: (token: number) => void) {
    this.#place = place;
    this.#story = story;
    const over = (event: Event) => {
      const span = (event.target as Element).closest("span");
      if (span) choose([...place.children].indexOf(span));
    };
    place.addEventListener("pointerover", over);
    place.addEventListener("click", over);
  }

  /** Shows tokens that have come, and keeps the end in sight unless the reader has scrolled away from it. */
  update(): void {
    const place = this.#place;
    const atEnd = place.scrollHeight - place.scrollTop - place.clientHeight < 40;
    const { tokens, given } = this.#story;
    place.classList.toggle("empty", tokens.length === 0);
    while (place.childElementCount > tokens.length) place.lastElementChild?.remove();
    for (let i = place.childElementCount; i < tokens.length; i++) {
      const text = tokens[i]?.text ?? "";
      place.append(make("span", `${i < given ? "prompt" : ""} ${text.endsWith("\n") ? "line" : ""}`, text));
    }
    if (atEnd) place.scrollTop = place.scrollHeight;
  }

  /** Marks the chosen token and what was recalled for it. */
  mark(): void {
    for (const span of this.#marked) span.classList.remove("chosen", "recalled", "break");
    this.#marked = [];
    const { chosen, tokens } = this.#story;
    const token = chosen === null ? undefined : tokens[chosen];
    if (!token || chosen === null) return;
    const mark = (position: number, kind: string) => {
      const span = this.#place.children[position] as HTMLElement | undefined;
      if (!span) return undefined;
      span.classList.add(kind);
      span.classList.toggle("break", span.classList.contains("line"));
      this.#marked.push(span);
      return span;
    };
    for (const [position, share] of this.#story.recalled(token)) mark(position, "recalled")?.style.setProperty("--share", String(share));
    mark(chosen, "chosen");
  }
}
