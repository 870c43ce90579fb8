"use strict";
// Draws the session that is in #data as lanes. Times are milliseconds after its beginning.
const told = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const LEFT = 98, RIGHT = 14, AXIS = 26;
const LANES = [
  ["user", "User", 76], ["response", "Response", 30], ["asr", "ASR", 24], ["llm", "LLM", 24], ["tts", "TTS", 24],
  ["motion", "Motion", 24], ["egress", "Egress", 24], ["avatar", "Avatar", 82],
];
const TOPS = {};
let bottom = AXIS;
for (const [lane, , height] of LANES) { TOPS[lane] = bottom; bottom += height + 6; }
const HEIGHT = bottom + 4;
const LONGEST = Math.max(1000, told.session.duration, ...told.spans.map((span) => span.end ?? span.start));
const turns = new Map(told.turns.map((turn) => [turn.turn, turn]));
const wordsOf = new Map();
for (const word of told.words) {
  if (!wordsOf.has(word.turn)) wordsOf.set(word.turn, []);
  wordsOf.get(word.turn).push(word);
}
let view = [0, LONGEST];
let chosen = 0;

// --- small tools -----------------------------------------------------------------------------------

function svg(parent, name, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}

function html(parent, name, text = "", className = "") {
  const node = document.createElement(name);
  node.textContent = text;
  if (className) node.className = className;
  parent.append(node);
  return node;
}

const color = (lane) => `var(--${lane})`;
const time = (ms) => (ms < 1000 ? `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`);
const plain = (name) => name.replaceAll("_", " ");

function clock(ms, step) {
  const seconds = ms / 1000;
  if (seconds < 60 || step < 1000) return `${seconds.toFixed(step < 100 ? 2 : step < 1000 ? 1 : 0)} s`;
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}

/** A part's colour is its stage's; what only waits or travels is grey. */
function hue(name) {
  if (name.endsWith("_network") || name.endsWith("_retry")) return color("network");
  if (name.endsWith("_queue") || name.endsWith("_wait") || ["silence_detection", "endpointing"].includes(name)) return color("wait");
  if (name === "client_buffer") return color("avatar");
  const stage = ["asr", "llm", "tts", "motion", "egress"].find((stage) => name.startsWith(stage));
  return color(stage ?? (name === "first_clause" ? "llm" : "wait"));
}

function tip(node, text) {
  node.classList.add("hot");
  node.addEventListener("pointermove", (event) => {
    const box = byId("tip");
    box.textContent = text;
    box.hidden = false;
    box.style.left = `${Math.min(event.clientX + 14, innerWidth - box.offsetWidth - 10)}px`;
    box.style.top = `${event.clientY + 18 + box.offsetHeight > innerHeight ? event.clientY - box.offsetHeight - 10 : event.clientY + 18}px`;
  });
  node.addEventListener("pointerleave", () => { byId("tip").hidden = true; });
}

// --- the lanes -------------------------------------------------------------------------------------

const lanes = byId("lanes");
const width = () => lanes.clientWidth || 1000;
const x = (ms) => LEFT + ((ms - view[0]) / (view[1] - view[0])) * (width() - LEFT - RIGHT);
const visible = (start, end) => end >= view[0] && start <= view[1];

function draw() {
  lanes.replaceChildren();
  lanes.setAttribute("height", HEIGHT);
  const clip = svg(svg(lanes, "defs", {}), "clipPath", { id: "window" });
  svg(clip, "rect", { x: LEFT, y: 0, width: Math.max(0, width() - LEFT - RIGHT), height: HEIGHT });
  for (const [lane, name, height] of LANES) {
    svg(lanes, "rect", { x: LEFT, y: TOPS[lane], width: Math.max(0, width() - LEFT - RIGHT), height, rx: 6, fill: "var(--rail)" });
    svg(lanes, "text", { x: 16, y: TOPS[lane] + height / 2 + 4, class: "name" }, name);
  }
  const ground = svg(lanes, "g", { "clip-path": "url(#window)" });
  drawAxis(ground);
  for (const turn of told.turns) drawResponse(ground, turn);
  for (const wave of told.waveforms) drawWave(ground, wave);
  for (const span of told.spans) drawSpan(ground, span);
  for (const moment of told.moments) drawMoment(ground, moment);
  drawSaid(ground);
  drawWords(ground);
  drawOverview();
}

