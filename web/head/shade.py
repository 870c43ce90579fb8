"""Ambient occlusion: how much of the surroundings' light reaches a point."""

from __future__ import annotations

import numpy as np
from source import Floats

_CELL = 0.055
_RAYS = 72
_REACH = 1.1


def occlusion(points: Floats, normals: Floats, solids: list[Floats]) -> Floats:
    """Marches rays through a grid of filled cells.

    Args:
        points: Where, (n, 3), decimetres.
        normals: Unit normals there.
        solids: Points that fill cells: vertices of everything that throws shade.

    Returns:
        0 (dark) to 1 (open), (n,).
    """
    everything = np.concatenate(solids)
    low = everything.min(0) - 0.2
    size = np.ceil((everything.max(0) + 0.2 - low) / _CELL).astype(int)
    filled = np.zeros(size, bool)
    filled[tuple(((everything - low) / _CELL).astype(int).T)] = True
    directions = _sphere(_RAYS)
    light = np.zeros(len(points))
    total = np.zeros(len(points))
    steps = np.arange(0.13, _REACH, _CELL)
    for direction in directions:
        facing = np.clip(normals @ direction, 0, None)
        # Light comes more from above than from below.
        weight = facing * (0.65 + 0.35 * direction[1])
        free = np.ones(len(points))
        start = points + normals * 0.075
        for reach in steps:
            cell = ((start + direction * reach - low) / _CELL).astype(int)
            inside = ((cell >= 0) & (cell < size)).all(1)
            hit = np.zeros(len(points), bool)
            hit[inside] = filled[tuple(cell[inside].T)]
            free[hit] = np.minimum(free[hit], 0.75 * reach / _REACH)
        light += weight * free
        total += weight
    return light / np.maximum(total, 1e-9)


def _sphere(count: int) -> Floats:
    """Directions spread evenly (golden spiral)."""
    i = np.arange(count) + 0.5
    z = 1 - 2 * i / count
    turn = np.pi * (1 + 5**0.5) * i
    ring = np.sqrt(1 - z * z)
    return np.stack([ring * np.cos(turn), z, ring * np.sin(turn)], -1)
