// A conversation: a transport, a microphone, a loudspeaker, and what is known about all of it.

import { Capture } from "../audio/capture.ts";
import { FirstSound } from "../audio/first-sound.ts";
import { Microphone, type MicrophoneState } from "../audio/microphone.ts";
import { Playback } from "../audio/playback.ts";
import type { Player, Position } from "../audio/player.ts";
import type { Mark } from "../audio/ring.ts";
import { IdleLoop } from "../motion/idle.ts";
import { Timeline, type Shown } from "../motion/timeline.ts";
import type { Created } from "./api.ts";
import { beside, transportOf } from "./choice.ts";
import { Emitter } from "./emitter.ts";
import type { Joined, Listener, Motion, SessionEvent, Transport, Voice, Word } from "./transport.ts";

export type ConversationState = "starting" | "listening" | "thinking" | "speaking";

export interface LatencyPart {
  readonly name: string;
  readonly milliseconds: number;
}

/** What a session tells. */
export interface SessionEvents {
  connection: { state: "connecting" | "open" | "reconnecting" | "closed"; message: string };
  state: ConversationState;
  /** What the user says; a later one for the same words replaces it. */
  heard: { text: string; final: boolean };
  /** What the avatar says; grows by clauses. */
  said: { turn: number; text: string };
  /** How many code points of the turn's text have sounded. */
  progress: { turn: number; characters: number };
  /** A turn is over. */
  turn: { turn: number; reason: string; text: string; heardCharacters: number };
  latency: { turn: number; milliseconds: number; parts: LatencyPart[] };
  notice: { message: string };
  microphone: MicrophoneState;
  /** Whether the lips move with what sounds, and whether they ever did or could. */
  lips: { moving: boolean; ever: boolean };
  /** True while the browser holds sound back until somebody clicks. */
  blocked: boolean;
}

export interface Options {
  /** What `createSession` returned: it says over which transport the session is joined. */
  readonly session?: Created;
  /** A transport of your own, instead. */
  readonly transport?: Transport;
  /** Where the two worklets are served; by default beside this file. */
  readonly worklets?: Worklets;
}

interface Worklets {
  readonly capture: string;
  readonly playback: string;
}

const REPORT_EVERY = 100;
// Milliseconds of voice without motion after which the lips are said to rest.
const LIPS_LATE = 500;

/** Joins a session. Call it from a click, so that the browser lets it sound. */
export async function connect({ session: created, transport, worklets }: Options): Promise<Session> {
  const chosen = transport ?? (created && (await transportOf(created)));
  if (!chosen) throw new TypeError("connect needs a session, or a transport");
  const packaged = { capture: beside("capture.js"), playback: beside("playback.js") };
  const session = new Session(chosen, worklets ?? packaged);
  // In a later task, so that the caller can listen first.
  setTimeout(() => session.open());
  return session;
}

export class Session extends Emitter<SessionEvents> implements Listener {
  state: ConversationState = "starting";
  playback: Player | null = null;
  timeline: Timeline | null = null;
  /** What the face does between turns; null where the motion engine leaves that to the client. */
  idle: IdleLoop | null = null;
  private waiting: ((playback: Player) => void)[] = [];
  private opening: Promise<void> | null = null;
  private readonly microphone: Microphone;
  private words: Word[] = [];
  private wordsTurn = 0;
  private readonly firstSound = new FirstSound();
  private lastReport = 0;
  private reported = { turn: 0, sample: 0, stopped: false };
  private serverState: ConversationState = "starting";
  private isSounding = false;
  private isLost = false;
  private lips = { moving: true, ever: true };
  private isClosed = false;

  constructor(
    private readonly transport: Transport,
    private readonly worklets: Worklets,
  ) {
    super();
    this.microphone = new Microphone(
      () => this.openCapture(),
      (state) => this.emit("microphone", state),
      navigator.mediaDevices,
    );
  }

  /** Joins; `connect` does this. */
  open(): void {
    if (this.isClosed) return;
    this.emit("connection", { state: "connecting", message: "Connecting…" });
    this.transport.open(this);
  }

  /** Opens the microphone, mutes it, or lets it go on; never throws, tells `microphone`. */
  setMicrophone(on: boolean): Promise<void> {
    return this.microphone.set(on);
  }

