// The faces of the turn that sounds, found by the sample that sounds.

import { decodeArkit, type Face, type Faces } from "./arkit.ts";
import { decodeSpatius } from "./spatius.ts";
import type { Motion } from "../client/transport.ts";

const DECODERS: Record<string, (payload: Uint8Array) => Faces | null> = {
  "stagewire.arkit52": decodeArkit,
  "spatius.message": decodeSpatius,
};

/** A payload's frames; null for a codec that is not known here, and for what cannot be read. */
export function decode(codec: string, payload: Uint8Array): Faces | null {
  return DECODERS[codec]?.(payload) ?? null;
}

// How long the last frame stands for those that do not come: then the face is left to itself.
const HELD_SECONDS = 0.25;

interface Timed {
  readonly sample: number;
  readonly face: Face;
}

/** A face and the sample from which on it is shown. */
export interface Shown extends Face {
  readonly sample: number;
}

export class Timeline {
  /** Payloads that could not be read. */
  malformed = 0;
  private turn = 0;
  private frames: Timed[] = [];
  private at = 0;

  constructor(
    private readonly codec: string,
    private readonly hertz: number,
  ) {}

  start(turn: number): void {
    if (turn <= this.turn) return;
    this.turn = turn;
    this.frames = [];
    this.at = 0;
  }

  push({ turn, start, samples, payload }: Motion): void {
    if (turn !== this.turn) return;
    const decoded = decode(this.codec, payload);
    if (!decoded) {
      this.malformed++;
      return;
    }
    const { faces, rate } = decoded;
    const step = rate ? this.hertz / rate : samples / faces.length;
    const known = this.frames.at(-1)?.sample ?? -1;
    faces.forEach((face, index) => {
      const sample = start + index * step;
      // After coming back, media begins at the last confirmed sample again.
      if (sample > known) this.frames.push({ sample, face });
    });
  }

  /** The face at a sample, between two frames; null when there is none (yet), or none any more. */
  face(turn: number, sample: number): Shown | null {
    const { frames } = this;
    if (turn !== this.turn || !frames.length || sample < frames[0].sample) return null;
    if (this.at >= frames.length || frames[this.at].sample > sample) this.at = 0;
    while (this.at + 1 < frames.length && frames[this.at + 1].sample <= sample) this.at++;
    const before = frames[this.at];
    const after = frames[this.at + 1];
    if (!after) {
      const isStale = sample - before.sample > HELD_SECONDS * this.hertz;
      return isStale ? null : { ...before.face, sample: before.sample };
    }
    const part = (sample - before.sample) / (after.sample - before.sample);
    return { ...between(before.face, after.face, part), sample: before.sample };
  }
}

/** A face between two. */
export function between(from: Face, to: Face, part: number): Face {
  const weights = from.weights.map((weight, i) => weight + (to.weights[i] - weight) * part);
  const head = from.head.map((angle, i) => angle + (to.head[i] - angle) * part);
  return { weights, head: head as [number, number, number] };
}
