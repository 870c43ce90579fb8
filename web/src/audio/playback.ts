// The loudspeaker: hands samples to the audio thread and knows what sounds now.

import { PlaybackClock } from "./clock.ts";
import type { Player, Position } from "./player.ts";
import type { Mark } from "./ring.ts";

export type PlayerMessage =
  | { type: "start"; turn: number }
  | { type: "pcm"; turn: number; start: number; pcm: Int16Array }
  | { type: "finish"; turn: number; samples: number }
  | { type: "flush"; turn: number };

export class Playback implements Player {
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

  get hertz(): number {
    return this.context.sampleRate;
  }

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

  position(): Position | null {
    const { context } = this;
    const now = performance.now();
    return this.clock.at(Math.round(((now - this.zero(now)) / 1000) * context.sampleRate));
  }

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
