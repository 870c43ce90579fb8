// How this page may create sessions: freely, through the team's own backend, or with an API key
// that the visitor pastes. The key lives in this object and nowhere else.

import * as api from "../client/api.ts";
import { byId, hide } from "./dom.ts";

export class Access {
  private readonly form = byId("key-form");
  private readonly field = byId("key") as HTMLInputElement;
  private readonly note = byId("key-note");
  private settings: Pick<api.PageSettings, "key_required" | "sessions_url"> = {
    key_required: false,
    sessions_url: "",
  };
  private key = "";

  constructor(start: () => void) {
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      start();
    });
  }

  /** Takes what the server says about itself. */
  set(settings: Pick<api.PageSettings, "key_required" | "sessions_url">): void {
    this.settings = settings;
  }

  /** Whether the visitor must show a key first. */
  get lacksKey(): boolean {
    return this.settings.key_required && !this.settings.sessions_url && !this.key;
  }

  /** Shows the field where one is needed, else hides it. */
  offer(wanted: boolean): void {
    hide(this.form, !wanted || !this.lacksKey);
  }

  /** Puts the visitor where the key goes. */
  ask(): void {
    this.offer(true);
    this.field.focus();
  }

  /** Creates a session; null when the visitor must show another key, which is then said. */
  async create(avatarId: string, asked: string | null): Promise<api.Created | null> {
    const transport = asked === "livekit" ? "livekit" : "websocket";
    const { sessions_url: url } = this.settings;
    if (this.lacksKey) this.key = this.field.value.trim();
    if (this.lacksKey) {
      this.ask();
      return null;
    }
    try {
      const created = await api.createSession(avatarId, { transport, key: this.key, url });
      this.field.value = "";
      this.say("");
      return created;
    } catch (error) {
      const refused = error instanceof api.ApiError && [401, 403].includes(error.status);
      if (!refused || !this.settings.key_required) throw error;
      if (url) throw new Error("You may not start a conversation here. Sign in, then reload this page.");
      this.key = "";
      this.say("The server does not know this key.");
      this.ask();
      return null;
    }
  }

  private say(problem: string): void {
    byId("key-problem").textContent = problem;
    this.field.setAttribute("aria-invalid", String(problem !== ""));
    hide(this.note, problem !== "");
  }
}
