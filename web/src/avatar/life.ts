// The way between a turn's face and rest; and rest itself: the motion engine's idle loop where there
// is one, else life of its own: blinks, small movements of gaze and head. It always breathes, and
// always looks a little friendly. Time and chance come from outside, so that a test can hold both.

import { CHANNELS, type Face } from "../motion/arkit.ts";
import type { Pose } from "./renderer.ts";

export type Mood = "idle" | "listening" | "thinking" | "speaking";

const BLINK = [0, 7];
const [LOOK_DOWN, LOOK_IN, LOOK_OUT, LOOK_UP] = [1, 2, 3, 4];
const SMILE = [23, 24];
const BROW_INNER_UP = 43;
const MOODS = [...SMILE, BROW_INNER_UP];

const BREATH_SECONDS = 4.2;
const BLINK_SECONDS = 0.16;
// Milliseconds in which the face follows a new turn, or comes to rest.
const ENTER = 60;
const LEAVE = 180;
// Milliseconds in which rest passes into the engine's idle loop, or out of it.
const IDLE = 600;

export class Life {
  /** For people whom motion disturbs: it blinks, and the lips move; nothing else does by itself. */
  calm = false;
  private readonly weights = new Float32Array(CHANNELS);
  private readonly spoken = new Float32Array(CHANNELS);
  private head: [number, number, number] = [0, 0, 0];
  private blend = 0;
  private readonly looped = new Float32Array(CHANNELS);
  private loopHead: readonly [number, number, number] = [0, 0, 0];
  private looping = 0;
  private last = 0;
  private blinkAt = 1.2;
  private lookAt = 0;
  private look: [number, number] = [0, 0];
  private eyes: [number, number] = [0, 0];
  private mood = 0;

  constructor(private readonly random: () => number = Math.random) {}

  /**
   * The pose at `now` (milliseconds).
   *
   * `face` is the turn's own, null between turns; `idle` the engine's for now, null where it has none.
   */
  pose(now: number, face: Face | null, mood: Mood, idle: Face | null = null): Pose {
    const seconds = now / 1000;
    const passed = Math.min(100, Math.max(0, now - this.last));
    this.last = now;
    this.blend = face
      ? Math.min(1, this.blend + passed / ENTER)
      : Math.max(0, this.blend - passed / LEAVE);
    if (face) {
      this.spoken.set(face.weights);
      this.head = [...face.head];
    }
    const looped = idle && !this.calm;
    this.looping = Math.max(0, Math.min(1, this.looping + (looped ? passed : -passed) / IDLE));
    if (idle) {
      this.looped.set(idle.weights);
      this.loopHead = idle.head;
    }
    this.rest(seconds, passed, mood);
    const own = 1 - smooth(this.looping);
    const ease = smooth(this.blend);
    for (let i = 0; i < CHANNELS; i++) {
      const alive = this.weights[i];
      const loop = this.looped[i] * (1 - own);
      const rest = MOODS.includes(i) ? Math.max(alive, loop) : alive * own + loop;
      // A turn's face has its own lids and gaze; life's own blinks go on beside them.
      this.weights[i] = Math.max(
        rest * (1 - ease) + this.spoken[i] * ease,
        BLINK.includes(i) ? alive * own * 0.999 : 0,
      );
    }
    const sway = this.sway(seconds, mood);
    const turned = [0, 1, 2].map(
      (i) =>
        sway[i] * own * (1 - ease * 0.6) +
        this.loopHead[i] * (1 - own) * (1 - ease) +
        this.head[i] * ease,
    );
    return {
      weights: this.weights,
      head: turned as [number, number, number],
      breath: this.calm ? 0 : Math.sin((seconds / BREATH_SECONDS) * 2 * Math.PI),
    };
  }

  private rest(seconds: number, passed: number, mood: Mood): void {
    const { weights } = this;
    weights.fill(0);
    const lids = this.blink(seconds);
    const target = mood === "listening" ? 1 : mood === "thinking" ? -1 : 0;
    this.mood += (target - this.mood) * Math.min(1, passed / 600);
    for (const side of SMILE) weights[side] = 0.13 + 0.05 * Math.max(0, this.mood);
    weights[BROW_INNER_UP] = 0.06 + 0.10 * Math.abs(this.mood);
    if (!this.calm) this.glance(seconds, mood);
    for (let axis = 0; axis < 2; axis++) {
      // Eyes jump; they do not glide.
      this.eyes[axis] += (this.look[axis] - this.eyes[axis]) * Math.min(1, passed / 28);
    }
    const [sideways, up] = this.eyes;
    for (const first of [0, 7]) {
      const outwards = first === 0 ? sideways : -sideways;
      weights[first + LOOK_OUT] = Math.max(0, outwards);
      weights[first + LOOK_IN] = Math.max(0, -outwards);
      weights[first + LOOK_UP] = Math.max(0, up);
      weights[first + LOOK_DOWN] = Math.max(0, -up);
    }
    // Lids follow the gaze down.
    for (const lid of BLINK) weights[lid] = Math.max(lids, Math.max(0, -up) * 0.25);
  }

  private blink(seconds: number): number {
    if (seconds > this.blinkAt + BLINK_SECONDS) {
      // About 15 a minute; one in seven is double.
      const pause = this.random() < 0.14 ? 0.12 : 1.8 + this.random() * 4.4;
      this.blinkAt = seconds + pause;
    }
    const phase = (seconds - this.blinkAt) / BLINK_SECONDS;
    if (phase <= 0 || phase >= 1) return 0;
    return phase < 0.35 ? phase / 0.35 : 1 - (phase - 0.35) / 0.65;
  }

  private glance(seconds: number, mood: Mood): void {
    if (seconds < this.lookAt) return;
    const away = mood === "thinking" ? 0.75 : mood === "listening" ? 0.08 : 0.22;
    if (this.random() < away) {
      const side = this.random() < 0.5 ? -1 : 1;
      this.look = [side * (0.15 + this.random() * 0.3), mood === "thinking" ? 0.25 : -0.1];
      this.lookAt = seconds + 0.5 + this.random() * 0.9;
    } else {
      this.look = [(this.random() - 0.5) * 0.08, (this.random() - 0.5) * 0.06];
      this.lookAt = seconds + 0.7 + this.random() * 2.2;
    }
  }

  private sway(seconds: number, mood: Mood): [number, number, number] {
    if (this.calm) return [0, 0, 0];
    const wave = (period: number, shift: number): number =>
      Math.sin((seconds / period) * 2 * Math.PI + shift);
    const nod = mood === "listening" ? 0.014 * Math.max(0, wave(2.9, 0)) ** 3 : 0;
    return [
      0.010 * wave(5.3, 0.4) + 0.006 * wave(2.1, 1.9) + nod,
      0.018 * wave(7.9, 2.2) + 0.008 * wave(3.3, 0.9) + this.eyes[0] * 0.12,
      0.011 * wave(9.7, 1.1) + 0.02 * this.mood,
    ];
  }
}

/** From 0 to 1 without a corner at either end. */
function smooth(part: number): number {
  return part * part * (3 - 2 * part);
}
