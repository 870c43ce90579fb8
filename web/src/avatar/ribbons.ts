// Hair, brows and lashes: rings of a centre line, made into flat ribbons of triangles.

import type { Model } from "./model.ts";

/** A ribbon mesh as the hair shader takes it. */
export interface RibbonMesh {
  readonly positions: Float32Array;
  readonly tangents: Float32Array;
  /** Across 0 to 255, along 0 to 255, brightness (128 is 1), a number of the ribbon's own. */
  readonly marks: Uint8Array;
  readonly indices: Uint32Array;
}

/** The triangles of ribbons with two vertices per ring. */
export function ribbonIndices(ribbons: number, rings: number): Uint32Array {
  const indices = new Uint32Array(ribbons * (rings - 1) * 6);
  let at = 0;
  for (let ribbon = 0; ribbon < ribbons; ribbon++) {
    for (let ring = 0; ring < rings - 1; ring++) {
      const a = (ribbon * rings + ring) * 2;
      indices.set([a, a + 1, a + 2, a + 1, a + 3, a + 2], at);
      at += 6;
    }
  }
  return indices;
}

/** Marks of ribbons; `brightness` is one number per ribbon. */
function ribbonMarks(ribbons: number, rings: number, brightness: (ribbon: number) => number): Uint8Array {
  const marks = new Uint8Array(ribbons * rings * 8);
  for (let ribbon = 0; ribbon < ribbons; ribbon++) {
    for (let ring = 0; ring < rings; ring++) {
      const at = (ribbon * rings + ring) * 8;
      const along = (ring / (rings - 1)) * 255;
      const own = (ribbon * 97) % 256;
      marks.set([0, along, brightness(ribbon), own, 255, along, brightness(ribbon), own], at);
    }
  }
  return marks;
}

/** The hair; `every` 2 takes each second lock at more width, for slow machines. */
export function hairMesh(hair: Model["hair"], every = 1): RibbonMesh {
  const { rings } = hair;
  const all = hair.shades.length;
  const ribbons = Math.ceil(all / every);
  const positions = new Float32Array(ribbons * rings * 6);
  const tangents = new Float32Array(ribbons * rings * 6);
  const widen = every > 1 ? 1.5 : 1;
  for (let ribbon = 0; ribbon < ribbons; ribbon++) {
    for (let ring = 0; ring < rings; ring++) {
      const from = ribbon * every * rings;
      const source = from + ring;
      const before = (from + Math.max(ring - 1, 0)) * 3;
      const after = (from + Math.min(ring + 1, rings - 1)) * 3;
      const width = (hair.widths[source] / 4000) * widen;
      const to = (ribbon * rings + ring) * 6;
      for (let axis = 0; axis < 3; axis++) {
        const centre = hair.positions[source * 3 + axis];
        const side = (hair.sides[source * 3 + axis] / 127) * width;
        positions[to + axis] = centre - side;
        positions[to + 3 + axis] = centre + side;
        const tangent = hair.positions[after + axis] - hair.positions[before + axis];
        tangents[to + axis] = tangents[to + 3 + axis] = tangent;
      }
    }
  }
  const marks = ribbonMarks(ribbons, rings, (ribbon) => hair.shades[ribbon * every]);
  return { positions, tangents, marks, indices: ribbonIndices(ribbons, rings) };
}

const LASH_LEFT = 1;
const LASH_RIGHT = 2;
const BLINK_LEFT = 0;
const BLINK_RIGHT = 7;
const LOWER_SINK = 0.06; // decimetres

/** Brows and lashes, which follow the skin. */
export class Fringe implements RibbonMesh {
  readonly positions: Float32Array;
  readonly tangents: Float32Array;
  readonly marks: Uint8Array;
  readonly indices: Uint32Array;
  private readonly centres: Float32Array;

  constructor(private readonly fringe: Model["fringe"]) {
    const ribbons = fringe.kinds.length;
    const vertices = ribbons * fringe.rings * 2;
    this.positions = new Float32Array(vertices * 3);
    this.tangents = new Float32Array(vertices * 3);
    this.centres = new Float32Array(fringe.rings * 3);
    this.marks = ribbonMarks(ribbons, fringe.rings, (ribbon) => (fringe.kinds[ribbon] ? 60 : 150));
    this.indices = ribbonIndices(ribbons, fringe.rings);
  }

  /** Follows the skin's positions; lashes turn down with a closing lid. */
  follow(skin: Float32Array, weights: Float32Array): void {
    const { rings, kinds } = this.fringe;
    for (let hair = 0; hair < kinds.length; hair++) {
      const kind = kinds[hair];
      const blink =
        kind === LASH_LEFT ? weights[BLINK_LEFT] : kind === LASH_RIGHT ? weights[BLINK_RIGHT] : 0;
      for (let ring = 0; ring < rings; ring++) this.place(hair * rings + ring, ring, skin, blink);
      for (let ring = 0; ring < rings; ring++) this.widen(hair, ring);
    }
  }

  private place(source: number, ring: number, skin: Float32Array, blink: number): void {
    const { vertices, weights, offsets } = this.fringe;
    for (let axis = 0; axis < 3; axis++) {
      let at = 0;
      for (let corner = 0; corner < 3; corner++) {
        at += (weights[source * 3 + corner] / 255) * skin[vertices[source * 3 + corner] * 3 + axis];
      }
      const offset = offsets[source * 3 + axis];
      const up = axis === 1 && offset > 0 ? 1 - 1.5 * blink : 1;
      // The lower lid's lashes vanish behind the upper lid.
      const behind = axis === 2 && offsets[source * 3 + 1] < 0 ? LOWER_SINK * blink : 0;
      this.centres[ring * 3 + axis] = at + offset * up - behind;
    }
  }

  /** Ribbons face the front. */
  private widen(hair: number, ring: number): void {
    const { rings, widths } = this.fringe;
    const before = Math.max(ring - 1, 0) * 3;
    const after = Math.min(ring + 1, rings - 1) * 3;
    const x = this.centres[after] - this.centres[before];
    const y = this.centres[after + 1] - this.centres[before + 1];
    const z = this.centres[after + 2] - this.centres[before + 2];
    const length = Math.hypot(x, y) || 1;
    const width = (widths[hair] / 10000) * (1 - 0.85 * (ring / (rings - 1)) ** 1.5);
    const sideX = (y / length) * width;
    const sideY = (-x / length) * width;
    const to = (hair * rings + ring) * 6;
    const [cx, cy, cz] = this.centres.subarray(ring * 3, ring * 3 + 3);
    this.positions.set([cx - sideX, cy - sideY, cz, cx + sideX, cy + sideY, cz], to);
    this.tangents.set([x, y, z, x, y, z], to);
  }
}