function drawAxis(parent) {
  const steps = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 15000, 30000, 60000, 120000, 300000, 600000];
  const step = steps.find((each) => (each / (view[1] - view[0])) * width() > 74) ?? 1800000;
  for (let at = Math.ceil(view[0] / step) * step; at <= view[1]; at += step) {
    svg(parent, "line", { x1: x(at), x2: x(at), y1: AXIS - 6, y2: HEIGHT, stroke: "var(--line)" });
    svg(parent, "text", { x: x(at) + 4, y: 14 }, clock(at, step));
  }
}

function drawResponse(parent, turn) {
  if (turn.total === null || !visible(turn.asked_at, turn.asked_at + turn.total)) return;
  const from = x(turn.asked_at), to = x(turn.asked_at + turn.total);
  svg(parent, "rect", { x: from, y: AXIS, width: to - from, height: HEIGHT, fill: "var(--band)", stroke: turn.turn === chosen ? "var(--user)" : "none" });
  let at = turn.asked_at;
  for (const part of turn.parts) {
    const wide = x(at + part.milliseconds) - x(at);
    if (wide > 0.2) {
      const box = svg(parent, "rect", { x: x(at), y: TOPS.response + 5, width: Math.max(1, wide - 0.7), height: 20, rx: 2.5, fill: hue(part.name) });
      tip(box, `${plain(part.name)}: ${time(part.milliseconds)}\n${told.meanings[part.name] ?? ""}`);
      box.addEventListener("click", () => choose(turn.turn));
    }
    at += part.milliseconds;
  }
}

function drawWave(parent, wave) {
  const user = wave.lane === "user";
  const height = 52, middle = TOPS[wave.lane] + (user ? 24 : 0) + height / 2;
  const first = Math.max(0, Math.floor((view[0] - wave.start) / wave.step));
  const last = Math.min(wave.peaks.length, Math.ceil((view[1] - wave.start) / wave.step));
  const each = x(wave.step) - x(0);
  const group = Math.max(1, Math.ceil(3 / each));
  const bars = { heard: "", unheard: "" };
  for (let k = first - (first % group); k < last; k += group) {
    const peak = Math.max(0, ...wave.peaks.slice(k, k + group));
    if (peak < 1 && user) continue;
    const half = Math.max(0.7, Math.sqrt(peak / 255) * (height / 2 - 5));
    const heard = wave.heard === null || k * wave.step < wave.heard;
    bars[heard ? "heard" : "unheard"] += `M${(x(wave.start + (k + group / 2) * wave.step)).toFixed(1)} ${(middle - half).toFixed(1)}v${(2 * half).toFixed(1)}`;
  }
  const stroke = { stroke: color(wave.lane), "stroke-width": Math.max(1, Math.min(6, each * group * 0.62)), "stroke-linecap": "round", "pointer-events": "none" };
  svg(parent, "path", { d: bars.heard, ...stroke });
  if (bars.unheard) svg(parent, "path", { d: bars.unheard, ...stroke, opacity: 0.22 });
}

function drawSpan(parent, span) {
  const end = span.end ?? LONGEST;
  if (!visible(span.start, end)) return;
  const turn = turns.get(span.turn);
  const vain = turn?.reason === "SUPERSEDED";
  const speech = span.lane === "user" || span.lane === "avatar";
  const lane = LANES.find(([lane]) => lane === span.lane);
  const from = x(span.start), wide = Math.max(2, x(end) - from);
  const y = TOPS[span.lane] + (span.lane === "user" ? 26 : speech ? 2 : 4), height = speech ? 48 : lane[2] - 8;
  const box = svg(parent, "g", { opacity: vain ? 0.35 : 1 });
  const fill = color(span.lane);
  svg(box, "rect", { x: from, y, width: wide, height, rx: 5, fill, opacity: speech ? 0.13 : 0.32 });
  if (!speech && span.first !== null) {
    svg(box, "rect", { x: from, y, width: Math.max(2, x(span.first) - from), height, rx: 5, fill });
  } else if (!speech && span.lane === "asr") {
    svg(box, "rect", { x: from, y, width: wide, height, rx: 5, fill });
  }
  const lines = [`${lane[1]}${span.turn ? `, turn ${span.turn}` : ""}: ${time(end - span.start)}`];
  if (span.first !== null && !speech) lines.push(`first output after ${time(span.first - span.start)}`);
  if (vain) lines.push("prepared in vain: the user went on");
  if (span.text) lines.push(`“${span.text}”`);
  tip(box, lines.join("\n"));
  if (span.turn) box.addEventListener("click", () => choose(span.turn));
}

