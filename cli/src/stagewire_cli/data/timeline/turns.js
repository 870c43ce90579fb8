// The head of the page, the list of turns, and the one that is chosen; after lanes.js.

const sounding = told.turns.filter((turn) => turn.reason !== "SUPERSEDED");

function strip(parent, turn) {
  const line = html(parent, "span", "", "strip");
  for (const part of turn.parts) {
    const piece = html(line, "i");
    piece.style.flex = `${part.milliseconds} 0 0`;
    piece.style.background = hue(part.name);
  }
}

function listTurns() {
  for (const turn of sounding) {
    const button = html(html(byId("list"), "li"), "button");
    button.type = "button";
    button.dataset.turn = turn.turn;
    html(button, "b", turn.user || (turn.total === null ? turn.avatar || "greeting" : `turn ${turn.turn}`));
    html(button, "span", turn.total === null ? "" : time(turn.total));
    html(button, "small", `turn ${turn.turn} · ${turn.reason.toLowerCase() || "going on"}`);
    if (turn.total !== null) strip(button, turn);
    button.addEventListener("click", () => { choose(turn.turn); look(turn); });
  }
}

/** Shows a turn's stretch of time: a little before the question ended to a little after the answer. */
function look(turn) {
  const spans = told.spans.filter((span) => span.turn === turn.turn);
  const start = Math.min(turn.asked_at ?? Infinity, ...spans.map((span) => span.start));
  const end = Math.max((turn.asked_at ?? 0) + (turn.total ?? 0), ...spans.map((span) => span.end ?? LONGEST));
  if (Number.isFinite(start)) show(start - 1500, end - start + 2500);
}

function choose(number) {
  chosen = number;
  for (const button of byId("list").querySelectorAll("button")) button.setAttribute("aria-pressed", Number(button.dataset.turn) === number);
  const detail = byId("detail"), turn = turns.get(number);
  detail.replaceChildren();
  if (!turn) return html(detail, "p", "No turn yet.", "note");
  const head = html(detail, "h2", turn.total === null ? `Turn ${number}` : time(turn.total));
  html(head, "small", turn.total === null ? turn.reason.toLowerCase() : `from the user's last sound to the avatar's first · turn ${number}, ${turn.reason.toLowerCase() || "going on"}`);
  const talk = html(detail, "dl", "", "talk");
  if (turn.user) { html(talk, "dt", "user"); html(talk, "dd", turn.user); }
  if (turn.avatar) {
    html(talk, "dt", "avatar");
    const said = html(talk, "dd", turn.avatar.slice(0, turn.reason ? turn.heard_characters : undefined));
    if (turn.reason && turn.heard_characters < turn.avatar.length) html(said, "s", turn.avatar.slice(turn.heard_characters)).title = "not heard";
  }
  for (const moment of told.moments.filter((moment) => moment.turn === number && moment.kind === "fault")) html(detail, "p", moment.text, "fault");
  if (turn.total !== null) waterfall(detail, turn);
  draw();
}

function waterfall(parent, turn) {
  const rows = html(html(parent, "table"), "tbody");
  const most = Math.max(...turn.parts.map((part) => part.milliseconds));
  let at = 0;
  for (const part of turn.parts) {
    const row = html(rows, "tr", "", part.milliseconds === most ? "most" : part.milliseconds < 1 ? "slight" : "");
    html(row, "th", plain(part.name)).scope = "row";
    const bar = html(html(html(row, "td"), "div", "", "track"), "i");
    bar.style.left = `${(100 * at) / turn.total}%`;
    bar.style.width = `${(100 * part.milliseconds) / turn.total}%`;
    bar.style.background = hue(part.name);
    html(row, "td", time(part.milliseconds));
    tip(row, told.meanings[part.name] ?? plain(part.name));
    at += part.milliseconds;
  }
  const sum = html(rows, "tr", "", "sum");
  html(sum, "th", "sum");
  html(sum, "td");
  html(sum, "td", time(turn.total));
}

// --- the head --------------------------------------------------------------------------------------

function head() {
  const { session } = told;
  document.title = `${session.session_id} · stagewire timeline`;
  const name = session.avatar_id[0].toUpperCase() + session.avatar_id.slice(1);
  html(byId("title"), "span", `A conversation with ${name}`);
  html(byId("title"), "small", session.session_id);
  byId("about").textContent = `${new Date(session.start_time).toLocaleString()} · ${session.end_reason || "still going on"} · trace ${session.trace_id}`;
  const cut = told.moments.filter((moment) => moment.kind === "interruption").length;
  const faults = told.moments.filter((moment) => moment.kind === "fault").length;
  const totals = told.turns.map((turn) => turn.total).filter((total) => total !== null);
  const figures = [
    [clock(session.duration, 1000), "long"], [session.turns, "turns"],
    [session.median_total === null ? "–" : time(session.median_total), "median response"],
    [totals.length ? time(Math.max(...totals)) : "–", "slowest"], [cut, "interruptions"],
  ];
  if (faults) figures.push([faults, "faults"]);
  for (const [value, label] of figures) {
    const figure = html(byId("figures"), "div");
    html(figure, "dt", label);
    html(figure, "dd", String(value));
  }
  const legend = [["asr", "until the first output"], ["network", "network and proxy"], ["wait", "waiting"]];
  for (const [lane, label] of legend) {
    const item = html(byId("legend"), "li");
    html(item, "i").style.background = lane === "asr" ? "linear-gradient(90deg, var(--asr), var(--llm), var(--tts))" : color(lane);
    html(item, "span", label);
  }
  const later = html(byId("legend"), "li");
  html(later, "i").style.cssText = "background: linear-gradient(90deg, var(--asr), var(--llm), var(--tts)); opacity: .35";
  html(later, "span", "more output");
  if (!told.content) html(byId("legend"), "li", "words and sound were not kept: STAGEWIRE_ORCHESTRATOR_TIMELINE_CONTENT");
  if (told.dropped) html(byId("legend"), "li", `${told.dropped} older entries were forgotten`);
}

head();
listTurns();
const slowest = [...sounding].sort((a, b) => (b.total ?? -1) - (a.total ?? -1))[0];
choose(slowest?.turn ?? 0);
