// Draws a head with WebGL 2 into a canvas whose background stays transparent.

import type { Colour, Model } from "./model.ts";
import { Morph, stillNormals } from "./morph.ts";
import { Fringe, hairMesh, type RibbonMesh } from "./ribbons.ts";
import { EYE, HAIR, MOUTH, SHIRT, SKIN, VERTEX } from "./shaders.ts";

/** How the head stands: the contract's weights and angles. */
export interface Pose {
  /** 52 weights, 0 to 1, in the contract's order. */
  readonly weights: Float32Array;
  /** Radians: pitch (positive looks down), yaw (to its own left), roll (to its own right). */
  readonly head: readonly [pitch: number, yaw: number, roll: number];
  /** -1 (breathed out) to 1 (in). */
  readonly breath: number;
}

export type Quality = "full" | "lite";

const PIVOT = [0, -0.78, -0.82] as const;
const JAW_OPEN = 17;
// mouthLowerDown and mouthUpperUp, both sides.
const LIPS_PART = [37, 38, 39, 40];
const FIELD_OF_VIEW = 0.33;
// What must fit: from over the hair to the chest, and the width of the hair.
const FRAME = { top: 1.62, bottom: -1.92, width: 2.6 };
const FRAMES_PER_SECOND = { full: 60, lite: 15 };

interface Mesh {
  readonly vao: WebGLVertexArrayObject;
  readonly count: number;
  readonly type: number;
}

export class Renderer {
  readonly quality: Quality;
  /** What the browser says draws here. */
  readonly device: string;
  private readonly gl: WebGL2RenderingContext;
  private readonly programs = new Map<string, Program>();
  private scene: Scene | null = null;
  private lastDrawn = -1;

  /** Throws a sentence when the browser has no WebGL 2. */
  constructor(
    private readonly canvas: HTMLCanvasElement,
    quality: Quality | "auto",
  ) {
    const gl = canvas.getContext("webgl2", {
      alpha: true,
      antialias: quality !== "lite",
      premultipliedAlpha: true,
      powerPreference: "high-performance",
    });
    if (!gl) throw new Error("This browser cannot draw in 3D (it has no WebGL 2).");
    this.gl = gl;
    const info = gl.getExtension("WEBGL_debug_renderer_info");
    this.device = String(gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
    const software = /swiftshader|llvmpipe|software|basic render/i.test(this.device);
    this.quality = quality === "auto" ? (software ? "lite" : "full") : quality;
  }

  /** Takes a head; the one before is forgotten. */
  async take(model: Model): Promise<void> {
    const picture = await createImageBitmap(model.skin.picture);
    this.scene?.free();
    this.scene = new Scene(this.gl, model, picture, this.quality);
    picture.close();
    this.lastDrawn = -1;
  }

  /** Draws the pose; `now` (milliseconds) keeps slow machines at a rate that leaves them time. */
  draw(pose: Pose, now: number): boolean {
    const { gl, scene } = this;
    const apart = 1000 / FRAMES_PER_SECOND[this.quality] - 4;
    if (!scene || gl.isContextLost() || now - this.lastDrawn < apart) return false;
    this.lastDrawn = now;
    this.resize();
    scene.shape(pose.weights);
    const { width, height } = this.canvas;
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.enable(gl.DEPTH_TEST);
    const camera = view(width / height);
    const head = rotation(...pose.head);
    const { colours, eyes } = scene.model;
    const open = opening(pose.weights);

    const use = (name: string, fragment: string): Program => {
      const program = this.program(name, fragment);
      program.use();
      program.matrix4("view", camera.matrix);
      program.matrix3("head", head);
      program.matrix3("turn", IDENTITY);
      program.vector("pivot", PIVOT);
      program.vector("centre", [0, 0, 0]);
      program.vector("eye", camera.eye);
      program.number("size", 1);
      program.number("breath", pose.breath * 0.022);
      return program;
    };
    const skin = use("skin", SKIN);
    skin.number("detail", this.quality === "full" ? 1 : 0);
    gl.bindTexture(gl.TEXTURE_2D, scene.picture);
    scene.draw("skin");
    use("shirt", SHIRT).vector("colour", linear(colours.shirt));
    scene.draw("shirt");
    use("mouth", MOUTH).number("opening", open);
    scene.draw("mouth");
    const eye = use("eye", EYE);
    eye.vector("colour", linear(colours.iris));
    eyes.forEach(({ centre, radius }, index) => {
      eye.matrix3("turn", gaze(pose.weights, index));
      eye.vector("centre", centre);
      eye.number("size", radius * 0.985);
      scene.draw("eye");
    });
    const hair = use("hair", HAIR);
    hair.vector("colour", linear(colours.hair));
    hair.number("solid", 0);
    scene.draw("hair");
    hair.number("solid", 1);
    scene.draw("fringe");
    return true;
  }

  /** Frees what it holds on the graphics card. */
  close(): void {
    this.scene?.free();
    this.scene = null;
  }

  private resize(): void {
    const most = this.quality === "full" ? 1200 : 320;
    const ratio = Math.min(devicePixelRatio, 2);
    const wide = this.canvas.clientWidth * ratio;
    const high = this.canvas.clientHeight * ratio;
    const scale = Math.min(1, most / Math.max(wide, high, 1));
    const width = Math.max(1, Math.round(wide * scale));
    const height = Math.max(1, Math.round(high * scale));
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
  }

  private program(name: string, fragment: string): Program {
    let program = this.programs.get(name);
    if (!program) {
      program = new Program(this.gl, fragment);
      this.programs.set(name, program);
    }
    return program;
  }
}

/** One head on the graphics card. */
class Scene {
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
    this.ribbons("hair", hairMesh(model.hair, quality === "full" ? 1 : 2));
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

/** A linked program and its uniforms. */
class Program {
  private readonly program: WebGLProgram;
  private readonly places = new Map<string, WebGLUniformLocation | null>();

