"""Brows and lashes: short hairs bound to the skin, so that they move with every expression."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from people import Person
from source import Floats, Ints

RINGS = 4
BROW, LASH_LEFT, LASH_RIGHT = 0, 1, 2


@dataclass
class Fringe:
    """Hairs of ``RINGS`` rings; a ring is a point of the skin plus an offset.

    Attributes:
        vertices: Three vertices of the skin for each ring, (hairs, rings, 3).
        weights: Their weights, sum 1.
        offsets: Decimetres, (hairs, rings, 3).
        width: Half the width at the root, (hairs,).
        kind: BROW, LASH_LEFT or LASH_RIGHT, (hairs,).
    """

    vertices: Ints
    weights: Floats
    offsets: Floats
    width: Floats
    kind: Ints


def fringe(
    person: Person,
    points: Floats,
    normals: Floats,
    triangles: Ints,
    eyes: dict[str, Floats],
    blinks: dict[str, Floats],
) -> Fringe:
    """All brows and lashes.

    Args:
        person: Whose.
        points: The skin, (n, 3).
        normals: Its normals.
        triangles: Its faces.
        eyes: Centres of ``Left`` and ``Right``.
        blinks: Offsets of the skin when that eye closes; they show where the lids' edges are.
    """
    rng = np.random.default_rng(11)
    facing = triangles[(normals[triangles][..., 2] > 0.1).all(1)]
    facing = facing[(points[facing][..., 2] > -0.6).all(1)]
    parts = []
    for side, sign, kind in (("Left", 1.0, LASH_LEFT), ("Right", -1.0, LASH_RIGHT)):
        parts.append(_brow(person, points, normals, facing, eyes[side], sign, rng))
        for upper in (True, False):
            parts.append(_lashes(person, points, blinks[side], eyes[side], sign, kind, upper, rng))
    return Fringe(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([part.weights for part in parts]),
        np.concatenate([part.offsets for part in parts]),
        np.concatenate([part.width for part in parts]),
        np.concatenate([part.kind for part in parts]),
    )


def _brow(
    person: Person,
    points: Floats,
    normals: Floats,
    facing: Ints,
    eye: Floats,
    sign: float,
    rng: np.random.Generator,
) -> Fringe:
    count = int(190 * person.brow)
    u = np.sort(rng.random(count) ** 0.85)
    across = rng.uniform(-1, 1, count)
    thick = 0.036 * person.brow * np.clip(u * 5 + 0.45, 0, 1) * np.clip(1.12 - 0.85 * u, 0.12, 1)
    inner, span = abs(eye[0]) - 0.165, 0.40
    ridge = eye[1] + 0.232 + 0.062 * np.sin(np.clip(u, 0, 1) * np.pi * 0.80) - 0.035 * u**3
    x = inner + span * u
    y = ridge + across * thick
    # Hairs rise at the inner end, lie along the middle, and fall towards the outer end.
    slope = np.radians(68 - 88 * np.clip(u * 1.25, 0, 1)) - across * 0.45
    slope += rng.normal(0, 0.16, count)
    length = rng.uniform(0.075, 0.115, count) * np.clip(1.15 - 0.5 * u, 0.5, 1)
    t = np.linspace(0, 1, RINGS)
    bend = slope[:, None] - 0.35 * t[None]
    px = sign * (x[:, None] + np.cos(bend) * length[:, None] * t)
    py = y[:, None] + np.sin(bend) * length[:, None] * t
    vertices, weights, found = _on_skin(points, facing, px.ravel(), py.ravel())
    rise = (0.004 + 0.012 * np.tile(t, count))[:, None]
    normal = np.einsum("nk,nkc->nc", weights, normals[vertices])
    keep = found.reshape(count, RINGS).all(1)
    shape = (count, RINGS, 3)
    return Fringe(
        vertices.reshape(shape)[keep],
        weights.reshape(shape)[keep],
        (normal * rise).reshape(shape)[keep],
        rng.uniform(0.0028, 0.0042, count)[keep] * (0.85 + 0.2 * person.brow),
        np.full(keep.sum(), BROW),
    )


def _lashes(
    person: Person,
    points: Floats,
    blink: Floats,
    eye: Floats,
    sign: float,
    kind: int,
    upper: bool,
    rng: np.random.Generator,
) -> Fringe:
    edge = _lid_edge(points, blink, eye, upper)
    count = 110 if upper else 34
    t = np.sort(np.clip(np.linspace(0.03, 0.985, count) + rng.normal(0, 0.006, count), 0.01, 0.99))
    if sign < 0:
        t = 1 - t
    place = t * (len(edge) - 1)
    low = np.minimum(place.astype(int), len(edge) - 2)
    part = place - low
    outer = t if sign > 0 else 1 - t  # 0 at the nose
    size = (0.042 + 0.046 * np.sin(np.pi * np.clip(outer * 0.9 + 0.02, 0, 1))) * person.lashes
    size = size * (1 if upper else 0.40) * rng.uniform(0.8, 1.1, count)
    fan = sign * (outer - 0.38) * 0.95 + rng.normal(0, 0.10, count)
    up = 1.0 if upper else -1.0
    s = np.linspace(0, 1, RINGS)[None]
    dx = fan[:, None] * size[:, None] * s
    dz = size[:, None] * (0.78 * s - 0.20 * s**2)
    dy = up * size[:, None] * (-0.10 * s + 0.62 * s**2)
    # Roots begin a little inside, so that they make the lid's dark line.
    offsets = np.stack([dx, dy - up * 0.004, dz + 0.004], -1)
    vertices = np.stack([edge[low], edge[low + 1], edge[low]], -1)
    weights = np.stack([1 - part, part, 0 * part], -1)
    return Fringe(
        np.repeat(vertices[:, None], RINGS, 1),
        np.repeat(weights[:, None], RINGS, 1),
        offsets,
        np.full(count, 0.0030 if upper else 0.0014) * (0.7 + 0.3 * person.lashes),
        np.full(count, kind),
    )


def _lid_edge(points: Floats, blink: Floats, eye: Floats, upper: bool) -> Ints:
    """The vertices along a lid's edge, by x: in each slice the one that blinking moves most."""
    near = np.linalg.norm(points - eye, axis=1) < 0.30
    moved = -blink[:, 1] if upper else blink[:, 1]
    if not upper:
        # The lower lid hardly moves: its edge is the ring's other half, found by height.
        return _lower_edge(points, blink, eye)
    low, high = eye[0] - 0.185, eye[0] + 0.185
    slices = np.linspace(low, high, 19)
    chosen: list[int] = []
    for left, right in pairwise(slices):
        inside = np.flatnonzero(near & (points[:, 0] >= left) & (points[:, 0] < right))
        inside = inside[moved[inside] > 0.25 * moved[near].max()]
        if len(inside):
            best = inside[moved[inside] > 0.70 * moved[inside].max()]
            # Of those the outermost of the rim: low, and to the front.
            chosen.append(int(best[np.argmin(points[best, 1] - 0.7 * points[best, 2])]))
    return np.array(sorted(set(chosen), key=lambda v: points[v, 0]))


