// The voice as a WebRTC track: played through WebAudio, and placed on the turn's own timeline.
//
// docs/livekit.md says how: clock packets tell when a sample entered the room, the receiver's
// statistics how long its jitter buffer holds what it plays, and the rest is constant.

import type { Player, Position } from "./player.ts";
import type { Mark } from "./ring.ts";
import { Stretches } from "./stretches.ts";

const MARK_EVERY = 33;
const STATISTICS_EVERY = 100;
const FADE_SECONDS = 0.004;
// Encoder and packets (docs/livekit.md), and what WebAudio holds of a track before it plays it.
const CODING = 12;
const WEB_AUDIO = 35;

export class TrackPlayer implements Player {
  onMark: (mark: Mark) => void = () => {};
  /** Milliseconds that the jitter buffer holds now. */
  jitter = 0;
  readonly context = new AudioContext({ latencyHint: "interactive" });
  private readonly gain = this.context.createGain();
  private readonly stretches: Stretches;
  private readonly timers: number[];
  // Chromium only decodes a remote track that an element plays, too.
  private readonly element = new Audio();
  private source: MediaStreamAudioSourceNode | null = null;
  private receiver: RTCRtpReceiver | null = null;
  private before = { delay: 0, count: 0 };
  private flushed: Position | null = null;
  private told: Position = { turn: 0, sample: 0, running: false };
  private completed = 0;

  constructor(readonly hertz: number) {
    this.stretches = new Stretches(hertz);
    this.gain.connect(this.context.destination);
    this.element.muted = true;
    this.timers = [
      window.setInterval(() => this.mark(), MARK_EVERY),
      window.setInterval(() => void this.readStatistics(), STATISTICS_EVERY),
    ];
  }

  get output(): AudioNode {
    return this.gain;
  }

  /** Plays a track; one that is played already is replaced. */
  play(track: MediaStreamTrack, receiver: RTCRtpReceiver | null): void {
    const stream = new MediaStream([track]);
    this.source?.disconnect();
    this.element.srcObject = stream;
    this.source = this.context.createMediaStreamSource(stream);
    this.source.connect(this.gain);
    this.receiver = receiver;
    this.before = { delay: 0, count: 0 };
  }

  /** The sample enters the room now. */
  clock(turn: number, sample: number, epoch: number): void {
    this.stretches.clock(turn, sample, epoch, performance.now());
  }

  start(turn: number): void {
    if (!this.flushed || turn <= this.flushed.turn) return;
    // What was on its way of the silenced turn has passed by unheard.
    this.flushed = null;
    this.fade(1);
  }

  finish(turn: number, samples: number): void {
    this.stretches.end(turn, samples);
  }

  flush(turn: number): void {
    const { flushed } = this;
    if (flushed && flushed.turn >= turn) return;
    const position = this.position();
    this.flushed = { turn, sample: position?.turn === turn ? position.sample : 0, running: false };
    this.fade(0);
    if (position?.running) this.tell({ ...position, running: false }, "flushed");
  }

  position(): Position | null {
    return this.heard();
  }

  /** Marks of a track count frames of the voice from the page's own start. */
  soundsAt(frame: number): number {
    return (frame / this.hertz) * 1000;
  }

  async close(): Promise<void> {
    for (const timer of this.timers) clearInterval(timer);
    this.element.srcObject = null;
    await this.context.close();
  }

  private heard(): (Position & { over?: boolean }) | null {
    const { context, flushed } = this;
    const output = (context.outputLatency || context.baseLatency || 0) * 1000;
    const entered = performance.now() - this.jitter - CODING - WEB_AUDIO - output;
    const heard = this.stretches.at(entered);
    return flushed && heard && heard.turn <= flushed.turn ? flushed : heard;
  }

  private mark(): void {
    const heard = this.heard();
    if (!heard || heard === this.flushed) return;
    if (heard.over) {
      if (this.completed < heard.turn) this.tell({ ...heard, running: false }, "completed");
      this.completed = heard.turn;
    } else if (heard.running || this.told.running) this.tell(heard);
  }

  private tell(position: Position, over?: "completed" | "flushed"): void {
    const { turn, sample, running } = position;
    this.told = position;
    const frame = Math.round((performance.now() * this.hertz) / 1000);
    this.onMark({ turn, sample, frame, running, ...(over ? { over } : {}) });
  }

  private fade(to: number): void {
    const { gain } = this.gain;
    const now = this.context.currentTime;
    gain.cancelScheduledValues(now);
    gain.setValueAtTime(gain.value, now);
    gain.linearRampToValueAtTime(to, now + FADE_SECONDS);
  }

  private async readStatistics(): Promise<void> {
    const report = await this.receiver?.getStats().catch(() => null);
    for (const stats of report?.values() ?? []) {
      if (stats.type !== "inbound-rtp") continue;
      const delay = stats.jitterBufferDelay as number;
      const count = stats.jitterBufferEmittedCount as number;
      const emitted = count - this.before.count;
      if (emitted > 0) this.jitter = ((delay - this.before.delay) / emitted) * 1000;
      this.before = { delay, count };
    }
  }
}
