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

test("a caption shows the sentence that sounds", () => {
  const points = [..."Hi there. How are you? Fine"];
  assert.equal(points.slice(sentenceStart(points, 14), sentenceEnd(points, 14)).join(""), "How are you?");
  assert.equal(points.slice(sentenceStart(points, 5), sentenceEnd(points, 5)).join(""), "Hi there.");
  assert.equal(points.slice(sentenceStart(points, 27), sentenceEnd(points, 27)).join(""), "Fine");
});
