// The player inside the audio thread: see ring.ts.

import { Ring } from "./ring.ts";
import type { PlayerMessage } from "./playback.ts";

declare const sampleRate: number;
declare const currentFrame: number;
declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare function registerProcessor(name: string, processor: unknown): void;

// Blocks of 128 frames between two reports of the position: 32 ms at 24 kHz.
const BLOCKS_PER_REPORT = 6;

class Player extends AudioWorkletProcessor {
  private readonly ring = new Ring(sampleRate);
  private blocks = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }: MessageEvent<PlayerMessage>) => {
      switch (data.type) {
        case "start":
          this.ring.start(data.turn);
          break;
        case "pcm":
          this.ring.push(data.turn, data.start, data.pcm);
          break;
        case "finish":
          this.ring.finish(data.turn, data.samples);
          break;
        case "flush":
          this.ring.flush(data.turn, currentFrame);
          break;
      }
    };
  }

  process(_inputs: Float32Array[][], outputs: Float32Array[][]): boolean {
    const out = outputs[0][0];
    const marks = this.ring.pull(out, currentFrame);
    for (let channel = 1; channel < outputs[0].length; channel++) outputs[0][channel].set(out);
    for (const mark of marks) this.port.postMessage({ mark, underruns: this.ring.underruns });
    const now = this.ring.now(currentFrame + out.length);
    if (++this.blocks % BLOCKS_PER_REPORT === 0 && now.running) {
      this.port.postMessage({ mark: now, underruns: this.ring.underruns });
    }
    return true;
  }
}

registerProcessor("stagewire-player", Player);
