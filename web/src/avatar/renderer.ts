// Draws a head with WebGL 2 into a canvas whose background stays transparent.

import { view } from "./camera.ts";
import type { Colour, Model } from "./model.ts";
import { Program } from "./program.ts";
import { Scene } from "./scene.ts";
import { EYE, HAIR, MOUTH, SHIRT, SKIN } from "./shaders.ts";

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
const FRAMES_PER_SECOND = { full: 60, lite: 15 };

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
    if (this.quality === "full") this.drawStrands(hair, scene);
    else scene.draw("hair");
    hair.number("solid", 1);
    scene.draw("fringe");
    return true;
  }

  /** Hair whose strands may cover a part of a pixel: soft edges, at the price of a second pass. */
  private drawStrands(hair: Program, scene: Scene): void {
    const { gl } = this;
    hair.number("soft", 1);
    gl.enable(gl.SAMPLE_ALPHA_TO_COVERAGE);
    scene.draw("hair");
    gl.disable(gl.SAMPLE_ALPHA_TO_COVERAGE);
    // What is covered has the strand's alpha now, and the page would shine through: make it opaque.
    hair.number("solid", 1);
    gl.colorMask(false, false, false, true);
    gl.depthFunc(gl.EQUAL);
    scene.draw("hair");
    gl.depthFunc(gl.LESS);
    gl.colorMask(true, true, true, true);
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

const IDENTITY = new Float32Array([1, 0, 0, 0, 1, 0, 0, 0, 1]);

const linear = (colour: Colour): [number, number, number] => [
  colour[0] / 255,
  colour[1] / 255,
  colour[2] / 255,
];

/** Columns of the matrix that turns by yaw, then pitch, then roll. */
function rotation(pitch: number, yaw: number, roll: number): Float32Array {
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
