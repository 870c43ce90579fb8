// The page: one conversation at a time with a chosen avatar.

import type { MicrophoneState } from "../audio/microphone.ts";
import { Avatar, type Render } from "../avatar/avatar.ts";
import * as api from "../client/api.ts";
import { connect, type Session } from "../client/session.ts";
import { Access } from "./access.ts";
import { Alerts } from "./alerts.ts";
import { Captions } from "./captions.ts";
import { Latency } from "./latency.ts";
import { Picker } from "./picker.ts";
import { hasNoLoudspeaker, SoundCheck } from "./sound-check.ts";
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

const NO_LIPS = "Voice only: this avatar's lips do not move.";
const LIPS_REST = "The lips rest for the moment; the voice goes on.";
const NO_LOUDSPEAKER =
  "No loudspeaker or headphones were found. Connect them to hear the avatar; its words are shown meanwhile.";

class Page {
  session: Session | null = null;
  readonly avatar: Avatar | null;
  private readonly alerts = new Alerts();
  private readonly access = new Access(() => void this.start(true));
  private readonly captions = new Captions();
  private readonly latency = new Latency();
  private readonly picker: Picker;
  private readonly soundCheck = new SoundCheck(() => this.whatSounds());
  private traceUrl = "";
  private hasMicrophone = false;
  private isMuted = false;

