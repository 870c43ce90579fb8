// The last turn's latency as a waterfall.

import type { LatencyPart } from "../client/session.ts";
import { byId, hide, make } from "./dom.ts";

const SVG = "http://www.w3.org/2000/svg";

const SHORT = new Set(["asr", "llm", "tts"]);

/** A part's name for people, also one that came after this page: "llm_first_token" is "LLM first token". */
export function label(name: string): string {
  const words = name.split("_").filter(Boolean);
  const shown = words.map((word) => (SHORT.has(word) ? word.toUpperCase() : word)).join(" ");
  return shown.charAt(0).toUpperCase() + shown.slice(1);
}

export class Latency {
  private turn = 0;

  clear(traceUrl: string): void {
    this.turn = 0;
    byId("waterfall").replaceChildren();
    byId("total").textContent = "";
    hide(byId("no-latency"), false);
    const link = byId("trace") as HTMLAnchorElement;
    hide(link, !traceUrl);
    if (traceUrl) link.href = traceUrl;
  }

  /** Shows a turn's parts in the order in which they come; a turn that is told again replaces itself. */
  show(turn: { turn: number; milliseconds: number; parts: readonly LatencyPart[] }): void {
    if (turn.turn < this.turn) return;
    this.turn = turn.turn;
    hide(byId("no-latency"), true);
    byId("total").textContent = `· ${Math.round(turn.milliseconds)} ms`;
    let start = 0;
    byId("waterfall").replaceChildren(
      ...turn.parts.map((part) => {
        const row = make("li");
        const time = make("b", `${Math.round(part.milliseconds)} ms`);
        row.append(make("span", label(part.name)), bar(start, part, turn.milliseconds), time);
        start += part.milliseconds;
        return row;
      }),
    );
  }
}

function bar(start: number, part: LatencyPart, total: number): HTMLElement {
  const holder = make("span", "", "bar");
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("aria-hidden", "true");
  const rect = document.createElementNS(SVG, "rect");
  const percent = (value: number): string => `${(100 * value) / Math.max(total, 1)}%`;
  rect.setAttribute("x", percent(start));
  rect.setAttribute("width", percent(Math.max(part.milliseconds, total / 200)));
  rect.setAttribute("height", "10");
  rect.setAttribute("rx", "2");
  svg.append(rect);
  holder.append(svg);
  return holder;
}
