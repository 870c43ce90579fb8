// The loudspeaker: hands samples to the audio thread and knows what sounds now.

import { PlaybackClock } from "./clock.ts";
import type { Mark } from "./ring.ts";

export type PlayerMessage =
  | { type: "start"; turn: number }
  | { type: "pcm"; turn: number; start: number; pcm: Int16Array }
  | { type: "finish"; turn: number; samples: number }
  | { type: "flush"; turn: number };

/** What the core does with sound; the LiveKit transport plays a track instead. */
export interface Position {
  readonly turn: number;
  readonly sample: number;
  readonly running: boolean;
}

export class Playback {
  /** Called when the position is known anew, about 30 times a second while it plays. */
  onMark: (mark: Mark) => void = () => {};
  underruns = 0;
  private readonly clock = new PlaybackClock();

  private constructor(
    readonly context: AudioContext,
    private readonly node: AudioWorkletNode,
  ) {
    node.port.onmessage = ({ data }: MessageEvent<{ mark: Mark; underruns: number }>) => {
      this.clock.take(data.mark);
      this.underruns = data.underruns;
      this.onMark(data.mark);
    };
  }

  /** Opens the device at the voice's rate, so that a sample of the turn is a frame of the device. */
  static async open(hertz: number, workletUrl: string): Promise<Playback> {
    const context = new AudioContext({ sampleRate: hertz, latencyHint: "interactive" });
    await context.audioWorklet.addModule(workletUrl);
    const node = new AudioWorkletNode(context, "stagewire-player", {
      numberOfInputs: 0,
      outputChannelCount: [1],
    });
    node.connect(context.destination);
    return new Playback(context, node);
  }

  /** Where the sound comes from, for whoever records or measures it. */
  get output(): AudioNode {
    return this.node;
  }

  start(turn: number): void {
    this.post({ type: "start", turn });
  }

  push(turn: number, start: number, pcm: Int16Array): void {
    const own = pcm.slice();
    this.node.port.postMessage({ type: "pcm", turn, start, pcm: own }, [own.buffer]);
  }

  finish(turn: number, samples: number): void {
    this.post({ type: "finish", turn, samples });
  }

  flush(turn: number): void {
    this.post({ type: "flush", turn });
  }

  /** What the loudspeaker sounds now. */
  position(): Position | null {
    const { context } = this;
    const now = performance.now();
    return this.clock.at(Math.round(((now - this.zero(now)) / 1000) * context.sampleRate));
  }

  /** When a frame of the device sounds (or did), on the clock of `performance.now()`. */
  soundsAt(frame: number): number {
    return this.zero(performance.now()) + (frame / this.context.sampleRate) * 1000;
  }

  async close(): Promise<void> {
    await this.context.close();
  }

  /** When the device's frame 0 sounded, were it never paused. */
  private zero(now: number): number {
    const { context } = this;
    const { contextTime, performanceTime } = context.getOutputTimestamp();
    if (contextTime && performanceTime) return performanceTime - contextTime * 1000;
    const latency = context.outputLatency || context.baseLatency || 0;
    return now - (context.currentTime - latency) * 1000;
  }

  private post(message: PlayerMessage): void {
    this.node.port.postMessage(message);
  }
}
