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

/**
 * The hair. `fine`: every lock, as a curve through its rings; else each second lock at more width,
 * straight between rings, for slow machines.
 */
export function hairMesh(hair: Model["hair"], fine = true): RibbonMesh {
  const every = fine ? 1 : 2;
  const pieces = fine ? 3 : 1;
  const rings = (hair.rings - 1) * pieces + 1;
  const ribbons = Math.ceil(hair.shades.length / every);
  const positions = new Float32Array(ribbons * rings * 6);
  const tangents = new Float32Array(ribbons * rings * 6);
  const scale = (fine ? 1 : 1.5) / 127 / 4000;
  for (let ribbon = 0; ribbon < ribbons; ribbon++) {
    const lock = ribbon * every * hair.rings;
    for (let ring = 0; ring < rings; ring++) {
      // Catmull and Rom's curve (1974) through this ring and the next; a lock's ends count twice.
      const near = Math.min(Math.floor(ring / pieces), hair.rings - 2);
      const part = ring / pieces - near;
      const at = [-1, 0, 1, 2].map((k) => lock + Math.min(Math.max(near + k, 0), hair.rings - 1));
      const to = (ribbon * rings + ring) * 6;
      for (let axis = 0; axis < 3; axis++) {
        const [a, b, c, d] = at.map((source) => hair.positions[source * 3 + axis]);
        const [bend, turn, way] = [3 * (b - c) + d - a, 2 * a - 5 * b + 4 * c - d, c - a];
        const centre = b + ((bend * part + turn) * part + way) * part * 0.5;
        const [from, until] = [at[1], at[2]].map(
          (source) => hair.sides[source * 3 + axis] * hair.widths[source],
        );
        const side = (from + (until - from) * part) * scale;
        positions[to + axis] = centre - side;
        positions[to + 3 + axis] = centre + side;
        const tangent = (3 * bend * part + 2 * turn) * part + way;
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
