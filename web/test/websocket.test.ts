import assert from "node:assert/strict";
import { test } from "node:test";
import type { Joined, Listener } from "../src/client/transport.ts";
import { WebSocketTransport } from "../src/client/websocket.ts";

/** Stands in for the browser's WebSocket. */
class Socket {
  static readonly OPEN = 1;
  readyState = 1;
  bufferedAmount = 0;
  binaryType = "";
  readonly sent: (string | ArrayBuffer)[] = [];
  onopen = (): void => {};
  onmessage = (_event: { data: unknown }): void => {};
  onclose = (_event: { code: number; reason: string }): void => {};
  send(data: string | ArrayBuffer): void {
    this.sent.push(data);
  }
  close(): void {}
  says(message: object): void {
    this.onmessage({ data: JSON.stringify(message) });
  }
}

const JOINED = { type: "joined", session_id: "s", voice: { sample_rate_hertz: 24000 }, motion: null, turn: 0 };

function started(): { sockets: Socket[]; told: [string, ...unknown[]][]; transport: WebSocketTransport } {
  const page = Object.assign(new EventTarget(), {
    setTimeout: (call: () => void, after: number) => setTimeout(call, after),
  });
  Object.assign(globalThis, { WebSocket: Socket, window: page });
  const sockets: Socket[] = [];
  const told: [string, ...unknown[]][] = [];
  const listener = new Proxy({} as Listener, {
    get: (_, name: string) => (...values: unknown[]) => told.push([name, ...values]),
  });
  const transport = new WebSocketTransport("ws://here/v1/join", "secret", () => {
    const socket = new Socket();
    sockets.push(socket);
    return socket as unknown as WebSocket;
  });
  transport.open(listener);
  sockets[0].onopen();
  return { sockets, told, transport };
}

test("the token goes into the first message, and what was typed before waits for the answer", () => {
  const { sockets, told, transport } = started();
  assert.deepEqual(JSON.parse(sockets[0].sent[0] as string), {
    type: "join",
    token: "secret",
    microphone: { sample_rate_hertz: 16000 },
  });
  transport.text("too early");
  assert.equal(sockets[0].sent.length, 1);
  sockets[0].says(JOINED);
  assert.equal(told[0][0], "joined");
  assert.deepEqual(JSON.parse(sockets[0].sent[1] as string), { type: "text", text: "too early" });
  transport.close();
});

test("what the face does between turns is handed over as bytes", () => {
  const { sockets, told, transport } = started();
  const motion = { codec: "stagewire.arkit52", frame_rate: 50, idle: ["AQIy", "AP8="] };
  sockets[0].says({ ...JOINED, motion });
  const joined = told[0][1] as Joined;
  assert.deepEqual([joined.motionCodec, joined.motionRate], ["stagewire.arkit52", 50]);
  assert.deepEqual(joined.idle.map((payload) => [...payload]), [[1, 2, 50], [0, 255]]);
  transport.close();
});

test("it comes back after a drop and counts the microphone from zero again", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const { sockets, told, transport } = started();
  sockets[0].says(JOINED);
  transport.microphone(new Int16Array(320));
  sockets[0].onclose({ code: 1006, reason: "" });
  assert.equal(told.at(-1)![0], "lost");
  transport.microphone(new Int16Array(320));
  context.mock.timers.tick(1_000);
  assert.equal(sockets.length, 2);
  sockets[1].onopen();
  sockets[1].says(JOINED);
  transport.microphone(new Int16Array(320));
  const message = sockets[1].sent.at(-1) as ArrayBuffer;
  assert.equal(new DataView(message).getBigInt64(8, true), 0n);
  transport.close();
});

test("a dead connection is given up: the network is away, it takes nothing, or nobody answers", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const { sockets, told, transport } = started();
  sockets[0].says(JOINED);
  window.dispatchEvent(new Event("offline"));
  assert.deepEqual(told.at(-1)!.slice(0, 2), ["lost", "The network is away."]);
  window.dispatchEvent(new Event("online"));
  assert.equal(sockets.length, 2, "it does not wait when the network is back");
  sockets[0].onclose({ code: 1006, reason: "" });
  assert.equal(told.at(-1)![1], "The network is away.", "the old connection's end is no news");

  sockets[1].onopen();
  sockets[1].says(JOINED);
  sockets[1].bufferedAmount = 100_000;
  transport.microphone(new Int16Array(320));
  context.mock.timers.tick(6_000);
  transport.microphone(new Int16Array(320));
  assert.deepEqual(told.at(-1)!.slice(0, 2), ["lost", "The network is stuck."]);

  context.mock.timers.tick(1_000);
  assert.equal(sockets.length, 3);
  context.mock.timers.tick(10_000);
  assert.deepEqual(told.at(-1)!.slice(0, 2), ["lost", "The server does not answer."]);
  transport.close();
  context.mock.timers.tick(60_000);
  assert.equal(sockets.length, 3);
});

test("it does not come back when told that the session is over", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const { sockets, told } = started();
  sockets[0].says(JOINED);
  sockets[0].onclose({ code: 4401, reason: "" });
  assert.equal(told.at(-1)![0], "closed");
  context.mock.timers.tick(60_000);
  assert.equal(sockets.length, 1);
});

test("it gives up after two minutes, with growing pauses until then", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const { sockets, told } = started();
  for (let i = 0; i < 600 && told.at(-1)?.[0] !== "closed"; i++) {
    if (sockets[i]) sockets[i].onclose({ code: 1006, reason: "" });
    context.mock.timers.tick(6_300);
  }
  assert.deepEqual(told.at(-1), ["closed", "The server cannot be reached."]);
  assert.ok(sockets.length < 60, `${sockets.length} attempts`);
});
