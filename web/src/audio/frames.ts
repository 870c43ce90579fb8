// From the microphone's blocks to messages of 20 ms at the rate the server was told.

/** Averages blocks down to another rate, and cuts them into frames of equal length. */
export class Framer {
  private readonly step: number;
  private readonly frame: Int16Array;
  private filled = 0;
  private sum = 0;
  private weight = 0;

  constructor(from: number, to: number, milliseconds: number) {
    this.step = from / to;
    this.frame = new Int16Array(Math.round((to * milliseconds) / 1000));
  }

  /** Takes samples of -1 to 1; calls `done` with each full frame, which is the callee's. */
  take(samples: Float32Array, done: (frame: Int16Array) => void): void {
    for (const sample of samples) {
      let rest = 1;
      while (rest > 0) {
        const part = Math.min(rest, this.step - this.weight);
        this.sum += sample * part;
        this.weight += part;
        rest -= part;
        if (this.step - this.weight > 1e-9) break;
        this.put(this.sum / this.step, done);
        this.sum = this.weight = 0;
      }
    }
  }

  private put(sample: number, done: (frame: Int16Array) => void): void {
    const bounded = Math.max(-1, Math.min(1, sample));
    this.frame[this.filled++] = Math.round(bounded < 0 ? bounded * 32768 : bounded * 32767);
    if (this.filled === this.frame.length) {
      this.filled = 0;
      done(this.frame.slice());
    }
  }
}
