// Reads the glTF binaries that web/head bakes: accessors as typed arrays, sparse ones as such.

/** Offsets of a shape: only the vertices that move. */
export interface Sparse {
  readonly vertices: Uint16Array;
  /** Three integers for each vertex. */
  readonly offsets: Int16Array;
}

type Numbers = Int8Array | Uint8Array | Int16Array | Uint16Array | Float32Array;

interface Accessor {
  bufferView?: number;
  componentType: number;
  count: number;
  type: string;
  sparse?: { count: number; indices: { bufferView: number }; values: { bufferView: number } };
}

interface Document {
  accessors: Accessor[];
  bufferViews: { byteOffset: number; byteLength: number }[];
  images?: { bufferView: number; mimeType: string }[];
  extras: unknown;
}

const COMPONENTS: Record<string, number> = { SCALAR: 1, VEC2: 2, VEC3: 3, VEC4: 4 };
const MAGIC = 0x46546c67;

export class Glb {
  readonly extras: unknown;
  private readonly document: Document;
  private readonly data: ArrayBuffer;

  /** Throws when the bytes are no glTF binary. */
  constructor(file: ArrayBuffer) {
    const view = new DataView(file);
    if (file.byteLength < 28 || view.getUint32(0, true) !== MAGIC) {
      throw new Error("not a glTF binary file");
    }
    const length = view.getUint32(12, true);
    const text = new TextDecoder().decode(new Uint8Array(file, 20, length));
    this.document = JSON.parse(text) as Document;
    this.data = file.slice(28 + length);
    this.extras = this.document.extras;
  }

  array(index: number): Numbers {
    const accessor = this.accessor(index);
    const view = this.view(accessor.bufferView!);
    const count = accessor.count * COMPONENTS[accessor.type];
    switch (accessor.componentType) {
      case 5120:
        return new Int8Array(this.data, view.byteOffset, count);
      case 5121:
        return new Uint8Array(this.data, view.byteOffset, count);
      case 5122:
        return new Int16Array(this.data, view.byteOffset, count);
      case 5123:
        return new Uint16Array(this.data, view.byteOffset, count);
      default:
        return new Float32Array(this.data, view.byteOffset, count);
    }
  }

  sparse(index: number): Sparse {
    const { sparse } = this.accessor(index);
    if (!sparse) return { vertices: new Uint16Array(0), offsets: new Int16Array(0) };
    const at = this.view(sparse.indices.bufferView).byteOffset;
    const values = this.view(sparse.values.bufferView).byteOffset;
    return {
      vertices: new Uint16Array(this.data, at, sparse.count),
      offsets: new Int16Array(this.data, values, sparse.count * 3),
    };
  }

  image(index: number): Blob {
    const image = this.document.images![index];
    const { byteOffset, byteLength } = this.view(image.bufferView);
    return new Blob([new Uint8Array(this.data, byteOffset, byteLength)], { type: image.mimeType });
  }

  private accessor(index: number): Accessor {
    const accessor = this.document.accessors[index];
    if (!accessor) throw new Error(`the file has no accessor ${index}`);
    return accessor;
  }

  private view(index: number): { byteOffset: number; byteLength: number } {
    return this.document.bufferViews[index];
  }
}
