// The last turn's latency as a waterfall.

import type { LatencyPart } from "../client/session.ts";
import { byId, hide, make } from "./dom.ts";

const SVG = "http://www.w3.org/2000/svg";

export class Latency {
  clear(traceUrl: string): void {
    byId("waterfall").replaceChildren();
    byId("total").textContent = "";
    hide(byId("no-latency"), false);
    const link = byId("trace") as HTMLAnchorElement;
    hide(link, !traceUrl);
    if (traceUrl) link.href = traceUrl;
  }

  show(turn: { milliseconds: number; parts: readonly LatencyPart[] }): void {
    hide(byId("no-latency"), true);
    byId("total").textContent = `· ${Math.round(turn.milliseconds)} ms`;
    let start = 0;
    byId("waterfall").replaceChildren(
      ...turn.parts.map((part) => {
        const row = make("li");
        const time = make("b", `${Math.round(part.milliseconds)} ms`);
        row.append(make("span", part.name.replaceAll("_", " ")), bar(start, part, turn.milliseconds), time);
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