def _lower_edge(points: Floats, blink: Floats, eye: Floats) -> Ints:
    near = np.linalg.norm(points - eye, axis=1) < 0.30
    below = near & (points[:, 1] < eye[1] - 0.01) & (points[:, 2] > eye[2] - 0.02)
    slices = np.linspace(eye[0] - 0.16, eye[0] + 0.16, 15)
    chosen: list[int] = []
    for left, right in pairwise(slices):
        inside = np.flatnonzero(below & (points[:, 0] >= left) & (points[:, 0] < right))
        if len(inside):
            # The edge is where the skin is highest in front of the eyeball's surface.
            chosen.append(int(inside[np.argmax(points[inside, 1] + 0.8 * points[inside, 2])]))
    return np.array(sorted(set(chosen), key=lambda v: points[v, 0]))


def _on_skin(points: Floats, facing: Ints, x: Floats, y: Floats) -> tuple[Ints, Floats, Floats]:
    """The frontmost triangle under each (x, y): vertices, barycentric weights, whether any."""
    corners = points[facing]
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    area = (b[:, 1] - c[:, 1]) * (a[:, 0] - c[:, 0]) + (c[:, 0] - b[:, 0]) * (a[:, 1] - c[:, 1])
    area = np.where(np.abs(area) < 1e-12, 1e-12, area)
    vertices = np.zeros((len(x), 3), int)
    weights = np.zeros((len(x), 3))
    found = np.zeros(len(x), bool)
    for i in range(len(x)):
        w0 = (
            (b[:, 1] - c[:, 1]) * (x[i] - c[:, 0]) + (c[:, 0] - b[:, 0]) * (y[i] - c[:, 1])
        ) / area
        w1 = (
            (c[:, 1] - a[:, 1]) * (x[i] - c[:, 0]) + (a[:, 0] - c[:, 0]) * (y[i] - c[:, 1])
        ) / area
        inside = np.flatnonzero((w0 >= 0) & (w1 >= 0) & (w0 + w1 <= 1))
        if len(inside):
            front = inside[np.argmax(corners[inside][..., 2].mean(1))]
            vertices[i] = facing[front]
            weights[i] = w0[front], w1[front], 1 - w0[front] - w1[front]
            found[i] = True
    return vertices, weights, found
