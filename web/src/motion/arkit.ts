// The codec stagewire.arkit52: docs/motion-codecs.md.

export const CHANNELS = 52;
const VERSION = 1;
const HEADER = 4;
const FRAME = 58;

/** A face at one moment. */
export interface Face {
  /** The 52 weights, 0 to 1, in the contract's order. */
  readonly weights: Float32Array;
  /** Radians: pitch (positive looks down), yaw (to its own left), roll (to its own right). */
  readonly head: readonly [number, number, number];
}

/** Faces at a steady rate; rate 0: spread over the samples that the message covers. */
export interface Faces {
  readonly rate: number;
  readonly faces: readonly Face[];
}

/** A payload's frames; null when it is malformed: a client drops it and goes on. */
export function decodeArkit(payload: Uint8Array): Faces | null {
  if (payload.length < HEADER || payload[0] !== VERSION) return null;
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const count = payload[1];
  const rate = view.getUint16(2, true);
  if (count === 0 || rate === 0 || payload.length !== HEADER + FRAME * count) return null;
  const faces = Array.from({ length: count }, (_, frame): Face => {
    const at = HEADER + FRAME * frame;
    const weights = Float32Array.from(payload.subarray(at, at + CHANNELS), (value) => value / 255);
    const angle = (axis: number): number => view.getInt16(at + CHANNELS + 2 * axis, true) / 10_000;
    return { weights, head: [angle(0), angle(1), angle(2)] };
  });
  return { rate, faces };
}
