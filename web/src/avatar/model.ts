// A person's head as numbers: the shared rig, joined with one person's file.

import { Glb, type Sparse } from "./glb.ts";

export type Colour = readonly [number, number, number];

/** A mesh whose vertices move with the 52 shapes; positions in decimetres. */
export interface Shaped {
  readonly positions: Float32Array;
  readonly indices: Uint16Array;
  readonly targets: readonly Sparse[];
}

export interface Eye {
  readonly centre: readonly [number, number, number];
  readonly radius: number;
}

export interface Model {
  readonly colours: Record<"skin" | "hair" | "iris" | "shirt" | "lips", Colour>;
  /** Decimetres of one integer step in a shape's offsets. */
  readonly step: number;
  readonly skin: Shaped & {
    /** For each vertex of the GPU the vertex of `positions` (seams of the texture split some). */
    readonly seams: Uint16Array;
    readonly texture: Uint16Array;
    readonly light: Uint8Array;
    readonly picture: Blob;
  };
  readonly mouth: Shaped & { readonly colour: Uint8Array };
  readonly shirt: {
    readonly positions: Float32Array;
    readonly indices: Uint16Array;
    readonly light: Uint8Array;
  };
  readonly hair: {
    readonly rings: number;
    readonly positions: Float32Array;
    readonly sides: Int8Array;
    readonly widths: Uint8Array;
    readonly shades: Uint8Array;
  };
  readonly fringe: {
    readonly rings: number;
    readonly vertices: Uint16Array;
    readonly weights: Uint8Array;
    readonly offsets: Float32Array;
    readonly widths: Uint8Array;
    readonly kinds: Uint8Array;
  };
  readonly eyes: readonly [left: Eye, right: Eye];
}

interface RigExtras {
  unitDecimetres: number;
  skin: { indices: number; seams: number; texture: number; targets: number[] };
  mouth: { indices: number; colour: number; targets: number[] };
  shirt: { indices: number };
}

interface PersonExtras {
  colours: Model["colours"];
  eyes: { Left: Eye; Right: Eye };
  skin: { position: number; light: number };
  mouth: { position: number };
  shirt: { position: number; light: number };
  hair: { rings: number; position: number; side: number; width: number; shade: number };
  fringe: {
    rings: number;
    vertices: number;
    weights: number;
    offset: number;
    width: number;
    kind: number;
  };
}

/** Joins the two files. */
export function join(rigFile: ArrayBuffer, personFile: ArrayBuffer): Model {
  const rig = new Glb(rigFile);
  const person = new Glb(personFile);
  const shared = rig.extras as RigExtras;
  const own = person.extras as PersonExtras;
  const step = shared.unitDecimetres / 32767;
  const floats = (index: number): Float32Array =>
    Float32Array.from(person.array(index), (value) => value * step);
  const indices = (index: number): Uint16Array => rig.array(index) as Uint16Array;
  return {
    colours: own.colours,
    step,
    skin: {
      positions: floats(own.skin.position),
      indices: indices(shared.skin.indices),
      targets: shared.skin.targets.map((target) => rig.sparse(target)),
      seams: rig.array(shared.skin.seams) as Uint16Array,
      texture: rig.array(shared.skin.texture) as Uint16Array,
      light: person.array(own.skin.light) as Uint8Array,
      picture: person.image(0),
    },
    mouth: {
      positions: floats(own.mouth.position),
      indices: indices(shared.mouth.indices),
      targets: shared.mouth.targets.map((target) => rig.sparse(target)),
      colour: rig.array(shared.mouth.colour) as Uint8Array,
    },
    shirt: {
      positions: floats(own.shirt.position),
      indices: indices(shared.shirt.indices),
      light: person.array(own.shirt.light) as Uint8Array,
    },
    hair: {
      rings: own.hair.rings,
      positions: floats(own.hair.position),
      sides: person.array(own.hair.side) as Int8Array,
      widths: person.array(own.hair.width) as Uint8Array,
      shades: person.array(own.hair.shade) as Uint8Array,
    },
    fringe: {
      rings: own.fringe.rings,
      vertices: person.array(own.fringe.vertices) as Uint16Array,
      weights: person.array(own.fringe.weights) as Uint8Array,
      offsets: floats(own.fringe.offset),
      widths: person.array(own.fringe.width) as Uint8Array,
      kinds: person.array(own.fringe.kind) as Uint8Array,
    },
    eyes: [own.eyes.Left, own.eyes.Right],
  };
}

/** Fetches the rig and a person from a folder (ending in a slash). */
export async function loadModel(folder: string, look: string): Promise<Model> {
  const nobody = (): void => {};
  const [rig, person] = await Promise.all([
    fetchFile(`${folder}rig.glb`, nobody),
    fetchFile(`${folder}${encodeURIComponent(look)}.glb`, nobody),
  ]);
  return join(rig, person);
}

/** Fetches a file with progress; throws a sentence when that fails. */
export async function fetchFile(
  url: string,
  progress: (loaded: number, total: number) => void,
): Promise<ArrayBuffer> {
  const response = await fetch(url);
  if (!response.ok || !response.body) {
    throw new Error(`${url.split("/").pop()} cannot be loaded: the server says ${response.status}`);
  }
  // Content-Length counts compressed bytes; the server names the file's own size beside it.
  const total = Number(response.headers.get("x-file-bytes") ?? 0);
  const parts: Uint8Array[] = [];
  let loaded = 0;
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    loaded += value.length;
    progress(loaded, total);
  }
  const whole = new Uint8Array(loaded);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole.buffer;
}
