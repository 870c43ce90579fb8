"""Which sounds are heard, every 10 ms, as the audio comes."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from stagewire_lipsync.articulation import NAMES, SILENCE, Array, presence
from stagewire_lipsync.cepstra import RATE
from stagewire_lipsync.frames import Floats

# What LoudnessEars take for silence and for the widest mouth, dBFS; and how much of the way to a
# louder and to a quieter sound they go in a step.
_QUIET_DB, _LOUD_DB = -45.0, -15.0
_ATTACK, _RELEASE = 0.35, 0.2
_VOWEL = presence("AA")[0]


class Ears(Protocol):
    """Hears one voice, utterance after utterance."""

    def start(self) -> None:
        """An utterance begins; how the voice sounds on the whole is remembered."""
        ...

    def hear(self, samples: Floats, last: bool = False) -> Array:
        """Takes the next audio; ``last`` settles what is left, as if silence followed.

        Returns:
            How likely each of ``articulation.NAMES`` is, shape [n, sounds], for the steps that are
            settled.
        """
        ...


class LoudnessEars:
    """An open vowel, the louder the likelier.

    Args:
        sample_rate: Of the audio, in hertz.
    """

    def __init__(self, sample_rate: int) -> None:
        """Silence before."""
        self._rate = sample_rate
        self.start()

    def start(self) -> None:
        """See :class:`Ears`."""
        self._samples: Floats = np.zeros(self._edge(0) - self._edge(-1), np.float32)
        self._step, self._open = 0, 0.0

    def hear(self, samples: Floats, last: bool = False) -> Array:
        """See :class:`Ears`."""
        ahead = np.zeros(-(-self._rate // RATE) if last else 0, np.float32)
        self._samples = np.concatenate([self._samples, samples, ahead])
        rows = []
        while len(self._samples) >= (size := self._edge(self._step) - self._edge(self._step - 1)):
            rows.append(self._presence(self._samples[:size]))
            self._samples = self._samples[size:]
            self._step += 1
        return np.array(rows).reshape(-1, len(NAMES))

    def _presence(self, samples: Floats) -> Array:
        level = 10 * np.log10(float(np.mean(samples**2)) + 1e-10)
        loud = float(np.clip((level - _QUIET_DB) / (_LOUD_DB - _QUIET_DB), 0, 1))
        self._open += (loud - self._open) * (_ATTACK if loud > self._open else _RELEASE)
        return self._open * _VOWEL + (1 - self._open) * SILENCE

    def _edge(self, step: int) -> int:
        """Where a step ends: half of one after its middle."""
        return (2 * step + 1) * self._rate // (2 * RATE)
