import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeArkit } from "../src/motion/arkit.ts";
import { IdleLoop } from "../src/motion/idle.ts";
import { decodeSpatius } from "../src/motion/spatius.ts";
import { Timeline } from "../src/motion/timeline.ts";

/** The example of docs/motion-codecs.md, with another jaw if wanted. */
function payload(...jaws: number[]): Uint8Array {
  const bytes = new Uint8Array(4 + 58 * jaws.length);
  bytes.set([1, jaws.length, 50, 0]);
  jaws.forEach((jaw, frame) => {
    const at = 4 + 58 * frame;
    bytes[at + 17] = jaw;
    bytes.set([0xe8, 0x03, 0x38, 0xff, 0, 0], at + 52);
  });
  return bytes;
}

test("the documented example is read", () => {
  const decoded = decodeArkit(payload(128))!;
  assert.equal(decoded.rate, 50);
  assert.equal(decoded.faces[0].weights[17], Math.fround(128 / 255));
  assert.deepEqual(decoded.faces[0].head, [0.1, -0.02, 0]);
});

test("malformed payloads are null", () => {
  const good = payload(1, 2);
  assert.equal(decodeArkit(good.subarray(0, good.length - 1)), null);
  assert.equal(decodeArkit(new Uint8Array(0)), null);
  assert.equal(decodeArkit(Uint8Array.of(2, ...good.subarray(1))), null);
  assert.equal(decodeArkit(Uint8Array.of(1, 0, 50, 0)), null);
});

test("the face between two frames is between them, and stays the last for a moment", () => {
  const timeline = new Timeline("stagewire.arkit52", 24_000);
  timeline.start(1);
  timeline.push({ turn: 1, start: 4_800, samples: 960, payload: payload(0, 255) });
  assert.equal(timeline.face(1, 4_000), null);
  assert.equal(timeline.face(1, 4_920)!.weights[17], 0.25);
  assert.equal(timeline.face(1, 4_920)!.sample, 4_800);
  assert.equal(timeline.face(1, 9_000)!.weights[17], 1);
  assert.equal(timeline.face(1, 12_000), null, "motion that stopped does not leave the mouth open");
  assert.equal(timeline.face(2, 4_920), null);
});

test("frames that come again are skipped; malformed ones are counted and harm nothing", () => {
  const timeline = new Timeline("stagewire.arkit52", 24_000);
  timeline.start(1);
  timeline.push({ turn: 1, start: 0, samples: 960, payload: payload(10, 20) });
  timeline.push({ turn: 1, start: 480, samples: 960, payload: payload(99, 30) });
  timeline.push({ turn: 1, start: 1_440, samples: 960, payload: Uint8Array.of(1) });
  assert.equal(timeline.malformed, 1);
  assert.equal(timeline.face(1, 480)!.weights[17], Math.fround(20 / 255));
  assert.equal(timeline.face(1, 960)!.weights[17], Math.fround(30 / 255));
});

/** A length-delimited protobuf field. */
const field = (number: number, content: Uint8Array): number[] => {
  const length = content.length < 128 ? [content.length] : [(content.length & 127) | 128, content.length >> 7];
  return [(number << 3) | 2, ...length, ...content];
};
const floats = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);

function spatius(jaw: number): Uint8Array {
  const keyframe = Uint8Array.from([
    ...field(3, floats(0.22, 0, 0)),
    ...field(4, floats(jaw, 0, 0)),
    ...field(5, floats(Math.PI / 30, 0, 0, 0, Math.PI / 12, 0)),
    ...field(6, floats(1, 0.5)),
  ]);
  const animation = Uint8Array.from(field(1, keyframe));
  const response = Uint8Array.from([...field(1, Uint8Array.of(65)), ...field(4, animation), 16, 1]);
  return Uint8Array.from([8, 6, ...field(6, response)]);
}

test("a preview of spatius.message: jaw, lids, eyes, neck", () => {
  const { faces } = decodeSpatius(spatius(0.035))!;
  const { weights, head } = faces[0];
  assert.ok(Math.abs(weights[17] - 0.5) < 1e-6);
  assert.deepEqual([weights[0], weights[7]], [1, 0.5]);
  assert.ok(Math.abs(weights[1] - 0.2) < 1e-6, "the left eye looks down");
  assert.ok(Math.abs(weights[9] - 0.5) < 1e-6, "the right eye looks in");
  assert.ok(Math.abs(head[0] - 0.1) < 1e-6);
});

test("bytes that are no such message are null, wherever they are cut", () => {
  const whole = spatius(0.1);
  for (let length = 1; length < whole.length; length++) {
    const cut = decodeSpatius(whole.subarray(0, length));
    assert.ok(cut === null || cut.faces.length <= 1);
  }
  assert.equal(decodeSpatius(Uint8Array.of(255, 255, 255)), null);
});

test("an idle loop goes on from its end to its beginning, by its own clock", () => {
  const loop = IdleLoop.from("stagewire.arkit52", 0, [payload(0, 255), payload(255, 0)])!;
  const jaw = (now: number): number => Math.round(loop.face(now).weights[17] * 1000) / 1000;
  assert.deepEqual([1000, 1010, 1020, 1050, 1060, 1070, 1080, 1090].map(jaw), [0, 0.5, 1, 0.5, 0, 0, 0, 0.5]);
  const sparse = IdleLoop.from("spatius.message", 25, [spatius(0.01), spatius(0.06)])!;
  assert.ok(sparse.face(0).weights[17] < sparse.face(40).weights[17]);
});

test("no idle loop: none was given, it cannot be read, or its rate is not known", () => {
  assert.equal(IdleLoop.from("stagewire.arkit52", 50, []), null);
  assert.equal(IdleLoop.from("stagewire.arkit52", 50, [payload(1), Uint8Array.of(1)]), null);
  assert.equal(IdleLoop.from("unheard.of", 50, [payload(1)]), null);
  assert.equal(IdleLoop.from("spatius.message", 0, [spatius(0.01)]), null);
});
