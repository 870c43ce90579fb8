// Which sample of which turn entered a room when: from egress' clock packets, without I/O.

interface Stretch {
  readonly turn: number;
  readonly epoch: number;
  /** Its first sample. */
  readonly first: number;
  /** When sample 0 would have entered; packets can be late and never early, so the smallest is right. */
  zero: number;
  /** It is known to reach this far. */
  known: number;
  /** No sample from here on sounds. */
  end: number;
}

// Clock packets come every 200 ms while there is voice: what is later than two of them has stopped.
const SILENT_AFTER = 500;
const STRETCHES_KEPT = 16;

/** Times are milliseconds on the clock of `performance.now()`, positions samples of the voice. */
export class Stretches {
  private stretches: Stretch[] = [];

  constructor(private readonly hertz: number) {}

  /** A clock packet that arrived at a time: the sample enters now. */
  clock(turn: number, sample: number, epoch: number, arrived: number): void {
    const zero = arrived - (sample / this.hertz) * 1000;
    let last = this.stretches.at(-1);
    if (!last || last.turn !== turn || last.epoch !== epoch) {
      if (last && turn < last.turn) return;
      last = { turn, epoch, first: Math.max(0, sample), zero, known: sample, end: Infinity };
      this.stretches.push(last);
      if (this.stretches.length > STRETCHES_KEPT) this.stretches.shift();
    }
    last.zero = Math.min(last.zero, zero);
    last.known = sample;
  }

  /** The turn is so long, or is cut there. */
  end(turn: number, sample: number): void {
    for (const stretch of this.stretches) {
      if (stretch.turn === turn) stretch.end = Math.min(stretch.end, sample);
    }
  }

  /** What entered at a time; null before anything did. `over`: nothing of the turn follows. */
  at(time: number): { turn: number; sample: number; running: boolean; over: boolean } | null {
    for (let i = this.stretches.length - 1; i >= 0; i--) {
      const { turn, first, zero, known, end } = this.stretches[i];
      const sample = ((time - zero) * this.hertz) / 1000;
      if (sample < first) continue;
      const next = this.stretches[i + 1];
      const most = Math.min(
        end,
        known + (SILENT_AFTER * this.hertz) / 1000,
        next?.turn === turn ? next.first : Infinity,
      );
      const running = sample < most;
      return { turn, sample: Math.min(sample, most), running, over: !running && most === end };
    }
    return null;
  }
}
