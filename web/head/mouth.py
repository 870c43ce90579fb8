"""Teeth, gums and tongue: two dental arches made here, and the base mesh's tongue, lowered.

The base mesh has only strips for teeth. Sizes of crowns are the averages of dental anatomy
(Wheeler's Dental Anatomy, tables of crown widths and lengths), in millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from source import Floats, Ints

# Width along the arch, length, depth at the gum, depth at the edge; from the middle outwards.
_UPPER = [
    (8.5, 10.5, 6.0, 1.6),
    (6.5, 9.0, 5.5, 1.6),
    (7.5, 10.0, 6.5, 2.6),
    (7.0, 8.5, 8.0, 6.0),
    (7.0, 8.5, 8.0, 6.0),
    (10.0, 7.5, 10.0, 8.5),
    (9.0, 7.0, 10.0, 8.5),
]
_LOWER = [
    (5.0, 9.0, 5.5, 1.4),
    (5.5, 9.5, 5.5, 1.4),
    (7.0, 11.0, 6.5, 2.4),
    (7.0, 8.5, 7.0, 5.0),
    (7.0, 8.0, 7.5, 6.0),
    (11.0, 7.5, 9.5, 8.5),
    (10.5, 7.0, 9.5, 8.5),
]
_ENAMEL = np.array([236, 226, 210])
_NECK = np.array([218, 196, 168])
_GUM = np.array([186, 98, 96])
_TONGUE = np.array([186, 92, 92])


@dataclass
class Part:
    """Points (n, 3) in decimetres, triangles (m, 3), colours (n, 3) of 0 to 255."""

    points: Floats
    triangles: Ints
    colours: Floats


def arches(front: Floats, width: float, depth: float) -> tuple[Part, Part]:
    """The upper and the lower arch.

    Args:
        front: Between the edges of the upper central incisors, at their lips' side.
        width: Between the outsides of the last molars, decimetres.
        depth: From the front to the last molars.

    Returns:
        Upper and lower, each crowns and gum.
    """
    upper = _arch(_UPPER, front, width, depth, up=1.0)
    behind = front + np.array([0, 0.052, -0.030])  # lower incisors close behind the upper ones
    lower = _arch(_LOWER, behind, width * 0.93, depth * 0.95, up=-1.0)
    return upper, lower


def tongue(points: Floats, triangles: Ints, floor: float) -> Part:
    """The base mesh's tongue, low and behind the teeth as at rest.

    Args:
        points: Its points.
        triangles: Its faces.
        floor: Where the lower teeth's edges are; the blade stays below.
    """
    moved = points.copy()
    low, back = points[:, 1].min(), points[:, 2].min()
    forward = (points[:, 2] - back) / np.ptp(points[:, 2])
    height = (points[:, 1] - low) / np.ptp(points[:, 1])
    moved[:, 1] = low - 0.03 + height * (floor - 0.025 - low + 0.03) * (1 - 0.15 * forward)
    moved[:, 2] = back + (points[:, 2] - back) * 0.86
    moved[:, 0] *= 0.92
    groove = np.exp(-((points[:, 0] / 0.035) ** 2)) * (height > 0.6)
    moved[:, 1] -= 0.012 * groove
    colour = _TONGUE * (0.72 + 0.28 * forward[:, None]) * (1 - 0.12 * groove[:, None])
    return Part(moved, triangles, colour)


def joined(parts: list[Part]) -> Part:
    """Several parts as one."""
    starts = np.cumsum([0] + [len(part.points) for part in parts])
    return Part(
        np.concatenate([part.points for part in parts]),
        np.concatenate([p.triangles + s for p, s in zip(parts, starts, strict=False)]),
        np.concatenate([part.colours for part in parts]),
    )


def _arch(
    teeth: list[tuple[float, ...]], front: Floats, width: float, depth: float, up: float
) -> Part:
    curve = _Curve(front, width / 2, depth)
    scale = curve.length / sum(tooth[0] for tooth in teeth)
    parts = []
    for side in (1.0, -1.0):
        along = 0.0
        for crown in teeth:
            wide = crown[0] * scale
            parts.append(_tooth(curve, side, along + wide / 2, wide, crown, up))
            along += wide
    parts.append(_gum(curve, np.array(teeth)[:, 1] / 100, up))
    return joined(parts)


class _Curve:
    """Half a parabola from the front to the last molar, walked by its length."""

    def __init__(self, front: Floats, half_width: float, depth: float) -> None:
        t = np.linspace(0, 1, 400)
        self._x = half_width * t
        self._z = front[2] - depth * t**2.2
        steps = np.hypot(np.diff(self._x), np.diff(self._z))
        self._s = np.concatenate([[0], np.cumsum(steps)])
        self.y = front[1]
        self.length = float(self._s[-1])

    def at(self, s: Floats, side: float) -> tuple[Floats, Floats, Floats]:
        """Position on the lips' side, direction along, direction outwards; (n, 3) each."""
        x, z = np.interp(s, self._s, self._x), np.interp(s, self._s, self._z)
        dx = np.interp(s + 0.004, self._s, self._x) - np.interp(s - 0.004, self._s, self._x)
        dz = np.interp(s + 0.004, self._s, self._z) - np.interp(s - 0.004, self._s, self._z)
        norm = np.maximum(np.hypot(dx, dz), 1e-9)
        zero = np.zeros_like(x)
        along = np.stack([side * dx / norm, zero, dz / norm], -1)
        outwards = np.stack([-side * dz / norm, zero, dx / norm], -1)
        return np.stack([side * x, zero + self.y, z], -1), along, outwards


