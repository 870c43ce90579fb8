// The binary messages of egress' WebSocket: docs/websocket.md.

import type { Motion, Voice } from "./transport.ts";

export const HEADER_BYTES = 24;
const VERSION = 1;
const MICROPHONE = 1;
const VOICE = 2;
const MOTION = 3;

export type Media = { voice: Voice } | { motion: Motion } | null;

/** A microphone message; `start` counts the samples sent before on this connection. */
export function packMicrophone(pcm: Int16Array, start: number): ArrayBuffer {
  const message = new ArrayBuffer(HEADER_BYTES + pcm.byteLength);
  const view = new DataView(message);
  view.setUint8(0, MICROPHONE);
  view.setUint8(1, VERSION);
  view.setBigInt64(8, BigInt(start), true);
  view.setUint32(16, pcm.length, true);
  new Int16Array(message, HEADER_BYTES).set(pcm);
  return message;
}

/** Voice or motion; null for kinds and versions that this client does not know, and for scraps. */
export function unpackMedia(message: ArrayBuffer): Media {
  if (message.byteLength < HEADER_BYTES) return null;
  const view = new DataView(message);
  if (view.getUint8(1) !== VERSION) return null;
  const turn = view.getUint32(4, true);
  const start = Number(view.getBigInt64(8, true));
  const samples = view.getUint32(16, true);
  switch (view.getUint8(0)) {
    case VOICE: {
      const whole = Math.floor((message.byteLength - HEADER_BYTES) / 2);
      return { voice: { turn, start, pcm: new Int16Array(message, HEADER_BYTES, whole) } };
    }
    case MOTION:
      return { motion: { turn, start, samples, payload: new Uint8Array(message, HEADER_BYTES) } };
    default:
      return null;
  }
}
