// The player's heart: samples of turns in, blocks for the loudspeaker out. It runs inside an
// AudioWorklet and knows nothing of it, so it is tested without a browser.

/** What playing has come to at a frame of the audio device. */
export interface Mark {
  readonly turn: number;
  /** Sample of the turn that sounds at `frame`. */
  readonly sample: number;
  /** The device's frame counter. */
  readonly frame: number;
  readonly running: boolean;
  /** Set when the turn is over: nothing more of it will sound. */
  readonly over?: "completed" | "flushed";
}

interface Chunk {
  readonly start: number;
  readonly pcm: Int16Array;
}

const FADE_SAMPLES = 96;
// Milliseconds of voice held back before a turn begins; grows when it was too little.
const LEAST_PREBUFFER = 60;
const MOST_PREBUFFER = 480;
const STEP_UP = 80;
const STEP_DOWN = 20;

export class Ring {
  underruns = 0;
  prebuffer = LEAST_PREBUFFER;
  private turn = 0;
  private chunks: Chunk[] = [];
  private offset = 0;
  private position = 0;
  private received = 0;
  private end = -1;
  private running = false;
  private starved = false;
  private fade: Float32Array<ArrayBufferLike> = new Float32Array(0);
  private last = 0;
  private marks: Mark[] = [];

  constructor(private readonly hertz: number) {}

  /** Begins a turn; what is left of older ones is dropped. The same turn again changes nothing. */
  start(turn: number): void {
    if (turn <= this.turn) return;
    this.drop();
    this.turn = turn;
    this.position = 0;
    this.received = 0;
    this.end = -1;
    this.starved = false;
  }

  /** Adds samples; those that are already here are skipped. */
  push(turn: number, start: number, pcm: Int16Array): void {
    if (turn !== this.turn) return;
    const known = Math.max(0, this.received - start);
    if (known >= pcm.length) return;
    this.chunks.push({ start: start + known, pcm: pcm.subarray(known) });
    this.received = start + pcm.length;
  }

  /** Says how long the turn is. */
  finish(turn: number, samples: number): void {
    if (turn === this.turn) this.end = samples;
  }

  /** Silences this turn and older ones within a few milliseconds. */
  flush(turn: number, frame: number): void {
    if (turn < this.turn || this.turn === 0) return;
    const { position } = this;
    this.drop();
    this.end = -1;
    this.marks.push({ turn: this.turn, sample: position, frame, running: false, over: "flushed" });
    this.turn = turn;
    this.received = Number.MAX_SAFE_INTEGER; // what still arrives of it is late
  }

  /** Fills a block that begins to sound at `frame`; returns what changed. */
  pull(out: Float32Array, frame: number): Mark[] {
    out.fill(0);
    let at = this.fadeInto(out);
    if (!this.running && this.ready()) {
      this.running = true;
      this.mark(frame + at);
    }
    while (this.running && at < out.length) {
      const chunk = this.chunks[0];
      if (!chunk) {
        this.stop(frame + at);
        break;
      }
      if (this.offset === 0 && chunk.start !== this.position) {
        this.position = chunk.start;
        this.mark(frame + at);
      }
      const count = Math.min(out.length - at, chunk.pcm.length - this.offset);
      for (let i = 0; i < count; i++) out[at + i] = chunk.pcm[this.offset + i] / 32768;
      at += count;
      this.offset += count;
      this.position += count;
      this.last = out[at - 1];
      if (this.offset === chunk.pcm.length) {
        this.chunks.shift();
        this.offset = 0;
      }
    }
    const marks = this.marks;
    this.marks = [];
    return marks;
  }

  /** Where playing is at the end of the block that was pulled last. */
  now(frame: number): Mark {
    return { turn: this.turn, sample: this.position, frame, running: this.running };
  }

  private ready(): boolean {
    if (!this.chunks.length) {
      // An empty turn, or one whose last samples were played before its end was known.
      if (this.turn && this.end >= 0 && this.position >= this.end) this.complete(0);
      return false;
    }
    const held = this.received - this.position;
    return this.end >= 0 || held >= (this.prebuffer * this.hertz) / 1000;
  }

  private stop(frame: number): void {
    this.running = false;
    if (this.end >= 0 && this.position >= this.end) {
      if (!this.starved) this.prebuffer = Math.max(LEAST_PREBUFFER, this.prebuffer - STEP_DOWN);
      this.complete(frame);
      return;
    }
    this.underruns++;
    this.starved = true;
    this.prebuffer = Math.min(MOST_PREBUFFER, this.prebuffer + STEP_UP);
    this.mark(frame);
  }

  private complete(frame: number): void {
    this.end = -1;
    this.marks.push({
      turn: this.turn,
      sample: this.position,
      frame,
      running: false,
      over: "completed",
    });
  }

  private drop(): void {
    if (this.running) {
      this.fade = Float32Array.from({ length: FADE_SAMPLES }, (_, i) => {
        const chunk = this.chunks[0];
        const sample = chunk ? (chunk.pcm[this.offset + i] ?? 0) / 32768 : this.last;
        return sample * (1 - i / FADE_SAMPLES);
      });
    }
    this.chunks = [];
    this.offset = 0;
    this.running = false;
  }

  private fadeInto(out: Float32Array): number {
    const count = Math.min(out.length, this.fade.length);
    if (count === 0) return 0;
    out.set(this.fade.subarray(0, count));
    this.fade = this.fade.subarray(count);
    return count;
  }

  private mark(frame: number): void {
    this.marks.push({ turn: this.turn, sample: this.position, frame, running: this.running });
  }
}