  /** Says something by keyboard. */
  sendText(text: string): void {
    this.transport.text(text);
  }

  /** Makes the avatar be silent: at once here, and for the server. */
  interrupt(): void {
    const turn = this.playback?.position()?.turn;
    if (turn) this.silence(turn);
    this.transport.interrupt();
  }

  /** Lets a browser that held sound back sound; call it from a click. */
  async resume(): Promise<void> {
    await Promise.all([this.playback?.context.resume(), this.microphone.resume()]);
  }

  /** Leaves and lets go of microphone and loudspeaker; `message` says why to those who listen. */
  async close(message = ""): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    this.transport.close();
    this.emit("connection", { state: "closed", message });
    await this.microphone.close();
    await this.opening;
    await this.playback?.close();
    this.playback = null;
  }

  /** The face for what sounds now; null between turns. */
  face(): (Shown & { position: Position }) | null {
    const position = this.playback?.position();
    if (!position?.running || !this.timeline) return null;
    const shown = this.timeline.face(position.turn, position.sample);
    return shown && { ...shown, position };
  }

  joined(joined: Joined): void {
    this.timeline ??= new Timeline(joined.motionCodec, joined.voiceHertz);
    this.idle ??= IdleLoop.from(joined.motionCodec, joined.motionRate, joined.idle);
    this.opening ??= this.openPlayback(joined);
    this.isLost = false;
    this.emit("connection", { state: "open", message: "" });
    if (!joined.motionCodec) this.tellLips(false, false);
  }

  turnStart(turn: number): void {
    this.timeline?.start(turn);
    if (turn > this.wordsTurn) {
      this.wordsTurn = turn;
      this.words = [];
    }
    this.withPlayback((playback) => playback.start(turn));
  }

  voice({ turn, start, pcm }: Voice): void {
    if (start === 0) this.firstSound.arrived(turn, performance.now());
    this.withPlayback((playback) => playback.push?.(turn, start, pcm));
  }

  motion(motion: Motion): void {
    this.timeline?.push(motion);
  }

  endOfTurn(turn: number, samples: number): void {
    this.withPlayback((playback) => playback.finish(turn, samples));
  }

  interrupted(turn: number): void {
    this.silence(turn);
  }

  event(event: SessionEvent): void {
    const turn = event.turn ?? 0;
    if (event.state_changed) this.serverSays(event.state_changed.state ?? "");
    const { user_transcript: user, avatar_transcript: avatar, turn_summary: summary } = event;
    if (user) this.emit("heard", { text: user.text ?? "", final: user.final ?? false });
    if (avatar) this.emit("said", { turn, text: avatar.text ?? "" });
    if (summary) {
      this.emit("turn", {
        turn,
        reason: (summary.reason ?? "").replace("TURN_END_REASON_", "").toLowerCase(),
        text: summary.text ?? "",
        heardCharacters: summary.heard_characters ?? 0,
      });
    }
    if (event.latency) {
      const parts = (event.latency.parts ?? []).map((part) => ({
        name: part.name ?? "",
        milliseconds: milliseconds(part.duration),
      }));
      this.emit("latency", { turn, milliseconds: milliseconds(event.latency.total), parts });
    }
    if (event.notice) this.emit("notice", { message: event.notice.message ?? "" });
    if (event.session_ended) this.closed(event.session_ended.reason ?? "");
  }

  refused(code: string, message: string): void {
    // A fault of this client, and nothing that the person in front of it could do about.
    console.warn(`the server refused a message: ${code}: ${message}`);
  }

  lost(reason: string): void {
    this.isLost = true;
    this.emit("connection", { state: "reconnecting", message: reason });
  }

  closed(reason: string): void {
    void this.close(reason || "The conversation has ended.");
  }

  /** Words of a turn, and when they sound. */
  wordsOf(turn: number, words: readonly Word[]): void {
    if (turn === this.wordsTurn) this.words.push(...words);
  }

  spoken(turn: number, characters: number): void {
    this.emit("progress", { turn, characters });
  }

  private openCapture(): Promise<Capture> {
    const { transport, worklets } = this;
    if (transport.publish) return Capture.track((track) => transport.publish!(track));
    return Capture.open(worklets.capture, (pcm) => transport.microphone?.(pcm));
  }

  private async openPlayback(joined: Joined): Promise<void> {
    const opened = this.transport.openPlayer?.(joined);
    const playback = await (opened ?? Playback.open(joined.voiceHertz, this.worklets.playback));
    const { context } = playback;
    playback.onMark = (mark) => this.marked(mark);
    const check = (): void => this.emit("blocked", context.state !== "running" && !this.isClosed);
    context.onstatechange = check;
    void context.resume();
    this.playback = playback;
    for (const call of this.waiting) call(playback);
    this.waiting = [];
    setTimeout(check, 300);
  }

  /** Media may come before the audio device is open. */
  private withPlayback(call: (playback: Player) => void): void {
    if (this.playback) call(this.playback);
    else this.waiting.push(call);
  }

  private silence(turn: number): void {
    this.withPlayback((playback) => {
      const position = playback.position();
      playback.flush(turn);
      if (position && position.turn <= turn) {
        this.report(position.turn, position.sample, true);
      }
    });
  }

  private marked(mark: Mark): void {
    const { playback } = this;
    if (!playback) return; // closed meanwhile
    this.isSounding = mark.running;
    this.showState();
    if (mark.running) this.goesOn(mark, playback);
    else if (mark.over !== "flushed") this.ranOut(mark, playback);
  }

  private goesOn(mark: Mark, playback: Player): void {
    this.firstSound.sounds(mark.turn, playback.soundsAt(mark.frame - mark.sample));
    const now = performance.now();
    const position = playback.position();
    if (!position) return;
    this.progress(position.turn, position.sample);
    this.checkLips(position);
    if (position.running && now - this.lastReport >= REPORT_EVERY - 16) {
      this.lastReport = now;
      this.report(position.turn, position.sample, false);
    }
  }

  /**
   * The end, or all that has come so far: it has left for the loudspeaker, and is heard a little later.
   *
   * A server that is not told would take a voice that comes slowly for a stuck client.
   */
  private ranOut(mark: Mark, playback: Player): void {
    setTimeout(
      () => {
        this.report(mark.turn, mark.sample, false);
        this.progress(mark.turn, mark.sample);
      },
      (playback.context.outputLatency || 0) * 1000 + 5,
    );
  }

  /** The device's clock is estimated anew at each look, so it may seem to go back a little. */
  private report(turn: number, sample: number, stopped: boolean): void {
    const { reported } = this;
    if (turn < reported.turn || (turn === reported.turn && reported.stopped)) return;
    const before = turn === reported.turn ? reported.sample : 0;
    this.reported = { turn, sample: Math.max(before, Math.floor(sample)), stopped };
    this.transport.playback?.(turn, this.reported.sample, stopped, this.firstSound.of(turn));
  }

  private progress(turn: number, sample: number): void {
    if (turn !== this.wordsTurn) return;
    const spoken = this.words.filter((word) => word.start_sample <= sample).at(-1);
    if (spoken) this.emit("progress", { turn, characters: spoken.text_end });
  }

  private checkLips({ turn, sample, running }: Position): void {
    if (!running || !this.lips.ever || !this.playback) return;
    if (this.timeline?.face(turn, sample)) this.tellLips(true);
    else if (sample > (LIPS_LATE / 1000) * this.playback.hertz) this.tellLips(false);
  }

  private tellLips(moving: boolean, ever = true): void {
    if (moving === this.lips.moving && ever === this.lips.ever) return;
    this.lips = { moving, ever };
    this.emit("lips", this.lips);
  }

  private serverSays(state: string): void {
    this.serverState = state.replace("CONVERSATION_STATE_", "").toLowerCase() as ConversationState;
    this.showState();
  }

  /** What the person sees: the avatar speaks for as long as it sounds here. */
  private showState(): void {
    const state = this.isSounding ? "speaking" : this.serverState;
    if (state === this.state) return;
    this.state = state;
    // Without a connection the last sound fades out, and that is no news.
    if (!this.isLost) this.emit("state", state);
  }
}

/** A protobuf Duration in JSON, such as "1.250s", in milliseconds. */
export function milliseconds(duration: string | undefined): number {
  return Number.parseFloat(duration ?? "0") * 1000 || 0;
}
