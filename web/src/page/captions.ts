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
    line.textContent = text;
    line.classList.toggle("partial", !final);
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
    if (known.isOver) return;
    known.text = text;
    known.line.textContent = text;
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
      known.line.textContent = points.join("");
    } else if (!heard) {
      known.line.remove();
    } else {
      const note = make("small", "interrupted: the struck words were not heard");
      known.line.replaceChildren(heard, make("s", rest), note);
      this.caption.textContent = heard;
    }
  }

  note(text: string): void {
    this.line("note").textContent = text;
    this.scroll();
  }

  private line(className: string): HTMLLIElement {
    const line = make("li", "", className);
    this.log.append(line);
    return line;
  }

  private scroll(): void {
    this.log.scrollTop = this.log.scrollHeight;
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