/** What the user said or typed, and how long each answer took. */
function drawSaid(parent) {
  const spoken = told.spans.filter((span) => span.lane === "user" && span.text).map((span) => [span.start, span.end ?? LONGEST, span.text]);
  const typed = told.moments.filter((moment) => moment.kind === "typed" && moment.text).map((moment) => [moment.at, moment.at, `typed: ${moment.text}`]);
  const said = [...spoken, ...typed].sort((one, other) => one[0] - other[0]);
  said.forEach(([start, end, text], k) => {
    const next = said[k + 1]?.[0] ?? LONGEST;
    if (visible(start, Math.max(end, next))) label(parent, text, Math.max(x(start), LEFT + 4), x(next) - 8, TOPS.user + 16);
  });
  const answers = told.turns.filter((turn) => turn.total !== null);
  answers.forEach((turn, k) => {
    const end = turn.asked_at + turn.total, at = x(end) + 6;
    const room = x(answers[k + 1]?.asked_at ?? Infinity) - at;
    if (visible(turn.asked_at, end) && room > 48) svg(parent, "text", { x: at, y: TOPS.response + 19, class: "big", "pointer-events": "none" }, time(turn.total));
  });
}

/** As much of a text as there is room for. */
function label(parent, text, from, to, y) {
  const room = Math.floor((Math.min(to, width() - RIGHT) - from) / 6.1);
  if (room < 4 || !text) return;
  const shown = text.length > room ? `${text.slice(0, room - 1).trimEnd()}…` : text;
  svg(parent, "text", { x: from, y, class: "said", "pointer-events": "none" }, shown);
}

/** The avatar's words at their times where they have room, else a turn's text as one line. */
function drawWords(parent) {
  const y = TOPS.avatar + 70;
  const spoken = [...wordsOf];
  spoken.forEach(([number, words], place) => {
    const next = spoken[place + 1]?.[1][0].start ?? LONGEST;
    if (!visible(words[0].start, Math.max(words.at(-1).end, next))) return;
    const fits = words.every((word, k) => !words[k + 1] || x(words[k + 1].start) - x(word.start) > word.text.length * 6.1 + 2);
    if (!fits) {
      label(parent, turns.get(number)?.avatar, Math.max(x(words[0].start), LEFT + 4), x(next) - 8, y);
      return;
    }
    for (const word of words) {
      const node = svg(parent, "text", { x: x(word.start), y, class: word.heard ? "word" : "word unheard" }, word.text);
      tip(node, `“${word.text}”, ${clock(word.start, 10)}${word.heard ? "" : ": not heard to its end"}`);
    }
  });
}

function drawMoment(parent, moment) {
  if (!visible(moment.at, moment.at)) return;
  const at = x(moment.at), fault = moment.kind === "fault", cut = moment.kind === "interruption";
  const stroke = fault ? "var(--warn)" : cut ? "var(--alarm)" : "var(--soft)";
  const mark = svg(parent, "g", {});
  if (cut || fault) svg(mark, "line", { x1: at, x2: at, y1: AXIS - 2, y2: HEIGHT, stroke, "stroke-width": 1.5, "stroke-dasharray": cut ? "none" : "4 3" });
  svg(mark, "circle", { cx: at, cy: AXIS - 3, r: cut || fault ? 5 : 3.5, fill: stroke });
  const names = { interruption: "interrupted", fault: "fault", typed: "typed", joined: "the client joined", left: "the client left" };
  tip(mark, `${clock(moment.at, 10)}: ${names[moment.kind]}${moment.turn ? `, turn ${moment.turn}` : ""}${moment.text ? `\n${moment.text}` : ""}`);
}

