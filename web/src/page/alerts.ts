// Problems, each with a plain sentence and ways out; one line for each kind.

import { byId, make } from "./dom.ts";

export type AlertKind = "problem" | "microphone" | "sound" | "loudspeaker";

/** A button's words, and what it does. */
export type WayOut = readonly [label: string, action: () => void];

export class Alerts {
  private readonly list = byId("alerts");
  private readonly shown = new Map<AlertKind, HTMLElement>();

  /** Shows a problem in place of the one of its kind; whoever takes a way out sees it no longer. */
  show(kind: AlertKind, sentence: string, ...ways: WayOut[]): void {
    const line = make("div", "", "alert");
    line.dataset.kind = kind;
    line.append(make("p", sentence));
    for (const [label, action] of ways) {
      const button = make("button", label);
      button.type = "button";
      button.addEventListener("click", () => {
        this.clear(kind);
        action();
      });
      line.append(button);
    }
    const before = this.shown.get(kind);
    // A problem that is told again is not said again, and keeps the focus where it is.
    if (before?.textContent === line.textContent) return;
    this.clear(kind);
    this.shown.set(kind, line);
    this.list.append(line);
  }

  clear(kind: AlertKind): void {
    this.shown.get(kind)?.remove();
    this.shown.delete(kind);
  }
}
