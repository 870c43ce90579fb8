// What was said: the log beside the avatar, and the caption under it.

import { byId, make } from "./dom.ts";

interface Turn {
  readonly line: HTMLLIElement;
  text: string;
  isOver: boolean;
}

export class Captions {
  private readonly log = byId("log");
  private readonly caption = byId("caption");
  private readonly turns = new Map<number, Turn>();
  private user: HTMLLIElement | null = null;
  private name = "Avatar";

  constructor() {
    // The newest stays in sight when something beside it opens.
    new ResizeObserver(() => this.scroll()).observe(this.log.parentElement!);
  }

  clear(): void {
    this.log.replaceChildren();
    this.caption.textContent = "";
    this.turns.clear();
    this.user = null;
  }

  /** What the user says; the final text ends the line. */
  heard(text: string, final: boolean): void {
    if (!text) {
      if (final) this.user?.remove();
      this.user = final ? null : this.user;
      return;
    }
    const line = this.user ?? this.line("user");
    line.classList.toggle("partial", !final);
    // Only the settled words are read aloud by a screen reader.
    if (final) line.removeAttribute("aria-live");
    else line.setAttribute("aria-live", "off");
    line.replaceChildren(make("span", "You: ", "hidden"), text);
    this.user = final ? null : line;
    this.caption.textContent = text;
    this.scroll();
  }

  said(turn: number, text: string): void {
    let known = this.turns.get(turn);
    if (!known) {
      known = { line: this.line("avatar"), text: "", isOver: false };
      this.turns.set(turn, known);
    }
    if (known.isOver || text === known.text) return;
    // What is new is added, so that a screen reader reads it alone.
    if (!text.startsWith(known.text)) known.line.replaceChildren(this.speaker(), text);
    else known.line.append(...(known.text ? [] : [this.speaker()]), text.slice(known.text.length));
    known.text = text;
    this.scroll();
  }

  /** Shows under the avatar which words have sounded; the rest is on its way. */
  progress(turn: number, characters: number): void {
    const known = this.turns.get(turn);
    if (!known || known.isOver) return;
    const points = [...known.text];
    const from = sentenceStart(points, characters);
    const to = sentenceEnd(points, characters);
    this.caption.replaceChildren(
      points.slice(from, characters).join(""),
      make("span", points.slice(characters, to).join(""), "ahead"),
    );
  }

  /** Marks what the user did not get to hear. */
  over(ended: { turn: number; reason: string; text: string; heardCharacters: number }): void {
    const known = this.turns.get(ended.turn);
    if (!known) return;
    known.isOver = true;
    const points = [...(ended.text || known.text)];
    const heard = points.slice(0, ended.heardCharacters).join("");
    const rest = points.slice(ended.heardCharacters).join("");
    if (!rest.trim() || ended.reason === "completed") {
      if (points.join("") !== known.text) known.line.replaceChildren(this.speaker(), points.join(""));
    } else if (!heard) {
      known.line.remove();
    } else {
      const note = make("small", "interrupted: the struck words were not heard");
      const missed = make("span", " Not heard: ", "hidden");
      known.line.replaceChildren(this.speaker(), heard, missed, make("s", rest), note);
      this.caption.textContent = heard;
    }
  }

  /** Who speaks, and in which language, from now on. */
  set avatar({ name, language }: { name: string; language: string }) {
    this.name = name;
    this.log.lang = this.caption.lang = language;
  }

  private speaker(): HTMLElement {
    return make("span", `${this.name}: `, "hidden");
  }

  note(text: string): void {
    const line = this.line("note");
    line.lang = "en";
    line.textContent = text;
    this.scroll();
  }

  private line(className: string): HTMLLIElement {
    const line = make("li", "", className);
    this.log.append(line);
    return line;
  }

  private scroll(): void {
    const box = this.log.parentElement!;
    box.scrollTop = box.scrollHeight;
  }
}

const ENDS = /[.!?…]/;

/** Where the sentence begins in which position `at` lies. */
export function sentenceStart(points: readonly string[], at: number): number {
  for (let i = at - 2; i > 0; i--) if (ENDS.test(points[i]) && points[i + 1] === " ") return i + 2;
  return 0;
}

/** Where it ends. */
export function sentenceEnd(points: readonly string[], at: number): number {
  for (let i = Math.max(0, at - 1); i < points.length; i++) if (ENDS.test(points[i])) return i + 1;
  return points.length;
}
