// What the face does between turns, where the motion engine says so: a loop by its own clock.

import type { Face } from "./arkit.ts";
import { between, decode } from "./timeline.ts";

export class IdleLoop {
  private begin: number | null = null;

  private constructor(
    private readonly faces: readonly Face[],
    private readonly rate: number,
  ) {}

  /**
   * Reads the payloads of `joined`; null when there are none, or one that cannot be read.
   *
   * `rate` is the codec's frames per second, for payloads that do not carry their own.
   */
  static from(codec: string, rate: number, payloads: readonly Uint8Array[]): IdleLoop | null {
    const faces: Face[] = [];
    for (const payload of payloads) {
      const decoded = decode(codec, payload);
      if (!decoded) return null;
      faces.push(...decoded.faces);
      rate = decoded.rate || rate;
    }
    return faces.length > 0 && rate > 0 ? new IdleLoop(faces, rate) : null;
  }

  /** The face at `now` (milliseconds), between two frames; after the last comes the first again. */
  face(now: number): Face {
    this.begin ??= now;
    const at = (((now - this.begin) / 1000) * this.rate) % this.faces.length;
    const frame = Math.max(0, Math.floor(at));
    return between(this.faces[frame], this.faces[(frame + 1) % this.faces.length], at - frame);
  }
}
