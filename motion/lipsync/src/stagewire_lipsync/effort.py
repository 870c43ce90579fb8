"""How hard a voice works, frame by frame: its loudness against its own usual."""

from __future__ import annotations

import numpy as np

from stagewire_lipsync.frames import FRAME_RATE, Floats

_RANGE_DB = 30.0  # from no effort to the loudest
_SILENT_DB = -60.0  # dBFS; quieter is no voice
_FADE_DB = 0.02  # by which the loudest is forgotten in a frame: 1 dB in a second
_START_DB = -20.0  # dBFS; a voice's loudest before it was heard


class Effort:
    """Hears how loud one voice is, utterance after utterance.

    Args:
        sample_rate: Of the audio, in hertz.
    """

    def __init__(self, sample_rate: int) -> None:
        """Has heard nothing of the voice yet."""
        self._rate, self._loudest = sample_rate, _START_DB
        self.start()

    def start(self) -> None:
        """An utterance begins."""
        self._samples: Floats = np.zeros(0, np.float32)
        self._frame = 0
        self._efforts: list[float] = []

    def hear(self, samples: Floats) -> None:
        """Takes the next audio."""
        self._samples = np.concatenate([self._samples, samples])
        while len(self._samples) >= (size := self._edge(self._frame + 1) - self._edge(self._frame)):
            power = float(np.mean(self._samples[:size] ** 2))
            self._samples = self._samples[size:]
            self._frame += 1
            self._efforts.append(self._effort(10 * np.log10(power + 1e-12)))

    def take(self, frames: int) -> Floats:
        """The efforts of the next frames, 0 to 1; 0 for what was not heard."""
        taken, self._efforts = self._efforts[:frames], self._efforts[frames:]
        return np.array(taken + [0.0] * (frames - len(taken)), np.float32)

    def _effort(self, level: float) -> float:
        self._loudest = max(self._loudest - _FADE_DB, level, _SILENT_DB + _RANGE_DB)
        if level < _SILENT_DB:
            return 0.0
        return float(np.clip(1 + (level - self._loudest) / _RANGE_DB, 0, 1))

    def _edge(self, frame: int) -> int:
        return frame * self._rate // FRAME_RATE