  constructor(
    private readonly gl: WebGL2RenderingContext,
    fragment: string,
  ) {
    this.program = gl.createProgram();
    for (const [type, text] of [
      [gl.VERTEX_SHADER, VERTEX],
      [gl.FRAGMENT_SHADER, fragment],
    ] as const) {
      const shader = gl.createShader(type)!;
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(this.program, shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS) && !gl.isContextLost()) {
        throw new Error(`a shader does not compile here: ${gl.getShaderInfoLog(shader)}`);
      }
    }
    gl.linkProgram(this.program);
    if (!gl.getProgramParameter(this.program, gl.LINK_STATUS) && !gl.isContextLost()) {
      throw new Error(`a shader does not link here: ${gl.getProgramInfoLog(this.program)}`);
    }
  }

  use(): void {
    this.gl.useProgram(this.program);
  }

  number(name: string, value: number): void {
    this.gl.uniform1f(this.place(name), value);
  }

  vector(name: string, value: readonly [number, number, number]): void {
    this.gl.uniform3f(this.place(name), ...value);
  }

  matrix3(name: string, value: Float32Array): void {
    this.gl.uniformMatrix3fv(this.place(name), false, value);
  }

  matrix4(name: string, value: Float32Array): void {
    this.gl.uniformMatrix4fv(this.place(name), false, value);
  }

  private place(name: string): WebGLUniformLocation | null {
    let place = this.places.get(name);
    if (place === undefined) {
      place = this.gl.getUniformLocation(this.program, name);
      this.places.set(name, place);
    }
    return place;
  }
}

const IDENTITY = new Float32Array([1, 0, 0, 0, 1, 0, 0, 0, 1]);

const linear = (colour: Colour): [number, number, number] => [
  colour[0] / 255,
  colour[1] / 255,
  colour[2] / 255,
];

/** Columns of the matrix that turns by yaw, then pitch, then roll. */
export function rotation(pitch: number, yaw: number, roll: number): Float32Array {
  const [sx, cx] = [Math.sin(pitch), Math.cos(pitch)];
  const [sy, cy] = [Math.sin(yaw), Math.cos(yaw)];
  const [sz, cz] = [Math.sin(roll), Math.cos(roll)];
  // R = Ry · Rx · Rz
  return new Float32Array([
    cy * cz + sy * sx * sz,
    cx * sz,
    -sy * cz + cy * sx * sz,
    -cy * sz + sy * sx * cz,
    cx * cz,
    sy * sz + cy * sx * cz,
    sy * cx,
    -sx,
    cy * cx,
  ]);
}

/** How much light the lips let in, 0 to 1. */
function opening(weights: Float32Array): number {
  const parted = LIPS_PART.reduce((sum, channel) => sum + weights[channel], 0);
  return Math.min(1, weights[JAW_OPEN] * 2.6 + parted * 0.55);
}

/** An eye's turn from its four eyeLook weights; `index` 0 is the left. */
function gaze(weights: Float32Array, index: number): Float32Array {
  const first = index * 7;
  const [down, inwards, outwards, up] = [1, 2, 3, 4].map((k) => weights[first + k]);
  const yaw = (outwards - inwards) * 0.55 * (index === 0 ? 1 : -1);
  return rotation((down - up) * 0.42, yaw, 0);
}

function view(aspect: number): { matrix: Float32Array; eye: [number, number, number] } {
  const high = FRAME.top - FRAME.bottom;
  const tall = Math.max(high, FRAME.width / aspect);
  const distance = tall / 2 / Math.tan(FIELD_OF_VIEW / 2);
  // Extra height goes under the chest last: the head stays in the upper part.
  const y = FRAME.top - tall / 2 + (tall - high) * 0.32;
  const eye: [number, number, number] = [0, y + 0.1, distance - 0.3];
  const f = 1 / Math.tan(FIELD_OF_VIEW / 2);
  const [near, far] = [distance * 0.5, distance * 1.6];
  const slope = 0.1 / distance;
  // A perspective camera that looks slightly down: columns of projection · translation.
  const a = (far + near) / (near - far);
  const b = (2 * far * near) / (near - far);
  const [c, s] = [Math.cos(slope), Math.sin(slope)];
  // Rotation about x, then translation.
  const rows = [
    [1, 0, 0, 0],
    [0, c, -s, -c * eye[1] + s * eye[2]],
    [0, s, c, -s * eye[1] - c * eye[2]],
  ];
  const matrix = new Float32Array(16);
  for (let column = 0; column < 4; column++) {
    const [x, y2, z] = rows.map((row) => row[column]);
    const w = column === 3 ? 1 : 0;
    matrix.set([(f / aspect) * x, f * y2, a * z + b * w, -z], column * 4);
  }
  return { matrix, eye };
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
