import assert from "node:assert/strict";
import { test } from "node:test";
import { Life } from "../src/avatar/life.ts";
import { sentenceEnd, sentenceStart } from "../src/page/captions.ts";

const seeded = (): (() => number) => {
  let state = 1;
  return () => (state = (state * 16_807) % 2_147_483_647) / 2_147_483_647;
};

test("a face at rest blinks, and its mouth stays closed", () => {
  const life = new Life(seeded());
  let blinks = 0;
  let closed = false;
  for (let now = 0; now < 60_000; now += 16) {
    const { weights } = life.pose(now, null, "listening");
    assert.equal(weights[17], 0);
    assert.ok(weights.every((weight) => weight >= 0 && weight <= 1));
    if (weights[0] > 0.7 && !closed) blinks++;
    closed = weights[0] > 0.7;
  }
  assert.ok(blinks > 8 && blinks < 40, `${blinks} blinks a minute`);
});

test("a turn's face takes over and leaves gently", () => {
  const life = new Life(seeded());
  const weights = new Float32Array(52);
  weights[17] = 0.8;
  const face = { weights, head: [0.1, 0, 0] as [number, number, number] };
  let now = 0;
  for (; now < 320; now += 16) life.pose(now, face, "speaking");
  assert.ok(Math.abs(life.pose((now += 16), face, "speaking").weights[17] - 0.8) < 1e-6);
  const leaving = life.pose((now += 16), null, "listening").weights[17];
  assert.ok(leaving > 0.4 && leaving < 0.8, `${leaving}`);
  for (let i = 0; i < 20; i++) life.pose((now += 16), null, "listening");
  assert.equal(life.pose(now, null, "listening").weights[17], 0);
});

test("rest is the engine's idle loop where it gives one: blended into, out of, and left for a turn", () => {
  const life = new Life(seeded());
  const idle = { weights: new Float32Array(52), head: [0, 0.05, 0] as [number, number, number] };
  idle.weights.set([0.6, 0.2], 0); // a half blink, a look down
  const spoken = { weights: new Float32Array(52), head: [0.1, 0, 0] as [number, number, number] };
  spoken.weights[17] = 0.8;
  let now = 0;
  const show = (milliseconds: number, ...faces: [typeof spoken | null, typeof idle | null]) => {
    let pose = life.pose(now, faces[0], "listening", faces[1]);
    for (const end = now + milliseconds; now < end; ) {
      pose = life.pose((now += 16), faces[0], "listening", faces[1]);
    }
    return pose;
  };
  const entering = show(300, null, idle).weights[0];
  assert.ok(entering > 0.2 && entering < 0.6, `${entering}`);
  const resting = show(600, null, idle);
  assert.ok(Math.abs(resting.weights[0] - 0.6) < 1e-6);
  assert.deepEqual(resting.head.map((angle) => Math.round(angle * 1e6)), [0, 50_000, 0]);
  const speaking = show(320, spoken, idle);
  assert.ok(Math.abs(speaking.weights[17] - 0.8) < 1e-6);
  assert.equal(speaking.weights[0], 0);
  assert.deepEqual(speaking.head.map((angle) => Math.round(angle * 1e6)), [100_000, 0, 0]);
  const back = show(400, null, idle);
  assert.equal(back.weights[17], 0);
  assert.ok(Math.abs(back.weights[0] - 0.6) < 1e-6);
  let blinked = 0;
  for (let i = 0; i < 60; i++) blinked = Math.max(blinked, show(200, null, null).weights[0]);
  assert.ok(blinked > 0.7 && show(16, null, null).head[1] !== 0.05, "life of its own goes on");
});

test("for people whom motion disturbs it only blinks", () => {
  const life = new Life(seeded());
  life.calm = true;
  const idle = { weights: new Float32Array(52), head: [0, 0.05, 0] as [number, number, number] };
  let blinks = 0;
  for (let now = 0; now < 20_000; now += 16) {
    const { weights, head, breath } = life.pose(now, null, "listening", idle);
    assert.deepEqual([...head, breath], [0, 0, 0, 0]);
    if (weights[0] > 0.7) blinks++;
  }
  assert.ok(blinks > 0);
});

test("a caption shows the sentence that sounds", () => {
  const points = [..."Hi there. How are you? Fine"];
  assert.equal(points.slice(sentenceStart(points, 14), sentenceEnd(points, 14)).join(""), "How are you?");
  assert.equal(points.slice(sentenceStart(points, 5), sentenceEnd(points, 5)).join(""), "Hi there.");
  assert.equal(points.slice(sentenceStart(points, 27), sentenceEnd(points, 27)).join(""), "Fine");
});