  constructor() {
    this.avatar = this.makeAvatar();
    this.picker = new Picker((avatar) => {
      this.captions.avatar = avatar;
      void this.show(avatar.look);
    });
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
      const settings = await api.settings();
      this.traceUrl = settings.trace_url;
      this.access.set(settings);
    } catch (error) {
      this.alerts.show("problem", sentence(error), ["Reload", () => location.reload()]);
    }
    this.controls(false);
  }

  private makeAvatar(): Avatar | null {
    const asked = new URLSearchParams(location.search).get("render") ?? "auto";
    const render = (["full", "lite", "none"].includes(asked) ? asked : "auto") as Render;
    try {
      return new Avatar(byId("canvas") as HTMLCanvasElement, render);
    } catch (error) {
      this.alerts.show("problem", `${sentence(error)} You can still talk.`, ["OK", () => {}]);
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
      this.alerts.show("problem", sentence(error), ["Try again", () => void this.show(look)]);
    }
    hide(loading, true);
    document.documentElement.dataset.shown = look;
  }

  /** Begins a conversation, from a click or a typed text. */
  private async start(withMicrophone: boolean): Promise<void> {
    if (this.session || this.isStarting) return;
    this.isStarting = true;
    this.alerts.clear("problem");
    this.state("connecting");
    // `?transport=livekit` talks in a LiveKit room.
    const asked = new URLSearchParams(location.search).get("transport");
    try {
      const created = await this.access.create(this.picker.chosen, asked);
      if (!created) {
        this.state("off");
        return;
      }
      this.captions.clear();
      this.latency.clear(this.traceOf(created));
      const session = await connect({ session: created });
      this.session = session;
      if (this.avatar) this.avatar.session = session;
      this.follow(session);
      this.controls(true);
      void this.checkLoudspeaker();
      if (withMicrophone) await session.setMicrophone(true);
    } catch (error) {
      this.state("off");
      const again = (): void => void this.start(withMicrophone);
      this.alerts.show("problem", sentence(error), ["Try again", again]);
    } finally {
      this.isStarting = false;
    }
  }

  private set isStarting(starting: boolean) {
    for (const id of ["start", "key-start"]) (byId(id) as HTMLButtonElement).disabled = starting;
  }

  private get isStarting(): boolean {
    return (byId("start") as HTMLButtonElement).disabled;
  }

  private follow(session: Session): void {
    session.on("connection", ({ state, message }) => {
      if (state === "open") this.state(session.state);
      if (state === "reconnecting") this.state("trouble");
      if (state === "closed") this.ended(session, message);
    });
    session.on("state", (state) => {
      this.state(state);
      showControl("stop", state === "speaking");
      this.soundCheck.look();
    });
    session.on("heard", ({ text, final }) => this.captions.heard(text, final));
    session.on("said", ({ turn, text }) => this.captions.said(turn, text));
    session.on("progress", ({ turn, characters }) => this.captions.progress(turn, characters));
    session.on("turn", (turn) => this.captions.over(turn));
    session.on("latency", (turn) => this.latency.show(turn));
    session.on("notice", ({ message }) => this.captions.note(message));
    session.on("lips", ({ moving, ever }) => {
      byId("hint").textContent = moving ? "" : ever ? LIPS_REST : NO_LIPS;
    });
    session.on("microphone", (state) => this.microphone(state));
    session.on("blocked", (blocked) => {
      if (blocked) {
        const play = (): void => void session.resume();
        this.alerts.show("sound", "The browser holds the sound back.", ["Play sound", play]);
      } else this.alerts.clear("sound");
      this.soundCheck.look();
    });
  }

  private ended(session: Session, message: string): void {
    if (this.session !== session) return;
    this.session = null;
    if (this.avatar) this.avatar.session = null;
    for (const kind of ["microphone", "sound", "loudspeaker"] as const) this.alerts.clear(kind);
    byId("hint").textContent = byId("caption").textContent = "";
    this.controls(false);
    this.state("off");
    if (message) this.captions.note(message);
  }

  private microphone({ on, muted, problem }: MicrophoneState): void {
    [this.hasMicrophone, this.isMuted] = [on, muted];
    const button = byId("mute");
    button.dataset.muted = String(muted && on);
    button.textContent = on ? (muted ? "Unmute" : "Mute") : "Microphone";
    if (problem) {
      const again = (): void => void this.session?.setMicrophone(true);
      const type = (): void => byId("text").focus();
      this.alerts.show("microphone", problem.message, ["Try again", again], ["Type", type]);
    } else this.alerts.clear("microphone");
    void this.checkLoudspeaker(); // more devices are listed once the microphone is allowed
  }

  private async toggleMute(): Promise<void> {
    await this.session?.setMicrophone(!this.hasMicrophone || this.isMuted);
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

  private async checkLoudspeaker(): Promise<void> {
    if (!(await hasNoLoudspeaker())) this.alerts.clear("loudspeaker");
    else if (this.session) this.alerts.show("loudspeaker", NO_LOUDSPEAKER, ["OK", () => {}]);
  }

  private whatSounds(): string {
    const { session } = this;
    if (!session) return "Nothing is played now: no conversation goes on.";
    if (session.playback && session.playback.context.state !== "running") {
      return "The browser holds the sound back. Press “Play sound”.";
    }
    return session.state === "speaking" ? "The avatar's voice is played now." : "Nothing is played now.";
  }

  private controls(live: boolean): void {
    const key = this.access.lacksKey;
    byId("mute").textContent = "Microphone";
    byId("bottom").classList.toggle("live", live);
    this.access.offer(!live);
    // What comes is shown before what goes, so that the keyboard's focus has where to go.
    if (live) for (const id of ["mute", "end"]) showControl(id, true);
    else showControl("start", !key);
    if (live) showControl("start", false);
    else for (const id of ["mute", "stop", "end"]) showControl(id, false);
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

  private traceOf(created: api.Created): string {
    const id = created.session.trace_id;
    return id ? this.traceUrl.replace("{trace_id}", encodeURIComponent(id)) : "";
  }
}

/** Shows or hides a button; the focus of one that goes passes to the first that stays. */
function showControl(id: string, shown: boolean): void {
  const control = byId(id);
  const leaves = !shown && document.activeElement === control;
  hide(control, !shown);
  if (leaves) document.querySelector<HTMLElement>(".controls button:not([hidden])")?.focus();
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const page = new Page();
void page.open();
// For tests and for the curious: the running page, not a second API.
Object.assign(globalThis, { stagewire: page });
