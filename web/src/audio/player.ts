// What a session needs of whoever makes the voice sound.

import type { Mark } from "./ring.ts";

export interface Position {
  readonly turn: number;
  readonly sample: number;
  readonly running: boolean;
}

export interface Player {
  readonly context: AudioContext;
  /** Samples of the voice per second. */
  readonly hertz: number;
  /** Where the sound comes from, for whoever records or measures it. */
  readonly output: AudioNode;
  /** Called when the position is known anew, about 30 times a second while it plays. */
  onMark: (mark: Mark) => void;
  start(turn: number): void;
  /** Samples of a turn; absent where the voice comes as a track. */
  push?(turn: number, start: number, pcm: Int16Array): void;
  finish(turn: number, samples: number): void;
  /** Silences this turn and older ones now. */
  flush(turn: number): void;
  /** What the loudspeaker sounds now. */
  position(): Position | null;
  /** When a frame of a mark sounds (or did), on the clock of `performance.now()`. */
  soundsAt(frame: number): number;
  close(): Promise<void>;
}
