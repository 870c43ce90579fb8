// A preview of the codec spatius.message: jaw, lids, eyes and neck of its FLAME keyframes.
// Spatius' own client SDK shows all of it; this shows that and when the face moves.

import { CHANNELS, type Face, type Faces } from "./arkit.ts";

// Field numbers of protos/stagewire/spatius_wire/v2/spatius_wire.proto.
const RESPONSE_ANIMATION = 6;
const ANIMATION = 4;
const KEYFRAMES = 1;
const ROTATION = 2;
const NECK = 3;
const JAW = 4;
const EYES = 5;
const LIDS = 6;

const BYTES = 2;
// Means and ranges of a captured answer of Motion Server, in radians: docs/motion-codecs.md. The jaw
// of speech goes from 0.01 to 0.06, because the lips do the rest; here it does all of it alone.
const JAW_CLOSED = 0.01;
const JAW_OPEN = 0.06;
const JAW_SIDE = -0.0051;
const NECK_PITCH = 0.12;
// FLAME leaves open how far a jaw goes sideways; ARKit's shapes turn an eye by about 30 degrees.
const JAW_FAR = 0.2;
const EYE_FAR = Math.PI / 6;

/** The keyframes as faces; null when the bytes are no animation. */
export function decodeSpatius(payload: Uint8Array): Faces | null {
  try {
    const response = fields(payload).find(([number]) => number === RESPONSE_ANIMATION);
    if (!response) return null;
    const animation = fields(response[1]).find(([number]) => number === ANIMATION);
    const keyframes = animation ? fields(animation[1]).filter(([n]) => n === KEYFRAMES) : [];
    return { rate: 0, faces: keyframes.map(([, keyframe]) => face(fields(keyframe))) };
  } catch {
    return null;
  }
}

function face(keyframe: [number, Uint8Array][]): Face {
  const numbers = (field: number): number[] => {
    const found = keyframe.find(([number]) => number === field);
    return found ? floats(found[1]) : [];
  };
  const [rotation, neck, jaw] = [numbers(ROTATION), numbers(NECK), numbers(JAW)];
  const [eyes, lids] = [numbers(EYES), numbers(LIDS)];
  const weights = new Float32Array(CHANNELS);
  const set = (channel: number, value: number): void => {
    weights[channel] = Math.max(0, Math.min(1, value || 0));
  };
  set(17, (jaw[0] - JAW_CLOSED) / (JAW_OPEN - JAW_CLOSED));
  set(15, (jaw[1] - JAW_SIDE) / JAW_FAR); // jawLeft
  set(16, -(jaw[1] - JAW_SIDE) / JAW_FAR); // jawRight
  set(0, lids[0]);
  set(7, lids[1]);
  [0, 1].forEach((eye) => {
    const [pitch, yaw] = [eyes[eye * 3] / EYE_FAR, eyes[eye * 3 + 1] / EYE_FAR];
    const first = eye * 7;
    const outwards = eye === 0 ? yaw : -yaw;
    set(first + 1, pitch);
    set(first + 4, -pitch);
    set(first + 3, outwards);
    set(first + 2, -outwards);
  });
  const angle = (axis: number): number => (rotation[axis] || 0) + (neck[axis] || 0);
  return { weights, head: [angle(0) - (neck.length ? NECK_PITCH : 0), angle(1), angle(2)] };
}

function floats(data: Uint8Array): number[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return Array.from({ length: data.length >> 2 }, (_, i) => view.getFloat32(i * 4, true));
}

/** The length-delimited fields of a protobuf message; throws when it is cut short. */
function fields(data: Uint8Array): [number, Uint8Array][] {
  const found: [number, Uint8Array][] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      if (at >= data.length) throw new RangeError("cut short");
      const byte = data[at++];
      value += (byte & 127) * shift;
      if (byte < 128) return value;
    }
  };
  while (at < data.length) {
    const key = varint();
    const wire = key & 7;
    if (wire === 0) varint();
    else if (wire === 1) at += 8;
    else if (wire === 5) at += 4;
    else if (wire === BYTES) {
      const length = varint();
      if (at + length > data.length) throw new RangeError("cut short");
      found.push([Math.floor(key / 8), data.subarray(at, at + length)]);
      at += length;
    } else throw new RangeError("an unknown wire type");
  }
  return found;
}
