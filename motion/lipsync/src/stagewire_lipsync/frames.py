"""What a performance is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from stagewire_motion_codec.arkit52 import CHANNELS

FRAME_RATE = 50
"""Frames per second: 20 ms each."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Frames:
    """Consecutive frames of a face.

    Attributes:
        weights: Shape [n, 52], 0 to 1, in the order of
            :data:`stagewire_motion_codec.arkit52.CHANNELS`.
        head: Shape [n, 3]: pitch, yaw and roll in radians; positive looks down, turns to the face's
            own left, tilts to its own right.
    """

    weights: Floats
    head: Floats

    def __len__(self) -> int:
        """How many frames."""
        return len(self.weights)

    @classmethod
    def none(cls) -> Frames:
        """No frame."""
        return cls(np.zeros((0, len(CHANNELS)), np.float32), np.zeros((0, 3), np.float32))

    @classmethod
    def join(cls, pieces: Sequence[Frames]) -> Frames:
        """One after the other."""
        if not pieces:
            return cls.none()
        return cls(
            np.concatenate([piece.weights for piece in pieces]),
            np.concatenate([piece.head for piece in pieces]),
        )
