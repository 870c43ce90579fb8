"""Hair as ribbons: locks that grow from the scalp along a field and do not enter the head.

Everything is in decimetres around the middle between the eyes, x to the person's left, y up, z to
the front.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from people import Hairline, Person
from scipy.spatial import cKDTree
from source import Floats, Ints

RINGS = 12
_STEP = 0.045
_CENTRE = np.array([0, 0, 0.75])  # from the skull's middle to the origin


@dataclass
class Ribbons:
    """Locks of ``RINGS`` rings each.

    Attributes:
        centres: (locks, rings, 3).
        sides: Half the ribbon's width as a vector, (locks, rings, 3).
        shade: Brightness of each lock, (locks,), about 1.
    """

    centres: Floats
    sides: Floats
    shade: Floats


class Head:
    """The skin as something that a lock cannot enter."""

    def __init__(self, points: Floats, normals: Floats) -> None:
        """Takes the skin's points and normals, (n, 3) each."""
        self._points, self._normals = points, normals
        self._tree = cKDTree(points)

    def near(self, at: Floats) -> tuple[Floats, Floats]:
        """Distance over the skin (n,), and the skin's normal (n, 3)."""
        _, index = self._tree.query(at)
        normal = self._normals[index]
        return np.einsum("ij,ij->i", at - self._points[index], normal), normal


def over_hairline(points: Floats, line: Hairline) -> Floats:
    """How far points lie above the hairline; negative on the face."""
    x, y, z = np.abs(points[..., 0]), points[..., 1], points[..., 2]
    front = line.front - (line.front - line.temple) * np.clip(x / 0.70, 0, 1) ** 2.6
    # The corners of a hairline: a little higher between the forehead and the temple.
    front = front + 0.05 * np.exp(-(((x - 0.42) / 0.14) ** 2))
    side = line.side
    t = _smooth(-0.62, -0.30, z)
    t2 = _smooth(-1.30, -0.98, z)
    return y - (line.nape * (1 - t2) + t2 * (side * (1 - t) + t * front))


def grow(person: Person, points: Floats, normals: Floats, triangles: Ints, bare: Floats) -> Ribbons:
    """All the hair of a person.

    Args:
        person: Whose.
        points: The skin, (n, 3).
        normals: Its normals.
        triangles: Its faces.
        bare: 1 where no hair grows whatever the hairline says (ears), (n,).
    """
    rng = np.random.default_rng(7)
    head = Head(points, normals)
    region = (over_hairline(points, person.hairline) > 0.0) & (bare < 0.3)
    # Not on the parts of the body behind and below.
    region &= points[:, 1] > -0.75
    style = _STYLES[person.style]
    return style(head, points, triangles[region[triangles].all(1)], person.hairline, rng)


