// Where the loudspeaker is in the turn, from the player's marks and the device's clock.

import type { Mark } from "./ring.ts";

const MARKS_KEPT = 64;

export class PlaybackClock {
  private marks: Mark[] = [];

  /** Takes a mark; they come in order. */
  take(mark: Mark): void {
    this.marks.push(mark);
    if (this.marks.length > MARKS_KEPT) this.marks.shift();
  }

  /** The turn and sample that sound at a frame of the device; null before anything did. */
  at(frame: number): { turn: number; sample: number; running: boolean } | null {
    for (let i = this.marks.length - 1; i >= 0; i--) {
      const mark = this.marks[i];
      if (mark.frame <= frame || i === 0) {
        if (mark.frame > frame) return null;
        const next = this.marks[i + 1];
        const most = next && next.turn === mark.turn ? next.sample : Infinity;
        const sample = mark.running ? Math.min(mark.sample + frame - mark.frame, most) : mark.sample;
        return { turn: mark.turn, sample, running: mark.running };
      }
    }
    return null;
  }
}
