import assert from "node:assert/strict";
import { test } from "node:test";
import { PlaybackClock } from "../src/audio/clock.ts";
import { Ring, type Mark } from "../src/audio/ring.ts";

const HERTZ = 24_000;
const BLOCK = 128;

/** Pulls blocks until `frames`, as an audio thread does. */
class Device {
  frame = 0;
  readonly heard: number[] = [];
  readonly marks: Mark[] = [];
  constructor(readonly ring: Ring) {}

  run(frames: number): void {
    for (const until = this.frame + frames; this.frame < until; this.frame += BLOCK) {
      const out = new Float32Array(BLOCK);
      this.marks.push(...this.ring.pull(out, this.frame));
      this.heard.push(...out);
    }
  }
}

const ramp = (start: number, count: number): Int16Array =>
  Int16Array.from({ length: count }, (_, i) => 1 + ((start + i) % 30_000));

test("every sample sounds once, in order, at the frame that the marks say", () => {
  const device = new Device(new Ring(HERTZ));
  device.ring.start(1);
  device.run(BLOCK * 3);
  for (let at = 0; at < 9_600; at += 960) device.ring.push(1, at, ramp(at, 960));
  device.ring.finish(1, 9_600);
  device.run(9_600 + BLOCK * 2);
  const begin = device.marks.find((mark) => mark.running)!;
  assert.equal(begin.sample, 0);
  const sounded = device.heard.slice(begin.frame, begin.frame + 9_600);
  assert.deepEqual(sounded, [...ramp(0, 9_600)].map((value) => Math.fround(value / 32768)));
  const over: Mark = device.marks.at(-1)!;
  assert.deepEqual(
    { ...over, frame: over.frame - begin.frame },
    { turn: 1, sample: 9_600, frame: 9_600, running: false, over: "completed" },
  );
  assert.equal(device.ring.underruns, 0);
});

test("nothing sounds before the prebuffer is full, unless the turn is shorter", () => {
  const device = new Device(new Ring(HERTZ));
  device.ring.start(1);
  device.ring.push(1, 0, ramp(0, 480));
  device.run(BLOCK * 4);
  assert.equal(device.marks.length, 0);
  device.ring.finish(1, 480);
  device.run(BLOCK * 8);
  assert.equal(device.marks.at(-1)!.over, "completed");
});

test("an underrun waits, goes on with the next sample, and holds more back from then on", () => {
  const device = new Device(new Ring(HERTZ));
  const before = device.ring.prebuffer;
  device.ring.start(1);
  device.ring.push(1, 0, ramp(0, 2_400));
  device.run(4_800);
  assert.equal(device.ring.underruns, 1);
  assert.ok(device.ring.prebuffer > before);
  device.ring.push(1, 2_400, ramp(2_400, 9_600));
  device.ring.finish(1, 12_000);
  device.run(12_000);
  const resumed = device.marks.filter((mark) => mark.running);
  assert.deepEqual(resumed.map((mark) => mark.sample), [0, 2_400]);
  assert.equal(device.heard[resumed[1].frame], Math.fround(2_401 / 32768));
});

test("a flush is silence after a short fade, and what comes late stays silent", () => {
  const device = new Device(new Ring(HERTZ));
  device.ring.start(1);
  device.ring.push(1, 0, new Int16Array(24_000).fill(20_000));
  device.run(BLOCK * 10);
  device.ring.flush(1, device.frame);
  const from = device.frame;
  device.ring.push(1, 24_000, new Int16Array(2_400).fill(20_000));
  device.run(BLOCK * 10);
  const after = device.heard.slice(from);
  assert.ok(after[0] > 0.5, "a fade, not a click");
  assert.ok(after.slice(BLOCK).every((sample) => sample === 0));
  assert.equal(device.marks.at(-1)!.over, "flushed");
  assert.equal(device.marks.at(-1)!.sample, BLOCK * 10);
});

test("a new turn drops the old one; older media is ignored", () => {
  const device = new Device(new Ring(HERTZ));
  device.ring.start(3);
  device.ring.push(3, 0, new Int16Array(9_600).fill(9_000));
  device.run(BLOCK * 4);
  device.ring.start(4);
  device.ring.push(3, 9_600, new Int16Array(9_600).fill(9_000));
  device.ring.push(4, 0, new Int16Array(2_400).fill(-5_000));
  device.ring.finish(4, 2_400);
  device.run(BLOCK * 30);
  const last = device.marks.at(-1)!;
  assert.deepEqual([last.turn, last.sample, last.over], [4, 2_400, "completed"]);
});

test("media that comes again after a reconnect is skipped", () => {
  const device = new Device(new Ring(HERTZ));
  device.ring.start(1);
  device.ring.push(1, 0, ramp(0, 4_800));
  device.ring.push(1, 2_400, ramp(2_400, 4_800));
  device.ring.finish(1, 7_200);
  device.run(BLOCK * 70);
  const begin = device.marks.find((mark) => mark.running)!.frame;
  const sounded = device.heard.slice(begin, begin + 7_200);
  assert.deepEqual(sounded, [...ramp(0, 7_200)].map((value) => Math.fround(value / 32768)));
});

test("the clock follows the marks and does not run on past the next one", () => {
  const clock = new PlaybackClock();
  assert.equal(clock.at(0), null);
  clock.take({ turn: 1, sample: 0, frame: 1_000, running: true });
  clock.take({ turn: 1, sample: 500, frame: 1_500, running: false });
  clock.take({ turn: 1, sample: 500, frame: 2_000, running: true });
  assert.equal(clock.at(999), null);
  assert.deepEqual(clock.at(1_200), { turn: 1, sample: 200, running: true });
  assert.deepEqual(clock.at(1_700), { turn: 1, sample: 500, running: false });
  assert.deepEqual(clock.at(2_100), { turn: 1, sample: 600, running: true });
});
