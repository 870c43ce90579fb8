// The microphone inside the audio thread: frames of 20 ms at 16 kHz, silence included.

import { Framer } from "./frames.ts";

declare const sampleRate: number;
declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare function registerProcessor(name: string, processor: unknown): void;

const HERTZ = 16_000;
const MILLISECONDS = 20;

class Capture extends AudioWorkletProcessor {
  private readonly framer = new Framer(sampleRate, HERTZ, MILLISECONDS);

  process(inputs: Float32Array[][]): boolean {
    const samples = inputs[0][0];
    if (samples) {
      this.framer.take(samples, (frame) => this.port.postMessage(frame, [frame.buffer]));
    }
    return true;
  }
}

registerProcessor("stagewire-capture", Capture);
