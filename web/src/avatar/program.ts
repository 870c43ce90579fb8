// A linked program of shaders and its uniforms.

import { VERTEX } from "./shaders.ts";

export class Program {
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
