import assert from "node:assert/strict";
import { test } from "node:test";
import { Framer } from "../src/audio/frames.ts";
import { packMicrophone, unpackMedia } from "../src/client/wire.ts";

test("a microphone message is laid out as docs/websocket.md says", () => {
  const bytes = new Uint8Array(packMicrophone(Int16Array.of(1, -2), 320));
  const wanted = [1, 1, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 254, 255];
  assert.deepEqual([...bytes], wanted);
});

test("voice and motion come out as they went in", () => {
  const message = new ArrayBuffer(28);
  const view = new DataView(message);
  view.setUint8(1, 1);
  view.setUint32(4, 7, true);
  view.setBigInt64(8, 96_000n, true);
  view.setUint32(16, 2, true);
  view.setInt16(24, -5, true);
  view.setUint8(0, 2);
  const voice = unpackMedia(message);
  assert.deepEqual(voice, { voice: { turn: 7, start: 96_000, pcm: Int16Array.of(-5, 0) } });
  view.setUint8(0, 3);
  const motion = unpackMedia(message);
  const payload = Uint8Array.of(251, 255, 0, 0);
  assert.deepEqual(motion, { motion: { turn: 7, start: 96_000, samples: 2, payload } });
  view.setUint8(0, 9);
  assert.equal(unpackMedia(message), null, "an unknown kind");
  view.setUint8(0, 2);
  view.setUint8(1, 2);
  assert.equal(unpackMedia(message), null, "an unknown version");
  assert.equal(unpackMedia(new ArrayBuffer(5)), null, "a scrap");
});

test("frames are 20 ms long whatever the device's rate, and keep the tone", () => {
  for (const rate of [16_000, 44_100, 48_000]) {
    const framer = new Framer(rate, 16_000, 20);
    const frames: Int16Array[] = [];
    for (let block = 0; block < rate; block += 128) {
      const samples = Float32Array.from({ length: 128 }, (_, i) =>
        Math.sin((2 * Math.PI * 440 * (block + i)) / rate),
      );
      framer.take(samples, (frame) => frames.push(frame));
    }
    assert.ok(frames.length >= 49 && frames.length <= 51, `${rate}: ${frames.length}`);
    assert.ok(frames.every((frame) => frame.length === 320));
    const whole = frames.flatMap((frame) => [...frame]);
    const crossings = whole.filter((value, i) => i > 0 && value >= 0 && whole[i - 1] < 0).length;
    assert.ok(Math.abs(crossings - 440 * (whole.length / 16_000)) < 3, `${rate}: ${crossings} Hz`);
    assert.ok(Math.max(...whole) > 30_000);
  }
});

test("samples beyond full scale are cut", () => {
  const frames: Int16Array[] = [];
  new Framer(16_000, 16_000, 1).take(new Float32Array(16).fill(1.7), (frame) => frames.push(frame));
  assert.deepEqual([...frames[0]], new Array(16).fill(32_767));
});
