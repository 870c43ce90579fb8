// The data packets that bring a face into a LiveKit room: docs/livekit.md has their table.

import type { Motion } from "./transport.ts";
import { HEADER_BYTES } from "./wire.ts";

const VERSION = 1;
const MOTION = 3;
const CLOCK = 4;
const END = 5;
const INTERRUPT = 6;
// More parts than a payload has: a sender that never ends one holds no more memory than this.
const MOST_PARTS = 64;

export type Packet =
  | { kind: "motion"; motion: Motion }
  | { kind: "clock"; turn: number; sample: number; epoch: number }
  | { kind: "end"; turn: number; length: number }
  | { kind: "interrupt"; turn: number; sample: number };

/** Reads packets, and puts payloads together that came in parts. */
export class PacketReader {
  private parts: Uint8Array[] = [];

  /** What a packet says; null for kinds that this client does not know, scraps, and all parts but the last. */
  read(packet: Uint8Array): Packet | null {
    if (packet.byteLength < HEADER_BYTES) return null;
    const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
    if (view.getUint8(1) !== VERSION) return null;
    const turn = view.getUint32(4, true);
    const sample = Number(view.getBigInt64(8, true));
    switch (view.getUint8(0)) {
      case MOTION: {
        const payload = this.whole(packet.subarray(HEADER_BYTES), view.getUint8(2), view.getUint8(3));
        const samples = view.getUint32(16, true);
        return payload && { kind: "motion", motion: { turn, start: sample, samples, payload } };
      }
      case CLOCK:
        return { kind: "clock", turn, sample, epoch: view.getUint32(20, true) };
      case END:
        return { kind: "end", turn, length: sample };
      case INTERRUPT:
        return { kind: "interrupt", turn, sample };
      default:
        return null;
    }
  }

  /** Parts come in order, because the packets are reliable; what lost its beginning is dropped. */
  private whole(part: Uint8Array, index: number, count: number): Uint8Array | null {
    if (index === 0) this.parts = [];
    if (index !== this.parts.length || count > MOST_PARTS) return null;
    this.parts.push(part);
    if (index + 1 < count) return null;
    const bytes = new Uint8Array(this.parts.reduce((sum, each) => sum + each.length, 0));
    let at = 0;
    for (const each of this.parts) {
      bytes.set(each, at);
      at += each.length;
    }
    this.parts = [];
    return bytes;
  }
}