def _tooth(
    curve: _Curve, side: float, s: float, wide: float, crown: tuple[float, ...], up: float
) -> Part:
    """A crown: rings of a superellipse from below the gum to a rounded edge."""
    _, length, deep, edge = (value / 100 for value in crown)
    sharp = edge < 0.03
    rings, around = 9, 14
    t = np.linspace(-0.15, 1, rings)  # 0 at the gum, 1 at the edge
    angle = np.linspace(0, 2 * np.pi, around, endpoint=False)
    c, n = np.cos(angle), np.sin(angle)
    round_x = np.sign(c) * np.abs(c) ** 0.62
    round_z = np.sign(n) * np.abs(n) ** 0.75
    at, along, outwards = (value[0] for value in curve.at(np.array([s]), side))
    points, colours = [], []
    for step in t:
        k = np.clip(step, 0, 1)
        closing = np.sqrt(max(1 - max((k - 0.86) / 0.14, 0) ** 2, 0)) * 0.94 + 0.06
        half = (
            wide * 0.5 * (0.80 + 0.24 * np.sin(np.pi * (0.18 + 0.5 * k))) * (0.45 + 0.55 * closing)
        )
        thick = (deep + (edge - deep) * k**0.8) * 0.5 * closing
        bulge = 0.010 * np.sin(np.pi * (0.15 + 0.6 * k))
        centre = at - outwards * (deep * 0.5 * (1 - k) + edge * 0.5 * k) + outwards * bulge
        height = up * length * (1 - step)
        dip = 0 if sharp else 0.006 * (1 - np.abs(round_z)) * (k > 0.97)
        ring = (
            centre
            + along * (round_x * half)[:, None]
            + outwards * (round_z * thick)[:, None]
            + np.array([0, 1, 0]) * (height + up * dip)[..., None]
            if np.ndim(dip)
            else centre
            + along * (round_x * half)[:, None]
            + outwards * (round_z * thick)[:, None]
            + np.array([0, 1.0, 0]) * height
        )
        points.append(ring)
        blend = np.clip(k * 2.2, 0, 1)
        colours.append(np.tile(_NECK * (1 - blend) + _ENAMEL * blend, (around, 1)))
    points.append(points[-1].mean(0, keepdims=True) - np.array([[0, up * 0.003, 0]]))
    colours.append(_ENAMEL[None])
    flip = side * up > 0
    return Part(np.concatenate(points), _tube(rings, around, flip), np.concatenate(colours) * 1.0)


def _gum(curve: _Curve, lengths: Floats, up: float) -> Part:
    """A band over the necks of the crowns."""
    steps, around = 61, 7
    s = np.linspace(0, curve.length, steps)
    length = np.interp(s, np.linspace(0, curve.length, len(lengths)), lengths)
    profile = [(0.010, 0.80), (0.020, 0.95), (0.028, 1.25), (0.020, 1.75), (-0.09, 1.9)]
    profile += [(-0.12, 1.2), (-0.085, 0.84)]
    points = []
    for side in (-1.0, 1.0):
        at, _, outwards = curve.at(s, side)
        rows = np.stack(
            [
                at + outwards * out + np.array([0, up, 0]) * (length * high)[:, None]
                for out, high in profile
            ],
            1,
        )
        points.append(rows[::-1] if side < 0 else rows[1:])
    grid = np.concatenate(points)
    rows = len(grid)
    quads = []
    for i in range(rows - 1):
        for j in range(around - 1):
            a, b = i * around + j, (i + 1) * around + j
            quads += [(a, b, b + 1), (a, b + 1, a + 1)]
    triangles = np.array(quads)
    if up < 0:
        triangles = triangles[:, ::-1]
    return Part(grid.reshape(-1, 3), triangles, np.tile(_GUM * 1.0, (rows * around, 1)))


def _tube(rings: int, around: int, flip: bool) -> Ints:
    """Triangles of stacked rings closed by one last point."""
    found = []
    for i in range(rings - 1):
        for j in range(around):
            a, b = i * around + j, i * around + (j + 1) % around
            found += [(a, b, a + around), (b, b + around, a + around)]
    last = rings * around
    found += [(last - around + j, last - around + (j + 1) % around, last) for j in range(around)]
    triangles = np.array(found)
    return triangles[:, ::-1] if flip else triangles