// --- the overview ----------------------------------------------------------------------------------

const overview = byId("overview");
const across = (ms) => (ms / LONGEST) * (overview.clientWidth || 1000);

function drawOverview() {
  overview.replaceChildren();
  for (const span of told.spans.filter((span) => span.lane === "user" || span.lane === "avatar")) {
    const y = span.lane === "user" ? 8 : 29;
    svg(overview, "rect", { x: across(span.start), y, width: Math.max(1.5, across((span.end ?? LONGEST) - span.start)), height: 17, rx: 3, fill: color(span.lane), opacity: 0.8 });
  }
  for (const moment of told.moments.filter((moment) => moment.kind === "interruption" || moment.kind === "fault")) {
    svg(overview, "rect", { x: across(moment.at) - 1, y: 3, width: 2, height: 48, fill: moment.kind === "fault" ? "var(--warn)" : "var(--alarm)" });
  }
  const from = across(view[0]), wide = across(view[1]) - from;
  svg(overview, "rect", { x: from + 1, y: 1.5, width: Math.max(4, wide - 2), height: 51, rx: 6, fill: "none", stroke: "var(--soft)", "stroke-width": 1.5 });
  svg(overview, "rect", { x: 0, y: 0, width: from, height: 54, fill: "var(--rail)", opacity: 0.65 });
  svg(overview, "rect", { x: from + wide, y: 0, width: Math.max(0, across(LONGEST) - from - wide), height: 54, fill: "var(--rail)", opacity: 0.65 });
}

// --- moving about ----------------------------------------------------------------------------------

let pending = false;
function show(start, length) {
  length = Math.min(LONGEST, Math.max(40, length));
  start = Math.min(LONGEST - length, Math.max(0, start));
  view = [start, start + length];
  if (!pending) requestAnimationFrame(() => { pending = false; draw(); });
  pending = true;
}

function zoom(factor, at = (view[0] + view[1]) / 2) {
  show(at - (at - view[0]) * factor, (view[1] - view[0]) * factor);
}

function drag(node, move) {
  node.addEventListener("pointerdown", (down) => {
    let last = down.clientX;
    move(down, 0);
    const follow = (event) => {
      if (Math.abs(event.clientX - down.clientX) > 3) node.setPointerCapture(down.pointerId);
      node.classList.add("moving");
      move(event, event.clientX - last);
      last = event.clientX;
    };
    node.addEventListener("pointermove", follow);
    addEventListener("pointerup", () => { node.removeEventListener("pointermove", follow); node.classList.remove("moving"); }, { once: true });
  });
}

drag(lanes, (_, by) => { if (by) show(view[0] - (by / (width() - LEFT - RIGHT)) * (view[1] - view[0]), view[1] - view[0]); });
drag(overview, (event) => {
  const at = ((event.clientX - overview.getBoundingClientRect().left) / overview.clientWidth) * LONGEST;
  show(at - (view[1] - view[0]) / 2, view[1] - view[0]);
});
lanes.addEventListener("wheel", (event) => {
  event.preventDefault();
  const length = view[1] - view[0], inside = width() - LEFT - RIGHT;
  if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) return show(view[0] + (event.deltaX / inside) * length, length);
  zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) / 250), view[0] + ((event.clientX - lanes.getBoundingClientRect().left - LEFT) / inside) * length);
}, { passive: false });
lanes.addEventListener("dblclick", () => show(0, LONGEST));
lanes.addEventListener("keydown", (event) => {
  const length = view[1] - view[0];
  const keys = { "+": () => zoom(0.7), "-": () => zoom(1.4), 0: () => show(0, LONGEST), ArrowLeft: () => show(view[0] - length / 8, length), ArrowRight: () => show(view[0] + length / 8, length) };
  if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
});
byId("in").addEventListener("click", () => zoom(0.6));
byId("out").addEventListener("click", () => zoom(1.6));
byId("fit").addEventListener("click", () => show(0, LONGEST));
new ResizeObserver(() => show(view[0], view[1] - view[0])).observe(lanes);