def _roots(points: Floats, triangles: Ints, count: int, rng: np.random.Generator) -> Floats:
    """Points spread evenly over triangles."""
    a, b, c = (points[triangles[:, i]] for i in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    pick = rng.choice(len(area), count * 8, p=area / area.sum())
    u, v = np.sqrt(rng.random(len(pick))), rng.random(len(pick))
    spread = (
        a[pick] * (1 - u)[:, None] + b[pick] * (u * (1 - v))[:, None] + c[pick] * (u * v)[:, None]
    )
    distance = np.sqrt(area.sum() / 2 / count) * 0.80
    taken = np.ones(len(spread), bool)
    for i, j in sorted(cKDTree(spread).query_pairs(distance)):
        if taken[i] and taken[j]:
            taken[j] = False
    return spread[taken][:count]


def _lay(
    head: Head,
    roots: Floats,
    field: Callable[[Floats, Floats, float], Floats],
    lift: Callable[[float], Floats],
    length: Floats,
    inertia: float = 0.55,
    cling: float = 0.0,
    depth: float = 0.02,
) -> Floats:
    """Grows locks step by step and resamples them to rings; (locks, rings, 3).

    Args:
        head: What they do not enter.
        roots: (locks, 3).
        field: Where a lock at a point, over skin with a normal, wants to go.
        lift: How far over the skin the locks lie, by the part of their length.
        length: Of each.
        inertia: How much of its direction a lock keeps at each step.
        cling: 1 keeps locks on the skull's curve, 0 lets them leave it.
        depth: How far under the skin the roots are.
    """
    steps = int(np.ceil(length.max() / _STEP)) + 1
    _, normal = head.near(roots)
    at = roots - normal * depth
    direction = field(at, normal, 0.0)
    path = [at]
    for step in range(steps):
        s = step / steps
        distance, normal = head.near(at)
        wanted = field(at, normal, s)
        direction = _unit(direction * inertia + wanted * (1 - inertia))
        # Near the head a lock follows it.
        close = np.exp(-np.maximum(distance - lift(s), 0) / 0.12)[:, None]
        across = np.einsum("ij,ij->i", direction, normal)[:, None]
        across = np.where(across < 0, across, across * cling)
        direction = _unit(direction - normal * across * close)
        at = at + direction * _STEP
        distance, normal = head.near(at)
        low = np.maximum(lift(s) - distance, 0)
        at = at + normal * np.minimum(low, 0.06)[:, None]
        path.append(at)
    lines = np.stack(path, 1)
    for _ in range(3):  # the skin's points show as small kinks otherwise
        lines[:, 1:-1] = (lines[:, :-2] + 2 * lines[:, 1:-1] + lines[:, 2:]) / 4
    return _resampled(lines, length)


def _resampled(lines: Floats, length: Floats) -> Floats:
    segment = np.linalg.norm(np.diff(lines, axis=1), axis=2)
    along = np.concatenate([np.zeros((len(lines), 1)), np.cumsum(segment, 1)], 1)
    rings = np.empty((len(lines), RINGS, 3))
    for i in range(len(lines)):
        end = min(length[i], along[i, -1])
        wanted = np.linspace(0, end, RINGS)
        for axis in range(3):
            rings[i, :, axis] = np.interp(wanted, along[i], lines[i, :, axis])
    return rings


def _ribbons(
    head: Head, centres: Floats, width: Floats, rng: np.random.Generator, tip: float = 0.25
) -> Ribbons:
    tangent = _unit(np.gradient(centres, axis=1))
    _, normal = head.near(centres.reshape(-1, 3))
    normal = normal.reshape(centres.shape)
    side = _unit(np.cross(tangent, normal))
    roll = rng.normal(0, 0.35, len(centres))[:, None, None]
    side = _unit(side * np.cos(roll) + np.cross(tangent, side) * np.sin(roll))
    t = np.linspace(0, 1, RINGS)
    profile = np.clip(0.55 + t * 3, 0, 1) * (
        1 - (1 - tip) * np.clip((t - 0.55) / 0.45, 0, 1) ** 1.6
    )
    sides = side * (width[:, None] * profile[None])[..., None]
    shade = np.clip(rng.normal(1, 0.16, len(centres)), 0.6, 1.5)
    return Ribbons(centres, sides, shade)


def _merged(parts: list[Ribbons]) -> Ribbons:
    return Ribbons(
        np.concatenate([part.centres for part in parts]),
        np.concatenate([part.sides for part in parts]),
        np.concatenate([part.shade for part in parts]),
    )


def _bob(
    head: Head, points: Floats, scalp: Ints, line: Hairline, rng: np.random.Generator
) -> Ribbons:
    """To the chin, parted on the left, tips inwards."""
    roots = _roots(points, scalp, 1500, rng)
    layers = enumerate((0.030, 0.070, 0.105))
    return _merged([_bob_layer(head, roots[i::3], i, height, rng) for i, height in layers])


def _bob_layer(
    head: Head, roots: Floats, layer: int, height: float, rng: np.random.Generator
) -> Ribbons:
    part = 0.20
    side = np.where(roots[:, 0] > part, 1.0, -1.0)
    behind = _smooth(-0.5, -1.1, roots[:, 2])
    jitter = rng.normal(0, 0.045, roots.shape)

    def field(at: Floats, normal: Floats, s: float) -> Floats:
        x = side * at[:, 0]
        hanging = behind * _smooth(0.9, 0.3, normal[:, 1])
        falls = _smooth(0.42, 0.74, x) * (1 - behind) + hanging
        falls = np.maximum(falls, _smooth(0.15, -0.1, at[:, 1]))
        across = np.stack([side * (1 - 0.55 * behind), 0 * x + 0.04, -0.22 - 0.75 * behind], 1)
        inwards = _smooth(-0.62, -0.95, at[:, 1])
        down = np.stack([-side * 0.55 * inwards * (x > 0.2), 0 * x - 1, 0.10 * inwards], 1)
        # Past the cheek the lock stays beside the face.
        beside = _smooth(-0.25, 0.0, at[:, 2]) * _smooth(0.3, 0.0, at[:, 1])
        down[:, 0] += side * 0.8 * beside
        down[:, 2] -= 0.9 * beside
        return _unit(across * (1 - falls)[:, None] + down * falls[:, None] + jitter)

    ends = rng.normal(-0.98, 0.03, len(roots)) + 0.02 * layer
    over = np.clip(1.05 - roots[:, 1], 0.02, 1) * 0.15
    arc = np.where(behind > 0.5, 0.25, 0.55) * np.clip((roots[:, 1] - 0.2) / 0.8, 0, 1)
    length = np.maximum(roots[:, 1] - ends, 0.25) + arc + over
    # Flat at the parting, fuller away from it; but from the roots on over the skin, which would
    # show there.
    away = _smooth(0.0, 0.35, np.abs(roots[:, 0] - part))
    spread = (height + rng.random(len(roots)) * 0.03) * (0.45 + 0.55 * away)

    def lift(s: float) -> Floats:
        return np.maximum(spread * (0.12 + 0.88 * min(s * 3.2, 1)), 0.012)

    centres = _lay(head, roots, field, lift, length, cling=0.8, depth=-0.002)
    return _ribbons(head, centres, rng.uniform(0.028, 0.048, len(roots)), rng, tip=0.4)


def _short(
    head: Head, points: Floats, scalp: Ints, line: Hairline, rng: np.random.Generator
) -> Ribbons:
    """Short at the sides, longer on top and brushed up and aside."""
    roots = _roots(points, scalp, 2300, rng)
    top = _smooth(0.42, 0.78, roots[:, 1]) * _smooth(-1.75, -1.1, roots[:, 2])
    front = _smooth(-0.55, -0.05, roots[:, 2]) * top
    jitter = rng.normal(0, 0.16, roots.shape)
    wave = rng.normal(0, 1, len(roots))

    def field(at: Floats, normal: Floats, s: float) -> Floats:
        sideways = np.stack([-0.42 + 0.14 * wave * s, 0.02 + 0 * top, -0.55 - 0.10 * front], 1)
        up = normal * (0.62 * front + 0.22)[:, None] * (1 - 0.9 * s)
        down = np.stack([0 * top, -1 + 0 * top, -0.55 + 0 * top], 1)
        return _unit((sideways + up) * top[:, None] + down * (1 - top)[:, None] + jitter * 0.45)

    length = 0.11 + 0.34 * top + 0.14 * front + rng.random(len(roots)) * 0.06
    height = 0.012 + 0.10 * top + 0.10 * front

    def lift(s: float) -> Floats:
        return height * min(s * 2.5 + 0.2, 1)

    centres = _lay(head, roots, field, lift, length, inertia=0.6)
    width = rng.uniform(0.016, 0.026, len(roots)) * (1 + 0.35 * top)
    return _ribbons(head, centres, width, rng, tip=0.12)


def _bun(
    head: Head, points: Floats, scalp: Ints, line: Hairline, rng: np.random.Generator
) -> Ribbons:
    """Drawn to a knot on the crown."""
    knot = np.array([0.0, 1.10, -0.98])
    roots = _roots(points, scalp, 1250, rng)
    jitter = rng.normal(0, 0.04, roots.shape)

    def field(at: Floats, normal: Floats, s: float) -> Floats:
        to = _unit(knot - np.array([0, 0.05, 0]) - at)
        along = to - normal * np.einsum("ij,ij->i", to, normal)[:, None]
        return _unit(along + jitter)

    spread = 0.022 + rng.random(len(roots)) * 0.035

    def lift(s: float) -> Floats:
        return spread * min(0.4 + s * 4, 1)

    angle = np.arccos(
        np.clip(np.einsum("ij,j->i", _unit(roots + _CENTRE), _unit(knot + _CENTRE)), -1, 1)
    )
    length = np.maximum(angle * 1.02 - 0.06, 0.10)
    centres = _lay(head, roots, field, lift, length, inertia=0.35)
    drawn = _ribbons(head, centres, rng.uniform(0.026, 0.042, len(roots)), rng, tip=0.8)
    return _merged([drawn, _knot(knot + np.array([0, 0.20, -0.06]), rng)])


def _knot(centre: Floats, rng: np.random.Generator) -> Ribbons:
    """A ball of wound strands."""
    count = 420
    t = np.linspace(0, 1, RINGS)
    lay = rng.integers(0, 3, count)
    tilt = np.array([0.25, 1.05, -0.85])[lay] + rng.normal(0, 0.16, count)
    turn = rng.uniform(0, 2 * np.pi, count)
    radius = np.array([0.33, 0.345, 0.34])[lay] + rng.normal(0, 0.012, count)
    latitude = rng.uniform(-0.95, 0.95, count)
    angle = turn[:, None] + t[None] * rng.uniform(1.2, 2.4, count)[:, None]
    ring = np.sqrt(1 - latitude**2)[:, None]
    local = np.stack(
        [ring * np.cos(angle), np.repeat(latitude[:, None], RINGS, 1), ring * np.sin(angle)], -1
    )
    c, s = np.cos(tilt)[:, None], np.sin(tilt)[:, None]
    y, z = local[..., 1] * c - local[..., 2] * s, local[..., 1] * s + local[..., 2] * c
    ball = np.stack([local[..., 0], y, z], -1)
    ball *= np.array([1.08, 0.92, 1.0])
    centres = centre + ball * radius[:, None, None]
    tangent = _unit(np.gradient(centres, axis=1))
    side = _unit(np.cross(tangent, _unit(ball)))
    width = rng.uniform(0.022, 0.036, count)[:, None] * np.clip(
        np.minimum(t, 1 - t) * 5 + 0.2, 0, 1
    )
    return Ribbons(
        centres, side * width[..., None], np.clip(rng.normal(1.05, 0.2, count), 0.6, 1.6)
    )


def _unit(vectors: Floats) -> Floats:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _smooth(low: float, high: float, value: Floats) -> Floats:
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


_STYLES = {"bob": _bob, "short": _short, "bun": _bun}
