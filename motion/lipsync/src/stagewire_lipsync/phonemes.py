"""Speech sounds that are known before they are heard."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stagewire_lipsync.articulation import NAMES, SILENCE, SYMBOLS, Array, presence
from stagewire_lipsync.cepstra import RATE

_SOUNDS = {symbol: presence(symbol) for symbol in SYMBOLS}
_MAX_PENDING = 20_000  # sounds that wait to be spoken: about half an hour of speech
_LONGEST_SOUND, _LONGEST_GAP = 3.0, 1.0  # seconds


@dataclass(frozen=True)
class PhonemeTime:
    """A speech sound.

    Attributes:
        symbol: ARPAbet without stress, such as ``AA``, or ``sil``; another is treated as silence.
        start: The sample at which it begins, from the start of the utterance.
        end: The sample at which it has ended.
    """

    symbol: str
    start: int
    end: int


@dataclass(frozen=True)
class _Sound:
    """A sound and its time in steps; it may change from one shape to another."""

    first: Array
    second: Array
    start: float
    end: float

    def at(self, steps: Array) -> Array:
        """How it is present in each step, shape [n, sounds]: by how much of the step it takes."""
        share = np.clip(
            np.minimum(steps + 0.5, self.end) - np.maximum(steps - 0.5, self.start), 0, 1
        )
        passed = np.clip((steps - self.start) / (self.end - self.start), 0, 1)
        rows: Array = share[:, None] * (
            (1 - passed)[:, None] * self.first + passed[:, None] * self.second
        )
        return rows


class Script:
    """The sounds of one utterance in so far as they are known.

    Attributes:
        until: Seconds up to which they are.

    Args:
        sample_rate: In which their times are told, in hertz.
    """

    def __init__(self, sample_rate: int) -> None:
        """Empty."""
        self.until = 0.0
        self._rate = sample_rate
        self._sounds: deque[_Sound] = deque()

    def expect(self, phonemes: Sequence[PhonemeTime], now: float) -> None:
        """Takes sounds to come; what is no sound, or does not continue in time, is left out.

        Args:
            phonemes: In order. A gap before one, of a second at most, is silence.
            now: Seconds that were heard.
        """
        for phoneme in phonemes[: _MAX_PENDING - len(self._sounds)]:
            start, end = phoneme.start / self._rate, phoneme.end / self._rate
            latest = max(self.until, now) + _LONGEST_GAP
            silent = phoneme.symbol not in _SOUNDS
            if not self.until - 1e-9 <= start <= latest or end <= start:
                continue
            if end - start > _LONGEST_SOUND and not silent:
                continue
            self.until = end
            if not silent:
                first, second = _SOUNDS[phoneme.symbol]
                self._sounds.append(_Sound(first, second, start * RATE, end * RATE))

    def read(self, step: int, limit: int) -> Array:
        """How sounds are present in the steps from ``step`` to ``limit``, as far as is known.

        Sounds that end before ``step`` are forgotten.

        Returns:
            Shape [n, sounds].
        """
        while self._sounds and self._sounds[0].end <= step - 0.5:
            self._sounds.popleft()
        count = max(0, min(limit, int(self.until * RATE + 0.5)) - step)
        steps = np.arange(step, step + count, dtype=np.float64)
        rows: Array = np.zeros((count, len(NAMES)))
        for sound in self._sounds:
            if sound.start >= step + count:
                break
            rows += sound.at(steps)
        rows += np.clip(1 - rows.sum(1), 0, 1)[:, None] * SILENCE
        return rows
