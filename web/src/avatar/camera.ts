// Where the head is looked at from: it fits into every window.

const FIELD_OF_VIEW = 0.33;
// What must fit: from over the hair to the chest, and the width of the hair.
const FRAME = { top: 1.62, bottom: -1.92, width: 2.6 };

/** Projection and translation, by columns, and where the eye is. */
export function view(aspect: number): { matrix: Float32Array; eye: [number, number, number] } {
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
