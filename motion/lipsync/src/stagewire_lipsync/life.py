"""What a face does beside speaking: for now, it blinks."""

from __future__ import annotations

import random

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.float64]
"""Shape [frames, 52]: weights of :data:`stagewire_motion_codec.arkit52.CHANNELS`, 0 to 1."""

# A spontaneous blink: about 60 ms to close, 40 ms closed, 120 ms to open, every 2 to 6 s.
_CLOSING, _CLOSED, _OPENING = 0.06, 0.04, 0.12
_PAUSE = (2.0, 6.0)


class Blinks:
    """How far the eyes are closed, frame by frame, over a whole session.

    Args:
        frame_rate: Frames per second.
        source: Of the pauses between blinks.
    """

    def __init__(self, frame_rate: int, source: random.Random) -> None:
        """Eyes open."""
        self._frame_rate, self._random = frame_rate, source
        self._frame = -self._pause()

    def next_frame(self) -> float:
        """0 for open to 1 for closed."""
        seconds = self._frame / self._frame_rate
        self._frame += 1
        if seconds < 0:
            return 0.0
        if seconds < _CLOSING:
            return seconds / _CLOSING
        opening = (seconds - _CLOSING - _CLOSED) / _OPENING
        if opening >= 1:
            self._frame = -self._pause()
            return 0.0
        return 1.0 - max(0.0, opening)

    def _pause(self) -> int:
        return round(self._random.uniform(*_PAUSE) * self._frame_rate)
