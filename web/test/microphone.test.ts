import assert from "node:assert/strict";
import { test } from "node:test";
import { MicrophoneError } from "../src/audio/capture.ts";
import { Microphone, type MicrophoneState, type Source } from "../src/audio/microphone.ts";

/** Stands in for an open device. */
class FakeSource implements Source {
  muted = false;
  closed = false;
  onEnded = (): void => {};
  onSilenced = (_silenced: boolean): void => {};
  async resume(): Promise<void> {}
  async close(): Promise<void> {
    this.closed = true;
  }
}

/** Stands in for `navigator.mediaDevices`. */
class FakeDevices extends EventTarget {
  kinds: string[] = [];
  async enumerateDevices(): Promise<{ kind: string }[]> {
    return this.kinds.map((kind) => ({ kind }));
  }
}

const settled = (): Promise<void> => new Promise((done) => setTimeout(done, 0));

function made(): {
  microphone: Microphone;
  told: MicrophoneState[];
  opened: FakeSource[];
  devices: FakeDevices;
  refuse: (kind: MicrophoneError["kind"] | null) => void;
} {
  const told: MicrophoneState[] = [];
  const opened: FakeSource[] = [];
  const devices = new FakeDevices();
  let refusal: MicrophoneError["kind"] | null = null;
  const open = async (): Promise<Source> => {
    if (refusal) throw new MicrophoneError(refusal, refusal);
    opened.push(new FakeSource());
    return opened.at(-1)!;
  };
  const microphone = new Microphone(open, (state) => told.push(state), devices);
  return { microphone, told, opened, devices, refuse: (kind) => (refusal = kind) };
}

const last = (told: MicrophoneState[]): [boolean, boolean, string | undefined] => {
  const { on, muted, problem } = told.at(-1)!;
  return [on, muted, problem?.kind];
};

test("two clicks open one device; muting keeps it open", async () => {
  const { microphone, told, opened } = made();
  await Promise.all([microphone.set(true), microphone.set(true)]);
  assert.equal(opened.length, 1);
  await microphone.set(false);
  assert.deepEqual(last(told), [true, true, undefined]);
  assert.equal(opened[0].muted, true);
});

test("an unplugged device says so, and goes on by itself when one appears", async () => {
  const { microphone, told, opened, devices, refuse } = made();
  await microphone.set(true);
  refuse("missing");
  opened[0].onEnded();
  await settled();
  assert.deepEqual(last(told), [false, false, "gone"]);
  devices.dispatchEvent(new Event("devicechange")); // a loudspeaker, say
  await settled();
  assert.deepEqual(last(told), [false, false, "gone"]);
  refuse(null);
  devices.kinds = ["audiooutput", "audioinput"];
  devices.dispatchEvent(new Event("devicechange"));
  await settled();
  assert.deepEqual(last(told), [true, false, undefined]);
  assert.equal(opened.length, 2);
});

test("another device takes over at once, muted if the one before was", async () => {
  const { microphone, told, opened } = made();
  await microphone.set(true);
  await microphone.set(false);
  opened[0].onEnded();
  await settled();
  assert.deepEqual(last(told), [true, true, undefined]);
  assert.equal(opened[1].muted, true);
});

test("a device that is taken away by the person is not called unplugged", async () => {
  const { microphone, told, opened, devices, refuse } = made();
  await microphone.set(true);
  refuse("denied");
  opened[0].onEnded();
  await settled();
  assert.deepEqual(last(told), [false, false, "denied"]);
  refuse(null);
  devices.kinds = ["audioinput"];
  devices.dispatchEvent(new Event("devicechange"));
  await settled();
  assert.deepEqual(last(told), [false, false, "denied"]);
});

test("a switch on the device is told while it lasts; trying again opens it anew", async () => {
  const { microphone, told, opened } = made();
  await microphone.set(true);
  opened[0].onSilenced(true);
  assert.deepEqual(last(told), [true, false, "silenced"]);
  opened[0].onSilenced(false);
  assert.deepEqual(last(told), [true, false, undefined]);
  opened[0].onSilenced(true);
  await microphone.set(true);
  assert.deepEqual(last(told), [true, false, undefined]);
  assert.deepEqual([opened.length, opened[0].closed], [2, true]);
});

test("a device that opens after the end is closed again, and nothing is told", async () => {
  const { microphone, told, opened } = made();
  const opening = microphone.set(true);
  await microphone.close();
  await opening;
  assert.equal(opened[0].closed, true);
  assert.deepEqual(told, []);
});
