// A head on the graphics card: its meshes, and those of them that move.

import type { Model } from "./model.ts";
import { Morph, stillNormals } from "./morph.ts";
import type { Quality } from "./renderer.ts";
import { Fringe, hairMesh, type RibbonMesh } from "./ribbons.ts";

interface Mesh {
  readonly vao: WebGLVertexArrayObject;
  readonly count: number;
  readonly type: number;
}

export class Scene {
  readonly picture: WebGLTexture;
  private readonly meshes = new Map<string, Mesh>();
  private readonly buffers: WebGLBuffer[] = [];
  private readonly skin: Morph;
  private readonly mouth: Morph;
  private readonly fringe: Fringe;
  private readonly split: { positions: Float32Array; normals: Float32Array };
  private readonly live = new Map<string, WebGLBuffer>();

  constructor(
    private readonly gl: WebGL2RenderingContext,
    readonly model: Model,
    picture: ImageBitmap,
    quality: Quality,
  ) {
    const { seams } = model.skin;
    // Shapes and normals know nothing of the texture's seams.
    const welded = model.skin.indices.map((vertex) => seams[vertex]);
    this.skin = new Morph({ ...model.skin, indices: welded }, model.step);
    this.mouth = new Morph(model.mouth, model.step);
    this.fringe = new Fringe(model.fringe);
    this.split = {
      positions: new Float32Array(seams.length * 3),
      normals: new Float32Array(seams.length * 3),
    };
    this.picture = this.texture(picture);
    const light = Uint8Array.from(seams, (vertex) => model.skin.light[vertex]);
    this.mesh("skin", model.skin.indices, [
      ["skin.positions", 0, this.split.positions, 3],
      ["skin.normals", 1, this.split.normals, 3],
      ["", 2, model.skin.texture, 2],
      ["", 3, light, 1],
    ]);
    this.mesh("mouth", model.mouth.indices, [
      ["mouth.positions", 0, this.mouth.positions, 3],
      ["mouth.normals", 1, this.mouth.normals, 3],
      ["", 3, model.mouth.colour, 3],
    ]);
    const { positions, indices } = model.shirt;
    this.mesh("shirt", indices, [
      ["", 0, positions, 3],
      ["", 1, stillNormals(positions, indices), 3],
      ["", 3, model.shirt.light, 1],
    ]);
    this.ribbons("hair", hairMesh(model.hair, quality === "full"));
    this.ribbons("fringe", this.fringe);
    const ball = sphere(36, 24);
    this.mesh("eye", ball.indices, [
      ["", 0, ball.positions, 3],
      ["", 1, ball.positions, 3],
    ]);
  }

  /** Moves skin, mouth, brows and lashes. */
  shape(weights: Float32Array): void {
    const { gl } = this;
    const { seams } = this.model.skin;
    this.skin.apply(weights);
    this.mouth.apply(weights);
    this.fringe.follow(this.skin.positions, weights);
    const { positions, normals } = this.split;
    for (let i = 0, to = 0; i < seams.length; i++, to += 3) {
      const from = seams[i] * 3;
      for (let axis = 0; axis < 3; axis++) {
        positions[to + axis] = this.skin.positions[from + axis];
        normals[to + axis] = this.skin.normals[from + axis];
      }
    }
    const fresh: Record<string, Float32Array> = {
      "skin.positions": positions,
      "skin.normals": normals,
      "mouth.positions": this.mouth.positions,
      "mouth.normals": this.mouth.normals,
      "fringe.positions": this.fringe.positions,
      "fringe.tangents": this.fringe.tangents,
    };
    for (const [name, buffer] of this.live) {
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.bufferSubData(gl.ARRAY_BUFFER, 0, fresh[name]);
    }
  }

  draw(name: string): void {
    const mesh = this.meshes.get(name)!;
    this.gl.bindVertexArray(mesh.vao);
    this.gl.drawElements(this.gl.TRIANGLES, mesh.count, mesh.type, 0);
  }

  free(): void {
    for (const { vao } of this.meshes.values()) this.gl.deleteVertexArray(vao);
    for (const buffer of this.buffers) this.gl.deleteBuffer(buffer);
    this.gl.deleteTexture(this.picture);
  }

  private ribbons(name: string, mesh: RibbonMesh): void {
    const moves = name === "fringe";
    this.mesh(name, mesh.indices, [
      [moves ? "fringe.positions" : "", 0, mesh.positions, 3],
      [moves ? "fringe.tangents" : "", 1, mesh.tangents, 3],
      ["", 3, mesh.marks, 4],
    ]);
  }

  /** A mesh of attributes: a name when it changes, its location, numbers, components. */
  private mesh(
    name: string,
    indices: Uint16Array | Uint32Array,
    attributes: [string, number, Float32Array | Uint16Array | Uint8Array, number][],
  ): void {
    const { gl } = this;
    const vao = gl.createVertexArray();
    gl.bindVertexArray(vao);
    for (const [live, location, data, components] of attributes) {
      const buffer = this.buffer(gl.ARRAY_BUFFER, data, live ? gl.DYNAMIC_DRAW : gl.STATIC_DRAW);
      if (live) this.live.set(live, buffer);
      const type =
        data instanceof Float32Array
          ? gl.FLOAT
          : data instanceof Uint16Array
            ? gl.UNSIGNED_SHORT
            : gl.UNSIGNED_BYTE;
      gl.enableVertexAttribArray(location);
      gl.vertexAttribPointer(location, components, type, type !== gl.FLOAT, 0, 0);
    }
    this.buffer(gl.ELEMENT_ARRAY_BUFFER, indices, gl.STATIC_DRAW);
    const type = indices instanceof Uint32Array ? gl.UNSIGNED_INT : gl.UNSIGNED_SHORT;
    this.meshes.set(name, { vao, count: indices.length, type });
    gl.bindVertexArray(null);
  }

  private buffer(target: number, data: ArrayBufferView<ArrayBufferLike>, usage: number): WebGLBuffer {
    const buffer = this.gl.createBuffer();
    this.gl.bindBuffer(target, buffer);
    this.gl.bufferData(target, data as ArrayBufferView<ArrayBuffer>, usage);
    this.buffers.push(buffer);
    return buffer;
  }

  private texture(picture: ImageBitmap): WebGLTexture {
    const { gl } = this;
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB8, gl.RGB, gl.UNSIGNED_BYTE, picture);
    gl.generateMipmap(gl.TEXTURE_2D);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
    return texture;
  }
}

function sphere(around: number, rings: number): { positions: Float32Array; indices: Uint16Array } {
  const positions: number[] = [];
  const indices: number[] = [];
  for (let ring = 0; ring <= rings; ring++) {
    const polar = (ring / rings) * Math.PI;
    for (let step = 0; step <= around; step++) {
      const turn = (step / around) * 2 * Math.PI;
      positions.push(
        Math.sin(polar) * Math.cos(turn),
        Math.sin(polar) * Math.sin(turn),
        Math.cos(polar),
      );
      if (ring < rings && step < around) {
        const a = ring * (around + 1) + step;
        const b = a + around + 1;
        indices.push(a, b, a + 1, a + 1, b, b + 1);
      }
    }
  }
  return { positions: Float32Array.from(positions), indices: Uint16Array.from(indices) };
}
