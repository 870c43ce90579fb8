"""Writes glTF 2.0 binary files whose vertices are 16-bit integers (KHR_mesh_quantization)."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

# glTF's componentType by numpy's type.
_TYPES = {"int8": 5120, "uint8": 5121, "int16": 5122, "uint16": 5123, "float32": 5126}
_SHAPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}


class File:
    """A file in the making; ``json`` is the document."""

    def __init__(self, copyright_: str) -> None:
        """Begins an empty file."""
        self.json: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": "web/head/bake.py", "copyright": copyright_},
            "extensionsUsed": ["KHR_mesh_quantization"],
            "extensionsRequired": ["KHR_mesh_quantization"],
            "bufferViews": [],
            "accessors": [],
        }
        self._data = bytearray()

    def view(self, data: bytes) -> int:
        """Adds bytes; returns the bufferView's number."""
        self._data.extend(b"\0" * (-len(self._data) % 4))
        found = {"buffer": 0, "byteOffset": len(self._data), "byteLength": len(data)}
        self._data.extend(data)
        self.json["bufferViews"].append(found)
        return len(self.json["bufferViews"]) - 1

    def accessor(self, values: NDArray[Any], normalized: bool = False) -> int:
        """Adds an array (n,) or (n, components); returns the accessor's number."""
        return self._add(
            self._describe(values, normalized) | {"bufferView": self.view(values.tobytes())}
        )

    def sparse(self, values: NDArray[np.int16]) -> int:
        """Adds offsets (n, 3), of which only those that are not zero are written."""
        described = self._describe(values, normalized=True)
        moved = np.flatnonzero(values.any(1)).astype(np.uint16)
        if len(moved):
            described["sparse"] = {
                "count": len(moved),
                "indices": {"bufferView": self.view(moved.tobytes()), "componentType": 5123},
                "values": {"bufferView": self.view(values[moved].tobytes())},
            }
        return self._add(described)

    def bytes(self) -> bytes:
        """The finished file."""
        self._data.extend(b"\0" * (-len(self._data) % 4))
        document = self.json | {"buffers": [{"byteLength": len(self._data)}]}
        text = json.dumps(document, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        total = 12 + 8 + len(text) + 8 + len(self._data)
        head = struct.pack("<III", 0x46546C67, 2, total)
        return b"".join(
            (
                head,
                struct.pack("<II", len(text), 0x4E4F534A),
                text,
                struct.pack("<II", len(self._data), 0x004E4942),
                bytes(self._data),
            )
        )

    def _describe(self, values: NDArray[Any], normalized: bool) -> dict[str, Any]:
        components = 1 if values.ndim == 1 else values.shape[1]
        described: dict[str, Any] = {
            "componentType": _TYPES[values.dtype.name],
            "count": len(values),
            "type": _SHAPES[components],
        }
        if normalized:
            described["normalized"] = True
        return described

    def _add(self, described: dict[str, Any]) -> int:
        self.json["accessors"].append(described)
        return len(self.json["accessors"]) - 1
