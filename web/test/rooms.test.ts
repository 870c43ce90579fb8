import assert from "node:assert/strict";
import { test } from "node:test";
import { Stretches } from "../src/audio/stretches.ts";
import { PacketReader } from "../src/client/packets.ts";

const HERTZ = 24_000;

function packet(kind: number, fields: { part?: number; parts?: number; turn?: number; sample?: number; count?: number; epoch?: number; version?: number }, payload: number[] = []): Uint8Array {
  const bytes = new Uint8Array(24 + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, kind);
  view.setUint8(1, fields.version ?? 1);
  view.setUint8(2, fields.part ?? 0);
  view.setUint8(3, fields.parts ?? 1);
  view.setUint32(4, fields.turn ?? 1, true);
  view.setBigInt64(8, BigInt(fields.sample ?? 0), true);
  view.setUint32(16, fields.count ?? 0, true);
  view.setUint32(20, fields.epoch ?? 0, true);
  bytes.set(payload, 24);
  return bytes;
}

test("packets are read, and payloads put together from their parts", () => {
  const reader = new PacketReader();
  assert.deepEqual(reader.read(packet(4, { turn: 7, sample: -240, epoch: 2 })), { kind: "clock", turn: 7, sample: -240, epoch: 2 });
  assert.deepEqual(reader.read(packet(5, { turn: 7, sample: 480 })), { kind: "end", turn: 7, length: 480 });
  assert.deepEqual(reader.read(packet(6, { turn: 7, sample: 99 })), { kind: "interrupt", turn: 7, sample: 99 });
  assert.equal(reader.read(packet(3, { part: 0, parts: 2, sample: 960, count: 960 }, [1, 2])), null);
  const whole = reader.read(packet(3, { part: 1, parts: 2, sample: 960, count: 960 }, [3]));
  const motion = { turn: 1, start: 960, samples: 960, payload: new Uint8Array([1, 2, 3]) };
  assert.deepEqual(whole, { kind: "motion", motion });
});

test("scraps, strangers and parts without a beginning are ignored", () => {
  const reader = new PacketReader();
  assert.equal(reader.read(new Uint8Array(23)), null);
  assert.equal(reader.read(packet(9, {})), null);
  assert.equal(reader.read(packet(4, { version: 2 })), null);
  assert.equal(reader.read(packet(3, { part: 1, parts: 2 }, [3])), null);
});

test("a late clock packet changes nothing, an earlier one does", () => {
  const stretches = new Stretches(HERTZ);
  stretches.clock(1, 0, 1, 1000);
  stretches.clock(1, 4800, 1, 1290); // 90 ms late
  assert.equal(stretches.at(1100)?.sample, 2400);
  stretches.clock(1, 9600, 1, 1390); // 10 ms earlier than the first one was
  assert.equal(Math.round(stretches.at(1100)!.sample), 2640);
});

test("after a pause the turn goes on where it stopped, by the new epoch's clock", () => {
  const stretches = new Stretches(HERTZ);
  stretches.clock(1, 0, 1, 0);
  stretches.clock(1, 12_000, 2, 900); // 400 ms of silence in between
  assert.deepEqual(stretches.at(250), { turn: 1, sample: 6000, running: true, over: false });
  assert.deepEqual(stretches.at(700), { turn: 1, sample: 12_000, running: false, over: false });
  assert.equal(stretches.at(1000)?.sample, 14_400);
});

test("a turn that is complete or cut ends there, and an older clock does not come back", () => {
  const stretches = new Stretches(HERTZ);
  stretches.clock(1, 0, 1, 0);
  stretches.end(1, 2400);
  assert.equal(stretches.at(50)?.running, true);
  assert.deepEqual(stretches.at(150), { turn: 1, sample: 2400, running: false, over: true });
  stretches.clock(2, 0, 2, 1000);
  stretches.clock(1, 2400, 3, 1100);
  assert.equal(stretches.at(1050)?.turn, 2);
  assert.equal(stretches.at(-1), null);
});

test("a voice of which nothing is told any more does not run on for ever", () => {
  const stretches = new Stretches(HERTZ);
  stretches.clock(1, 0, 1, 0);
  assert.equal(stretches.at(400)?.running, true);
  assert.deepEqual(stretches.at(5000), { turn: 1, sample: 12_000, running: false, over: false });
});
