// The page: one conversation at a time with a chosen avatar.

import { Avatar, type Render } from "../avatar/avatar.ts";
import * as api from "../client/api.ts";
import { connect, type Session } from "../client/session.ts";
import { Captions } from "./captions.ts";
import { Latency } from "./latency.ts";
import { Picker } from "./picker.ts";
import { byId, hide } from "./dom.ts";

const STATES: Record<string, string> = {
  off: "Ready when you are",
  connecting: "Connecting…",
  starting: "Getting ready…",
  listening: "Listening",
  thinking: "Thinking",
  speaking: "Speaking",
  trouble: "Connection lost, trying again…",
};

class Page {
  session: Session | null = null;
  readonly avatar: Avatar | null;
  private readonly captions = new Captions();
  private readonly latency = new Latency();
  private readonly picker: Picker;
  private settings: api.PageSettings = { trace_url: "" };
  private hasMicrophone = false;

  constructor() {
    this.avatar = this.makeAvatar();
    this.picker = new Picker((look) => void this.show(look));
    byId("start").addEventListener("click", () => void this.start(true));
    byId("mute").addEventListener("click", () => void this.toggleMute());
    byId("stop").addEventListener("click", () => this.session?.interrupt());
    byId("end").addEventListener("click", () => void this.session?.close());
    byId("form").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.sendText();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.session?.interrupt();
    });
    addEventListener("pagehide", () => void this.session?.close());
  }

  async open(): Promise<void> {
    try {
      this.picker.fill(await api.avatars());
      this.settings = await api.settings();
    } catch (error) {
      this.alert(sentence(error), "Reload", () => location.reload());
    }
  }

  private makeAvatar(): Avatar | null {
    const asked = new URLSearchParams(location.search).get("render") ?? "auto";
    const render = (["full", "lite", "none"].includes(asked) ? asked : "auto") as Render;
    try {
      return new Avatar(byId("canvas") as HTMLCanvasElement, render);
    } catch (error) {
      this.alert(`${sentence(error)} You can still talk.`, "OK", () => this.alert(""));
      return null;
    }
  }

  private async show(look: string): Promise<void> {
    const loading = byId("loading");
    const bar = byId("progress") as HTMLProgressElement;
    hide(loading, false);
    try {
      await this.avatar?.load(look, (part) => (bar.value = part));
    } catch (error) {
      this.alert(sentence(error), "Try again", () => void this.show(look));
    }
    hide(loading, true);
    document.documentElement.dataset.shown = look;
  }

  /** Begins a conversation, from a click or a typed text. */
  private async start(withMicrophone: boolean): Promise<void> {
    if (this.session) return;
    const button = byId("start") as HTMLButtonElement;
    button.disabled = true;
    this.alert("");
    this.state("connecting");
    try {
      const created = await api.createSession(this.picker.chosen, this.transport());
      this.captions.clear();
      this.latency.clear(this.traceOf(created));
      const session = await connect({ session: created });
      this.session = session;
      if (this.avatar) this.avatar.session = session;
      this.follow(session);
      this.controls(true);
      if (withMicrophone) await session.setMicrophone(true);
    } catch (error) {
      this.state("off");
      this.alert(sentence(error), "Try again", () => void this.start(withMicrophone));
    } finally {
      button.disabled = false;
    }
  }

  private follow(session: Session): void {
    session.on("connection", ({ state, message }) => {
      if (state === "open") this.state(session.state);
      if (state === "reconnecting") this.state("trouble");
      if (state === "closed") this.ended(session, message);
    });
    session.on("state", (state) => {
      this.state(state);
      hide(byId("stop"), state !== "speaking");
    });
    session.on("heard", ({ text, final }) => this.captions.heard(text, final));
    session.on("said", ({ turn, text }) => this.captions.said(turn, text));
    session.on("progress", ({ turn, characters }) => this.captions.progress(turn, characters));
    session.on("turn", (turn) => this.captions.over(turn));
    session.on("latency", (turn) => this.latency.show(turn));
    session.on("notice", ({ message }) => this.captions.note(message));
    session.on("microphone", ({ on, muted, problem }) => this.microphone(on, muted, problem));
    session.on("blocked", (blocked) => {
      if (blocked) {
        this.alert("The browser holds the sound back.", "Play sound", () => {
          this.alert("");
          void session.resume();
        });
      } else if (byId("alert-button").textContent === "Play sound") this.alert("");
    });
  }

  private ended(session: Session, message: string): void {
    if (this.session !== session) return;
    this.session = null;
    if (this.avatar) this.avatar.session = null;
    this.controls(false);
    this.state("off");
    byId("caption").textContent = "";
    if (message) this.captions.note(message);
  }

  private microphone(on: boolean, muted: boolean, problem: { message: string } | null): void {
    this.hasMicrophone = on;
    const button = byId("mute");
    button.setAttribute("aria-pressed", String(muted && on));
    button.textContent = on ? (muted ? "Unmute" : "Mute") : "Microphone";
    if (problem) {
      this.alert(problem.message, "Try again", () => {
        this.alert("");
        void this.session?.setMicrophone(true);
      });
    } else if (byId("alert-button").textContent === "Try again") this.alert("");
  }

  private async toggleMute(): Promise<void> {
    const muted = byId("mute").getAttribute("aria-pressed") === "true";
    await this.session?.setMicrophone(!this.hasMicrophone || muted);
  }

  private async sendText(): Promise<void> {
    const field = byId("text") as HTMLInputElement;
    const text = field.value.trim();
    if (!text) return;
    if (!this.session) await this.start(false);
    if (!this.session) return;
    field.value = "";
    this.session.sendText(text);
  }

  private controls(live: boolean): void {
    hide(byId("start"), live);
    hide(byId("end"), !live);
    hide(byId("mute"), !live);
    hide(byId("stop"), true);
    byId("mute").textContent = "Microphone";
    this.picker.disabled = live;
  }

  private state(state: string): void {
    const shown = byId("state");
    shown.dataset.state = state;
    shown.textContent = STATES[state] ?? state;
    if (this.avatar) {
      const moods = ["listening", "thinking", "speaking"] as const;
      this.avatar.mood = moods.find((mood) => mood === state) ?? "idle";
    }
  }

  private alert(text: string, button = "", action: () => void = () => {}): void {
    hide(byId("alert"), !text);
    byId("alert-text").textContent = text;
    const old = byId("alert-button");
    const fresh = old.cloneNode() as HTMLElement;
    fresh.textContent = button;
    fresh.addEventListener("click", action);
    old.replaceWith(fresh);
  }

  /** `?transport=livekit` talks in a LiveKit room. */
  private transport(): "websocket" | "livekit" {
    const asked = new URLSearchParams(location.search).get("transport");
    return asked === "livekit" ? "livekit" : "websocket";
  }

  private traceOf(created: api.Created): string {
    const id = created.session.trace_id;
    return id ? this.settings.trace_url.replace("{trace_id}", encodeURIComponent(id)) : "";
  }
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const page = new Page();
void page.open();
// For tests and for the curious: the running page, not a second API.
Object.assign(globalThis, { stagewire: page });
