import { make } from "./dom.js";
import type { Transcript } from "./transcript.js";

/** Shows the text, one span per token. */
export class Text {
  readonly #place: HTMLElement;
  readonly #transcript: Transcript;
  #marked: HTMLElement[] = [];

  constructor(place: HTMLElement, transcript: Transcript, select: (token: number) => void) {
    this.#place = place;
    this.#transcript = transcript;
    const at = (event: Event) => (event.target as Element).closest("span");
    const over = (event: Event) => {
      const span = at(event);
      if (span) select([...place.children].indexOf(span));
    };
    place.addEventListener("pointerover", over);
    place.addEventListener("click", (event) => {
      over(event);
      // Where the details are a sheet, it may cover the token.
      at(event)?.scrollIntoView({ block: "nearest" });
    });
  }

  /** Adds new tokens and keeps the end visible, unless the user has scrolled up. */
  update(): void {
    const place = this.#place;
    const atEnd = place.scrollHeight - place.scrollTop - place.clientHeight < 40;
    const { tokens, promptLength } = this.#transcript;
    place.classList.toggle("empty", tokens.length === 0);
    while (place.childElementCount > tokens.length) place.lastElementChild?.remove();
    for (let i = place.childElementCount; i < tokens.length; i++) {
      const text = tokens[i]?.text ?? "";
      place.append(make("span", `${i < promptLength ? "prompt" : ""} ${text.endsWith("\n") ? "line" : ""}`, text));
    }
    if (atEnd) place.scrollTop = place.scrollHeight;
  }

  /** Highlights the selected token and the positions that were recalled for it. */
  mark(): void {
    for (const span of this.#marked) span.classList.remove("chosen", "recalled", "break");
    this.#marked = [];
    const { selected, tokens } = this.#transcript;
    const token = selected === null ? undefined : tokens[selected];
    if (!token || selected === null) return;
    const mark = (position: number, kind: string) => {
      const span = this.#place.children[position] as HTMLElement | undefined;
      if (!span) return undefined;
      span.classList.add(kind);
      span.classList.toggle("break", span.classList.contains("line"));
      this.#marked.push(span);
      return span;
    };
    for (const [position, share] of this.#transcript.recalled(token)) mark(position, "recalled")?.style.setProperty("--share", String(share));
    mark(selected, "chosen");
  }
}
