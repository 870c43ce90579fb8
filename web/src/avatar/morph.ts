// Shapes on the CPU: only offsets that are not zero, only weights that are not zero, and normals
// again only where something can move. Software GL is several times slower with shapes on the GPU.

import type { Shaped } from "./model.ts";

const NOTHING = 1e-3;

export class Morph {
  readonly positions: Float32Array;
  readonly normals: Float32Array;
  private readonly base: Float32Array;
  private readonly still: Float32Array;
  private readonly sums: Float32Array;
  private readonly moving: Uint16Array;
  private readonly touched: Uint32Array;

  constructor(
    private readonly mesh: Shaped,
    private readonly step: number,
  ) {
    this.base = mesh.positions;
    this.positions = mesh.positions.slice();
    const count = this.base.length / 3;
    const moves = new Uint8Array(count);
    for (const target of mesh.targets) for (const vertex of target.vertices) moves[vertex] = 1;
    const still: number[] = [];
    const moving: number[] = [];
    const around = new Uint8Array(count);
    const { indices } = mesh;
    for (let i = 0; i < indices.length; i += 3) {
      const [a, b, c] = [indices[i], indices[i + 1], indices[i + 2]];
      const moved = moves[a] || moves[b] || moves[c];
      (moved ? moving : still).push(a, b, c);
      if (moved) around[a] = around[b] = around[c] = 1;
    }
    this.moving = Uint16Array.from(moving);
    this.touched = Uint32Array.from(around.keys()).filter((vertex) => around[vertex] === 1);
    this.still = new Float32Array(this.base.length);
    accumulate(this.still, this.base, Uint16Array.from(still));
    this.sums = this.still.slice();
    accumulate(this.sums, this.base, this.moving);
    this.normals = new Float32Array(this.base.length);
    for (let vertex = 0; vertex < count; vertex++) this.unit(vertex);
  }

  /** Moves the vertices; `weights` are the 52 of the contract. */
  apply(weights: Float32Array): void {
    const { positions, mesh, step } = this;
    positions.set(this.base);
    mesh.targets.forEach((target, number) => {
      const weight = weights[number] * step;
      if (Math.abs(weights[number]) < NOTHING) return;
      const { vertices, offsets } = target;
      for (let i = 0, o = 0; i < vertices.length; i++, o += 3) {
        const at = vertices[i] * 3;
        positions[at] += weight * offsets[o];
        positions[at + 1] += weight * offsets[o + 1];
        positions[at + 2] += weight * offsets[o + 2];
      }
    });
    this.sums.set(this.still);
    accumulate(this.sums, positions, this.moving);
    for (const vertex of this.touched) this.unit(vertex);
  }

  private unit(vertex: number): void {
    const at = vertex * 3;
    const { sums, normals } = this;
    const length = Math.hypot(sums[at], sums[at + 1], sums[at + 2]) || 1;
    normals[at] = sums[at] / length;
    normals[at + 1] = sums[at + 1] / length;
    normals[at + 2] = sums[at + 2] / length;
  }
}

/** Normals of a mesh that does not move. */
export function stillNormals(positions: Float32Array, indices: Uint16Array): Float32Array {
  const sums = new Float32Array(positions.length);
  accumulate(sums, positions, indices);
  for (let at = 0; at < sums.length; at += 3) {
    const length = Math.hypot(sums[at], sums[at + 1], sums[at + 2]) || 1;
    for (let axis = 0; axis < 3; axis++) sums[at + axis] /= length;
  }
  return sums;
}

function accumulate(sums: Float32Array, p: Float32Array, indices: Uint16Array): void {
  for (let i = 0; i < indices.length; i += 3) {
    const a = indices[i] * 3;
    const b = indices[i + 1] * 3;
    const c = indices[i + 2] * 3;
    const ux = p[b] - p[a];
    const uy = p[b + 1] - p[a + 1];
    const uz = p[b + 2] - p[a + 2];
    const vx = p[c] - p[a];
    const vy = p[c + 1] - p[a + 1];
    const vz = p[c + 2] - p[a + 2];
    const x = uy * vz - uz * vy;
    const y = uz * vx - ux * vz;
    const z = ux * vy - uy * vx;
    sums[a] += x;
    sums[a + 1] += y;
    sums[a + 2] += z;
    sums[b] += x;
    sums[b + 1] += y;
    sums[b + 2] += z;
    sums[c] += x;
    sums[c + 1] += y;
    sums[c + 2] += z;
  }
}
